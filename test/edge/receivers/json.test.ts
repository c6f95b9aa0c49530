//! The rows of A4, OTLP/JSON on the server: what a sender writes in JSON reaches the sink as the same protobuf message.
import { expect, test } from 'vitest'
import type { Signal } from '../../../src/flow/sink.ts'
import { httpCall, JSON_TYPE, statusOf } from '../../kit/client.ts'
import { decodeRequest } from '../../kit/messages.ts'
import { startReceiver } from '../../kit/receivers.ts'
import { checkingSink, recordingSink } from '../../kit/sinks.ts'

async function serve() {
  const sink = recordingSink()
  const { port } = await startReceiver('http', checkingSink(sink))
  const post = (signal: Signal, body: string) =>
    httpCall({ port, path: `/v1/${signal}`, headers: JSON_TYPE, body })
  return {
    post,
    batches: sink.batches,
    /** The message that the sink got, decoded by another implementation. */
    async taken(signal: Signal, body: string) {
      const reply = await post(signal, body)
      expect([reply.status, reply.body.toString()]).toEqual([200, '{}'])
      return decodeRequest(signal, sink.batches.pop()?.bytes ?? new Uint8Array(0))
    },
    /** One span, and what became of it. */
    async span(fields: string) {
      const message = await this.taken(
        'traces',
        `{"resourceSpans":[{"scopeSpans":[{"spans":[{${fields}}]}]}]}`,
      )
      return message.resource_spans[0].scope_spans[0].spans[0]
    },
    /** The status of a span that must not be taken. */
    async refused(fields: string) {
      const reply = await post('traces', `{"resourceSpans":[{"scopeSpans":[{"spans":[{${fields}}]}]}]}`)
      expect(sink.batches).toEqual([])
      const { code, violations } = statusOf(reply)
      return { status: reply.status, code, violations: violations?.length }
    },
  }
}

const TRACE = '5b8efff798038103d269b633813fc60c'
const SPAN = 'eee19b7ec3c1b174'
const BAD_REQUEST = { status: 400, code: 3, violations: 1 }

test('J1 ids are hex in any case, on spans, links, log records and exemplars', async () => {
  const client = await serve()
  for (const write of [
    (id: string) => id,
    (id: string) => id.toUpperCase(),
    (id: string) => id.replace(/[a-f]/g, (letter, at) => (at % 2 === 0 ? letter.toUpperCase() : letter)),
  ]) {
    const ids = `"traceId":"${write(TRACE)}","spanId":"${write(SPAN)}"`
    const bytes = { trace_id: TRACE, span_id: SPAN }
    const span = await client.span(`${ids},"parentSpanId":"${write(SPAN)}","links":[{${ids}}]`)
    expect(span).toMatchObject({ ...bytes, parent_span_id: SPAN, links: [bytes] })
    const logs = await client.taken('logs', `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{${ids}}]}]}]}`)
    expect(logs.resource_logs[0].scope_logs[0].log_records[0]).toMatchObject(bytes)
    const point = `{"asInt":"3","exemplars":[{${ids},"asDouble":1.5}]}`
    const gauge = `{"name":"a","gauge":{"dataPoints":[${point}]}}`
    const metrics = await client.taken(
      'metrics',
      `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[${gauge}]}]}]}`,
    )
    const [seen] = metrics.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points
    expect(seen.exemplars[0]).toMatchObject(bytes)
  }
})

test('J1 an id in base64 is refused', async () => {
  const client = await serve()
  const base64 = Buffer.from(TRACE, 'hex').toString('base64')
  expect(await client.refused(`"traceId":"${base64}"`)).toEqual(BAD_REQUEST)
})

test('J2 enums are integers, and names of enums are refused', async () => {
  const client = await serve()
  expect(await client.span('"kind":3,"status":{"code":2}')).toMatchObject({ kind: 3, status: { code: 2 } })
  // A number that no enum of today has is one that a later OTLP may have.
  expect(await client.span('"kind":77')).toMatchObject({ kind: 77 })
  expect(await client.refused('"kind":"SPAN_KIND_CLIENT"')).toEqual(BAD_REQUEST)
  expect(await client.refused('"status":{"code":"STATUS_CODE_ERROR"}')).toEqual(BAD_REQUEST)
})

