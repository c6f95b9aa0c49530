//! OTLP/JSON to protobuf in one pass over the bytes, led by the table of fields: no tree, no objects per item.
import { MAX_DEPTH } from './cursor.ts'
import { HALVES } from './decimal.ts'
import { REQUESTS } from './fields.ts'
import { readBase64, readHex } from './json-bytes.ts'
import { Scanner } from './json-scan.ts'
import { skip } from './json-skip.ts'
import { OP, type Plan, type PlanField, planOf } from './plan.ts'
import { Writer } from './writer.ts'

// What the specification leaves open is decided so:
// - An enum by name is refused; so is a quoted integer in its place.
// - A key given twice does what its field would do in protobuf: the last scalar wins, messages merge, lists append.
// - null is an absent field; as an element of a list of messages it is an empty one, of scalars it is refused.
// - Ids are hex of any even length: a wrong length is no matter of the encoding, and protobuf would carry it too.

// Output up to this size is written into memory that is kept from call to call.
const KEPT_BYTES = 4 << 20
const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const LETTER_N = 0x6e

const NOT_HEX = 'ids are hex in OTLP/JSON, two digits a byte; never base64.'

let out = new Writer(1 << 16)
// The field and the element that each level of messages is at, for the text of a refusal.
const path: (PlanField | null)[] = new Array(MAX_DEPTH + 1).fill(null)
const elements = new Int32Array(MAX_DEPTH + 1)
let level = 0

/**
 * The protobuf encoding of one export request in OTLP/JSON. Throws `Failure('OTLIER_MALFORMED')` with the place and the
 * cause, and OTLIER_TOO_LARGE when the result would exceed `maxBytes`: `[1,1,...` grows fourfold.
 */
export function jsonToProto(
  signal: keyof typeof REQUESTS,
  bytes: Uint8Array,
  maxBytes = Number.POSITIVE_INFINITY,
): Uint8Array {
  out.length = 0
  out.maxBytes = maxBytes
  const json = new Scanner(bytes, where)
  try {
    message(json, planOf(REQUESTS[signal]), 0)
    path[0] = null
    if (json.next() !== -1) json.fail(`expected the end after the request, found ${json.found()}.`)
    return out.take()
  } finally {
    if (out.bytes.length > KEPT_BYTES) out = new Writer(1 << 16)
  }
}

function where(): string {
  let text = ''
  for (let i = 0; i <= level; i++) {
    const field = path[i]
    if (field === null) break
    text += `${text === '' ? '' : '.'}${field.json}${field.repeated && elements[i] >= 0 ? `[${elements[i]}]` : ''}`
  }
  return text
}

function message(json: Scanner, plan: Plan, depth: number): void {
  if (depth > MAX_DEPTH) json.fail(`messages nested more than ${MAX_DEPTH} deep.`)
  level = depth
  path[depth] = null
  json.take(OPEN_OBJECT, `an object (${plan.name})`)
  if (json.next() === CLOSE_OBJECT) {
    json.at++
    return
  }
  let seen = 0
  let last = plan.start
  for (;;) {
    const field = key(json, plan, last)
    path[depth] = field
    if (field === null) {
      skip(json)
    } else {
      value(json, field, (seen & field.bit) !== 0, depth)
      level = depth
      seen |= field.bit
      last = field
    }
    const byte = json.next()
    if (byte !== COMMA && byte !== CLOSE_OBJECT) json.fail(`expected ',' or '}', found ${json.found()}.`)
    json.at++
    if (byte === CLOSE_OBJECT) return
  }
}

/** Takes a key and its colon. Null for a key that the message does not have: it is passed over. */
function key(json: Scanner, plan: Plan, last: PlanField): PlanField | null {
  if (json.next() !== QUOTE) json.fail(`expected a key, found ${json.found()}.`)
  // Senders write the fields of a message in one order: the field that followed last time is nearly always the next.
  const likely = last.next
  const after = json.at + 1 + likely.key.length
  let field: PlanField | null
  if (json.bytes[after] === QUOTE && equal(json.bytes, json.at + 1, likely.key)) {
    field = likely
    json.at = after + 1
  } else {
    json.string()
    field = plan.find(json.text, json.from, json.to)
    if (field !== null) last.next = field
  }
  if (json.bytes[json.at] === COLON) json.at++
  else json.take(COLON, "':'")
  return field
}

