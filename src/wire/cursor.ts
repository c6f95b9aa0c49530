//! The checked steps over protobuf bytes: each says where the next field begins, or that the framing is broken.
import { WIRE } from './fields.ts'

/** What every step returns where the framing is broken. */
export const BROKEN = -1
/** Nested messages and groups below the request; the protobuf libraries' own bound. */
export const MAX_DEPTH = 100

/** The value that `readVarint` read last: exact below 2^53; a length beyond that exceeds any parent all the same. */
export let value = 0

/**
 * Reads a varint of at most ten bytes into `value`.
 * @returns the position after it, or BROKEN where it is longer or runs over `end`.
 */
export function readVarint(bytes: Uint8Array, at: number, end: number): number {
  let result = 0
  let factor = 1
  for (let read = 1; at < end; read++) {
    const byte = bytes[at++]
    if (byte < 0x80) {
      if (read === 10 && byte > 1) return BROKEN
      value = result + byte * factor
      return at
    }
    if (read === 10) return BROKEN
    result += (byte & 0x7f) * factor
    factor *= 128
  }
  return BROKEN
}

/** Steps over a varint without its value. */
export function skipVarint(bytes: Uint8Array, at: number, end: number): number {
  const last = at + 9 < end ? at + 9 : end
  while (at < last) if (bytes[at++] < 0x80) return at
  // The tenth byte holds the 64th bit alone.
  return at < end && bytes[at] <= 1 ? at + 1 : BROKEN
}

/** Reads a tag (at most five bytes, 32 bits, field number 1 or more) into `value`. */
export function readTag(bytes: Uint8Array, at: number, end: number): number {
  let result = 0
  for (let shift = 0; at < end; shift += 7) {
    const byte = bytes[at++]
    if (shift === 28 && byte > 0x0f) return BROKEN
    result = (result | ((byte & 0x7f) << shift)) >>> 0
    if (byte < 0x80) {
      value = result
      return result >>> 3 === 0 ? BROKEN : at
    }
    if (shift === 28) return BROKEN
  }
  return BROKEN
}

/** Reads a length into `value` and checks it against what is left before `end`. */
export function readLength(bytes: Uint8Array, at: number, end: number): number {
  if (at < end && bytes[at] < 0x80) {
    value = bytes[at]
    at++
  } else {
    at = readVarint(bytes, at, end)
    if (at === BROKEN) return BROKEN
  }
  return value > end - at ? BROKEN : at
}

/** Steps over the value of an unknown field whose tag has been read. `depth` is that of the message it stands in. */
export function skipUnknown(bytes: Uint8Array, at: number, end: number, tag: number, depth: number): number {
  switch (tag & 7) {
    case WIRE.VARINT:
      return skipVarint(bytes, at, end)
    case WIRE.FIXED64:
      return at + 8 <= end ? at + 8 : BROKEN
    case WIRE.LEN:
      at = readLength(bytes, at, end)
      return at === BROKEN ? BROKEN : at + value
    case WIRE.GROUP:
      return skipGroup(bytes, at, end, tag >>> 3, depth + 1)
    case WIRE.FIXED32:
      return at + 4 <= end ? at + 4 : BROKEN
    default:
      return BROKEN
  }
}

/** Open groups' field numbers. One array is enough: no step calls another group's. */
const open = new Uint32Array(MAX_DEPTH + 1)

function skipGroup(bytes: Uint8Array, at: number, end: number, number: number, depth: number): number {
  if (depth > MAX_DEPTH) return BROKEN
  let level = 0
  open[0] = number
  while (at < end) {
    at = readTag(bytes, at, end)
    if (at === BROKEN) return BROKEN
    const tag = value
    switch (tag & 7) {
      case WIRE.GROUP:
        if (depth + ++level > MAX_DEPTH) return BROKEN
        open[level] = tag >>> 3
        break
      case WIRE.END_GROUP:
        if (open[level] !== tag >>> 3) return BROKEN
        if (level-- === 0) return at
        break
      default:
        at = skipUnknown(bytes, at, end, tag, depth)
        if (at === BROKEN) return BROKEN
    }
  }
  return BROKEN
}
