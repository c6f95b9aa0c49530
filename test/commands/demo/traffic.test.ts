//! The laws of the demo's traffic: spans of the SDK with the times that were planned, in the order of their ends, none lost on the way.
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace'
import { expect, test } from 'vitest'
import { passOver } from '../../../src/commands/demo/pass-over.ts'
import { Shop } from '../../../src/commands/demo/shop.ts'
import { Traffic } from '../../../src/commands/demo/traffic.ts'

const START_MS = Date.UTC(2026, 0, 5, 12)
const msOf = ([seconds, nanoseconds]: readonly [number, number]) => seconds * 1000 + nanoseconds / 1e6

function scene() {
  const requests: ReadableSpan[][] = []
  const exporter: SpanExporter = {
    export(spans, done) {
      requests.push([...spans])
      done({ code: 0 })
    },
    shutdown: async () => {},
  }
  return { requests, traffic: new Traffic(new Shop(1, 10), exporter, START_MS) }
}

test('history leaves in the order of its ends, in requests of many resources, and nothing is dropped', async () => {
  const { requests, traffic } = scene()
  const told: number[] = []
  await traffic.history(START_MS + 300_000, ({ untilMs }) => told.push(untilMs))
  await traffic.close()
  const spans = requests.flat()
  expect(spans).toHaveLength(traffic.spans)
  expect(spans.length).toBeGreaterThan(10_000)
  expect(requests.length).toBeGreaterThan(10)
  const ends = spans.map(({ endTime }) => msOf(endTime))
  // A step of work is sorted; a span belongs to the step in which it ends.
  expect(ends).toEqual(ends.toSorted((a, b) => a - b))
  expect(ends[0]).toBeGreaterThan(START_MS)
  expect(ends.at(-1)).toBeLessThanOrEqual(START_MS + 300_000)
  expect(told).toEqual(told.toSorted((a, b) => a - b))
  expect(
    new Set(requests[0].map(({ resource }) => resource.attributes['k8s.pod.name'])).size,
  ).toBeGreaterThan(10)
})

test('traces hang together over services, and failed spans say so', async () => {
  const { requests, traffic } = scene()
  await traffic.history(START_MS + 120_000, () => {})
  const spans = requests.flat()
  const byId = new Map(spans.map(span => [span.spanContext().spanId, span]))
  expect(byId.size).toBe(spans.length)
  let across = 0
  for (const span of spans) {
    const parent = byId.get(span.parentSpanContext?.spanId ?? '')
    if (parent === undefined) continue
    expect(span.spanContext().traceId).toBe(parent.spanContext().traceId)
    if (parent.resource.attributes['service.name'] !== span.resource.attributes['service.name']) across++
  }
  expect(across).toBeGreaterThan(1000)
  const failed = spans.filter(({ status }) => status.code === 2)
  expect(failed.length).toBeGreaterThan(0)
  for (const { attributes } of failed) expect(attributes['error.type']).toBe('500')
  await traffic.close()
})

test('what is skipped is not made up for', async () => {
  const { requests, traffic } = scene()
  traffic.work(START_MS + 10_000, [])
  traffic.skipTo(START_MS + 60_000)
  traffic.work(START_MS + 70_000, [])
  await traffic.flush()
  const starts = requests.flat().map(({ startTime }) => (msOf(startTime) - START_MS) / 1000)
  expect(starts.filter(s => s > 11 && s < 60)).toEqual([])
  expect(starts.filter(s => s >= 60).length).toBeGreaterThan(100)
  await traffic.close()
})

test('a machine that is too slow for the whole past passes over what it has no time for, and a quick one nothing', () => {
  const minutes = (n: number) => n * 60_000
  expect(passOver(3000, minutes(20), minutes(10))).toBe(0)
  // Half a minute of the past a second: of the 26 left there is time for eight.
  expect(passOver(4000, minutes(2), minutes(26))).toBe(minutes(18))
  expect(passOver(25_000, minutes(20), minutes(10))).toBe(minutes(10))
  expect(passOver(1000, minutes(0.1), minutes(29))).toBe(0)
  expect(passOver(4000, minutes(2), minutes(12))).toBe(0)
})
