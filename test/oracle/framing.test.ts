//! The framing oracle against hand-written bytes for every clause of the law, and against protobufjs.

import { expect, test } from 'vitest'
import { mutateProto } from '../kit/mutate.ts'
import { oddRequest } from '../kit/odd.ts'
import { forSeeds, int, pick } from '../kit/random.ts'
import { concat, delimited, fromHex, group, type Signal, varint, varintField } from './bytes.ts'
import { framing } from './framing.ts'
import { requestOf, root } from './schema.ts'

const SIGNALS: Signal[] = ['traces', 'metrics', 'logs']
const none = new Uint8Array(0)

const ok = (items = 0) => ({ ok: true, items })
const broken = (why: string, at: number) => ({ ok: false, why, at })
const traces = (hex: string) => framing('traces', fromHex(hex))

/** The content as a span, a metric or a log record of an otherwise empty request. */
function item(signal: Signal, content: Uint8Array): ReturnType<typeof framing> {
  return framing(signal, delimited(1, delimited(2, delimited(2, content))))
}

const span = (hex: string) => item('traces', fromHex(hex))
const metric = (hex: string) => item('metrics', fromHex(hex))

test('no bytes are a valid request of every signal', () => {
  for (const signal of SIGNALS) expect(framing(signal, none)).toEqual(ok())
})

test('a message is a sequence of fields that fills exactly its range', () => {
  expect(traces('0a00')).toEqual(ok())
  expect(traces('0a00 0a00')).toEqual(ok())
  expect(traces('0a02 1200 0a00')).toEqual(ok())
  // The inner field would need a byte that belongs to the next message.
  expect(traces('0a01 12 0a00')).toEqual(broken('the bytes end too early', 3))
  expect(traces('0a')).toEqual(broken('the bytes end too early', 1))
})

test('a tag has at most five bytes and fits 32 bits; its field number is at least 1', () => {
  expect(traces('8a80808000 00')).toEqual(ok())
  expect(traces('faffffff0f 00')).toEqual(ok())
  expect(traces('faffffff1f 00')).toEqual(broken('a tag is too long', 0))
  expect(traces('8a8080808000 00')).toEqual(broken('a tag is too long', 0))
  expect(traces('8a808080')).toEqual(broken('the bytes end too early', 4))
  for (const wire of [0, 1, 2, 3, 4, 5]) expect(traces(`0${wire} 0000`)).toEqual(broken('field number 0', 0))
  expect(traces('8000 00')).toEqual(broken('field number 0', 0))
})

test('there are six wire types', () => {
  // Field 17 is unknown to the request.
  expect(traces('8801 05')).toEqual(ok())
  expect(traces('8901 0001020304050607')).toEqual(ok())
  expect(traces('8a01 03 ffffff')).toEqual(ok())
  expect(traces('8b01 8c01')).toEqual(ok())
  expect(traces('8d01 00010203')).toEqual(ok())
  expect(traces('8e01 00')).toEqual(broken('no such wire type', 0))
  expect(traces('8f01 00')).toEqual(broken('no such wire type', 0))
})

test('a varint value has at most ten bytes, the tenth 0 or 1', () => {
  for (const start of ['8801', '50']) {
    const at = (start === '50' ? 6 : 0) + start.length / 2
    const read = start === '50' ? span : traces
    const items = start === '50' ? 1 : 0
    expect(read(`${start} ffffffffffffffffff01`)).toEqual(ok(items))
    expect(read(`${start} 80808080808080808000`)).toEqual(ok(items))
    expect(read(`${start} 80808080808080808002`)).toEqual(broken('a varint is too long', at))
    expect(read(`${start} ffffffffffffffffff7f`)).toEqual(broken('a varint is too long', at))
    expect(read(`${start} 8080808080808080808000`)).toEqual(broken('a varint is too long', at))
    expect(read(`${start} 8080`)).toEqual(broken('the bytes end too early', at + 2))
  }
})

test('a length is a varint of the same rule and stays inside its parent', () => {
  expect(traces('0a80808080808080808000')).toEqual(ok())
  expect(traces('0a83808080808080808000 8a0100')).toEqual(ok())
  expect(traces('0a80808080808080808001')).toEqual(broken('a length reaches beyond its parent', 1))
  expect(traces('0a80808080808080808002')).toEqual(broken('a varint is too long', 1))
  expect(traces('0a8080808080808080808000')).toEqual(broken('a varint is too long', 1))
  expect(traces('0a01')).toEqual(broken('a length reaches beyond its parent', 1))
  expect(traces('8a01 02 00')).toEqual(broken('a length reaches beyond its parent', 2))
  // 2^32 and 2^64 - 1: nothing that wraps around to 0 or -1 may pass.
  expect(traces('0a8080808010')).toEqual(broken('a length reaches beyond its parent', 1))
  expect(traces('0affffffffffffffffff01')).toEqual(broken('a length reaches beyond its parent', 1))
  // It fits the request, but not the envelope that holds it.
  expect(traces('0a02 1202 0a00')).toEqual(broken('a length reaches beyond its parent', 3))
})

