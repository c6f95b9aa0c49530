//! What happens in the simulated world that is no fault: holidays, promotions, jobs, deploys, noisy nodes, hiccups, and telemetry that fails.
import { gauss, logNormal, logUniform, named, under, unit } from './draws.ts'
import { addSeries, type Operation, type Service, type Topology } from './topology.ts'

export const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000

/** Times are in ms since the world began, a Monday at midnight; the end is not part of it. */
export interface Stretch {
  readonly fromMs: number
  readonly toMs: number
}

/** A factor on something with a number: an entry operation, a node, a service. */
export interface Episode extends Stretch {
  readonly which: number
  readonly size: number
}

/** The network between two zones, or within one, holds up a share of the packets. */
export interface Hiccup extends Stretch {
  readonly zones: readonly [number, number]
  readonly share: number
  readonly delayMs: number
}

/** A service goes from `version - 1` to `version`, one pod after the other. */
export interface Deploy {
  readonly service: number
  readonly version: number
  readonly fromMs: number
  readonly betweenPodsMs: number
}

export interface Almanac {
  readonly nodes: number
  readonly zones: number
  /** By day: a factor on all load. 1 on ordinary days. */
  readonly days: number[]
  /** Three times the requests of an entry operation for 20 minutes. */
  readonly promotions: Episode[]
  /** The nightly jobs, by entry operation: when they run, and how hard they press on one service's peers. */
  readonly jobs: Episode[]
  readonly deploys: Deploy[]
  readonly noisyNodes: Episode[]
  readonly hiccups: Hiccup[]
  /** By operation: `size` is the share of its requests that fail meanwhile. */
  readonly errorBursts: Episode[]
  /** By service: `size` chooses the pod whose spans no longer get out. */
  readonly deadExporters: Episode[]
  /** By service where requests come in: the share of traces that are still recorded. Nothing says so. */
  readonly samplings: Episode[]
  /** By node: how far its clock jumps, in ms; it is set right at the end. */
  readonly clockJumps: Episode[]
}

/** Everything that will happen in so many days. Deploys add the series of the operations that they rename to the topology. */
export function drawAlmanac(seed: number, topology: Topology, days: number): Almanac {
  const root = named(seed, 'almanac')
  const nodes = Math.max(4, Math.round(topology.services.length * 0.35))
  const at = (name: string) => named(root, name)
  const { services, entries } = topology
  const fronts = entries.filter(({ service }) => service.tier === 0)
  return {
    nodes,
    zones: 3,
    days: Array.from({ length: days + 1 }, (_, day) => holiday(under(at('holiday'), day))),
    promotions: strewn(at('promotion'), days, 0.4, fronts.length, one => [20 * MINUTE_MS, 3, one]),
    jobs: nightlyJobs(at('job'), topology, days),
    deploys: drawDeploys(at('deploy'), topology, days),
    noisyNodes: strewn(at('noisy node'), days, nodes * 3, nodes, one => [
      logUniform(under(one, 1), 30_000, 25 * MINUTE_MS),
      logUniform(under(one, 2), 1.2, 3),
      one,
    ]),
    hiccups: drawHiccups(at('hiccup'), days),
    errorBursts: strewn(
      at('error burst'),
      days,
      topology.operations.length,
      topology.operations.length,
      one => [
        logUniform(under(one, 1), MINUTE_MS, 30 * MINUTE_MS),
        logUniform(under(one, 2), 0.002, 0.02),
        one,
      ],
    ),
    deadExporters: strewn(at('dead exporter'), days, 0.7, services.length, one => [
      logUniform(under(one, 1), 5 * MINUTE_MS, HOUR_MS),
      unit(under(one, 2)),
      one,
    ]),
    samplings: strewn(at('sampling'), days, 0.2, services.filter(({ tier }) => tier === 0).length, one => [
      logUniform(under(one, 1), HOUR_MS, 2 * DAY_MS),
      logUniform(under(one, 2), 0.25, 0.8),
      one,
    ]),
    clockJumps: strewn(at('clock'), days, 0.5, nodes, one => [
      logUniform(under(one, 1), 5 * MINUTE_MS, 3 * HOUR_MS),
      logUniform(under(one, 2), 200, 30_000) * (unit(under(one, 3)) < 0.5 ? -1 : 1),
      one,
    ]),
  }
}

