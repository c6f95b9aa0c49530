//! Ordinary metrics requests from a short description: the same bytes each time.

import { concat, delimited, doubleField, fixed64Field, varintField } from './bytes.ts'
import {
  type Attributes,
  attributesOf,
  Double,
  id,
  none,
  type Origin,
  resourceOf,
  scopeOf,
  text,
} from './values.ts'

/** Which fields count depends on the metric's kind; `value` is for gauge and sum. */
export type PlainPoint = {
  timeNs: bigint
  startNs?: bigint
  attributes?: Attributes
  value?: number | bigint | Double
  count?: number
  sum?: number
  min?: number
  max?: number
  bounds?: readonly number[]
  counts?: readonly number[]
  scale?: number
  zeroCount?: number
  positive?: { offset: number; counts: readonly number[] }
  negative?: { offset: number; counts: readonly number[] }
  quantiles?: readonly (readonly [quantile: number, value: number])[]
  exemplars?: readonly { value: number; timeNs: bigint; traceId?: string; spanId?: string }[]
}

export type PlainMetric = {
  name: string
  unit?: string
  description?: string
  kind: 'gauge' | 'sum' | 'histogram' | 'exponential' | 'summary'
  temporality?: 'delta' | 'cumulative'
  monotonic?: boolean
  points: readonly PlainPoint[]
}

/** A metrics request: one ResourceMetrics with one ScopeMetrics for each group. */
export function metricsRequest(
  groups: readonly (Origin & { metrics: readonly PlainMetric[] })[],
): Uint8Array {
  return concat(
    groups.map(group => {
      const metrics = group.metrics.map(metric => delimited(2, metricBytes(metric)))
      return delimited(1, concat([resourceOf(group), delimited(2, concat([scopeOf(group), ...metrics]))]))
    }),
  )
}

function metricBytes(metric: PlainMetric): Uint8Array {
  const field = { gauge: 5, sum: 7, histogram: 9, exponential: 10, summary: 11 }[metric.kind]
  const points = metric.points.map(point => delimited(1, POINTS[metric.kind](point)))
  const isFlow = metric.kind !== 'gauge' && metric.kind !== 'summary'
  const temporality = isFlow ? varintField(2, metric.temporality === 'delta' ? 1 : 2) : none
  const monotonic = metric.kind === 'sum' && metric.monotonic === true ? varintField(3, 1) : none
  const data = delimited(field, concat([...points, temporality, monotonic]))
  return concat([text(1, metric.name), text(2, metric.description), text(3, metric.unit), data])
}

const POINTS: Record<PlainMetric['kind'], (point: PlainPoint) => Uint8Array> = {
  gauge: numberPoint,
  sum: numberPoint,
  histogram: histogramPoint,
  exponential: exponentialPoint,
  summary: summaryPoint,
}

function numberPoint(point: PlainPoint): Uint8Array {
  const value = point.value ?? 0
  const isInt = typeof value === 'bigint' || (typeof value === 'number' && Number.isSafeInteger(value))
  return concat([
    times(point),
    isInt
      ? fixed64Field(6, BigInt(value))
      : doubleField(4, value instanceof Double ? value.double : Number(value)),
    exemplarsOf(5, point),
    attributesOf(7, point.attributes),
  ])
}

function histogramPoint(point: PlainPoint): Uint8Array {
  const counts = (point.counts ?? []).map(count => fixed64Field(6, BigInt(count)).subarray(1))
  const bounds = (point.bounds ?? []).map(bound => doubleField(7, bound).subarray(1))
  return concat([
    times(point),
    fixed64Field(4, BigInt(point.count ?? 0)),
    real(5, point.sum),
    counts.length === 0 ? none : delimited(6, concat(counts)),
    bounds.length === 0 ? none : delimited(7, concat(bounds)),
    exemplarsOf(8, point),
    attributesOf(9, point.attributes),
    real(11, point.min),
    real(12, point.max),
  ])
}

function exponentialPoint(point: PlainPoint): Uint8Array {
  return concat([
    attributesOf(1, point.attributes),
    times(point),
    fixed64Field(4, BigInt(point.count ?? 0)),
    real(5, point.sum),
    varintField(6, zigzag(point.scale ?? 0)),
    fixed64Field(7, BigInt(point.zeroCount ?? 0)),
    buckets(8, point.positive),
    buckets(9, point.negative),
    exemplarsOf(11, point),
    real(12, point.min),
    real(13, point.max),
  ])
}

function summaryPoint(point: PlainPoint): Uint8Array {
  const quantiles = (point.quantiles ?? []).map(([quantile, value]) =>
    delimited(6, concat([doubleField(1, quantile), doubleField(2, value)])),
  )
  return concat([
    times(point),
    fixed64Field(4, BigInt(point.count ?? 0)),
    doubleField(5, point.sum ?? 0),
    ...quantiles,
    attributesOf(7, point.attributes),
  ])
}

function buckets(number: number, given: PlainPoint['positive']): Uint8Array {
  if (given === undefined) return none
  // A packed run of varints: each value without a tag of its own.
  const counts = given.counts.map(count => varintField(2, count).subarray(1))
  return delimited(number, concat([varintField(1, zigzag(given.offset)), delimited(2, concat(counts))]))
}

function exemplarsOf(number: number, point: PlainPoint): Uint8Array {
  return concat(
    (point.exemplars ?? []).map(exemplar =>
      delimited(
        number,
        concat([
          fixed64Field(2, exemplar.timeNs),
          doubleField(3, exemplar.value),
          id(4, exemplar.spanId),
          id(5, exemplar.traceId),
        ]),
      ),
    ),
  )
}

function times(point: PlainPoint): Uint8Array {
  const start = point.startNs === undefined ? none : fixed64Field(2, point.startNs)
  return concat([start, fixed64Field(3, point.timeNs)])
}

function real(number: number, value: number | undefined): Uint8Array {
  return value === undefined ? none : doubleField(number, value)
}

function zigzag(value: number): number {
  return value < 0 ? -2 * value - 1 : 2 * value
}
