//! Attributes that are one plain value (text, a whole number, true or false) as text, within bounds, also where their message is cut off.
import { BROKEN, readLength, readTag, readVarint, skipUnknown, value } from './cursor.ts'

/** Attributes of one message that are read; further ones are passed over. */
const MAX_ATTRIBUTES = 64
/** Longer keys and values are passed over: a part of one would be another. */
const MAX_KEY_BYTES = 64
const MAX_VALUE_BYTES = 96

const decoder = new TextDecoder('utf-8')

/**
 * Keys and values in turn, in the order of the message. What runs over `end` is left out, and so are lists, bytes, fractions, numbers
 * beyond 2^53 and what is negative.
 * @param tag of the repeated KeyValue field
 */
export function plainAttributes(bytes: Uint8Array, at: number, end: number, tag: number): string[] {
  const found: string[] = []
  while (at < end && found.length < 2 * MAX_ATTRIBUTES) {
    at = readTag(bytes, at, end)
    if (at === BROKEN) break
    const field = value
    if (field !== tag) {
      at = skipUnknown(bytes, at, end, field, 0)
      if (at === BROKEN) break
      continue
    }
    at = readLength(bytes, at, end)
    if (at === BROKEN) break
    const stop = at + value
    readPlain(bytes, at, stop, found)
    at = stop
  }
  return found
}

// message KeyValue { string key = 1; AnyValue value = 2; }
function readPlain(bytes: Uint8Array, at: number, end: number, into: string[]): void {
  let key = ''
  let text = ''
  while (at < end) {
    at = readTag(bytes, at, end)
    if (at === BROKEN) return
    const field = value
    if (field !== 0x0a && field !== 0x12) {
      at = skipUnknown(bytes, at, end, field, 0)
      if (at === BROKEN) return
      continue
    }
    at = readLength(bytes, at, end)
    if (at === BROKEN) return
    const stop = at + value
    if (field === 0x0a) key = textAt(bytes, at, stop, MAX_KEY_BYTES)
    else text = plainValue(bytes, at, stop)
    at = stop
  }
  if (key !== '' && text !== '') into.push(key, text)
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
