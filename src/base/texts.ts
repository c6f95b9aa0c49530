//! Settings that are text: choices, words, what text stands for, lists, and secrets by name.
import { field, type More, plainText, quote, textOf } from './row.ts'
import type { Field, JsonSchema } from './settings.ts'

/** What is shown in place of a secret. */
export const MASK = '****'

/** One of a few words. */
export function choice<const W extends string>(
  initial: NoInfer<W> | null,
  words: readonly W[],
  help: string,
  more: More = {},
): Field<W, ''> {
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
        return word
      },
    },
    more,
  )
}

interface TextRow {
  readonly initial?: string
  /** Says what is wrong, or nothing. */
  wrong?(text: string): string | null
}

/** Text. Null where none is written and there is no default. */
export function text(
  help: string,
  row: TextRow & { readonly initial: string },
  more?: More,
): Field<string, ''>
export function text(help: string, row?: TextRow, more?: More): Field<string | null, ''>
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

const MAX_ENTRIES = 128

interface WordsRow {
  wrong(word: string): string | null
  /** The one form that is kept. */
  normal?(word: string): string
}

/** A list of words. Null where none is written and there is no default. */
export function words(
  initial: readonly string[],
  help: string,
  row: WordsRow,
  more?: More,
): Field<readonly string[], ''>
export function words(
  initial: null,
  help: string,
  row: WordsRow,
  more?: More,
): Field<readonly string[] | null, ''>
export function words(
  initial: readonly string[] | null,
  help: string,
  row: WordsRow,
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
          if (item.kind === 'leaf' && item.broken === true) continue
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
          if (value.kind === 'leaf' && value.broken === true) continue
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
