//! The JSON oracle against hand-written texts, JSON.parse and protobufjs.

import { expect, test } from 'vitest'
import { mutateJson } from '../kit/mutate.ts'
import { oddRequest } from '../kit/odd.ts'
import { forSeeds, int, pick } from '../kit/random.ts'
import { concat, delimited, fromHex, type Signal } from './bytes.ts'
import { judgeJson, toJson } from './json.ts'
import { parseJson } from './json-text.ts'
import { type Meaning, type MessageMeaning, meaningOf } from './meaning.ts'
import { requestOf, root } from './schema.ts'

const SIGNALS: Signal[] = ['traces', 'metrics', 'logs']

const judge = (text: string) => judgeJson('traces', Buffer.from(text))

/** The verdict on a span whose only field is given as JSON text. */
function spanWith(field: string): ReturnType<typeof judgeJson> {
  return judge(`{"resourceSpans":[{"scopeSpans":[{"spans":[{${field}}]}]}]}`)
}

const accepted = (span: MessageMeaning) => ({
  kind: 'accept',
  meaning: { resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] },
})

test('what the book allows is accepted with its meaning', () => {
  const id = '0a'.repeat(16)
  const rows: [text: string, span: MessageMeaning][] = [
    [`"traceId":"${id}"`, { traceId: id }],
    [`"traceId":"${id.toUpperCase()}"`, { traceId: id }],
    ['"startTimeUnixNano":"1544712660000000001"', { startTimeUnixNano: 1544712660000000001n }],
    ['"startTimeUnixNano":1544712660000000001', { startTimeUnixNano: 1544712660000000001n }],
    ['"startTimeUnixNano":1.5e1', { startTimeUnixNano: 15n }],
    ['"startTimeUnixNano":"18446744073709551615"', { startTimeUnixNano: 2n ** 64n - 1n }],
    ['"kind":2', { kind: 2n }],
    ['"kind":0,"name":"","traceId":""', {}],
    ['"kind":null,"attributes":null,"status":null', {}],
    ['"trace_id":5,"dropped_attributes_count":1,"new":[{"a":null}]', {}],
    ['"status":{}', { status: {} }],
    ['"name":"\\u00e4\\ud83d\\ude80\\n"', { name: 'ä🚀\n' }],
    ['"attributes":[{"key":"a","value":{}}]', { attributes: [{ key: 'a', value: {} }] }],
    ['"attributes":[{"value":{"boolValue":false}}]', { attributes: [{ value: { boolValue: false } }] }],
    ['"attributes":[{"value":{"intValue":"-5"}}]', { attributes: [{ value: { intValue: -5n } }] }],
    [
      '"attributes":[{"value":{"doubleValue":"-Infinity"}}]',
      { attributes: [{ value: { doubleValue: -Infinity } }] },
    ],
    ['"attributes":[{"value":{"doubleValue":-0.0}}]', { attributes: [{ value: { doubleValue: -0 } }] }],
    ['"attributes":[{"value":{"doubleValue":"2"}}]', { attributes: [{ value: { doubleValue: 2 } }] }],
    ['"attributes":[{"value":{"bytesValue":"-_8="}}]', { attributes: [{ value: { bytesValue: 'fbff' } }] }],
    ['"attributes":[{"value":{"bytesValue":"+/8"}}]', { attributes: [{ value: { bytesValue: 'fbff' } }] }],
  ]
  for (const [text, span] of rows) expect(spanWith(text), text).toEqual(accepted(span))
  expect(judge('{}')).toEqual({ kind: 'accept', meaning: {} })
  expect(judge(' {"resourceSpans":[]}\n')).toEqual({ kind: 'accept', meaning: {} })
})

test('what the book forbids is refused', () => {
  const texts = [
    ...[
      '"kind":"SPAN_KIND_SERVER"',
      '"kind":1.5',
      '"kind":true',
      '"name":5',
      '"name":["a"]',
      '"traceId":"0x"',
    ],
    ...[
      '"traceId":"abc"',
      '"traceId":5',
      '"startTimeUnixNano":-1',
      '"startTimeUnixNano":"18446744073709551616"',
    ],
    ...['"startTimeUnixNano":"a"', '"startTimeUnixNano":""', '"startTimeUnixNano":0.5', '"flags":4294967296'],
    ...[
      '"status":[]',
      '"status":"ok"',
      '"attributes":{}',
      '"attributes":[5]',
      '"status":{"code":"STATUS_CODE_OK"}',
    ],
    ...['"attributes":[{"value":{"boolValue":1}}]', '"attributes":[{"value":{"boolValue":"true"}}]'],
    ...['"attributes":[{"value":{"bytesValue":"a"}}]', '"attributes":[{"value":{"bytesValue":"a*=="}}]'],
    ...[
      '"attributes":[{"value":{"doubleValue":"inf"}}]',
      '"attributes":[{"value":{"intValue":"9223372036854775808"}}]',
    ],
  ]
  for (const text of texts) expect(spanWith(text), text).toMatchObject({ kind: 'refuse' })
  for (const text of [
    '',
    '{',
    '[]',
    'null',
    '5',
    '{"a":1,}',
    "{'a':1}",
    '{} {}',
    '{"a":01}',
    '{"resourceSpans":{}}',
  ]) {
    expect(judge(text), text).toMatchObject({ kind: 'refuse' })
  }
})