test('fixed numbers need all their bytes inside the parent', () => {
  expect(span('39 0001020304050607')).toEqual(ok(1))
  expect(span('39 00010203040506')).toEqual(broken('the bytes end too early', 7))
  expect(span('8501 00010203')).toEqual(ok(1))
  expect(span('8501 000102')).toEqual(broken('the bytes end too early', 8))
  expect(traces('8901 00010203040506')).toEqual(broken('the bytes end too early', 2))
  expect(traces('8d01 000102')).toEqual(broken('the bytes end too early', 2))
  expect(traces('0a05 8901 000000 0a00 0a00 0a00')).toEqual(broken('the bytes end too early', 4))
})

test('a group of an unknown number holds fields up to its own end', () => {
  expect(traces('8b01 8801 05 8c01')).toEqual(ok())
  // Inside a group nothing is known: field 1 may be a number there, and bytes are opaque.
  expect(traces('8b01 0805 0a01ff 8c01')).toEqual(ok())
  expect(traces('8b01 0b 13 14 0c 8c01')).toEqual(ok())
  expect(traces('8b01')).toEqual(broken('a group does not end', 2))
  expect(traces('8b01 8801 05')).toEqual(broken('a group does not end', 5))
  expect(traces('8b01 9401')).toEqual(broken('a group ends with another number', 2))
  expect(traces('8b01 0b 8c01 0c')).toEqual(broken('a group ends with another number', 3))
  expect(traces('8c01')).toEqual(broken('a group ends that did not start', 0))
  expect(traces('8b01 8c01 8c01')).toEqual(broken('a group ends that did not start', 4))
  // Opaque bytes that hold the end tag, or its first half, take it away from the group.
  expect(traces('8b01 0a02 8c01')).toEqual(broken('a group does not end', 6))
  expect(traces('8b01 0a01 8c01')).toEqual(broken('field number 0', 5))
  expect(traces('8b01 0a03 8c01')).toEqual(broken('a length reaches beyond its parent', 3))
  expect(traces('8b01 00 8c01')).toEqual(broken('field number 0', 2))
  expect(traces('8b01 0e 8c01')).toEqual(broken('no such wire type', 2))
  // The group starts in the envelope and its end tag stands behind it.
  expect(traces('0a02 8b01 8c01')).toEqual(broken('a group does not end', 4))
})

test('a group of a known number is a wrong wire type', () => {
  expect(traces('0b 0c')).toEqual(broken('wrong wire type', 0))
  expect(traces('0c')).toEqual(broken('wrong wire type', 0))
  expect(span('2b 2c')).toEqual(broken('wrong wire type', 6))
})

test('a known field has the wire type of its declared type', () => {
  const wires: Record<number, string> = {
    0: '05',
    1: '0000000000000000',
    2: '00',
    3: '',
    4: '',
    5: '00000000',
  }
  const rows = [
    // Span: bytes, string, enum, fixed64, message, uint32, fixed32.
    { signal: 'traces', number: 1, wire: 2 },
    { signal: 'traces', number: 5, wire: 2 },
    { signal: 'traces', number: 6, wire: 0 },
    { signal: 'traces', number: 7, wire: 1 },
    { signal: 'traces', number: 9, wire: 2 },
    { signal: 'traces', number: 10, wire: 0 },
    { signal: 'traces', number: 15, wire: 2 },
    { signal: 'traces', number: 16, wire: 5 },
    // LogRecord: fixed64, enum, message, fixed32.
    { signal: 'logs', number: 1, wire: 1 },
    { signal: 'logs', number: 2, wire: 0 },
    { signal: 'logs', number: 5, wire: 2 },
    { signal: 'logs', number: 8, wire: 5 },
    // Metric: string, message.
    { signal: 'metrics', number: 1, wire: 2 },
    { signal: 'metrics', number: 5, wire: 2 },
  ] as const
  for (const { signal, number, wire } of rows) {
    for (const [other, content] of Object.entries(wires)) {
      const bytes = concat([varint(number * 8 + Number(other)), fromHex(content)])
      const items = signal === 'metrics' ? 0 : 1
      const wanted = Number(other) === wire ? ok(items) : broken('wrong wire type', 6)
      expect(item(signal, bytes), `${signal} ${number} as ${other}`).toEqual(wanted)
    }
  }
})

