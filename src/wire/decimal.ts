//! 64-bit integers between decimal digits and two 32-bit halves, exact and without BigInt.
import type { Writer } from './writer.ts'

/** Where `parseDecimal` leaves its result: [high, low]. */
export const HALVES = new Uint32Array(2)

const BILLION = 1_000_000_000
const ZERO = 0x30

const number = (bytes: Uint8Array, from: number, to: number): number => {
  let value = 0
  for (let i = from; i < to; i++) value = value * 10 + (bytes[i] - ZERO)
  return value
}

/** The digits [from, to) into HALVES. False when they make 2^64 or more. The caller has checked that they are digits. */
export function parseDecimal(bytes: Uint8Array, from: number, to: number): boolean {
  const count = to - from
  if (count <= 15) {
    const value = number(bytes, from, to)
    HALVES[0] = value / 0x1_0000_0000
    HALVES[1] = value
    return true
  }
  if (count > 20) return false
  // value = head * 10^9 + tail. The product does not fit a double, so `head` is multiplied 16 bits at a time.
  const head = number(bytes, from, to - 9)
  const headLow = head >>> 0
  const lower = (headLow & 0xffff) * BILLION + number(bytes, to - 9, to)
  const upper = (headLow >>> 16) * BILLION + Math.floor(lower / 0x10000)
  const high = Math.floor(upper / 0x10000) + Math.floor(head / 0x1_0000_0000) * BILLION
  if (high > 0xffff_ffff) return false
  HALVES[0] = high
  HALVES[1] = ((upper & 0xffff) << 16) | (lower & 0xffff)
  return true
}

/** The unsigned number high * 2^32 + low in digits. Both halves are unsigned. */
export function writeDecimal(out: Writer, high: number, low: number): void {
  if (high === 0 && low < BILLION) {
    writeShort(out, low)
    return
  }
  // Long division by 10^9 in base 2^16: every intermediate stays below 2^53.
  const top = Math.floor(high / BILLION)
  const middle = (high - top * BILLION) * 0x10000 + (low >>> 16)
  const middleQuotient = Math.floor(middle / BILLION)
  const bottom = (middle - middleQuotient * BILLION) * 0x10000 + (low & 0xffff)
  const bottomQuotient = Math.floor(bottom / BILLION)
  const head = top * 0x1_0000_0000 + middleQuotient * 0x10000 + bottomQuotient
  if (head < BILLION) {
    writeShort(out, head)
  } else {
    const first = Math.floor(head / BILLION)
    writeShort(out, first)
    writeDigits(out, head - first * BILLION, 9)
  }
  writeDigits(out, bottom - bottomQuotient * BILLION, 9)
}

/** An integer in [-2^31, 2^32). */
export function writeInteger(out: Writer, value: number): void {
  if (value < 0) out.byte(0x2d)
  writeDecimal(out, 0, Math.abs(value))
}

function writeShort(out: Writer, value: number): void {
  let size = 1
  for (let bound = 10; size < 9 && value >= bound; bound *= 10) size++
  writeDigits(out, value, size)
}

/** `value` is below 10^9, so that it stays in 32-bit arithmetic. */
function writeDigits(out: Writer, value: number, size: number): void {
  out.reserve(size)
  const { bytes } = out
  let rest = value | 0
  for (let at = out.length + size - 1; at >= out.length; at--) {
    const quotient = (rest / 10) | 0
    bytes[at] = ZERO + rest - quotient * 10
    rest = quotient
  }
  out.length += size
}
