//! Plain requests say what they were asked to say, as protobufjs reads them.

import { expect, test } from 'vitest'
import { Double, logsRequest, metricsRequest, plainRequest, tracesRequest } from '../kit/odd.ts'
import { forSeeds, int } from '../kit/random.ts'
import type { Signal } from './bytes.ts'
import { framing } from './framing.ts'
import { requestOf, root } from './schema.ts'

function decoded(signal: Signal, bytes: Uint8Array): unknown {
  const type = root.lookupType(requestOf(signal).name)
  return type.toObject(type.decode(bytes), { longs: String, bytes: String })
}

test('a plain traces request says what it was asked to', () => {
  const span = {
    name: 'GET /',
    kind: 'server',
    traceId: '01'.repeat(16),
    spanId: '02'.repeat(8),
    parentSpanId: '03'.repeat(8),
    startNs: 1_790_000_000_000_000_001n,
    durationNs: 5,
    status: 'error',
    statusMessage: 'no',
    attributes: {
      text: 'a',
      whole: 5,
      real: 0.5,
      double: new Double(3),
      yes: true,
      list: ['a', null],
      map: { k: 1n },
    },
    events: [{ name: 'exception', timeNs: 7n }],
    links: [{ traceId: '04'.repeat(16), spanId: '05'.repeat(8) }],
  } as const
  const request = tracesRequest([
    {
      service: 'pay',
      namespace: 'shop',
      environment: 'prod',
      scope: { name: 's', version: '1' },
      spans: [span],
    },
  ])
  expect(framing('traces', request)).toEqual({ ok: true, items: 1 })
  const key = (name: string, value: object) => ({ key: name, value })
  const base64 = (hex: string) => Buffer.from(hex, 'hex').toString('base64')
  expect(decoded('traces', request)).toEqual({
    resource_spans: [
      {
        resource: {
          attributes: [
            key('service.name', { string_value: 'pay' }),
            key('service.namespace', { string_value: 'shop' }),
            key('deployment.environment.name', { string_value: 'prod' }),
          ],
        },
        scope_spans: [
          {
            scope: { name: 's', version: '1' },
            spans: [
              {
                trace_id: base64(span.traceId),
                span_id: base64(span.spanId),
                parent_span_id: base64(span.parentSpanId),
                name: 'GET /',
                kind: 2,
                start_time_unix_nano: '1790000000000000001',
                end_time_unix_nano: '1790000000000000006',
                attributes: [
                  key('text', { string_value: 'a' }),
                  key('whole', { int_value: '5' }),
                  key('real', { double_value: 0.5 }),
                  key('double', { double_value: 3 }),
                  key('yes', { bool_value: true }),
                  key('list', { array_value: { values: [{ string_value: 'a' }, {}] } }),
                  key('map', { kvlist_value: { values: [key('k', { int_value: '1' })] } }),
                ],
                events: [{ time_unix_nano: '7', name: 'exception' }],
                links: [{ trace_id: base64('04'.repeat(16)), span_id: base64('05'.repeat(8)) }],
                status: { message: 'no', code: 2 },
              },
            ],
          },
        ],
      },
    ],
  })
})

test('ids that are not given are the same each time and differ between spans', () => {
  const span = { name: 'a', startNs: 1n, durationNs: 1 }
  const request = () => tracesRequest([{ service: 'one', spans: [span, span] }])
  expect(request()).toEqual(request())
  const text = JSON.stringify(decoded('traces', request()))
  expect(new Set(text.match(/"span_id":"[^"]+"/g)).size).toBe(2)
})

test('plain logs and metrics requests say what they were asked to', () => {
  const logs = logsRequest([
    {
      service: 'pay',
      records: [{ timeNs: 5n, severity: 17, body: 'down', eventName: 'x', traceId: 'aa', spanId: 'bb' }],
    },
  ])
  expect(framing('logs', logs)).toEqual({ ok: true, items: 1 })
  expect(JSON.stringify(decoded('logs', logs))).toContain(
    '"log_records":[{"time_unix_nano":"5","severity_number":17,"body":{"string_value":"down"},' +
      '"trace_id":"qg==","span_id":"uw==","observed_time_unix_nano":"5","event_name":"x"}]',
  )
  const metrics = metricsRequest([
    {
      service: 'pay',
      metrics: [
        { name: 'g', unit: 's', kind: 'gauge', points: [{ timeNs: 1n, value: 0.5, attributes: { a: 'b' } }] },
        {
          name: 's',
          kind: 'sum',
          monotonic: true,
          temporality: 'delta',
          points: [{ timeNs: 1n, value: -5 }],
        },
        {
          name: 'h',
          kind: 'histogram',
          points: [{ timeNs: 1n, count: 3, sum: 4.5, bounds: [1, 2], counts: [1, 1, 1], min: 0.5, max: 3 }],
        },
        {
          name: 'e',
          kind: 'exponential',
          points: [
            { timeNs: 1n, count: 3, scale: -1, zeroCount: 1, positive: { offset: -2, counts: [1, 300] } },
          ],
        },
        { name: 'q', kind: 'summary', points: [{ timeNs: 1n, count: 2, sum: 3, quantiles: [[0.5, 1.5]] }] },
      ],
    },
  ])
  expect(framing('metrics', metrics)).toEqual({ ok: true, items: 5 })
  const text = JSON.stringify(decoded('metrics', metrics))
  expect(text).toContain(
    '"name":"g","unit":"s","gauge":{"data_points":[{"time_unix_nano":"1","as_double":0.5',
  )
  expect(text).toContain(
    '[{"time_unix_nano":"1","as_int":"-5"}],"aggregation_temporality":1,"is_monotonic":true',
  )
  expect(text).toContain('"count":"3","sum":4.5,"bucket_counts":["1","1","1"],"explicit_bounds":[1,2]')
  expect(text).toContain('"scale":-1,"zero_count":"1","positive":{"offset":-2,"bucket_counts":["1","300"]}')
  expect(text).toContain('"quantile_values":[{"quantile":0.5,"value":1.5}]')
})

test('a random plain request holds as many spans as asked for, of the named services and operations', () => {
  forSeeds(20, random => {
    const options = { services: ['a', 'b'], operations: ['x', 'y'], spans: int(random, 60), errors: 0.5 }
    const request = plainRequest(random, options)
    expect(framing('traces', request)).toEqual({ ok: true, items: options.spans })
    const names = JSON.stringify(decoded('traces', request)).match(/"name":"[^"]*"/g) ?? []
    expect(new Set(names).difference(new Set(['"name":"x"', '"name":"y"', '"name":"plain"'])).size).toBe(0)
  })
})
