//! OTLP/JSON texts of one item, what they are read as, and the sentence with which they are refused.
import { assert, expect } from 'vitest'
import { Failure } from '../../src/base/errors.ts'
import type { Signal } from '../../src/flow/sink.ts'
import { check } from '../../src/wire/check.ts'
import { jsonToProto } from '../../src/wire/json.ts'
import { decodeRequest } from '../kit/messages.ts'

export const read = (signal: Signal, text: string | Uint8Array) => {
  const bytes = jsonToProto(signal, typeof text === 'string' ? Buffer.from(text) : text)
  expect(check(signal, bytes)).toBeGreaterThanOrEqual(0)
  return decodeRequest(signal, bytes)
}
export const inSpan = (members: string) => `{"resourceSpans":[{"scopeSpans":[{"spans":[{${members}}]}]}]}`
export const inRecord = (members: string) =>
  `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{${members}}]}]}]}`
export const inMetric = (members: string) =>
  `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m",${members}}]}]}]}`
export const inHistogram = (members: string) => inMetric(`"histogram":{"dataPoints":[{${members}}]}`)

export const span = (members: string) =>
  read('traces', inSpan(members)).resource_spans[0].scope_spans[0].spans[0]
export const record = (members: string) =>
  read('logs', inRecord(members)).resource_logs[0].scope_logs[0].log_records[0]
export const metric = (members: string) =>
  read('metrics', inMetric(members)).resource_metrics[0].scope_metrics[0].metrics[0]
export const histogram = (members: string) =>
  metric(`"histogram":{"dataPoints":[{${members}}]}`).histogram.data_points[0]
export const gaugePoint = (members: string) =>
  metric(`"gauge":{"dataPoints":[{${members}}]}`).gauge.data_points[0]
export const anyValue = (text: string) => record(`"body":${text}`).body

/** The sentence with which a text is refused. */
export function refusal(signal: Signal, text: string | Uint8Array): string {
  try {
    jsonToProto(signal, typeof text === 'string' ? Buffer.from(text) : text)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    expect(error.code).toBe('OTLIER_MALFORMED')
    expect(error.http).toBe(400)
    return error.message
  }
  assert.fail(`was accepted: ${String(text).slice(0, 200)}`)
}
export const spanRefusal = (members: string) => refusal('traces', inSpan(members))