test('bool, int64, sint32, double and sfixed64 have their wire types too', () => {
  const value = (hex: string) => item('logs', delimited(5, fromHex(hex)))
  expect(value('1001')).toEqual(ok(1))
  expect(value('18ffffffffffffffffff01')).toEqual(ok(1))
  expect(value('21 0000000000000000')).toEqual(ok(1))
  expect(value('11 0000000000000000')).toEqual(broken('wrong wire type', 8))
  expect(value('25 00000000')).toEqual(broken('wrong wire type', 8))
  // Exponential data point: scale. Number data point: as_int.
  expect(metric('5204 0a02 3001')).toEqual(ok(1))
  expect(metric('5207 0a05 3500000000')).toEqual(broken('wrong wire type', 10))
  expect(metric('2a0b 0a09 310000000000000000')).toEqual(ok(1))
  expect(metric('2a04 0a02 3001')).toEqual(broken('wrong wire type', 10))
})

test('a number that is not repeated may not come packed', () => {
  expect(span('3a08 0000000000000000')).toEqual(broken('wrong wire type', 6))
  expect(span('5201 05')).toEqual(broken('wrong wire type', 6))
  // The sum of a histogram is one double.
  expect(metric('4a0c 0a0a 2a08 0000000000000000')).toEqual(broken('wrong wire type', 10))
})

test('a repeated number may come packed, unpacked, or both', () => {
  const eight = '0000000000000000'
  // Histogram: bucket_counts (fixed64), explicit_bounds (double).
  for (const tag of ['32', '3a']) {
    expect(metric(`4a04 0a02 ${tag}00`)).toEqual(ok(1))
    expect(metric(`4a0c 0a0a ${tag}08 ${eight}`)).toEqual(ok(1))
    expect(metric(`4a14 0a12 ${tag}10 ${eight}${eight}`)).toEqual(ok(1))
    expect(metric(`4a0b 0a09 ${tag}07 00000000000000`)).toEqual(
      broken('a packed run ends inside a number', 12),
    )
    expect(metric(`4a0d 0a0b ${tag}09 ${eight}00`)).toEqual(broken('a packed run ends inside a number', 12))
  }
  expect(metric(`4a15 0a13 31${eight} 3208${eight}`)).toEqual(ok(1))
  expect(metric('4a04 0a02 3005')).toEqual(broken('wrong wire type', 10))
  // Exponential buckets: bucket_counts (uint64), as varints.
  const positive = (content: string) => {
    const buckets = delimited(8, fromHex(content))
    return item('metrics', delimited(10, delimited(1, buckets)))
  }
  expect(positive('1200')).toEqual(ok(1))
  expect(positive('1203 058001')).toEqual(ok(1))
  expect(positive('1005 1001 120105')).toEqual(ok(1))
  expect(positive('1202 0580')).toEqual(broken('the bytes end too early', 16))
  expect(positive('120a ffffffffffffffffff01')).toEqual(ok(1))
  expect(positive('120a ffffffffffffffffff02')).toEqual(broken('a varint is too long', 14))
  expect(positive('1109 0000000000000000')).toEqual(broken('wrong wire type', 12))
})

test('unknown bytes are opaque, known messages are checked by their own type', () => {
  expect(traces('8a01 02 ffff')).toEqual(ok())
  expect(traces('0a02 ffff')).toEqual(broken('the bytes end too early', 4))
  // Reserved numbers are unknown: 1000 in ResourceSpans, 1 in Status, 4 in Metric and LogRecord.
  expect(traces('0a04 c23e 01 ff')).toEqual(ok())
  expect(span('7a03 0a01ff')).toEqual(ok(1))
  expect(span('7a02 0805')).toEqual(ok(1))
  expect(metric('2201ff')).toEqual(ok())
  expect(item('logs', fromHex('2005'))).toEqual(ok(1))
})

test('strings need not be UTF-8, and a singular message may come twice', () => {
  expect(span('2a02 fffe')).toEqual(ok(1))
  expect(traces('0a04 0a00 0a00')).toEqual(ok())
  expect(span('7a00 7a021801')).toEqual(ok(1))
})

test('items are counted wherever they stand', () => {
  const spans = concat([delimited(2, none), delimited(2, none)])
  expect(framing('traces', delimited(1, delimited(2, concat([spans, spans]))))).toEqual(ok(4))
  expect(framing('logs', concat([spans, spans].map(two => delimited(1, delimited(2, two)))))).toEqual(ok(4))
  // The five kinds of data, one point each; then two kinds in one metric, and one kind twice.
  for (const tag of ['2a', '3a', '4a', '52', '5a']) expect(metric(`${tag}02 0a00`)).toEqual(ok(1))
  expect(metric('2a02 0a00 3a04 0a00 0a00')).toEqual(ok(3))
  expect(metric('2a02 0a00 2a02 0a00')).toEqual(ok(2))
  // Metrics without points, events, links, exemplars and buckets are no items.
  expect(metric('2a00')).toEqual(ok(0))
  expect(span('5a00 6a00')).toEqual(ok(1))
  expect(metric('2a04 0a02 2a00')).toEqual(ok(1))
})