test('J3 unknown fields are passed over at every level, whatever they hold', async () => {
  const client = await serve()
  const extra = '"later":{"a":[1,{"b":"]}"},null],"c":1e400},"more":"\\u0022"'
  const value = `{${extra},"stringValue":"v"}`
  const span = `{${extra},"name":"n","attributes":[{${extra},"key":"k","value":${value}}]}`
  const scope = `{${extra},"scope":{${extra},"name":"s"},"spans":[${span}]}`
  const message = await client.taken(
    'traces',
    `{${extra},"resourceSpans":[{${extra},"resource":{${extra}},"scopeSpans":[${scope}]}]}`,
  )
  expect(message).toEqual({
    resource_spans: [
      {
        resource: {},
        scope_spans: [
          {
            scope: { name: 's' },
            spans: [{ name: 'n', attributes: [{ key: 'k', value: { string_value: 'v' } }] }],
          },
        ],
      },
    ],
  })
})

test('J4 snake_case is no other way to write a field: it is unknown', async () => {
  const client = await serve()
  const span = await client.span(
    '"dropped_attributes_count":5,"droppedEventsCount":6,"trace_id":"zz","name":"n"',
  )
  expect(span).toEqual({ dropped_events_count: 6, name: 'n' })
})

test('J5 64-bit integers are exact, as strings and as bare numbers', async () => {
  const client = await serve()
  for (const [start, value] of [
    ['1544712660000000001', '-9223372036854775808'],
    ['18446744073709551615', '9223372036854775807'],
    ['9007199254740993', '9007199254740993'],
    ['0', '0'],
  ]) {
    for (const quote of ['', '"']) {
      const int = `{"key":"k","value":{"intValue":${quote}${value}${quote}}}`
      const span = await client.span(`"startTimeUnixNano":${quote}${start}${quote},"attributes":[${int}]`)
      expect(span.start_time_unix_nano ?? '0').toBe(start)
      expect(span.attributes[0].value.int_value).toBe(value)
    }
  }
})

test('J5 an integer that fits no 64 bits is refused', async () => {
  const client = await serve()
  expect(await client.refused('"startTimeUnixNano":"18446744073709551616"')).toEqual(BAD_REQUEST)
  expect(await client.refused('"startTimeUnixNano":-1')).toEqual(BAD_REQUEST)
})

test('J6 bytes are base64, and doubles may be NaN and the infinities', async () => {
  const client = await serve()
  const value = async (written: string) =>
    (await client.span(`"attributes":[{"key":"k","value":{${written}}}]`)).attributes[0].value
  expect(await value('"bytesValue":"3q2+7w=="')).toEqual({ bytes_value: 'deadbeef' })
  expect(await value('"doubleValue":"NaN"')).toEqual({ double_value: Number.NaN })
  expect(await value('"doubleValue":"Infinity"')).toEqual({ double_value: Number.POSITIVE_INFINITY })
  expect(await value('"doubleValue":"-Infinity"')).toEqual({ double_value: Number.NEGATIVE_INFINITY })
  expect(await value('"doubleValue":-0.1')).toEqual({ double_value: -0.1 })
})

test('J7 the answer to JSON is JSON, taken or refused', async () => {
  const client = await serve()
  for (const [body, status] of [
    ['{}', 200],
    ['{', 400],
  ] as const) {
    const reply = await client.post('logs', body)
    expect([reply.status, reply.headers['content-type']]).toEqual([status, 'application/json'])
    expect(() => JSON.parse(reply.body.toString())).not.toThrow()
  }
})

test('J8 200,000 nested brackets are refused, in known and in unknown fields, and the next request is served', async () => {
  const client = await serve()
  const deep = '['.repeat(200_000)
  const values = '{"arrayValue":{"values":['.repeat(60_000)
  for (const body of [deep, `{"resourceSpans":${deep}`, `{"later":${deep}${']'.repeat(200_000)}`]) {
    const reply = await client.post('traces', body)
    expect([reply.status, statusOf(reply).code]).toEqual([400, 3])
  }
  expect(await client.refused(`"attributes":[{"key":"k","value":${values}`)).toEqual(BAD_REQUEST)
  expect(await client.span('"name":"next"')).toEqual({ name: 'next' })
})

test('J8 an array of a million elements is taken or refused, and the next request is served', async () => {
  const client = await serve()
  const message = await client.taken(
    'traces',
    `{"resourceSpans":[${new Array(1_000_000).fill('{}').join()}]}`,
  )
  expect(message.resource_spans.length).toBe(1_000_000)
  expect(await client.refused(`"attributes":[${new Array(500_000).fill('0').join()}]`)).toEqual(BAD_REQUEST)
  expect(await client.span('"name":"next"')).toEqual({ name: 'next' })
})
