//! Small requests in which every clause of the framing law has its place, and all requests one byte away from them.

import {
  concat,
  delimited,
  doubleBytes,
  fromHex,
  group,
  type Signal,
  varint,
  varintField,
} from '../oracle/bytes.ts'

type Small = { signal: Signal; bytes: Uint8Array }

const none = new Uint8Array(0)

function inItem(signal: Signal, ...fields: Uint8Array[]): Small {
  return { signal, bytes: delimited(1, delimited(2, delimited(2, concat(fields)))) }
}

function inPoint(data: number, ...fields: Uint8Array[]): Small {
  return inItem('metrics', delimited(data, concat([delimited(1, concat(fields)), varintField(2, 1)])))
}

/** An AnyValue with so many arrays in it, two levels each, and the content of the innermost value. */
function nested(arrays: number, core: Uint8Array = none): Uint8Array {
  let value = core
  for (let n = 0; n < arrays; n++) value = delimited(5, delimited(1, value))
  return value
}

function groups(depth: number): Uint8Array {
  let content: Uint8Array = none
  for (let n = 0; n < depth; n++) content = group(17, content)
  return content
}

const stretched = { tag: 5, length: 10, value: 10 }
const buckets = concat([delimited(2, concat([varint(1), varint(300), varint(-1)])), varintField(1, 3)])

export const SMALL: readonly Small[] = [
  { signal: 'traces', bytes: none },
  { signal: 'logs', bytes: delimited(1, none, stretched) },
  // Every wire type, known and unknown, each with something after it that a wrong length would swallow.
  inItem('traces', delimited(5, 'name'), varintField(6, 2), fromHex('39 0102030405060708 8501 01020304')),
  inItem('traces', fromHex('8801 05 8901 0102030405060708 8a01 01ff 8b01 0805 8c01 8d01 01020304')),
  inItem(
    'traces',
    varintField(10, 1, stretched),
    delimited(2, fromHex('0102'), stretched),
    varintField(12, -1),
  ),
  inItem(
    'traces',
    group(18, concat([group(17, fromHex('0a01ff')), delimited(7, 'x')])),
    delimited(15, fromHex('1801')),
  ),
  inItem(
    'logs',
    delimited(5, fromHex('0a0161 1001 1805 21 0102030405060708 3a00 4001')),
    fromHex('45 01020304'),
  ),
  inItem('logs', delimited(6, concat([delimited(1, 'k'), delimited(2, delimited(6, delimited(1, none)))]))),
  // Packed runs with a field behind them: fixed numbers, doubles, varints.
  inPoint(
    9,
    delimited(6, concat([doubleBytes(1), doubleBytes(2)])),
    delimited(7, doubleBytes(3)),
    varintField(10, 1),
  ),
  inPoint(10, delimited(8, buckets), delimited(9, buckets), varintField(6, 5)),
  inPoint(5, fromHex('31 0102030405060708'), delimited(7, none)),
  inPoint(11, delimited(6, fromHex('09 0102030405060708')), delimited(7, none)),
  inPoint(7, varintField(8, 1)),
]

/** At the depth limit, one below and one above: values, groups, and groups in the deepest value. */
export const DEEP: readonly Small[] = [
  ...[47, 48, 49].map(arrays => inItem('logs', delimited(5, nested(arrays)))),
  ...[47, 48, 49].map(arrays => inItem('traces', delimited(9, delimited(2, nested(arrays))))),
  ...[99, 100, 101].map(depth => ({ signal: 'logs' as const, bytes: groups(depth) })),
  ...[96, 97, 98].map(depth => inItem('traces', groups(depth))),
  ...[0, 1, 2].map(depth => inItem('traces', delimited(9, delimited(2, nested(47, groups(depth)))))),
  ...[0, 1, 2].map(depth => inItem('logs', delimited(5, nested(48, groups(depth))))),
]

/** The request itself, cut at every place, and with every byte exchanged for each other one, taken away or doubled. */
export function* neighboursOf(bytes: Uint8Array): Generator<Uint8Array> {
  yield bytes
  for (let at = 0; at < bytes.length; at++) {
    const [before, after] = [bytes.subarray(0, at), bytes.subarray(at + 1)]
    yield before
    yield concat([before, after])
    yield concat([before, bytes.subarray(at, at + 1), bytes.subarray(at)])
    for (let byte = 0; byte < 256; byte++) yield concat([before, Uint8Array.of(byte), after])
    for (const byte of [0, 1, 0x0c, 0x7f, 0x80, 0xff])
      yield concat([before, Uint8Array.of(byte), bytes.subarray(at)])
  }
}
