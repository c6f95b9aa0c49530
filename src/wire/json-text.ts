//! The texts of OTLP/JSON written from bytes: strings with their escapes, and doubles.
import { writeInteger } from './decimal.ts'
import { PLAIN } from './json-scan.ts'
import { REPLACEMENT, sequenceAt } from './utf8.ts'
import type { Writer } from './writer.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const HEX = Buffer.from('0123456789abcdef')

// The letter behind the backslash of the short escapes; 0 where \u00xx is needed.
const SHORT = new Uint8Array(256)
for (const [code, letter] of [
  [8, 'b'],
  [9, 't'],
  [10, 'n'],
  [12, 'f'],
  [13, 'r'],
  [34, '"'],
  [92, '\\'],
] as const) {
  SHORT[code] = letter.charCodeAt(0)
}

/** The bytes [from, to) as a JSON string on one line. What is not UTF-8 becomes U+FFFD. */
export function writeString(out: Writer, source: Uint8Array, from: number, to: number): void {
  // Room for the whole string where nothing needs an escape; `special` makes its own.
  out.reserve(to - from + 2)
  let { bytes, length } = out
  bytes[length++] = QUOTE
  for (let at = from; at < to; ) {
    const byte = source[at]
    if (PLAIN[byte] === 1) {
      bytes[length++] = byte
      at++
      continue
    }
    out.length = length
    at = special(out, source, at, to)
    out.reserve(to - at + 1)
    bytes = out.bytes
    length = out.length
  }
  bytes[length++] = QUOTE
  out.length = length
}

/** Writes what stands at `at` and cannot be copied unseen; returns the place behind it. */
function special(out: Writer, source: Uint8Array, at: number, to: number): number {
  const byte = source[at]
  if (byte < 0x80) {
    out.byte(BACKSLASH)
    if (SHORT[byte] !== 0) {
      out.byte(SHORT[byte])
    } else {
      out.text('u00')
      out.byte(HEX[byte >> 4])
      out.byte(HEX[byte & 15])
    }
    return at + 1
  }
  const size = sequenceAt(source, at, to)
  if (size > 0) out.append(source, at, at + size)
  else out.codePoint(REPLACEMENT)
  return at + Math.abs(size)
}

/** The shortest digits that give the same double again; NaN and the infinities as strings. */
export function writeDouble(out: Writer, value: number): void {
  if (Object.is(value, -0)) out.text('-0')
  else if (value === (value | 0)) writeInteger(out, value)
  else out.text(Number.isFinite(value) ? String(value) : `"${value}"`)
}