function equal(bytes: Uint8Array, at: number, key: Uint8Array): boolean {
  for (let i = 0; i < key.length; i++) if (bytes[at + i] !== key[i]) return false
  return true
}

function value(json: Scanner, field: PlanField, again: boolean, depth: number): void {
  if (json.next() === LETTER_N) json.literal('null')
  else if (field.repeated) list(json, field, depth)
  else if (field.plan !== null) submessage(json, field, field.plan, depth)
  // A zero that is given after another value must be written to win over it.
  else scalar(json, field, again || field.explicit, true)
}

function submessage(json: Scanner, field: PlanField, plan: Plan, depth: number): void {
  out.varint(field.tag)
  const prefix = plan.prefix
  const start = out.open(prefix)
  message(json, plan, depth + 1)
  plan.prefix = out.close(start, prefix)
}

function list(json: Scanner, field: PlanField, depth: number): void {
  elements[depth] = -1
  json.take(OPEN_ARRAY, `an array (${field.json})`)
  if (json.next() === CLOSE_ARRAY) {
    json.at++
    return
  }
  const packed = field.plan === null && field.packable
  if (packed) out.varint(field.tag)
  const start = packed ? out.open(field.prefix) : 0
  for (let index = 0; ; index++) {
    elements[depth] = index
    level = depth
    if (field.plan === null) {
      scalar(json, field, true, !packed)
    } else if (json.next() === LETTER_N) {
      json.literal('null')
      out.varint(field.tag)
      out.byte(0)
    } else {
      submessage(json, field, field.plan, depth)
      level = depth
    }
    const byte = json.next()
    if (byte !== COMMA && byte !== CLOSE_ARRAY) json.fail(`expected ',' or ']', found ${json.found()}.`)
    json.at++
    if (byte === CLOSE_ARRAY) break
  }
  if (packed) field.prefix = out.close(start, field.prefix)
}

/** One value with its tag, or without where `tagged` is false. A zero is left out unless `keep`. */
function scalar(json: Scanner, field: PlanField, keep: boolean, tagged: boolean): void {
  switch (field.op) {
    case OP.STRING:
    case OP.ID:
    case OP.BYTES:
      text(json, field, keep)
      break
    case OP.BOOL: {
      const truth = json.boolean()
      if (!truth && !keep) break
      if (tagged) out.varint(field.tag)
      out.byte(truth ? 1 : 0)
      break
    }
    case OP.DOUBLE: {
      const number = json.double()
      if (Object.is(number, 0) && !keep) break
      if (tagged) out.varint(field.tag)
      out.double(number)
      break
    }
    default:
      integer(json, field, keep, tagged)
  }
}

function text(json: Scanner, field: PlanField, keep: boolean): void {
  const start = json.at
  json.string()
  if (json.from === json.to && !keep) return
  out.varint(field.tag)
  if (field.op === OP.STRING) {
    out.delimited(json.text, json.from, json.to)
  } else if (field.op === OP.ID) {
    if (!readHex(out, json.text, json.from, json.to)) json.fail(NOT_HEX, start)
  } else if (!readBase64(out, json.text, json.from, json.to)) {
    json.fail('expected base64.', start)
  }
}

function integer(json: Scanner, field: PlanField, keep: boolean, tagged: boolean): void {
  const start = json.at
  if (field.op === OP.ENUM && json.next() === QUOTE) {
    json.fail(`${field.json} is an enum, which OTLP/JSON writes as an integer, never by name.`, start)
  }
  json.integer()
  let high = HALVES[0]
  let low = HALVES[1]
  const isZero = high === 0 && low === 0
  if (isZero && !keep) return
  if (high > field.mostHigh || (high === field.mostHigh && low > field.mostLow)) {
    const isLeast = json.negative && high === field.leastHigh && low === field.leastLow
    if (!isLeast) json.fail(`the integer does not fit ${field.type}.`, start)
  }
  if (json.negative) {
    if (!field.signed && !isZero) json.fail(`${field.type} takes no negative number.`, start)
    // Two's complement.
    low = -low >>> 0
    high = (low === 0 ? -high : ~high) >>> 0
  }
  if (tagged) out.varint(field.tag)
  if (field.op === OP.FIXED32) out.fixed32(low)
  else if (field.op === OP.FIXED64) out.fixed64(high, low)
  else if (field.op === OP.SINT32) out.varint(((low << 1) ^ ((low | 0) >> 31)) >>> 0)
  else out.varint64(high, low)
}
