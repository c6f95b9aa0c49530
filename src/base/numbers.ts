//! Settings that are numbers: durations, sizes, counts, factors, switches, and how often a day.
import { fail, field, type More, quote, textOf } from './row.ts'
import type { Complain, Field, JsonSchema } from './settings.ts'
import type { Tree } from './tree.ts'

const UNITS_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}

/** `1h30m` in milliseconds, or null. */
export function parseDuration(text: string): number | null {
  if (text === '0') return 0
  if (!/^(?:\d{1,12}(?:\.\d{1,9})?(?:ns|us|µs|ms|s|m|h)){1,7}$/.test(text)) return null
  let ms = 0
  for (const [, amount, unit] of text.matchAll(/([\d.]+)([a-zµ]+)/g)) ms += Number(amount) * UNITS_MS[unit]
  return ms
}

/** Milliseconds as `1h30m`. */
function formatDuration(ms: number): string {
  if (ms === 0) return '0s'
  let rest = ms
  let text = ''
  for (const [unit, size] of [
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1000],
  ] as const) {
    const whole = Math.floor(rest / size)
    if (whole > 0) text += `${whole}${unit}`
    rest -= whole * size
  }
  return rest > 0 ? `${text}${Number(rest.toFixed(6))}ms` : text
}

/** A time such as `10s`. The value is in milliseconds. */
export function duration(
  initial: string,
  help: string,
  range: readonly [string, string],
  more: More = {},
): Field<number, 'Ms'> {
  const minMs = parseDuration(range[0]) ?? fail(range[0])
  const maxMs = parseDuration(range[1]) ?? fail(range[1])
  return field<number, 'Ms'>(
    {
      unit: 'Ms',
      help,
      initial,
      empty: 0,
      schema: {
        anyOf: [
          { type: 'string', pattern: '^(0|([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$|\\$\\{' },
          { const: 0 },
        ],
      },
      show: formatDuration,
      read(tree, complain) {
        const written = textOf(tree, complain, 'a duration')
        if (written === undefined) return undefined
        const ms = parseDuration(written.text)
        if (ms === null) {
          const bare = /^\d+(\.\d+)?$/.test(written.text)
          complain(
            bare
              ? `a duration needs a unit: write ${written.text}s for seconds or ${written.text}ms for milliseconds`
              : `${quote(written.text)} is not a duration; write it as 10s, 200ms or 1h30m`,
          )
          return undefined
        }
        if (ms >= minMs && ms <= maxMs) return ms
        complain(`${written.text} is out of range: from ${range[0]} to ${range[1]}`)
        return undefined
      },
    },
    more,
  )
}

const MIB = 2 ** 20

/** A size in whole MiB. The value is in bytes. */
export function mebibytes(
  initial: string | null,
  help: string,
  range: Range,
  more: More = {},
): Field<number, 'Bytes'> {
  return field<number, 'Bytes'>(
    {
      unit: 'Bytes',
      help,
      initial,
      empty: 0,
      schema: numberSchema('integer', range),
      show: bytes => bytes / MIB,
      read(tree, complain) {
        const mib = readNumber(tree, complain, range, true)
        return mib === undefined ? undefined : mib * MIB
      },
    },
    more,
  )
}

/** The least and the most. */
type Range = readonly [number, number]

export const count = (initial: string, help: string, range: Range, more: More = {}): Field<number, ''> =>
  field<number, ''>(
    {
      unit: '',
      help,
      initial,
      empty: 0,
      schema: numberSchema('integer', range),
      read: (tree, complain) => readNumber(tree, complain, range, true),
    },
    more,
  )

export const factor = (initial: string, help: string, range: Range, more: More = {}): Field<number, ''> =>
  field<number, ''>(
    {
      unit: '',
      help,
      initial,
      empty: 0,
      schema: numberSchema('number', range),
      read: (tree, complain) => readNumber(tree, complain, range, false),
    },
    more,
  )

const numberSchema = (type: string, [min, max]: Range): JsonSchema => ({
  anyOf: [
    { type, minimum: min, maximum: max },
    { type: 'string', pattern: '\\$\\{' },
  ],
})

function readNumber(tree: Tree, complain: Complain, [min, max]: Range, whole: boolean): number | undefined {
  const what = whole ? 'a whole number' : 'a number'
  const written = textOf(tree, complain, what)
  if (written === undefined) return undefined
  const { text, quoted } = written
  const looks = /^-?(?:0|[1-9]\d{0,14})(?:\.\d{1,9})?$/.test(text)
  if (looks && quoted) complain(`${what} is expected, not text: write ${text} without quotes`)
  else if (/^0\d+$/.test(text)) complain(`${text} could be meant in octal; write ${Number(text)}`)
  else if (!looks || (whole && text.includes('.'))) complain(`${quote(text)} is not ${what}`)
  else if (Number(text) < min || Number(text) > max)
    complain(`${text} is out of range: from ${min} to ${max}`)
  else return Number(text)
  return undefined
}

export function flag(initial: 'true' | 'false', help: string, more: More = {}): Field<boolean, ''> {
  return field<boolean, ''>(
    {
      unit: '',
      help,
      initial,
      empty: false,
      schema: { anyOf: [{ type: 'boolean' }, { type: 'string', pattern: '\\$\\{' }] },
      read(tree, complain) {
        const written = textOf(tree, complain, 'true or false')
        if (written === undefined) return undefined
        if (!written.quoted && (written.text === 'true' || written.text === 'false'))
          return written.text === 'true'
        const hint = /^["']?(true|false)["']?$/i.exec(written.text)
        complain(
          hint === null
            ? `${quote(written.text)} is neither true nor false`
            : `write ${hint[1].toLowerCase()}, in small letters and without quotes`,
        )
        return undefined
      },
    },
    more,
  )
}

/** Expected false incidents a day, written `1/day`. */
export function budget(initial: string, help: string, more: More = {}): Field<number, 'PerDay'> {
  const perDay: Readonly<Record<string, number>> = { hour: 24, day: 1, week: 1 / 7 }
  return field<number, 'PerDay'>(
    {
      unit: 'PerDay',
      help,
      initial,
      empty: 1,
      schema: { type: 'string', pattern: '^[0-9]+(\\.[0-9]+)?/(hour|day|week)$|\\$\\{' },
      show: value => `${Number(value.toPrecision(6))}/day`,
      read(tree, complain) {
        const written = textOf(tree, complain, 'a budget')
        if (written === undefined) return undefined
        const parts = /^(\d{1,6}(?:\.\d{1,6})?)\/(hour|day|week)$/.exec(written.text)
        const value = parts === null ? 0 : Number(parts[1]) * perDay[parts[2]]
        if (parts === null)
          complain(`${quote(written.text)} is not a budget; write it as 1/day, 0.2/day or 2/week`)
        else if (value === 0)
          complain(
            'a budget of 0 cannot be kept: what never raises a false alarm never raises a true one; 0.1/day is one in ten days',
          )
        else if (value > 1000) complain(`${written.text} is out of range: at most 1000/day`)
        else return value
        return undefined
      },
    },
    more,
  )
}