test('what the book leaves open is either', () => {
  const texts = [
    ...['"kind":"2"', '"traceId":"abcd"', '"name":"\\ud800"', '"name":"a","name":"b"', '"attributes":[null]'],
    ...['"attributes":[{"value":{"intValue":1,"boolValue":true}}]', '"startTimeUnixNano":" 1"', '"kind":-0'],
    ...['"attributes":[{"value":{"doubleValue":1e999}}]', '"attributes":[{"value":{"bytesValue":"YR"}}]'],
  ]
  for (const text of texts) expect(spanWith(text), text).toMatchObject({ kind: 'either' })
  expect(judgeJson('traces', fromHex('efbbbf7b7d'))).toMatchObject({ kind: 'either' })
  expect(judgeJson('traces', fromHex('7b22ff223a317d'))).toMatchObject({ kind: 'either' })
  expect(judge(`{"x":${'['.repeat(5_000)}${']'.repeat(5_000)}}`)).toMatchObject({ kind: 'either' })
})

test('the reader of JSON text agrees with JSON.parse over mutated texts', () => {
  forSeeds(400, random => {
    const signal = pick(random, SIGNALS)
    const texts = [1, 2].map(size =>
      Buffer.from(toJson(signal, oddRequest(random, signal, size, { huge: false }))),
    )
    const text = new TextDecoder().decode(
      mutateJson(random, texts[0] ?? Buffer.of(), texts[1] ?? Buffer.of()),
    )
    const parsed = parseJson(text)
    if (parsed !== 'deep') expect(parsed !== null).toBe(isJson(text))
  })
})

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

const OPEN = ['an id of another length', 'deeper than 100 levels']

test('a request written as JSON and read again means the same', () => {
  forSeeds(300, random => {
    const signal = pick(random, SIGNALS)
    const bytes = oddRequest(random, signal, int(random, 5), { invalidText: false, huge: false })
    const verdict = judgeJson(signal, Buffer.from(toJson(signal, bytes)))
    if (verdict.kind === 'accept') expect(verdict.meaning).toEqual(meaningOf(signal, bytes))
    else expect(OPEN).toContain(verdict.why)
  })
})

test('two requests that mean the same compare equal, however they are written', () => {
  const wrap = (span: string) => delimited(1, delimited(2, delimited(2, fromHex(span))))
  const same = (one: string, other: string) => {
    expect(meaningOf('traces', wrap(one))).toEqual(meaningOf('traces', wrap(other)))
  }
  same('3002', '30 828000')
  same('3002', '3001 3002')
  same('', '3000 2a00')
  same('7a051201611802', '7a03120161 7a021802')
  // Of a oneof the last counts: text after a number.
  same('4a05 12 03 0a0161', '4a07 12 05 1805 0a0161')
  expect(meaningOf('traces', wrap('8a0100'))).toEqual({ resourceSpans: [{ scopeSpans: [{ spans: [{}] }] }] })
})

test('protobufjs reads the same meaning', () => {
  forSeeds(200, random => {
    const signal = pick(random, SIGNALS)
    const bytes = oddRequest(random, signal, int(random, 5), {
      invalidText: false,
      lengthBytes: 5,
      huge: false,
    })
    const type = root.lookupType(requestOf(signal).name)
    const object = type.toObject(type.decode(concat([bytes])), { longs: String })
    expect(comparable(meaningOf(signal, bytes))).toEqual(comparable(object as Meaning))
  })
})

/** Both trees in one form: numbers as text, bytes as hex, camel-case names, nothing empty or at its default. */
function comparable(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return value.map(comparable)
  if (typeof value !== 'object' || value === null) return String(value)
  const entries = Object.entries(value).map(([name, one]) => [bareName(name), comparable(one)] as const)
  return Object.fromEntries(entries.filter(([, one]) => !['', '0', 'false'].includes(String(one))))
}

function bareName(name: string): string {
  return name.replaceAll('_', '').toLowerCase()
}
