//! What event records become on the wire, read back with the official schema.
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import type { EventRecord } from '../../src/bus/bus.ts'
import { encodeEvents } from '../../src/edge/encode.ts'
import { attributesOf, decodeRequest } from '../kit/messages.ts'
import { framing } from '../oracle/framing.ts'

const RECORD: EventRecord = {
  name: 'otlier.span.outlier',
  timeNs: 1_700_000_000_123_456_789n,
  observedMs: 1_700_000_010_000.25,
  severity: 13,
  body: '1.84 s, normally 40 to 95 ms',
  traceId: '0123456789abcdef0123456789abcdef',
  spanId: 'fedcba9876543210',
  resource: { 'service.name': 'payment', 'process.pid': 7n },
  attributes: {
    'otlier.anomaly.detected': true,
    'otlier.anomaly.kinds': ['latency', 'error'],
    'otlier.anomaly.score': 3,
    'otlier.anomaly.baseline.samples': 18_342n,
    'otlier.suspect.scores': [0.5, 2],
  },
}

const decode = (records: readonly EventRecord[]) =>
  decodeRequest('logs', encodeEvents(records, '1.2.3').bytes)

test('a record keeps its name, its exact times, its severity, its ids and its sentence', () => {
  const [{ resource, scope_logs }] = decode([RECORD]).resource_logs
  expect(attributesOf(resource.attributes)).toEqual({ 'service.name': 'payment', 'process.pid': 7n })
  expect(scope_logs[0].scope).toEqual({ name: 'otlier', version: '1.2.3' })
  expect(scope_logs[0].log_records).toHaveLength(1)
  const { attributes, ...record } = scope_logs[0].log_records[0]
  expect(record).toEqual({
    time_unix_nano: '1700000000123456789',
    observed_time_unix_nano: '1700000010000250000',
    severity_number: 13,
    severity_text: 'WARN',
    body: { string_value: '1.84 s, normally 40 to 95 ms' },
    trace_id: RECORD.traceId,
    span_id: RECORD.spanId,
    event_name: 'otlier.span.outlier',
  })
  expect(attributesOf(attributes)).toEqual(RECORD.attributes)
})

test('a bigint is an int and a number a double, whole ones too, at the ends of their ranges', () => {
  const extremes = {
    most: 2n ** 63n - 1n,
    least: -(2n ** 63n),
    minus: -1n,
    zero: 0n,
    whole: 4,
    tiny: 5e-324,
    infinite: Number.POSITIVE_INFINITY,
    empty: '',
    no: false,
  }
  const [group] = decode([{ ...RECORD, attributes: extremes }]).resource_logs
  const list = group.scope_logs[0].log_records[0].attributes
  expect(attributesOf(list)).toEqual(extremes)
  const kinds = Object.fromEntries(
    list.map((pair: { key: string; value: object }) => [pair.key, Object.keys(pair.value)[0]]),
  )
  expect(kinds).toEqual({
    most: 'int_value',
    least: 'int_value',
    minus: 'int_value',
    zero: 'int_value',
    whole: 'double_value',
    tiny: 'double_value',
    infinite: 'double_value',
    empty: 'string_value',
    no: 'bool_value',
  })
})

test('records of one resource stand together in their order, resources in the order of their first record', () => {
  const of = (service: string, body: string) => ({ ...RECORD, resource: { 'service.name': service }, body })
  const request = decode([of('b', '1'), of('a', '2'), of('b', '3')])
  const seen = request.resource_logs.map(
    (group: {
      resource: { attributes: [] }
      scope_logs: [{ log_records: { body: { string_value: string } }[] }]
    }) => [
      attributesOf(group.resource.attributes)['service.name'],
      ...group.scope_logs[0].log_records.map(record => record.body.string_value),
    ],
  )
  expect(seen).toEqual([
    ['b', '1', '3'],
    ['a', '2'],
  ])
})

test('an int and a double of the same value are different resources', () => {
  const request = decode([
    { ...RECORD, resource: { 'process.pid': 7n } },
    { ...RECORD, resource: { 'process.pid': 7 } },
    { ...RECORD, resource: { 'process.pid': '7n' } },
  ])
  expect(request.resource_logs).toHaveLength(3)
})

test('a record without a trace has no id fields at all', () => {
  const [group] = decode([{ ...RECORD, traceId: '', spanId: '' }]).resource_logs
  const record = group.scope_logs[0].log_records[0]
  expect(record.trace_id).toBeUndefined()
  expect(record.span_id).toBeUndefined()
})

test('half a surrogate pair becomes the replacement character, for strict readers refuse the whole request', () => {
  const odd = {
    ...RECORD,
    body: 'cut \ud83d',
    resource: { 'service.name': '\udc00' },
    attributes: { 'a\ud800': ['\ud800'] },
  }
  const { bytes } = encodeEvents([odd], '1')
  const [group] = decodeRequest('logs', bytes).resource_logs
  const record = group.scope_logs[0].log_records[0]
  expect(record.body.string_value).toBe('cut \ufffd')
  expect(attributesOf(group.resource.attributes)).toEqual({ 'service.name': '\ufffd' })
  expect(attributesOf(record.attributes)).toEqual({ 'a\ufffd': ['\ufffd'] })
})

test('the framing is whole by the independent checker, which counts the same records', () => {
  expect(framing('logs', encodeEvents([RECORD, { ...RECORD, resource: {} }], '1').bytes)).toEqual({
    ok: true,
    items: 2,
  })
})

test('the batch counts its records, carries no headers, and waits from the moment that it is told', () => {
  expect(encodeEvents([RECORD, RECORD], '1', 42)).toMatchObject({
    signal: 'logs',
    items: 2,
    headers: {},
    receivedMs: 42,
  })
  expect(encodeEvents([RECORD], '1').receivedMs).toBe(RECORD.observedMs)
  const none = encodeEvents([], '1')
  expect([none.items, none.bytes.length]).toEqual([0, 0])
})

test('CVE-2026-59877 (GHSA-j3f2-48v5-ccww) text of a .proto file whose options end too early is given up, and what runs reads none', () => {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const whole =
    'message M { option (a).b = { c: [ { d: "e" } ] }; int32 f = 1 [ (g) = { h: 2 } ]; } option (i) = { j { k: 3 } };'
  // A parser that turns in circles would never come back: it has a process of its own.
  const script = `
    const { parse } = require('protobufjs')
    for (let length = 0; length < ${whole.length}; length++) {
      try { parse('syntax = "proto3"; ' + ${JSON.stringify(whole)}.slice(0, length)) } catch {}
    }
    console.log('parsed')`
  const { stdout } = spawnSync(process.execPath, ['-e', script], {
    cwd: root,
    encoding: 'utf8',
    timeout: 20_000,
  })
  expect(stdout).toBe('parsed\n')
  const named = (readdirSync(`${root}src`, { recursive: true }) as string[])
    .filter(path => path.endsWith('.ts'))
    .flatMap(path => readFileSync(`${root}src/${path}`, 'utf8').match(/'protobufjs[^']*'/g) ?? [])
  expect(new Set(named)).toEqual(new Set(["'protobufjs/light.js'"]))
})
