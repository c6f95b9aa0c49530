//! What protobuf calls bytes as OTLP/JSON writes it: hex for ids, base64 for everything else.
import { HEX_VALUE } from './json-scan.ts'
import type { Writer } from './writer.ts'

const QUOTE = 0x22
const PADDING = 0x3d
const HEX = Buffer.from('0123456789abcdef')
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'
const BASE64 = Buffer.from(`${ALPHABET}+/`)
const BASE64_VALUE = new Uint8Array(256).fill(255)
for (const alphabet of [`${ALPHABET}+/`, `${ALPHABET}-_`]) {
  for (let value = 0; value < 64; value++) BASE64_VALUE[alphabet.charCodeAt(value)] = value
}

/** Appends a length prefix and what the hex digits [from, to), of either case, stand for. False where they are none. */
export function readHex(out: Writer, text: Uint8Array, from: number, to: number): boolean {
  if (((to - from) & 1) !== 0) return false
  const count = (to - from) >> 1
  out.varint(count)
  out.reserve(count)
  const { bytes } = out
  let at = out.length
  for (let i = from; i < to; i += 2) {
    const high = HEX_VALUE[text[i]]
    const low = HEX_VALUE[text[i + 1]]
    if ((high | low) > 15) return false
    bytes[at++] = (high << 4) | low
  }
  out.length = at
  return true
}

/** As `readHex`, for base64: both alphabets, padded or not. */
export function readBase64(out: Writer, text: Uint8Array, from: number, to: number): boolean {
  let end = to
  if (((to - from) & 3) === 0) for (let i = 0; i < 2 && end > from && text[end - 1] === PADDING; i++) end--
  const rest = (end - from) & 3
  if (rest === 1) return false
  const count = ((end - from) >> 2) * 3 + (rest === 0 ? 0 : rest - 1)
  out.varint(count)
  out.reserve(count)
  const { bytes } = out
  let at = out.length
  let bits = 0
  let held = 0
  for (let i = from; i < end; i++) {
    const six = BASE64_VALUE[text[i]]
    if (six === 255) return false
    bits = ((bits << 6) | six) & 0xffff
    held += 6
    if (held < 8) continue
    held -= 8
    bytes[at++] = bits >>> held
  }
  out.length = at
  return true
}

/** In lower case, quoted. */
export function writeHex(out: Writer, source: Uint8Array, from: number, to: number): void {
  out.reserve((to - from) * 2 + 2)
  const { bytes } = out
  let { length } = out
  bytes[length++] = QUOTE
  for (let at = from; at < to; at++) {
    bytes[length++] = HEX[source[at] >> 4]
    bytes[length++] = HEX[source[at] & 15]
  }
  bytes[length++] = QUOTE
  out.length = length
}

/** In the standard alphabet with padding, quoted. */
export function writeBase64(out: Writer, source: Uint8Array, from: number, to: number): void {
  out.reserve(Math.ceil((to - from) / 3) * 4 + 2)
  const { bytes } = out
  let { length } = out
  bytes[length++] = QUOTE
  for (let at = from; at < to; at += 3) {
    // What lies behind `to` is cut off again by the padding.
    const second = at + 1 < to ? source[at + 1] : 0
    const third = at + 2 < to ? source[at + 2] : 0
    bytes[length++] = BASE64[source[at] >> 2]
    bytes[length++] = BASE64[((source[at] & 3) << 4) | (second >> 4)]
    bytes[length++] = at + 1 < to ? BASE64[((second & 15) << 2) | (third >> 6)] : PADDING
    bytes[length++] = at + 2 < to ? BASE64[third & 63] : PADDING
  }
  bytes[length++] = QUOTE
  out.length = length
}