/** A span attribute whose value holds `pairs` arrays: AnyValue, ArrayValue, AnyValue and so on. */
function nested(pairs: number, core: Uint8Array): Uint8Array {
  let value = core
  for (let n = 0; n < pairs; n++) value = delimited(5, delimited(1, value))
  return delimited(9, delimited(2, value))
}

test('a hundred levels below the request are read, a hundred and one are not', () => {
  // Span is level 3, its attribute 4, the value 5; each array adds two, so 47 of them reach 99.
  expect(item('traces', nested(47, none))).toEqual(ok(1))
  expect(item('traces', nested(47, delimited(5, none)))).toEqual(ok(1))
  expect(item('traces', nested(48, none))).toMatchObject({ ok: false, why: 'too deep' })
  expect(item('traces', nested(47, group(99, none)))).toEqual(ok(1))
  expect(item('traces', nested(47, delimited(5, group(99, none))))).toMatchObject({ why: 'too deep' })
  expect(item('traces', nested(47, group(99, group(99, none))))).toMatchObject({ why: 'too deep' })
  // Bytes and unknown fields are no level, however they look.
  expect(item('traces', nested(47, delimited(5, delimited(17, delimited(1, none)))))).toEqual(ok(1))
})

test('groups count as levels by themselves', () => {
  const groups = (depth: number) => {
    let content: Uint8Array = varintField(1, 1)
    for (let n = 0; n < depth; n++) content = group(100, content)
    return framing('logs', content)
  }
  expect(groups(100)).toEqual(ok())
  expect(groups(101)).toMatchObject({ ok: false, why: 'too deep' })
})

test('protobufjs reads every odd request that the law allows, and counts the same items', () => {
  forSeeds(200, random => {
    const signal = pick(random, SIGNALS)
    const size = int(random, 12)
    // It refuses invalid UTF-8 and lengths of more than five bytes, which the law allows.
    const bytes = oddRequest(random, signal, size, { invalidText: false, lengthBytes: 5 })
    expect(framing(signal, bytes)).toEqual(ok(size))
    const counted = count(signal, bytes)
    // Of a oneof given twice protobufjs keeps the last: points of the first are lost to it.
    if (signal === 'metrics') expect(counted).toBeLessThanOrEqual(size)
    else expect(counted).toBe(size)
    const tame = oddRequest(random, signal, size, { wildness: 0 })
    expect(framing(signal, tame)).toEqual(ok(size))
    expect(count(signal, tame)).toBe(size)
  })
})

// What protobufjs says to bytes that the law allows, and which broken bytes it takes.
const STRICTER = ['The encoded data was not valid for encoding utf-8', 'invalid length encoding']
const LOOSER = ['wrong wire type', 'a varint is too long', 'too deep', 'a packed run ends inside a number']

test('law and protobufjs disagree over mutated requests only where they are known to', () => {
  forSeeds(600, random => {
    const signal = pick(random, SIGNALS)
    const options = { invalidText: false, lengthBytes: 5, huge: false }
    const [one, other] = [2, 2].map(size => oddRequest(random, signal, size, options))
    const bytes = mutateProto(random, signal, one ?? none, other ?? none)
    const found = framing(signal, bytes)
    const refusal = refusalOf(signal, bytes)
    if (found.ok && refusal !== '') expect(STRICTER).toContain(refusal)
    if (!found.ok && refusal === '') expect(LOOSER).toContain(found.why)
  })
})

function refusalOf(signal: Signal, bytes: Uint8Array): string {
  try {
    root.lookupType(requestOf(signal).name).decode(bytes)
    return ''
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

type Tree = { [key: string]: Tree[] | undefined }

const STEPS: Record<Signal, string[][]> = {
  traces: [['resource_spans'], ['scope_spans'], ['spans']],
  logs: [['resource_logs'], ['scope_logs'], ['log_records']],
  metrics: [
    ['resource_metrics'],
    ['scope_metrics'],
    ['metrics'],
    ['gauge', 'sum', 'histogram', 'exponential_histogram', 'summary'],
    ['data_points'],
  ],
}

function count(signal: Signal, bytes: Uint8Array): number {
  let level = [root.lookupType(requestOf(signal).name).decode(bytes) as unknown as Tree]
  for (const names of STEPS[signal]) {
    level = level.flatMap(message => names.flatMap(name => message[name] ?? []))
  }
  return level.length
}