/** `perDay` on average, at any time of day, in order of time. `draw` gives the length, the size, and the bits that choose which. */
function strewn(
  at: number,
  days: number,
  perDay: number,
  things: number,
  draw: (bits: number) => [number, number, number],
): Episode[] {
  const list: Episode[] = []
  for (let n = 0, whenMs = 0; ; n++) {
    const one = under(at, n)
    whenMs += (-Math.log(1 - unit(under(one, 101))) * DAY_MS) / perDay
    if (whenMs >= days * DAY_MS) return list
    const [lengthMs, size, bits] = draw(one)
    const which = Math.floor(unit(under(bits, 102)) * things)
    list.push({ fromMs: whenMs, toMs: whenMs + lengthMs, which, size })
  }
}

const holiday = (bits: number) => (unit(bits) < 0.06 ? logUniform(under(bits, 1), 0.4, 1.7) : 1)

// Median 8 s; one in a hundred is longer than 90 s, which is 2.326 sigma away.
const HICCUP_SIGMA = Math.log(90 / 8) / 2.326

function drawHiccups(at: number, days: number): Hiccup[] {
  return strewn(at, days, 144, 6, one => [logNormal(under(one, 1), 8_000, HICCUP_SIGMA), 1, one]).map(
    ({ fromMs, toMs, which }, n) => ({
      fromMs,
      toMs,
      zones: [
        [0, 0],
        [1, 1],
        [2, 2],
        [0, 1],
        [0, 2],
        [1, 2],
      ][which] as [number, number],
      share: logUniform(under(at, 3 * n + 1), 0.1, 1),
      delayMs: logUniform(under(at, 3 * n + 2), 5, 300),
    }),
  )
}

function nightlyJobs(at: number, { entries }: Topology, days: number): Episode[] {
  const list: Episode[] = []
  for (const { id, kind } of entries) {
    if (kind !== 'internal') continue
    const own = under(at, id)
    const hour = 1 + 3 * unit(under(own, 0))
    for (let day = 0; day < days; day++) {
      const bits = under(own, 1 + day)
      const fromMs = day * DAY_MS + hour * HOUR_MS + gauss(bits) * 3 * MINUTE_MS
      const lengthMs = logNormal(under(bits, 1), 25 * MINUTE_MS, 0.3)
      list.push({ fromMs, toMs: fromMs + lengthMs, which: id, size: logUniform(under(bits, 2), 1.1, 1.8) })
    }
  }
  return list.sort((a, b) => a.fromMs - b.fromMs)
}

function drawDeploys(at: number, topology: Topology, days: number): Deploy[] {
  const list: Deploy[] = []
  for (const service of topology.services) {
    let version = 0
    for (let day = 0; day < days; day++) {
      const bits = under(under(at, service.id), day)
      // About one in five working days, in working hours.
      if (day % 7 > 4 || unit(bits) > 0.2) continue
      version++
      const fromMs = day * DAY_MS + (9 + 8 * unit(under(bits, 1))) * HOUR_MS
      list.push({
        service: service.id,
        version,
        fromMs,
        betweenPodsMs: logUniform(under(bits, 2), 30_000, 120_000),
      })
      release(topology, service, version, under(bits, 3))
    }
  }
  return list.sort((a, b) => a.fromMs - b.fromMs)
}

// Every eighth release renames an operation, and every eighth wraps the work of one in a span of its own.
function release(topology: Topology, service: Service, version: number, bits: number) {
  const chosen = (key: number): Operation | undefined =>
    unit(under(bits, key)) < 0.125
      ? service.operations[Math.floor(unit(under(bits, key + 1)) * service.operations.length)]
      : undefined
  const renamed = chosen(0)
  const wrapped = chosen(2)
  for (const operation of service.operations) {
    const before = topology.series[operation.series[version - 1]]
    const name = before.name.includes('/')
      ? operation.name.replace('/', `/v${version + 1}/`)
      : `${operation.name} v${version + 1}`
    operation.series.push(operation === renamed ? addSeries(topology, { ...before, name }) : before.id)
    const inner = operation.inner[version - 1]
    const wrapName = `${operation.name.replace(/^\W*/, '')} step ${version + 1}`
    operation.inner.push(
      operation === wrapped && inner < 0
        ? addSeries(topology, { ...before, kind: 'internal', http: false, name: wrapName })
        : inner,
    )
  }
}
