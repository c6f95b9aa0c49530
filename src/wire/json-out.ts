//! Protobuf to OTLP/JSON in one line: hex ids, 64-bit integers as strings, unknown fields left out because JSON has no place for them.
import { Failure } from '../base/errors.ts'
import { BROKEN, MAX_DEPTH, readLength, readTag, skipUnknown, skipVarint, value } from './cursor.ts'
import { writeDecimal, writeInteger } from './decimal.ts'
import { REQUESTS, WIRE } from './fields.ts'
import { writeBase64, writeHex } from './json-bytes.ts'
import { writeDouble, writeString } from './json-text.ts'
import { OP, type Plan, type PlanField, planOf } from './plan.ts'
import { Writer } from './writer.ts'

// The order of the keys is that of the bytes; where a list is interrupted by other fields, its elements are brought
// together at its first. A singular message given twice is merged, of a oneof the last member wins. A zero without
// presence is left out, an id that is there is written even when empty.

// Output up to this size is written into memory that is kept from call to call.
const KEPT_BYTES = 4 << 20

const QUOTE = 0x22
const COMMA = 0x2c
const MINUS = 0x2d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const TRUE = Buffer.from('true')
const FALSE = Buffer.from('false')
const NOTHING = new Uint8Array(0)

let out = new Writer(1 << 16)
let input = NOTHING
let view: DataView = new DataView(NOTHING.buffer)

// What `readField` found: the field, null for one that is unknown; its wire type and its value's place.
let field: PlanField | null = null
let wire = 0
let start = 0
let end = 0

// What `load` read: a number in unsigned halves.
let high = 0
let low = 0

/** One export request in OTLP/JSON. Throws `Failure('OTLIER_MALFORMED')` where the framing is broken. */
export function protoToJson(signal: keyof typeof REQUESTS, bytes: Uint8Array): Uint8Array {
  out.length = 0
  // A Buffer would make every access to the bytes polymorphic.
  input = new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length)
  view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  try {
    object(planOf(REQUESTS[signal]), 0, bytes.length, 0)
    return out.take()
  } finally {
    // Or a large request would live until the next one.
    if (out.bytes.length > KEPT_BYTES) out = new Writer(1 << 16)
    input = NOTHING
    view = new DataView(NOTHING.buffer)
  }
}

function malformed(at: number): never {
  throw new Failure('OTLIER_MALFORMED', `The protobuf framing is broken at byte ${at}.`)
}

/** The message [from, to) as an object. */
function object(plan: Plan, from: number, to: number, depth: number): void {
  if (depth > MAX_DEPTH) malformed(from)
  if (!isPlain(plan, from, to)) {
    gathered(plan, [from, to], depth)
    return
  }
  out.byte(OPEN_OBJECT)
  let comma = false
  let list: PlanField | null = null
  for (let at = from; at < to; ) {
    readField(plan, at, to)
    at = end
    if (field === null || field === list) {
      if (field !== null) elements(field, wire, start, end, depth, true)
      continue
    }
    if (list !== null) out.byte(CLOSE_ARRAY)
    list = null
    if (isLeftOut(field, wire, start, end)) continue
    if (comma) out.byte(COMMA)
    comma = true
    out.append(field.label)
    if (field.repeated) {
      list = field
      out.byte(OPEN_ARRAY)
      elements(field, wire, start, end, depth, false)
    } else {
      write(field, start, end, depth)
    }
  }
  if (list !== null) out.byte(CLOSE_ARRAY)
  out.byte(CLOSE_OBJECT)
}

/** Whether every singular field comes once, every list in one piece, and one member of the oneof at most. */
function isPlain(plan: Plan, from: number, to: number): boolean {
  let seen = 0
  let last: PlanField | null = null
  let chosen = false
  for (let at = from; at < to; at = end) {
    readField(plan, at, to)
    if (field === null || (field === last && field.repeated)) continue
    if ((seen & field.bit) !== 0 || (field.oneof && chosen)) return false
    if (field.oneof) chosen = true
    seen |= field.bit
    last = field
  }
  return true
}

/** The occurrences of one field: wire type, start and end of each. */
interface Found {
  readonly field: PlanField
  readonly places: number[]
}

/** As `object`, for a message that is in several pieces ([from, to, from, to ...]) or not plain. */
function gathered(plan: Plan, pieces: readonly number[], depth: number): void {
  if (depth > MAX_DEPTH) malformed(pieces[0])
  out.byte(OPEN_OBJECT)
  let comma = false
  for (const { field: found, places } of gather(plan, pieces)) {
    const last = places.length - 3
    if (isLeftOut(found, places[last], places[last + 1], places[last + 2])) continue
    if (comma) out.byte(COMMA)
    comma = true
    out.append(found.label)
    if (found.repeated) {
      out.byte(OPEN_ARRAY)
      let more = false
      for (let i = 0; i < places.length; i += 3) {
        const before = out.length
        elements(found, places[i], places[i + 1], places[i + 2], depth, more)
        more ||= out.length > before
      }
      out.byte(CLOSE_ARRAY)
    } else if (found.plan !== null && last > 0) {
      gathered(
        found.plan,
        places.filter((_, i) => i % 3 !== 0),
        depth + 1,
      )
    } else {
      write(found, places[last + 1], places[last + 2], depth)
    }
  }
  out.byte(CLOSE_OBJECT)
}

