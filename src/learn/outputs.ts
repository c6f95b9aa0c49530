//! What the learning plane says in metrics: departures that were told, incidents that are open, and what is normal where incidents look.
import { type Band, registerBands } from '../base/bands.ts'
import type { Registry } from '../base/counters.ts'
import type { EventRecord } from '../bus/bus.ts'
import { seriesLabels, serviceLabels } from '../bus/labels.ts'
import { MINUTE, SCALES } from '../detect/scales.ts'
import type { Feature } from './feature.ts'
import type { Incident } from './incident.ts'
import type { FeatureClass } from './places.ts'

/** What is normal is said to reach so many standard deviations to both sides: of sampling, and of the usual change from minute to minute. */
const BAND_Z = 3

/** The classes whose bands are told, by the unit of their feature. Of pods, peers and calls there are too many. */
const UNITS: Readonly<Record<string, readonly FeatureClass[]>> = {
  s: ['service self', 'operation self', 'edge gap'],
  '1': ['service failure', 'operation failure'],
  '{span}/s': ['entry rate'],
}

const SEVERITIES = ['warning', 'critical'] as const

/** What of the plane is read at each scrape. */
export interface Source {
  readonly windowMs: number
  readonly features: () => readonly Feature[]
  readonly open: () => readonly Incident[]
  /** How much was left out for lack of room. */
  readonly crowded: () => number
}

export function registerOutputs(registry: Registry, { windowMs, features, open, crowded }: Source): void {
  const cells = SEVERITIES.map(severity =>
    registry.updown('otlier.incidents.open', '{incident}', 'Incidents that are open.', { severity }),
  )
  const leftOut = registry.counter(
    'otlier.learning.crowded',
    '{row}',
    'Rows of windows and places that were left out for lack of room.',
  )
  registry.beforeRead(() => {
    leftOut.value = crowded()
    for (const [at, severity] of SEVERITIES.entries())
      cells[at].value = open().filter(incident => incident.severity === severity).length
  })
  for (const [unit, classes] of Object.entries(UNITS))
    registerBands(registry, unit, () => bands(features(), classes, windowMs))
}

/** Counts an opening, with a trace of what was slow or failed as its exemplar. Other events are passed over. */
export function countAnomaly(
  registry: Registry,
  { name, resource, attributes, ...event }: EventRecord,
): void {
  if (name !== 'otlier.anomaly.opened') return
  const text = (key: string) => String([attributes[key] ?? ''].flat()[0])
  const cell = registry.counter(
    'otlier.anomalies',
    '{anomaly}',
    'Departures from what is normal that were told.',
    {
      'service.name': String(resource['service.name']),
      kind: text('otlier.anomaly.kinds'),
      severity: text('otlier.anomaly.severity'),
    },
  )
  cell.value++
  const traceId = event.traceId || text('otlier.anomaly.trace_ids')
  if (traceId === '') return
  cell.exemplar = {
    traceId,
    spanId: event.spanId,
    value: Number(attributes['otlier.anomaly.value']),
    timeMs: event.observedMs,
  }
}

function* bands(
  features: readonly Feature[],
  classes: readonly FeatureClass[],
  windowMs: number,
): Generator<Band> {
  for (const feature of features) {
    const { class: of, name, place, sd } = feature
    const { shift } = feature.judged[MINUTE]
    // Nothing is said of what has not been judged: it is new, or nothing of it came in the last minute.
    if (!classes.includes(of) || sd === 0) continue
    const at = (by: number) => valueAt(feature, by, windowMs)
    // Of shares and durations more is worse, of counts less: `shift` goes towards what is worse.
    const reach = BAND_Z * sd
    const ends = [at(-reach), at(reach)]
    const { name: service, namespace, environment } = place.service
    yield {
      labels: {
        ...(place.series === null
          ? serviceLabels(service, namespace, environment)
          : seriesLabels(place.series.key)),
        ...(place.caller === null ? {} : { 'edge.caller': place.caller.name }),
        feature: name,
      },
      observed: at(shift),
      expected: at(0),
      lower: Math.min(...ends),
      upper: Math.max(...ends),
    }
  }
}

/** What a departure of so much would be: in seconds, as a share, or as spans a second. */
function valueAt({ class: of, judged }: Feature, shift: number, windowMs: number): number {
  const { level } = judged[MINUTE]
  if (of === 'entry rate')
    return Math.max(0, (level + 1) * Math.exp(-shift) - 1) / ((SCALES[MINUTE] * windowMs) / 1000)
  if (of.endsWith(' failure')) return Math.max(0, Math.min(1, level + shift))
  return Math.exp(level + shift) / 1e9
}
