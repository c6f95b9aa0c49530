//! What stood behind a miss, a wrong name or a false incident: the fault or the weather of the world, and what was said around it.
import type { EventRecord } from '../../src/bus/bus.ts'
import type { Measured } from '../world/measure.ts'
import type { Operation } from '../world/topology.ts'
import { BEGINNING_MS, type SimulatedWorld } from '../world/world.ts'
import type { Incident } from './incidents.ts'
import type { FaultScore, Truth } from './score.ts'

const MOST_LINES = 14

/** A fault that was missed or not located, in a few lines. */
export function explainFault(
  { fault, feature, size, shift, affected }: Measured,
  truth: Truth,
  { detected, located, delayMs, suspects, incident }: FaultScore,
  events: readonly EventRecord[],
): string {
  const verdict = !detected ? 'MISSED' : located ? 'late' : 'MISLOCATED'
  const { kind, service, calls } = fault
  const edges = calls
    .map(
      ({ from, to, remote }) =>
        `${nameOf(from)} > ${remote === 'operation' ? nameOf(to as Operation) : to.name}`,
    )
    .slice(0, 3)
  const more = [
    ...edges,
    ...(fault.mute ? ['mute'] : []),
    ...(kind === 'bad release' ? [`pod ${fault.pod} ${fault.fails ? 'fails' : 'is slow'}`] : []),
    ...(truth.among === '' ? [] : [`among: ${truth.among}`]),
  ]
  const rates = service.operations.map(one => `${nameOf(one)} ${one.rate.toFixed(2)}/s`).join(', ')
  return [
    `${verdict}: ${kind} x${fault.size.toFixed(2)} at ${service.name} (tier ${service.tier}), ${clock(truth.fromMs)} to ${clock(truth.toMs)}` +
      (truth.timedMs > truth.fromMs ? `, timed from ${clock(truth.timedMs)}` : ''),
    `  ${size}: ${shift.toFixed(1)} spreads, ${affected} spans a minute, ${feature}`,
    `  ${more.length > 0 ? `${more.join('; ')}; ` : ''}${rates}`,
    ...(detected ? [`  after ${Math.round(delayMs / 1_000)} s: ${suspects.join(', ')} (${incident})`] : []),
    ...said(events, truth.fromMs - 60_000, truth.toMs + 120_000),
  ].join('\n')
}

/** A false incident, in a few lines. */
export function explainStray(
  world: SimulatedWorld,
  incident: Incident,
  events: readonly EventRecord[],
): string {
  const { id, openedMs, states } = incident
  const { title = '', suspects = [], kinds = [] } = states.at(0) ?? {}
  const own = events.filter(({ attributes }) => attributes['otlier.incident.id'] === id)
  return [
    `FALSE: ${clock(openedMs)} ${kinds.join('+')}: ${title} [${suspects.slice(0, 4).join(', ')}] (${id})`,
    `  weather: ${weather(world, openedMs - BEGINNING_MS - 600_000, openedMs - BEGINNING_MS).join('; ') || 'nothing'}`,
    ...said(own, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY),
  ].join('\n')
}

const nameOf = ({ service, name }: Operation) => `${service.name}:${name}`
const clock = (ms: number) => new Date(ms).toISOString().slice(5, 19).replace('T', ' ')

function said(events: readonly EventRecord[], fromMs: number, toMs: number): string[] {
  const lines = events
    .filter(({ observedMs }) => observedMs >= fromMs && observedMs <= toMs)
    .map(({ name, observedMs, body, attributes, resource }) => {
      const suspects = attributes['otlier.incident.suspects']
      const id = attributes['otlier.incident.id']
      return (
        `    ${clock(observedMs)} ${name.replace('otlier.', '')} ${resource['service.name'] ?? ''}: ${body}` +
        `${Array.isArray(suspects) ? ` [${suspects.slice(0, 4).join(', ')}]` : ''}${typeof id === 'string' ? ` (${id})` : ''}`
      )
    })
  if (lines.length === 0) return ['    nothing was said']
  return lines.length <= MOST_LINES
    ? lines
    : [...lines.slice(0, MOST_LINES), `    and ${lines.length - MOST_LINES} more`]
}

/** What happened in the world that is no fault. Times in ms since the world began. */
function weather({ topology, almanac }: SimulatedWorld, fromMs: number, toMs: number): string[] {
  const { services, operations, entries } = topology
  const fronts = entries.filter(({ kind }) => kind !== 'internal')
  const during = <T extends { fromMs: number; toMs: number }>(list: readonly T[]) =>
    list.filter(one => one.fromMs < toMs && one.toMs > fromMs)
  return [
    ...during(almanac.promotions).map(({ which }) => `promotion of ${nameOf(fronts[which])}`),
    ...during(almanac.jobs).map(({ which }) => `job ${nameOf(operations[which])}`),
    ...almanac.deploys
      .filter(one => one.fromMs < toMs && one.fromMs > fromMs - 1_800_000)
      .map(({ service, version }) => `deploy of ${services[service].name} 1.${version}.0`),
    ...during(almanac.deadExporters).map(({ which }) => `dead exporter at ${services[which].name}`),
    ...during(almanac.samplings).map(({ size, fromMs: sinceMs, which }) => {
      const front = services.filter(({ tier }) => tier === 0)[which]
      return `sampling of ${front.name} at ${size.toFixed(2)} since ${clock(BEGINNING_MS + sinceMs)}`
    }),
    ...during(almanac.clockJumps).map(
      ({ which, size }) => `clock of node-${which} off by ${Math.round(size)} ms`,
    ),
    ...during(almanac.noisyNodes)
      .filter(({ size }) => size > 1.4)
      .map(({ which, size }) => `node-${which} x${size.toFixed(1)}`),
    ...during(almanac.hiccups)
      .filter(one => one.toMs - one.fromMs > 20_000)
      .map(
        one =>
          `hiccup ${one.zones.join('-')} ${Math.round((one.toMs - one.fromMs) / 1_000)} s, ${Math.round(100 * one.share)} % by ${Math.round(one.delayMs)} ms`,
      ),
    ...during(almanac.errorBursts)
      .filter(({ size }) => size > 0.01)
      .map(({ which, size }) => `errors of ${nameOf(operations[which])} +${(100 * size).toFixed(1)} %`),
  ]
}
