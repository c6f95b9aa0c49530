//! What is told of incidents and departures: event records with the names that users read.
import type { Attributes } from '../base/attributes.ts'
import { clip } from '../base/words.ts'
import type { EventRecord } from '../bus/bus.ts'
import type { Feature } from './feature.ts'
import type { Incident, Member } from './incident.ts'
import type { ServiceNode } from './landscape.ts'
import { CLASSES } from './places.ts'

/** What every event says beside its subject. */
export interface Told {
  /** The deciding statistic from which on an incident opens. */
  readonly level: number
  /** From the end of a window to the moment at which it is judged. */
  readonly delayMs: number
  /** Said where several budgets are judged side by side. */
  readonly budget: number | null
}

/** One series, edge or pod departs from its baseline in one feature, or has come back to it. */
export function anomalyEvent(
  name: string,
  incident: Incident,
  member: Member,
  nowMs: number,
  { level, delayMs, budget }: Told,
): EventRecord {
  const { feature } = member
  const { place } = feature
  const over = name.endsWith('resolved')
  const minutes = Math.max(1, Math.round((nowMs - member.sinceMs) / 60_000))
  const { value, expected, unit } = valuesOf(feature)
  return {
    name,
    timeNs: BigInt(Math.round(over ? nowMs : member.sinceMs)) * 1_000_000n,
    observedMs: nowMs + delayMs,
    severity: over ? 9 : isSevere(member) ? 17 : 13,
    body: clip(`${place.service.name}: ${over ? `over after ${minutes} min: ` : ''}${member.phrase}`, 300),
    traceId: over ? '' : slowTrace(feature, member.sinceMs),
    spanId: '',
    resource: resourceOf(place.service),
    attributes: {
      'otlier.anomaly.id': member.id,
      'otlier.incident.id': incident.id,
      'otlier.anomaly.feature': feature.name,
      'otlier.anomaly.kinds': [kindOf(feature)],
      'otlier.anomaly.score': round(member.decisive / level),
      'otlier.anomaly.severity': isSevere(member) ? 'critical' : 'warning',
      'otlier.anomaly.reason': clip(member.phrase, 200),
      'otlier.anomaly.value': value,
      'otlier.anomaly.expected': expected,
      'otlier.anomaly.unit': unit,
      'otlier.anomaly.baseline.samples': BigInt(Math.round(feature.judged[feature.scale].n)),
      'otlier.anomaly.detector': feature.class,
      'otlier.anomaly.series.service': place.service.name,
      ...(place.series === null ? {} : { 'otlier.anomaly.series.operation': place.series.key.operation }),
      ...(place.caller === null ? {} : { 'otlier.anomaly.edge.caller': place.caller.name }),
      ...(member.contributors.length === 0 ? {} : { 'otlier.anomaly.contributors': member.contributors }),
      ...(budget === null ? {} : { 'otlier.budget': budget }),
    },
  }
}

/** An incident opens, changes, or is over. */
export function incidentEvent(
  name: string,
  incident: Incident,
  nowMs: number,
  body: string,
  { delayMs, budget }: Told,
): EventRecord {
  const { suspects, contributors } = incident
  const features = [...incident.members.values()].map(({ feature }) => feature)
  const lead = suspects[0]
  const services = [...new Set(features.map(({ place }) => place.service.name))].sort()
  const traces = [...new Set(features.map(feature => slowTrace(feature, incident.sinceMs)))]
  const attributes: Attributes = {
    'otlier.incident.id': incident.id,
    'otlier.incident.title': incident.title,
    'otlier.incident.severity': incident.severity,
    'otlier.incident.kinds': [...new Set(features.map(kindOf))].sort(),
    'otlier.incident.suspects': suspects.slice(0, 5).map(suspect => suspect.name),
    'otlier.incident.suspect.scores': suspects.slice(0, 5).map(({ score }) => Math.round(score * 100) / 100),
    'otlier.incident.services': services,
    'otlier.incident.anomaly_ids': [...incident.members.values()].map(({ id }) => id),
    'otlier.incident.trace_ids': traces.filter(id => id !== '').slice(0, 5),
    ...(contributors.length === 0 ? {} : { 'otlier.incident.contributors': contributors }),
    ...(budget === null ? {} : { 'otlier.budget': budget }),
  }
  const service =
    features.find(({ place }) => place.service.name === lead?.name)?.place.service ??
    features[0].place.service
  return {
    name,
    timeNs: BigInt(Math.round(name.endsWith('opened') ? incident.sinceMs : nowMs)) * 1_000_000n,
    observedMs: nowMs + delayMs,
    severity: name.endsWith('resolved') ? 9 : incident.severity === 'critical' ? 17 : 13,
    body,
    traceId: '',
    spanId: '',
    resource: resourceOf(service),
    attributes,
  }
}

export const resourceOf = ({ name, namespace, environment }: ServiceNode): Attributes => ({
  'service.name': name,
  ...(namespace === '' ? {} : { 'service.namespace': namespace }),
  ...(environment === '' ? {} : { 'deployment.environment.name': environment }),
})

/** A trace that shows what a feature tells of; empty where there is none. */
const slowTrace = ({ place }: Feature, sinceMs: number): string =>
  place.series?.slowTrace ?? slowest(place.service, sinceMs)

/** The trace of the slowest span of a service, by the last window with spans of each series. */
const slowest = (service: ServiceNode, sinceMs: number): string => {
  let longest = { slowNs: 0, slowTrace: '' }
  for (const series of service.series)
    if (series.lastSeenMs > sinceMs && series.slowNs > longest.slowNs) longest = series
  return longest.slowTrace
}

const round = (value: number) => Number(value.toPrecision(6))

/** What was seen and what is normal, in the unit that users read. */
function valuesOf(feature: Feature): { value: number; expected: number; unit: string } {
  const { level, shift } = feature.judged[feature.scale]
  if (feature.class === 'entry rate')
    return { value: round(level / Math.exp(shift)), expected: round(level), unit: '{span}' }
  if (CLASSES[feature.class].kind === 'location')
    return { value: round(Math.exp(level + shift) / 1e9), expected: round(Math.exp(level) / 1e9), unit: 's' }
  const value = feature.class.endsWith(' missing') ? level - shift : level + shift
  return { value: round(value), expected: round(level), unit: '1' }
}

export function kindOf({ name }: Feature): string {
  if (name === 'failure') return 'error'
  if (name === 'rate') return 'throughput'
  return name === 'structure' ? 'structure' : 'latency'
}

/** Whether many are hurt, or much. */
export function isSevere({ feature }: Member): boolean {
  const { shift } = feature.judged[feature.scale]
  if (feature.name === 'failure') return shift >= 0.1
  if (feature.name === 'rate') return shift >= Math.log(2)
  if (feature.name === 'structure') return shift >= 0.5
  return shift >= Math.log(3)
}
