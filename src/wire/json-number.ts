//! JSON's numbers read from bytes: integers exact to 64 bits, doubles correctly rounded.
import { HALVES, parseDecimal } from './decimal.ts'

/** The longest number that needs a conversion by its characters. */
const MAX_LENGTH = 1000
const MINUS = 0x2d
const PLUS = 0x2b
const POINT = 0x2e
const ZERO = 0x30
const LETTER_E = 0x65

// What the functions here return instead of the place behind the number.
const NO_NUMBER = -1
const FRACTION = -2
const TOO_WIDE = -3
const TOO_LONG = -4
const NO_DOUBLE = -5

/** The sentence for what is negative among the results of the functions here. */
export const COMPLAINTS: Readonly<Record<number, string>> = {
  [NO_NUMBER]: 'expected a number.',
  [FRACTION]: 'expected an integer, found a fraction.',
  [TOO_WIDE]: 'the integer does not fit 64 bits.',
  [TOO_LONG]: `a number of more than ${MAX_LENGTH} characters.`,
  [NO_DOUBLE]: 'the number does not fit a double; infinity is written "Infinity".',
}

// Powers of ten that a double holds exactly.
const POWERS = Float64Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`))

/** What `doubleAt` read. */
export let double = 0

const isDigit = (byte: number) => byte >= 0x30 && byte <= 0x39

/** Where the number at `from` ends, by the grammar of RFC 8259. */
export function numberEnd(text: Uint8Array, from: number, to: number): number {
  const whole = text[from] === MINUS ? from + 1 : from
  let at = digitsEnd(text, whole, to)
  if (text[whole] === ZERO && at > whole + 1) return NO_NUMBER
  if (at > 0 && at < to && text[at] === POINT) at = digitsEnd(text, at + 1, to)
  if (at > 0 && at < to && (text[at] | 0x20) === LETTER_E) {
    at++
    if (at < to && (text[at] === PLUS || text[at] === MINUS)) at++
    at = digitsEnd(text, at, to)
  }
  return at
}

function digitsEnd(text: Uint8Array, from: number, to: number): number {
  let at = from
  while (at < to && isDigit(text[at])) at++
  return at === from ? NO_NUMBER : at
}

/** Reads the magnitude of the integer at `from` into HALVES; its sign is the first byte. Returns the place behind it. */
export function integerAt(text: Uint8Array, from: number, to: number): number {
  const first = text[from] === MINUS ? from + 1 : from
  let at = first
  while (at < to && isDigit(text[at])) at++
  if (at < to && (text[at] === POINT || (text[at] | 0x20) === LETTER_E)) return scaledAt(text, from, to)
  if (at === first || (text[first] === ZERO && at > first + 1)) return NO_NUMBER
  return parseDecimal(text, first, at) ? at : TOO_WIDE
}

/** An integer written with a fraction or an exponent: 1e3, 1.50e1. */
function scaledAt(text: Uint8Array, from: number, to: number): number {
  const end = numberEnd(text, from, to)
  if (end < 0) return end
  if (end - from > MAX_LENGTH) return TOO_LONG
  const [mantissa, exponent = '0'] = characters(text, from, end).toLowerCase().split('e')
  const [whole, fraction = ''] = mantissa.replace('-', '').split('.')
  const digits = (whole + fraction).replace(/^0+/, '')
  const significant = digits.replace(/0+$/, '')
  const zeros = Number(exponent) - fraction.length + digits.length - significant.length
  if (significant === '') {
    HALVES.fill(0)
    return end
  }
  if (zeros < 0) return FRACTION
  if (significant.length + zeros > 20) return TOO_WIDE
  const plain = Buffer.from(significant + '0'.repeat(zeros))
  return parseDecimal(plain, 0, plain.length) ? end : TOO_WIDE
}

/** Reads the number at `from` into `double`. Returns the place behind it. */
export function doubleAt(text: Uint8Array, from: number, to: number): number {
  const end = numberEnd(text, from, to)
  if (end < 0 || shortDouble(text, from, end)) return end
  if (end - from > MAX_LENGTH) return TOO_LONG
  double = Number(characters(text, from, end))
  return Number.isFinite(double) ? end : NO_DOUBLE
}

/** Reads a number of at most 15 digits without an exponent: two exact doubles, so that one division rounds correctly. */
function shortDouble(text: Uint8Array, from: number, to: number): boolean {
  if (to - from > 17) return false
  const first = text[from] === MINUS ? from + 1 : from
  let mantissa = 0
  let digits = 0
  let point = -1
  for (let at = first; at < to; at++) {
    const byte = text[at]
    if (byte === POINT) {
      point = digits
    } else if (isDigit(byte)) {
      mantissa = mantissa * 10 + (byte - ZERO)
      digits++
    } else {
      return false
    }
  }
  if (digits > 15) return false
  const value = point < 0 ? mantissa : mantissa / POWERS[digits - point]
  double = first > from ? -value : value
  return true
}

const characters = (text: Uint8Array, from: number, to: number) =>
  String.fromCharCode(...text.subarray(from, to))
