//! Reads the attributes of checked messages: where a key and its value stand, without a string until one is asked for.
import { NOWHERE } from '../base/item.ts'
import { BROKEN, readLength, readTag, readVarint, skipUnknown, value } from './cursor.ts'

/** Whether the bytes from `at` to `end` are those of `key`. */
export function equalsAt(bytes: Uint8Array, at: number, end: number, key: Uint8Array): boolean {
  if (end - at !== key.length) return false
  for (let i = 0; i < key.length; i++) if (bytes[at + i] !== key[i]) return false
  return true
}

// message KeyValue { string key = 1; AnyValue value = 2; }
// message AnyValue { oneof value { string string_value = 1; bool bool_value = 2; int64 int_value = 3; ... } }
/** What `readKeyValue` found last. One object, used again for every attribute. */
export const attribute = {
  keyAt: 0,
  keyEnd: 0,
  stringAt: NOWHERE,
  stringEnd: 0,
  int: Number.NaN,
  listAt: NOWHERE,
  listEnd: 0,
}

/** Reads a checked KeyValue into `attribute`: the last key, and the last string, int or list of its last value. */
export function readKeyValue(bytes: Uint8Array, at: number, end: number): void {
  attribute.keyAt = attribute.keyEnd = at
  attribute.stringAt = NOWHERE
  attribute.int = Number.NaN
  attribute.listAt = NOWHERE
  while (at < end) {
    at = readTag(bytes, at, end)
    const tag = value
    if (tag === 0x0a || tag === 0x12) {
      at = readLength(bytes, at, end)
      const stop = at + value
      if (tag === 0x0a) {
        attribute.keyAt = at
        attribute.keyEnd = stop
      } else readAnyValue(bytes, at, stop)
      at = stop
    } else {
      at = skipUnknown(bytes, at, end, tag, 0)
      if (at === BROKEN) return
    }
  }
}

export function readAnyValue(bytes: Uint8Array, at: number, end: number): void {
  while (at < end) {
    at = readTag(bytes, at, end)
    const tag = value
    // Of a oneof the last member counts.
    if (tag >>> 3 <= 8) {
      attribute.stringAt = NOWHERE
      attribute.int = Number.NaN
      attribute.listAt = NOWHERE
    }
    if (tag === 0x0a) {
      at = readLength(bytes, at, end)
      attribute.stringAt = at
      at += value
      attribute.stringEnd = at
    } else if (tag === 0x18) {
      at = readVarint(bytes, at, end)
      attribute.int = value
    } else if (tag === 0x2a) {
      at = readLength(bytes, at, end)
      attribute.listAt = at
      at += value
      attribute.listEnd = at
    } else {
      at = skipUnknown(bytes, at, end, tag, 0)
      if (at === BROKEN) return
    }
  }
}

const decoder = new TextDecoder('utf-8')

/**
 * The string values of some attributes of a checked message, in the order of `keys`; '' for what is absent or no string. Of a
 * list of strings the first counts, of a key given twice the last.
 * @param attributesTag the tag of the repeated KeyValue field
 * @param maxBytes longer values are cut
 */
export function texts(
  bytes: Uint8Array,
  at: number,
  end: number,
  attributesTag: number,
  keys: readonly Uint8Array[],
  maxBytes: number,
): string[] {
  const found = keys.map(() => '')
  while (at < end) {
    at = readTag(bytes, at, end)
    const tag = value
    if (tag !== attributesTag) {
      at = skipUnknown(bytes, at, end, tag, 0)
      if (at === BROKEN) break
      continue
    }
    at = readLength(bytes, at, end)
    const stop = at + value
    readKeyValue(bytes, at, stop)
    const { keyAt, keyEnd } = attribute
    const key = keys.findIndex(each => equalsAt(bytes, keyAt, keyEnd, each))
    if (key >= 0) {
      if (attribute.listAt !== NOWHERE) readFirst(bytes, attribute.listAt, attribute.listEnd)
      const { stringAt, stringEnd } = attribute
      if (stringAt !== NOWHERE)
        found[key] = decoder.decode(bytes.subarray(stringAt, Math.min(stringEnd, stringAt + maxBytes)))
    }
    at = stop
  }
  return found
}

// message ArrayValue { repeated AnyValue values = 1; }
/** Reads the first value of a checked list into `attribute`. */
function readFirst(bytes: Uint8Array, at: number, end: number): void {
  while (at < end) {
    at = readTag(bytes, at, end)
    const tag = value
    if (tag === 0x0a) {
      at = readLength(bytes, at, end)
      readAnyValue(bytes, at, at + value)
      return
    }
    at = skipUnknown(bytes, at, end, tag, 0)
    if (at === BROKEN) return
  }
}
