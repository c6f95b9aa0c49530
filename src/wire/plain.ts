//! Attributes that are one plain value (text, a whole number, true or false) as text, within bounds, also where their message is cut off.
import { BROKEN, readLength, readTag, readVarint, skipUnknown, value } from './cursor.ts'

/** Longer keys and values are passed over: a part of one would be another. */
const MAX_KEY_BYTES = 64
const MAX_VALUE_BYTES = 96
/** A KeyValue that holds both, and what frames them; longer ones are passed over unread. */
const MAX_BYTES = MAX_KEY_BYTES + MAX_VALUE_BYTES + 16

const decoder = new TextDecoder('utf-8')

/** An attribute as text. */
export type Plain = readonly [key: string, value: string]

/**
 * Visits the KeyValue messages that may be plain, in the order of the message. One that runs over `end` is left out.
 * @param tag of the repeated KeyValue field
 */
export function eachAttribute(
  bytes: Uint8Array,
  at: number,
  end: number,
  tag: number,
  visit: (at: number, end: number) => void,
): void {
  while (at < end) {
    at = readTag(bytes, at, end)
    if (at === BROKEN) return
    const field = value
    if (field !== tag) {
      at = skipUnknown(bytes, at, end, field, 0)
      if (at === BROKEN) return
      continue
    }
    at = readLength(bytes, at, end)
    if (at === BROKEN) return
    const stop = at + value
    if (stop - at <= MAX_BYTES) visit(at, stop)
    at = stop
  }
}

// message KeyValue { string key = 1; AnyValue value = 2; }
/** Null where it is not plain: lists, bytes, fractions, numbers beyond 2^53, what is negative, empty or long. */
export function plainAttribute(bytes: Uint8Array, at: number, end: number): Plain | null {
  let key = ''
  let text = ''
  while (at < end) {
    at = readTag(bytes, at, end)
    if (at === BROKEN) return null
    const field = value
    if (field !== 0x0a && field !== 0x12) {
      at = skipUnknown(bytes, at, end, field, 0)
      if (at === BROKEN) return null
      continue
    }
    at = readLength(bytes, at, end)
    if (at === BROKEN) return null
    const stop = at + value
    if (field === 0x0a) key = textAt(bytes, at, stop, MAX_KEY_BYTES)
    else text = plainValue(bytes, at, stop)
    at = stop
  }
  return key === '' || text === '' ? null : [key, text]
}

// message AnyValue { oneof value { string string_value = 1; bool bool_value = 2; int64 int_value = 3; ... } }
/** Empty where the value is not plain. Of a oneof the last member counts. */
function plainValue(bytes: Uint8Array, at: number, end: number): string {
  let text = ''
  while (at < end) {
    at = readTag(bytes, at, end)
    if (at === BROKEN) return ''
    const field = value
    if (field === 0x0a) {
      at = readLength(bytes, at, end)
      if (at === BROKEN) return ''
      text = textAt(bytes, at, at + value, MAX_VALUE_BYTES)
      at += value
    } else if (field === 0x10 || field === 0x18) {
      at = readVarint(bytes, at, end)
      if (at === BROKEN) return ''
      if (field === 0x10) text = value === 0 ? 'false' : 'true'
      else text = Number.isSafeInteger(value) ? String(value) : ''
    } else {
      at = skipUnknown(bytes, at, end, field, 0)
      if (at === BROKEN) return ''
      if (field >>> 3 <= 8) text = ''
    }
  }
  return text
}

const textAt = (bytes: Uint8Array, at: number, end: number, maxBytes: number): string =>
  end - at > maxBytes ? '' : decoder.decode(bytes.subarray(at, end))
