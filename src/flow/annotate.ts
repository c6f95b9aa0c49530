//! An outlier in words and numbers: the attributes that its span gets, and the event that tells of it.
import type { Attributes, AttributeValue } from '../base/attributes.ts'
import { clip, duration, durationRange, number } from '../base/words.ts'
import type { EventRecord, SeriesModel } from '../bus/bus.ts'
import { failureScore } from '../detect/failure.ts'
import { latencyScore } from '../detect/latency.ts'
import { writeKeyValue } from '../wire/attributes.ts'
import { WIRE } from '../wire/fields.ts'
import { Writer } from '../wire/writer.ts'

/** Eight times the limit. */
const CRITICAL_SCORE = 4
const MAX_REASON = 200
/** Tag of `repeated KeyValue attributes = 9` in a Span. */
const SPAN_ATTRIBUTES = 9

export interface MarkOptions {
  /** Also write the names of the Collector's isolationforest processor. */
  readonly isolationForest: boolean
  /** Also write what Jaeger shows as a warning. */
  readonly jaegerWarnings: boolean
}

/** Why one span is an outlier. */
export interface Finding {
  readonly model: SeriesModel
  readonly slow: boolean
  readonly failed: boolean
  readonly durationNs: number
  /** The incident that its series is affected by, empty where there is none. */
  readonly incident?: string
}

/** The attributes of conventions; the first is always `otlier.anomaly.detected`. */
export function markOf(finding: Finding): Attributes {
  const { model, slow, failed, durationNs } = finding
  const { latency, failure } = model
  const score = Math.max(
    slow ? latencyScore(durationNs, latency.limitNs) : 0,
    failed ? failureScore(failure.rate) : 0,
  )
  const band: Record<string, AttributeValue> = slow
    ? {
        'otlier.anomaly.value': durationNs / 1e9,
        'otlier.anomaly.expected': seconds(latency.p50Ns),
        'otlier.anomaly.lower': seconds(latency.lowerNs),
        'otlier.anomaly.upper': seconds(latency.upperNs),
        'otlier.anomaly.unit': 's',
        'otlier.anomaly.baseline.samples': BigInt(latency.samples),
        'otlier.anomaly.detector': 'latency',
      }
    : {
        'otlier.anomaly.value': 1,
        'otlier.anomaly.expected': round(failure.rate),
        'otlier.anomaly.lower': 0,
        'otlier.anomaly.upper': round(failure.rate),
        'otlier.anomaly.unit': '1',
        'otlier.anomaly.baseline.samples': BigInt(failure.samples),
        'otlier.anomaly.detector': 'failure',
      }
  return {
    'otlier.anomaly.detected': true,
    'otlier.anomaly.kinds': [...(slow ? ['latency'] : []), ...(failed ? ['error'] : [])],
    'otlier.anomaly.score': Math.round(score * 100) / 100,
    'otlier.anomaly.severity': score >= CRITICAL_SCORE ? 'critical' : 'warning',
    'otlier.anomaly.reason': reasonOf(finding),
    ...band,
    ...(finding.incident ? { 'otlier.incident.id': finding.incident } : {}),
  }
}

/** One sentence of at most 200 characters: what was seen, what is normal, on how much that rests, for which operation. */
export function reasonOf({ model, slow, failed, durationNs }: Finding): string {
  const { latency, failure, series } = model
  const facts: string[] = []
  if (slow) {
    const range = durationRange(latency.lowerNs, latency.upperNs)
    facts.push(
      `${duration(durationNs)}, normally ${range} (p50 ${duration(latency.p50Ns)}, ${number(latency.samples)} spans)`,
    )
  }
  if (failed) {
    const usual = `normally ${number(failure.failures)} of ${number(failure.samples)} spans fail`
    facts.push(slow ? `and it failed, ${usual}` : `failed, ${usual}`)
  }
  const text = `${facts.join(', ')} for `
  return text + clip(series.operation || '(no name)', Math.max(8, MAX_REASON - text.length))
}

/** Used for one mark after the other. */
const out = new Writer(1024)

/** The mark as fields of a span, tags included, ready to stand at its end. */
export function markBytes(mark: Attributes, options: MarkOptions): Uint8Array {
  out.length = 0
  for (const key in mark) append(key, mark[key])
  if (options.isolationForest) {
    append('anomaly.is_anomaly', true)
    append('anomaly.isolation_score', mark['otlier.anomaly.score'])
  }
  if (options.jaegerWarnings) append('@jaeger@warnings', [mark['otlier.anomaly.reason'] as string])
  return out.take()
}

function append(key: string, value: AttributeValue): void {
  out.tag(SPAN_ATTRIBUTES, WIRE.LEN)
  const start = out.open(1)
  writeKeyValue(out, key, value)
  out.close(start, 1)
}

/** The `otlier.span.outlier` event of a marked span. */
export function outlierEvent(
  finding: Finding,
  mark: Attributes,
  span: { traceId: string; spanId: string; endNs: bigint; observedMs: number; suppressed: number },
): EventRecord {
  const { series } = finding.model
  return {
    name: 'otlier.span.outlier',
    timeNs: span.endNs,
    observedMs: span.observedMs,
    severity: mark['otlier.anomaly.severity'] === 'critical' ? 17 : 13,
    body: `${series.service}: ${mark['otlier.anomaly.reason']}`,
    traceId: span.traceId,
    spanId: span.spanId,
    resource: {
      'service.name': series.service,
      ...(series.namespace === '' ? {} : { 'service.namespace': series.namespace }),
      ...(series.environment === '' ? {} : { 'deployment.environment.name': series.environment }),
    },
    attributes: {
      ...mark,
      'otlier.anomaly.series.service': series.service,
      'otlier.anomaly.series.operation': series.operation,
      ...(span.suppressed > 0 ? { 'otlier.anomaly.suppressed': BigInt(span.suppressed) } : {}),
    },
  }
}

const seconds = (ns: number) => Number((ns / 1e9).toPrecision(6))
const round = (value: number) => Number(value.toPrecision(3))
