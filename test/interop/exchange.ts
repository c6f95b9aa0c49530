//! The exchange that every peer goes through: 300 normal spans with metrics and logs, then a slow span, all seen at the backend.
import { expect } from 'vitest'
import type { Signal } from '../../src/flow/sink.ts'
import { attributesOf, decodeRequest } from '../kit/messages.ts'
import type { Sent } from '../kit/sdk-client.ts'
import { type Service, startService, sumOf, until } from './service.ts'

export interface Backend {
  /** The exporters section of Otlier's configuration that leads here. */
  readonly exporters: string
  /** All requests so far. */
  requests(): readonly { readonly signal: Signal; readonly bytes: Uint8Array }[]
  stop(): Promise<void>
}

export type Client = (service: Service, phase: 'normal' | 'slow') => Promise<Sent>

interface Seen extends Sent {
  /** By span id, the attributes of every span. */
  readonly attributes: ReadonlyMap<string, Record<string, unknown>>
  /** Otlier's own log records by their event names, with their trace and span ids. */
  readonly events: readonly {
    name: string
    traceId: string
    spanId: string
    body: string
    service: unknown
  }[]
}

/** Sends through Otlier and holds what arrived against what was sent. `signals` are those that the backend takes. */
export async function exchange(
  client: Client,
  backend: Backend,
  signals: 'all' | 'traces' = 'all',
): Promise<Service> {
  const service = await startService(backend.exporters)
  try {
    const normal = await client(service, 'normal')
    expect(normal.spans).toHaveLength(300)
    expect(normal.points).toHaveLength(5)
    expect(normal.logs).toHaveLength(5)
    const isWhole = () => {
      const { spans, points, logs } = collect(backend)
      const others = signals === 'traces' || (points.length >= 5 && logs.length >= 5)
      return spans.length >= 300 && others
    }
    await until('the normal items have arrived', isWhole)
    await until(
      'the operation is learned',
      async () => sumOf(await service.scrape(), 'otlier_models{state="ready"') > 0,
    )

    const slow = await client(service, 'slow')
    expect(slow.spans).toHaveLength(1)
    const [{ traceId, spanId }] = slow.spans
    const isMarked = () => {
      const { attributes, events } = collect(backend)
      return attributes.has(spanId) && (signals === 'traces' || events.length > 0)
    }
    await until('the slow span and its event have arrived', isMarked)

    const seen = collect(backend)
    const sent = [...normal.spans, ...slow.spans]
    expect(compare(seen.spans.map(idsOf), sent.map(idsOf))).toEqual(EQUAL)
    if (signals === 'all') {
      expect(compare(seen.points, normal.points)).toEqual(EQUAL)
      expect(compare(seen.logs, normal.logs)).toEqual(EQUAL)
    }
    checkMark(seen, spanId)
    if (signals === 'all') {
      const event = { name: 'otlier.span.outlier', traceId, spanId, body: expect.stringContaining('2 s') }
      expect(seen.events).toEqual([{ ...event, service: expect.stringMatching(/^shop/) }])
    }
    // The backend has recorded a batch before its answer is counted.
    await until('all answers have come back', async () => unanswered(await service.scrape()) === 0)
    checkAccounts(await service.scrape(), signals)
    return service
  } catch (error) {
    await service.stop()
    throw new Error(`${(error as Error).message}\n--- Otlier said:\n${service.said()}`, { cause: error })
  }
}

/** The slow span alone is marked, and its reason states what is true: two seconds, where 8 to 12 ms are normal. */
function checkMark(seen: Seen, spanId: string): void {
  const marked = [...seen.attributes].filter(([, attributes]) => 'otlier.anomaly.detected' in attributes)
  expect(marked.map(([id]) => id)).toEqual([spanId])
  const [[, mark]] = marked
  expect(mark).toMatchObject({
    'otlier.anomaly.detected': true,
    'otlier.anomaly.kinds': ['latency'],
    'otlier.anomaly.unit': 's',
    'otlier.anomaly.detector': 'latency',
    'otlier.anomaly.severity': expect.stringMatching(/^(warning|critical)$/),
  })
  const number = (name: string) => mark[`otlier.anomaly.${name}`] as number
  expect(number('value')).toBeCloseTo(2, 2)
  expect(number('score')).toBeGreaterThan(1)
  // A histogram's buckets are exact to 4 %.
  expect(number('expected')).toBeGreaterThan(0.0075)
  expect(number('expected')).toBeLessThan(0.0125)
  expect(number('lower')).toBeLessThanOrEqual(number('expected'))
  expect(number('upper')).toBeGreaterThanOrEqual(number('expected'))
  expect(number('upper')).toBeLessThan(0.02)
  const samples = mark['otlier.anomaly.baseline.samples'] as bigint
  expect(samples).toBeGreaterThanOrEqual(200n)
  expect(samples).toBeLessThanOrEqual(300n)
  const reason = mark['otlier.anomaly.reason'] as string
  expect(reason).toMatch(/^2(\.0+)? s, normally \S+ (ms )?to \S+ ms .*GET \/checkout$/)
  expect(reason).toContain(`${samples} spans`)
}

