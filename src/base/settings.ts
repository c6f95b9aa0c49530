//! A tree of settings, each one row with its default, check and help, and the check of what somebody wrote against it.
import { nearest } from './nearest.ts'
import type { Branch, Place, Problem, Report, Tree } from './tree.ts'

/** What a key in code gets appended: `timeout` becomes `timeoutMs`, `size_mib` becomes `sizeBytes`. */
export type Unit = '' | 'Ms' | 'Bytes' | 'PerDay'
export type JsonSchema = { readonly [key: string]: unknown }

/** One setting. */
export interface Field<T, U extends Unit = Unit> {
  readonly kind: 'field'
  readonly unit: U
  readonly help: string
  /** As written in YAML; null where there is none. */
  readonly initial: string | null
  /** What the table says where the default is found out at the start, or stands somewhere else. */
  readonly initialNote?: string
  /** The value when nothing is written. */
  readonly fallback: T
  readonly required?: string
  /** Why values other than the default do not work yet, and what to use. */
  readonly later?: string
  readonly schema: JsonSchema
  /** Undefined after a complaint. `tree` is never an empty leaf. */
  read(tree: Tree, complain: Complain): T | undefined
  /** Moves the ports in a value by `by`; a sentence where that cannot be. */
  shift?(value: T, by: number): T | string
  /** What `config print` shows, secrets masked. */
  show(value: T): unknown
}

export type Complain = (text: string, place?: Place, severity?: Problem['severity']) => void

/** A fixed set of keys, all there whether written or not. */
export interface Section<F extends Fields = Fields> {
  readonly kind: 'section'
  readonly help: string
  readonly fields: F
  /** What to say about keys that people bring from elsewhere. */
  readonly hints: Readonly<Record<string, string>>
}

/** A fixed set of sections. Those that a file names are there; when it names none, all are. */
export interface Chosen<F extends Sections = Sections> {
  readonly kind: 'chosen'
  readonly help: string
  readonly fields: F
  readonly hints: Readonly<Record<string, string>>
}

/** Any number of sections named `type[/name]`. */
export interface Kinds<F extends Sections = Sections> {
  readonly kind: 'kinds'
  readonly help: string
  readonly fields: F
  readonly hints: Readonly<Record<string, string>>
}

// biome-ignore lint/suspicious/noExplicitAny: a table holds fields of all types
export type Node = Field<any, any> | Section<any> | Chosen<any> | Kinds<any>
export type Fields = Readonly<Record<string, Node>>
// biome-ignore lint/suspicious/noExplicitAny: as above
export type Sections = Readonly<Record<string, Section<any>>>

type Camel<S extends string> = S extends `${infer A}_${infer B}` ? `${A}${Capitalize<Camel<B>>}` : S
type Bare<S extends string> = S extends `${infer A}_mib` ? A : S
type Key<K, N> = K extends string
  ? N extends Field<infer _, infer U>
    ? `${Camel<Bare<K>>}${U}`
    : Camel<K>
  : never
type Flat<T> = { [K in keyof T]: T[K] }

/** The type that code sees: keys in camelCase with their unit, values parsed. */
export type ValueOf<N> =
  N extends Field<infer T, infer _>
    ? T
    : N extends Section<infer F>
      ? Flat<{ readonly [K in keyof F as Key<K, F[K]>]: ValueOf<F[K]> }>
      : N extends Chosen<infer F>
        ? Flat<{ readonly [K in keyof F as Key<K, F[K]>]: ValueOf<F[K]> | null }>
        : N extends Kinds<infer F>
          ? readonly {
              [K in keyof F]: Flat<{ readonly type: K; readonly id: string } & ValueOf<F[K]>>
            }[keyof F][]
          : never

type Hints = Readonly<Record<string, string>>
export const section = <const F extends Fields>(help: string, fields: F, hints: Hints = {}): Section<F> => ({
  kind: 'section',
  help,
  fields,
  hints,
})
export const chosen = <const F extends Sections>(help: string, fields: F, hints: Hints = {}): Chosen<F> => ({
  kind: 'chosen',
  help,
  fields,
  hints,
})
export const kinds = <const F extends Sections>(help: string, fields: F, hints: Hints = {}): Kinds<F> => ({
  kind: 'kinds',
  help,
  fields,
  hints,
})

/** `max_recv_msg_size_mib` in bytes is `maxRecvMsgSizeBytes`. */
function keyInCode(key: string, node: Node): string {
  const unit = node.kind === 'field' ? node.unit : ''
  const bare = unit === 'Bytes' ? key.replace(/_mib$/, '') : key
  return bare.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()) + unit
}

/** What names a type may have after the slash. */
export const NAME_PATTERN = '[A-Za-z0-9][A-Za-z0-9_.-]{0,62}'
/** More destinations than anybody has; a bound for what one file can make. */
const MAX_NAMED = 64

interface Checked {
  readonly value: unknown
  /** The effective settings in the shape of the file, for printing. */
  readonly shown: unknown
}

interface Check {
  readonly root: Node
  readonly report: Report
  /** Added to every port. */
  readonly shift: number
}

/** Checks what was written against `root`. After an error the value is still whole: defaults stand in for what was wrong. */
export function check<N extends Node>(root: N, tree: Tree | undefined, report: Report, shift = 0) {
  const { value, shown } = checkNode(root, tree, '', { root, report, shift })
  return { value: value as ValueOf<N>, shown }
}

