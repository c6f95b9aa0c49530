//! What all kinds of settings are made with: a row that becomes a setting, and the plain text of one value.
import type { Complain, Field, JsonSchema, Unit } from './settings.ts'
import { type Leaf, leaf, type Tree } from './tree.ts'

export interface More {
  readonly initialNote?: string
  readonly required?: string
  readonly later?: string
}

const NOWHERE = { source: 'default', kind: 'variable', line: 0, column: 0 } as const

export interface Row<T, U extends Unit> {
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
export function field<T, U extends Unit>(row: Row<T, U>, more: More): Field<T, U> {
  const { empty, listed, show, ...rest } = row
  const complain = (text: string) => fail(`the default ${row.initial}: ${text}`)
  const fallback =
    row.initial === null || listed === true ? empty : row.read(leaf(row.initial, NOWHERE), complain)
  if (fallback === undefined) return fail(`the default ${row.initial} cannot be read`)
  return { kind: 'field', ...rest, ...more, fallback, show: show ?? (value => value) }
}

export const fail = (text: string): never => {
  throw new Error(text)
}

/** The text of one value, or a complaint where a list or a section stands. */
export function textOf(
  tree: Tree,
  complain: Complain,
  expected: string,
): (Leaf & { text: string }) | undefined {
  if (tree.kind === 'leaf' && tree.text !== null) return tree as Leaf & { text: string }
  complain(`${expected} is expected here, not a ${tree.kind === 'list' ? 'list' : 'section'}`)
  return undefined
}

const MAX_TEXT = 16_384
/** Line breaks would let one value pass for two, in a header or a log line. */
export function plainText(value: string): string | null {
  if (value === '') return 'is empty; leave the line out instead'
  if (value.length > MAX_TEXT) return `is longer than ${MAX_TEXT} characters`
  return /\p{Cc}/u.test(value) ? 'holds a control character, such as a line break' : null
}

/** What somebody wrote, fit for one line of a message. */
export const quote = (value: string): string => {
  const short = value.length > 80 ? `${value.slice(0, 77)}...` : value
  return JSON.stringify(short)
}
