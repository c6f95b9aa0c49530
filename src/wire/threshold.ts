//! Reads from a tracestate for how many spans a sampled one stands: OpenTelemetry's consistent probability sampling, `ot=th:`.

/** Weights are counted in sixteenths, so that sums of them are exact. */
export const WEIGHT_STEPS = 16
/** One in 16,384 is the rarest sampling that counts in full: beyond it sums of squares would not stay exact. */
const MAX_WEIGHT = 2 ** 14
/** A threshold has up to 14 hex digits: 56 bits, zeros at the end left out. */
const MAX_DIGITS = 14

const COMMA = 0x2c
const SEMICOLON = 0x3b
const SPACE = 0x20
const TAB = 0x09
const isSpace = (byte: number) => byte === SPACE || byte === TAB

/**
 * tracestate = list of `key=value`, separated by commas; the value of `ot` is a list of `key:value`, separated by semicolons.
 * `th` is the threshold below which a trace's 56 random bits are dropped: of 2^56 traces, 2^56 - threshold are kept.
 * @returns the weight in sixteenths; 16, which is one span, where nothing readable is said
 */
export function sampledWeight(bytes: Uint8Array, at: number, end: number): number {
  while (at < end) {
    while (at < end && isSpace(bytes[at])) at++
    let stop = at
    while (stop < end && bytes[stop] !== COMMA) stop++
    if (stop - at >= 3 && bytes[at] === 0x6f && bytes[at + 1] === 0x74 && bytes[at + 2] === 0x3d)
      return ownWeight(bytes, at + 3, stop)
    at = stop + 1
  }
  return WEIGHT_STEPS
}

/** The same for the value of `ot`. */
function ownWeight(bytes: Uint8Array, at: number, end: number): number {
  while (end > at && isSpace(bytes[end - 1])) end--
  while (at < end) {
    let stop = at
    while (stop < end && bytes[stop] !== SEMICOLON) stop++
    if (stop - at >= 3 && bytes[at] === 0x74 && bytes[at + 1] === 0x68 && bytes[at + 2] === 0x3a)
      return weightOf(bytes, at + 3, stop)
    at = stop + 1
  }
  return WEIGHT_STEPS
}

function weightOf(bytes: Uint8Array, at: number, end: number): number {
  if (end === at || end - at > MAX_DIGITS) return WEIGHT_STEPS
  let dropped = 0
  let unit = 1 / 16
  for (; at < end; at++, unit /= 16) {
    const byte = bytes[at]
    const digit = byte >= 0x30 && byte <= 0x39 ? byte - 0x30 : byte >= 0x61 && byte <= 0x66 ? byte - 0x57 : -1
    if (digit < 0) return WEIGHT_STEPS
    // A sum of at most 56 bits: what a double rounds away of it is far beyond the largest weight.
    dropped += digit * unit
  }
  return Math.round(WEIGHT_STEPS * Math.min(MAX_WEIGHT, 1 / (1 - dropped)))
}