/** The fields of a message in the order of their first appearance. */
function gather(plan: Plan, pieces: readonly number[]): Found[] {
  const order: Found[] = []
  for (let i = 0; i < pieces.length; i += 2) {
    for (let at = pieces[i]; at < pieces[i + 1]; at = end) {
      readField(plan, at, pieces[i + 1])
      if (field === null) continue
      const found = field
      if (isEmptyPiece(found, wire, start, end)) continue
      const same = order.find(other => other.field === found)
      if (same !== undefined) {
        same.places.push(wire, start, end)
        continue
      }
      const rival = found.oneof ? order.findIndex(other => other.field.oneof) : -1
      if (rival >= 0) order.splice(rival, 1)
      order.push({ field: found, places: [wire, start, end] })
    }
  }
  return order
}

/** One element of a list, or those of a packed piece, each behind a comma but the first. */
function elements(
  of: PlanField,
  wireType: number,
  from: number,
  to: number,
  depth: number,
  more: boolean,
): void {
  if (wireType !== WIRE.LEN || !of.packable) {
    if (more) out.byte(COMMA)
    write(of, from, to, depth)
    return
  }
  let comma = more
  for (let at = from; at < to; ) {
    const next = of.wire === WIRE.VARINT ? skipVarint(input, at, to) : at + (of.wire === WIRE.FIXED64 ? 8 : 4)
    if (next === BROKEN || next > to) malformed(at)
    if (comma) out.byte(COMMA)
    comma = true
    write(of, at, next, depth)
    at = next
  }
}

const isEmptyPiece = (of: PlanField, wireType: number, from: number, to: number) =>
  of.packable && wireType === WIRE.LEN && from === to

/** Whether it is a zero that protobuf would not write. An id stays: senders do write an empty parentSpanId. */
function isLeftOut(of: PlanField, wireType: number, from: number, to: number): boolean {
  if (of.explicit || of.plan !== null || of.op === OP.ID) return false
  if (of.repeated) return isEmptyPiece(of, wireType, from, to)
  if (of.wire === WIRE.LEN) return from === to
  load(of, from)
  return high === 0 && low === 0
}

function write(of: PlanField, from: number, to: number, depth: number): void {
  switch (of.op) {
    case OP.MESSAGE:
      object(of.plan as Plan, from, to, depth + 1)
      break
    case OP.STRING:
      writeString(out, input, from, to)
      break
    case OP.ID:
      writeHex(out, input, from, to)
      break
    case OP.BYTES:
      writeBase64(out, input, from, to)
      break
    case OP.DOUBLE:
      writeDouble(out, view.getFloat64(from, true))
      break
    default:
      writeWhole(of, from)
  }
}

/** A boolean or an integer: 64 bits as a string, fewer as a number. */
function writeWhole(of: PlanField, from: number): void {
  load(of, from)
  switch (of.op) {
    case OP.BOOL:
      out.append(low === 0 ? FALSE : TRUE)
      break
    case OP.ENUM:
    case OP.INT32:
      writeInteger(out, low | 0)
      break
    case OP.SINT32:
      writeInteger(out, (low >>> 1) ^ -(low & 1))
      break
    case OP.UINT32:
    case OP.FIXED32:
      writeInteger(out, low)
      break
    default:
      out.byte(QUOTE)
      if (of.signed && high >= 0x8000_0000) {
        out.byte(MINUS)
        low = -low >>> 0
        high = (low === 0 ? -high : ~high) >>> 0
      }
      writeDecimal(out, high, low)
      out.byte(QUOTE)
  }
}

/** Reads a number, whose end has been checked, into `high` and `low`; cut to the width of its type as protobuf does. */
function load(of: PlanField, from: number): void {
  if (of.wire !== WIRE.VARINT) {
    low = view.getUint32(from, true)
    high = of.wire === WIRE.FIXED64 ? view.getUint32(from + 4, true) : 0
    return
  }
  let hi = 0
  let lo = 0
  let at = from
  for (let shift = 0; ; shift += 7) {
    const bits = input[at] & 0x7f
    if (shift < 28) lo |= bits << shift
    else if (shift > 28) hi |= bits << (shift - 32)
    else {
      lo |= bits << 28
      hi = bits >> 4
    }
    if (input[at++] < 0x80) break
  }
  low = of.op === OP.BOOL ? Number((hi | lo) !== 0) : lo >>> 0
  high = of.mostHigh === 0 ? 0 : hi >>> 0
}

/** Reads the field at `at` into `field`, `wire`, `start` and `end`. */
function readField(plan: Plan, at: number, to: number): void {
  let tag = input[at]
  let next = at + 1
  if (tag >= 0x80 || tag < 8) {
    next = readTag(input, at, to)
    if (next === BROKEN) malformed(at)
    tag = value
  }
  wire = tag & 7
  const known = tag >>> 3 < plan.byNumber.length ? plan.byNumber[tag >>> 3] : undefined
  field = known ?? null
  start = next
  if (known === undefined) {
    end = skipUnknown(input, next, to, tag, 0)
  } else if (wire === WIRE.LEN && (known.wire === WIRE.LEN || known.packable)) {
    start = readLength(input, next, to)
    end = start === BROKEN ? BROKEN : start + value
  } else if (wire !== known.wire) {
    end = BROKEN
  } else {
    end = wire === WIRE.VARINT ? skipVarint(input, next, to) : next + (wire === WIRE.FIXED64 ? 8 : 4)
  }
  if (end === BROKEN || end > to) malformed(at)
}