function checkNode(node: Node, tree: Tree | undefined, path: string, context: Check): Checked {
  if (node.kind === 'field') return checkField(node, tree, path, context)
  const found = tree !== undefined && tree.kind === 'branch' ? tree : undefined
  if (tree !== undefined && found === undefined && !(tree.kind === 'leaf' && tree.text === null)) {
    context.report(
      tree.place,
      path,
      `settings are expected here, one a line below it: ${Object.keys(node.fields).join(', ')}`,
    )
  }
  return node.kind === 'kinds'
    ? checkKinds(node, found, path, context)
    : checkFixed(node, found, path, context)
}

function checkField(field: Field<unknown>, tree: Tree | undefined, path: string, context: Check): Checked {
  const settle = (value: unknown): Checked => {
    const shifted =
      field.shift === undefined || context.shift === 0 ? value : field.shift(value, context.shift)
    if (typeof shifted !== 'string' || shifted === value)
      return { value: shifted, shown: field.show(shifted) }
    context.report(tree?.place ?? null, path, shifted)
    return { value, shown: field.show(value) }
  }
  if (tree === undefined || (tree.kind === 'leaf' && tree.text === null)) {
    const told = tree?.kind === 'leaf' && tree.broken === true
    if (field.required !== undefined && !told) context.report(tree?.place ?? null, path, field.required)
    return settle(field.fallback)
  }
  const complain: Complain = (text, place = tree.place, severity = 'error') =>
    context.report(place, path, text, severity)
  const value = field.read(tree, complain)
  if (value === undefined) return { value: field.fallback, shown: field.show(field.fallback) }
  if (field.later !== undefined && JSON.stringify(value) !== JSON.stringify(field.fallback))
    complain(field.later)
  return settle(value)
}

function checkFixed(node: Section | Chosen, tree: Branch | undefined, path: string, context: Check): Checked {
  const value: Record<string, unknown> = {}
  const shown: Record<string, unknown> = {}
  for (const [key, entry] of tree?.entries ?? []) {
    if (!Object.hasOwn(node.fields, key)) reportUnknown(node, key, entry.keyPlace, path, context)
  }
  const named = [...(tree?.entries ?? [])]
    .filter(([, entry]) => entry.keyPlace.kind === 'file')
    .map(([key]) => key)
  for (const [key, child] of Object.entries(node.fields) as [string, Node][]) {
    const entry = tree?.entries.get(key)
    const left =
      node.kind === 'chosen' && named.length > 0 && !(named.includes(key) || entry?.keyPlace.kind === 'set')
    if (left) {
      value[keyInCode(key, child)] = null
      continue
    }
    const checked = checkNode(
      child,
      entry?.value,
      join(path, key),
      withPlace(context, entry?.keyPlace ?? tree?.place),
    )
    value[keyInCode(key, child)] = checked.value
    if (!isBare(checked.shown)) shown[key] = checked.shown
  }
  return { value, shown }
}

function checkKinds(node: Kinds, tree: Branch | undefined, path: string, context: Check): Checked {
  const value: unknown[] = []
  const shown: Record<string, unknown> = {}
  for (const [id, entry] of tree?.entries ?? []) {
    const slash = id.indexOf('/')
    const type = slash === -1 ? id : id.slice(0, slash)
    if (!Object.hasOwn(node.fields, type)) {
      reportUnknown(node, type, entry.keyPlace, path, context)
      continue
    }
    if (slash !== -1 && !new RegExp(`^${NAME_PATTERN}$`).test(id.slice(slash + 1))) {
      context.report(
        entry.keyPlace,
        join(path, id),
        'a name after the slash has letters, digits, _ . and -, at most 63',
      )
      continue
    }
    if (value.length >= MAX_NAMED) {
      context.report(entry.keyPlace, join(path, id), `more than ${MAX_NAMED} of them`)
      break
    }
    const checked = checkNode(
      node.fields[type],
      entry.value,
      join(path, id),
      withPlace(context, entry.keyPlace),
    )
    value.push({ type, id, ...(checked.value as object) })
    shown[id] = checked.shown
  }
  return { value, shown }
}

const join = (path: string, key: string) => (path === '' ? key : `${path}.${key}`)
const isBare = (shown: unknown) =>
  shown === null ||
  (typeof shown === 'object' && !Array.isArray(shown) && Object.keys(shown as object).length === 0)

/** What is missing is told at the nearest place above it that is written. */
const withPlace = (context: Check, near: Place | undefined): Check => ({
  ...context,
  report: (place, path, text, severity) => context.report(place ?? near ?? null, path, text, severity),
})

function reportUnknown(
  node: Section | Chosen | Kinds,
  key: string,
  place: Place,
  path: string,
  context: Check,
) {
  const known = Object.keys(node.fields)
  const what = node.kind === 'kinds' ? 'unknown type' : 'unknown key'
  const near = nearest(key, known)
  const elsewhere = near === null ? pathsOf(context.root).filter(other => other.endsWith(`.${key}`)) : []
  let help = `known here: ${known.join(', ')}`
  if (Object.hasOwn(node.hints, key)) help = node.hints[key]
  else if (near !== null) help = `did you mean ${near}? (${help})`
  else if (elsewhere.length > 0) help = `it belongs under ${elsewhere[0].slice(0, -key.length - 1)} (${help})`
  context.report(place, join(path, key), `${what}; ${help}`)
}

/** The dotted path of every section and setting. */
export function pathsOf(node: Node, path = ''): string[] {
  if (node.kind === 'field') return [path]
  const under = Object.entries(node.fields as Fields).flatMap(([key, child]) =>
    pathsOf(child, join(path, key)),
  )
  return path === '' ? under : [path, ...under]
}