/** Items that no destination has answered for yet. */
const unanswered = (scrape: string) =>
  sumOf(scrape, 'otlier_exporter_queued_') + sumOf(scrape, 'otlier_exporter_in_flight_')

/** Every item is in exactly one place, and those of the exchange have been sent. */
function checkAccounts(scrape: string, signals: 'all' | 'traces'): void {
  for (const [items, sent] of Object.entries({ spans: 301, metric_points: 5, log_records: 6 })) {
    const total = (what: string) => sumOf(scrape, `otlier_${what}_${items}_total{`)
    const gauge = (what: string) => sumOf(scrape, `otlier_exporter_${what}_${items}{`)
    const enqueued = total('exporter_enqueued')
    const ended = total('exporter_sent') + total('exporter_rejected') + total('exporter_dropped')
    expect(enqueued + total('exporter_recovered')).toBe(ended + gauge('queued') + gauge('in_flight'))
    expect(total('receiver_accepted') + total('generated')).toBe(enqueued + total('exporter_enqueue_failed'))
    expect(total('exporter_sent')).toBe(signals === 'all' || items === 'spans' ? sent : 0)
  }
}

/** Everything in a backend's requests, each item as often as it arrived. */
export function collect(backend: Backend): Seen {
  const spans: { traceId: string; spanId: string }[] = []
  const attributes = new Map<string, Record<string, unknown>>()
  const points: string[] = []
  const logs: string[] = []
  const events: { name: string; traceId: string; spanId: string; body: string; service: unknown }[] = []
  for (const { signal, bytes } of backend.requests()) {
    const request = decodeRequest(signal, bytes)
    for (const group of request.resource_spans ?? [])
      for (const scope of group.scope_spans ?? [])
        for (const span of scope.spans) {
          spans.push({ traceId: span.trace_id, spanId: span.span_id })
          attributes.set(span.span_id, attributesOf(span.attributes))
        }
    for (const group of request.resource_metrics ?? [])
      for (const scope of group.scope_metrics ?? [])
        for (const metric of scope.metrics) points.push(...pointsOf(metric))
    for (const group of request.resource_logs ?? [])
      for (const scope of group.scope_logs ?? [])
        for (const record of scope.log_records) {
          const body = record.body.string_value as string
          if (scope.scope?.name !== 'otlier') logs.push(body)
          else {
            const service = attributesOf(group.resource.attributes)['service.name']
            events.push({
              name: record.event_name,
              traceId: record.trace_id,
              spanId: record.span_id,
              body,
              service,
            })
          }
        }
  }
  return { spans, attributes, points, logs, events }
}

/** As in Sent. A histogram's value is its count. */
// biome-ignore lint/suspicious/noExplicitAny: a decoded message is looked into by field names.
function pointsOf(metric: any): string[] {
  const data = metric.sum ?? metric.gauge ?? metric.histogram
  // biome-ignore lint/suspicious/noExplicitAny: see above.
  return data.data_points.map((point: any) => {
    const value = point.as_int ?? point.as_double ?? point.count
    return `${metric.name}/${attributesOf(point.attributes)['point']}=${value}`
  })
}

const idsOf = ({ traceId, spanId }: Sent['spans'][number]) => `${traceId} ${spanId}`

const EQUAL = { missing: 0, foreign: 0, again: 0 }

/** How what arrived differs from what was sent, in items. */
function compare(arrived: readonly string[], sent: readonly string[]): typeof EQUAL {
  const distinct = new Set(arrived)
  const expected = new Set(sent)
  return {
    missing: sent.filter(item => !distinct.has(item)).length,
    foreign: [...distinct].filter(item => !expected.has(item)).length,
    again: arrived.length - distinct.size,
  }
}
