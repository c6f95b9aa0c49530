//! Numbers and text as a person reads them: three digits and a fitting unit, separators, and nothing that steers a terminal.

const UNITS = [
  { name: 'ns', ns: 1 },
  { name: 'µs', ns: 1e3 },
  { name: 'ms', ns: 1e6 },
  { name: 's', ns: 1e9 },
  { name: 'min', ns: 60e9 },
  { name: 'h', ns: 3600e9 },
] as const

function unitOf(ns: number) {
  let unit: (typeof UNITS)[number] = UNITS[0]
  for (const candidate of UNITS) if (ns >= candidate.ns * 0.9995) unit = candidate
  return unit
}

/** Three significant digits, no trailing zeros after the point; from 1,000 on whole, with separators. */
export function number(value: number): string {
  // By hand: toLocaleString takes 20 microseconds.
  if (value >= 1000) return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',')
  return String(Number(value.toPrecision(3)))
}

/** `61 ms`, `1.84 s`. */
export function duration(ns: number): string {
  const unit = unitOf(ns)
  return `${number(ns / unit.ns)} ${unit.name}`
}

/** `40 to 95 ms`, or `950 ms to 1.2 s` where the units differ. */
export function durationRange(lowNs: number, highNs: number): string {
  const unit = unitOf(highNs)
  return unitOf(lowNs) === unit
    ? `${number(lowNs / unit.ns)} to ${number(highNs / unit.ns)} ${unit.name}`
    : `${duration(lowNs)} to ${duration(highNs)}`
}

/** At most `length` characters (UTF-16), cut with an ellipsis, never in the middle of a surrogate pair. Control characters become spaces. */
export function clip(text: string, length: number): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not reach a log or a terminal.
  const clean = text.replace(/[\u0000-\u001f\u007f-\u009f]/g, ' ')
  if (clean.length <= length) return clean
  const cut = clean.slice(0, length - 1)
  return `${/[\ud800-\udbff]$/.test(cut) ? cut.slice(0, -1) : cut}…`
}

/**
 * What can steer a terminal or make text read as something else: control characters (ESC, line breaks, and the C1 set that some terminals
 * obey), separators of lines, and marks that turn the direction of writing.
 */
const STEERING = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu

/** All of those as escapes, such as \u001b. Inside a string of JSON, which it does not change the meaning of, and in plain text alike. */
export const harmless = (text: string): string =>
  text.replace(STEERING, found => `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`)
