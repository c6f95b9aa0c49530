//! The framing check to full depth: every length against its parent, every known field against its wire type, attribute values included.
import { BROKEN, MAX_DEPTH, readLength, readTag, skipUnknown, skipVarint, value } from './cursor.ts'
import { MESSAGES, type MessageName, REQUESTS, WIRE } from './fields.ts'

const NAMES = Object.keys(MESSAGES) as MessageName[]
const SLOTS = 32
const UNKNOWN = 0
const KNOWN = 1 << 15
const PACKABLE = 1 << 3
/** Per message and field number: KNOWN, the message's number << 4, PACKABLE, the wire type. */
const RULES = new Uint16Array(NAMES.length * SLOTS)
for (const [index, name] of NAMES.entries()) {
  for (const field of MESSAGES[name].fields) {
    const child = field.message === null ? 0 : NAMES.indexOf(field.message.name) + 1
    RULES[index * SLOTS + field.number] = KNOWN | (child << 4) | (field.packable ? PACKABLE : 0) | field.wire
  }
}

/** The number under which `checkMessage` knows a message. */
export const messageNumber = (name: MessageName): number => NAMES.indexOf(name)

const ITEM = new Uint8Array(NAMES.length)
for (const name of [
  'Span',
  'LogRecord',
  'NumberDataPoint',
  'HistogramDataPoint',
  'ExponentialHistogramDataPoint',
  'SummaryDataPoint',
] as const)
  ITEM[messageNumber(name)] = 1

const ROOTS = {
  traces: messageNumber(REQUESTS.traces.name),
  metrics: messageNumber(REQUESTS.metrics.name),
  logs: messageNumber(REQUESTS.logs.name),
}

/** Checks a whole request. Returns its number of items (spans, data points, log records), or -1 where the framing is broken. */
export function check(signal: keyof typeof ROOTS, bytes: Uint8Array): number {
  return checkMessage(bytes, 0, bytes.length, ROOTS[signal], 0)
}

const ends = new Int32Array(MAX_DEPTH + 1)
const messages = new Int32Array(MAX_DEPTH + 1)

/**
 * Checks the bytes from `at` to `end` as one message, without recursion.
 * @param message its number, of `messageNumber`
 * @param depth how many messages it lies below the request
 * @returns the number of items in it, or -1 where the framing is broken
 */
export function checkMessage(
  bytes: Uint8Array,
  at: number,
  end: number,
  message: number,
  depth: number,
): number {
  const top = depth
  let items = ITEM[message]
  for (;;) {
    while (at < end) {
      let tag = bytes[at]
      if (tag >= 0x80 || tag < 8) {
        at = readTag(bytes, at, end)
        if (at === BROKEN) return BROKEN
        tag = value
      } else at++
      const rule = tag >>> 3 < SLOTS ? RULES[message * SLOTS + (tag >>> 3)] : UNKNOWN
      if (rule === UNKNOWN) {
        at = skipUnknown(bytes, at, end, tag, depth)
        if (at === BROKEN) return BROKEN
        continue
      }
      const wire = tag & 7
      if (wire !== (rule & 7)) {
        if (wire !== WIRE.LEN || (rule & PACKABLE) === 0) return BROKEN
        at = skipPacked(bytes, at, end, rule & 7)
      } else if (wire === WIRE.LEN) {
        at = readLength(bytes, at, end)
        if (at === BROKEN) return BROKEN
        const child = ((rule & ~KNOWN) >>> 4) - 1
        if (child < 0) at += value
        else {
          if (depth === MAX_DEPTH) return BROKEN
          ends[depth] = end
          messages[depth] = message
          depth++
          end = at + value
          message = child
          items += ITEM[child]
        }
      } else if (wire === WIRE.VARINT) at = skipVarint(bytes, at, end)
      else {
        at += wire === WIRE.FIXED64 ? 8 : 4
        if (at > end) return BROKEN
      }
      if (at === BROKEN) return BROKEN
    }
    if (depth === top) return items
    depth--
    end = ends[depth]
    message = messages[depth]
  }
}

/** A packed run: whole values, and nothing else. */
function skipPacked(bytes: Uint8Array, at: number, end: number, wire: number): number {
  at = readLength(bytes, at, end)
  if (at === BROKEN) return BROKEN
  const stop = at + value
  if (wire === WIRE.VARINT) {
    while (at < stop) {
      at = skipVarint(bytes, at, stop)
      if (at === BROKEN) return BROKEN
    }
    return at
  }
  return value % (wire === WIRE.FIXED64 ? 8 : 4) === 0 ? stop : BROKEN
}
