//! The kinds of single settings: durations, sizes, numbers, switches, choices, texts, lists and maps, each with its check.
import type { Complain, Field, JsonSchema, Unit } from './settings.ts'
import { type Leaf, leaf, type Tree } from './tree.ts'

/** What is shown in place of a secret. */
export const MASK = '****'

interface More {
  readonly initialNote?: string
  readonly required?: string
  readonly later?: string
}

const NOWHERE = { source: 'default', kind: 'variable', line: 0, column: 0 } as const

interface Row<T, U extends Unit> {
  readonly unit: U
  readonly help: string
  readonly initial: string | null
  readonly empty: T
  /** `empty` is the default; `initial` only says it. */
  readonly listed?: boolean
  readonly schema: JsonSchema
  read(tree: Tree, complain: Complain): T | undefined
  shift?(value: T, by: number): T | string
  show?(value: T): unknown
}

/** Makes a setting of a row. The default is read by the setting's own check, so a wrong one cannot stand in the table. */
function field<T, U extends Unit>(row: Row<T, U>, more: More): Field<T, U> {
  const { empty, listed, show, ...rest } = row
  const complain = (text: string) => fail(`the default ${row.initial}: ${text}`)
  const fallback =
    row.initial === null || listed === true ? empty : row.read(leaf(row.initial, NOWHERE), complain)
  if (fallback === undefined) return fail(`the default ${row.initial} cannot be read`)
  return { kind: 'field', ...rest, ...more, fallback, show: show ?? (value => value) }
}

const fail = (text: string): never => {
  throw new Error(text)
}

/** The text of one value, or a complaint where a list or a section stands. */
function textOf(tree: Tree, complain: Complain, expected: string): (Leaf & { text: string }) | undefined {
  if (tree.kind === 'leaf' && tree.text !== null) return tree as Leaf & { text: string }
  complain(`${expected} is expected here, not a ${tree.kind === 'list' ? 'list' : 'section'}`)
  return undefined
}

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
export function formatDuration(ms: number): string {
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
  limits: { min: string; max: string },
  more: More = {},
): Field<number, 'Ms'> {
  const minMs = parseDuration(limits.min) ?? fail(limits.min)
  const maxMs = parseDuration(limits.max) ?? fail(limits.max)
  return field<number, 'Ms'>(
    {
      unit: 'Ms',
      help,
      initial,
      empty: 0,
      schema: {
        type: ['string', 'number'],
        pattern: '^(0|([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$|\\$\\{',
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
        complain(`${written.text} is out of range: from ${limits.min} to ${limits.max}`)
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
  limits: Limits,
  more: More = {},
): Field<number, 'Bytes'> {
  return field<number, 'Bytes'>(
    {
      unit: 'Bytes',
      help,
      initial,
      empty: 0,
      schema: numberSchema('integer', limits),
      show: bytes => bytes / MIB,
      read(tree, complain) {
        const mib = readNumber(tree, complain, limits, true)
        return mib === undefined ? undefined : mib * MIB
      },
    },
    more,
  )
}

interface Limits {
  readonly min: number
  readonly max: number
}

export const count = (initial: string, help: string, limits: Limits, more: More = {}): Field<number, ''> =>
  field<number, ''>(
    {
      unit: '',
      help,
      initial,
      empty: 0,
      schema: numberSchema('integer', limits),
      read: (tree, complain) => readNumber(tree, complain, limits, true),
    },
    more,
  )

export const factor = (initial: string, help: string, limits: Limits, more: More = {}): Field<number, ''> =>
  field<number, ''>(
    {
      unit: '',
      help,
      initial,
      empty: 0,
      schema: numberSchema('number', limits),
      read: (tree, complain) => readNumber(tree, complain, limits, false),
    },
    more,
  )

const numberSchema = (type: string, { min, max }: Limits): JsonSchema => ({
  anyOf: [
    { type, minimum: min, maximum: max },
    { type: 'string', pattern: '\\$\\{' },
  ],
})

function readNumber(
  tree: Tree,
  complain: Complain,
  { min, max }: Limits,
  whole: boolean,
): number | undefined {
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

/** One of a few words. `later` names words that are known but do not work yet, with what to do instead. */
export function choice<const W extends string>(
  initial: NoInfer<W> | null,
  words: readonly W[],
  help: string,
  more: More & { readonly laterWords?: Readonly<Record<string, string>> } = {},
): Field<W, ''> {
  const { laterWords = {}, ...rest } = more
  return field<W, ''>(
    {
      unit: '',
      help: `${help} One of ${words.join(', ')}.`,
      initial,
      empty: words[0],
      schema: { anyOf: [{ enum: words }, { type: 'string', pattern: '\\$\\{' }] },
      read(tree, complain) {
        const written = textOf(tree, complain, `one of ${words.join(', ')}`)
        if (written === undefined) return undefined
        const word = words.find(known => known === written.text)
        if (word === undefined) complain(`${quote(written.text)} is not one of ${words.join(', ')}`)
        else if (Object.hasOwn(laterWords, word)) complain(laterWords[word])
        else return word
        return undefined
      },
    },
    rest,
  )
}

interface TextRow {
  readonly initial?: string
  /** Says what is wrong, or nothing. */
  wrong?(text: string): string | null
}

/** Text, or null where none is written and there is no default. */
export function text(help: string, row: TextRow = {}, more: More = {}): Field<string | null, ''> {
  return field<string | null, ''>(
    {
      unit: '',
      help,
      initial: row.initial ?? null,
      empty: null,
      schema: { type: ['string', 'number', 'boolean'] },
      read(tree, complain) {
        const written = textOf(tree, complain, 'text')
        if (written === undefined) return undefined
        const wrong = plainText(written.text) ?? row.wrong?.(written.text) ?? null
        if (wrong === null) return written.text
        complain(wrong)
        return undefined
      },
    },
    more,
  )
}

const MAX_TEXT = 16_384
/** Line breaks would let one value pass for two, in a header or a log line. */
function plainText(value: string): string | null {
  if (value === '') return 'is empty; leave the line out instead'
  if (value.length > MAX_TEXT) return `is longer than ${MAX_TEXT} characters`
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return /[\x00-\x1f\x7f]/.test(value) ? 'holds a control character, such as a line break' : null
}

/** A value that text stands for. `parse` returns a complaint as `{ wrong }`. */
export function parsed<T>(
  initial: string | null,
  help: string,
  row: {
    readonly empty: T
    readonly schema?: JsonSchema
    parse(text: string): T | { readonly wrong: string }
    shift?(value: T, by: number): T | string
    show(value: T): unknown
  },
  more: More = {},
): Field<T, ''> {
  return field<T, ''>(
    {
      unit: '',
      help,
      initial,
      empty: row.empty,
      schema: row.schema ?? { type: 'string' },
      show: row.show,
      ...(row.shift === undefined ? {} : { shift: row.shift }),
      read(tree, complain) {
        const written = textOf(tree, complain, 'text')
        if (written === undefined) return undefined
        const wrong = plainText(written.text)
        const value = wrong === null ? row.parse(written.text) : { wrong }
        if (!isWrong(value)) return value as T
        complain(value.wrong)
        return undefined
      },
    },
    more,
  )
}

const isWrong = (value: unknown): value is { wrong: string } =>
  typeof value === 'object' && value !== null && 'wrong' in value

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

const MAX_ENTRIES = 128

/** A list of words, each checked by `wrong` and brought to its one form by `normal`. */
export function words(
  initial: readonly string[] | null,
  help: string,
  row: { wrong(word: string): string | null; normal?(word: string): string },
  more: More = {},
): Field<readonly string[] | null, ''> {
  return field<readonly string[] | null, ''>(
    {
      unit: '',
      help,
      initial: initial === null ? null : `[${initial.join(', ')}]`,
      empty: initial,
      listed: true,
      schema: { type: 'array', items: { type: 'string' }, maxItems: MAX_ENTRIES },
      show: value => value,
      read(tree, complain) {
        if (tree.kind !== 'list')
          return void complain(`a list is expected here: [a, b], or one line each with a dash`)
        if (tree.items.length > MAX_ENTRIES) return void complain(`more than ${MAX_ENTRIES} entries`)
        const found: string[] = []
        let failed = false
        for (const item of tree.items) {
          const plain = item.kind === 'leaf' && item.text !== null ? item.text : null
          const wrong = plain === null ? 'a word is expected here' : (plainText(plain) ?? row.wrong(plain))
          if (wrong !== null || plain === null) {
            complain(wrong ?? '', item.place)
            failed = true
          } else if (found.includes(plain)) complain(`${plain} stands here twice`, item.place, 'warning')
          else found.push(row.normal?.(plain) ?? plain)
        }
        return failed ? undefined : found
      },
    },
    more,
  )
}

/** Names with values, all values secret. */
export function secrets(
  help: string,
  row: { wrong(name: string): string | null },
  more: More = {},
): Field<Readonly<Record<string, string>>, ''> {
  return field<Readonly<Record<string, string>>, ''>(
    {
      unit: '',
      help,
      initial: null,
      empty: {},
      schema: {
        type: 'object',
        additionalProperties: { type: ['string', 'number', 'boolean'] },
        maxProperties: MAX_ENTRIES,
      },
      show: value => Object.fromEntries(Object.keys(value).map(name => [name, MASK])),
      read(tree, complain) {
        if (tree.kind !== 'branch')
          return void complain('names with values are expected here, one a line: `name: value`')
        if (tree.entries.size > MAX_ENTRIES) return void complain(`more than ${MAX_ENTRIES} entries`)
        const found: [string, string][] = []
        let failed = false
        for (const [name, { keyPlace, value }] of tree.entries) {
          const plain = value.kind === 'leaf' ? value.text : null
          let wrong = row.wrong(name)
          if (wrong === null && plain === null)
            wrong = 'has no value; leave the line out, or write the value as text'
          // The value stays out of the message: it is a secret.
          if (wrong === null && plain !== null && plain !== '' && plainText(plain) !== null)
            wrong = `its value ${plainText(plain)}`
          if (wrong !== null || plain === null) {
            complain(`${quote(name)}: ${wrong}`, keyPlace)
            failed = true
          } else found.push([name, plain])
        }
        return failed ? undefined : Object.fromEntries(found)
      },
    },
    more,
  )
}

/** What somebody wrote, fit for one line of a message. */
export const quote = (value: string): string => {
  const short = value.length > 80 ? `${value.slice(0, 77)}...` : value
  return JSON.stringify(short)
}
