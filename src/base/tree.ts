//! Settings as somebody wrote them: text that has no type yet, with the place where each piece stands.

/** Where something was written. `line` and `column` count from 1; 0 where there are none. */
export interface Place {
  /** A file's name, `--set key=value`, or the name of an environment variable. */
  readonly source: string
  readonly kind: 'file' | 'set' | 'variable'
  readonly line: number
  readonly column: number
}

export type Tree = Branch | List | Leaf

export interface Branch {
  readonly kind: 'branch'
  readonly place: Place
  readonly entries: ReadonlyMap<string, Entry>
}

export interface Entry {
  readonly keyPlace: Place
  readonly value: Tree
}

export interface List {
  readonly kind: 'list'
  readonly place: Place
  readonly items: readonly Tree[]
}

export interface Leaf {
  readonly kind: 'leaf'
  readonly place: Place
  /** As written, so that `0123` stays `0123` until a setting says what it is. Null where nothing is written. */
  readonly text: string | null
  /** In quotes, and so text whatever it looks like. */
  readonly quoted: boolean
  /** Wrong, and told so already: nothing more is said about it. */
  readonly broken?: boolean
}

/** Something wrong with what was written; a warning does not keep Otlier from starting. */
export interface Problem {
  readonly severity: 'error' | 'warning'
  readonly place: Place | null
  /** Dotted, as `--set` takes it; empty for the file as a whole. */
  readonly path: string
  /** What is wrong and what to do about it. */
  readonly text: string
}

export type Report = (place: Place | null, path: string, text: string, severity?: Problem['severity']) => void

export const leaf = (text: string | null, place: Place, quoted = false): Leaf => ({
  kind: 'leaf',
  place,
  text,
  quoted,
})
export const branch = (place: Place, entries: Iterable<readonly [string, Tree]> = []): Branch => ({
  kind: 'branch',
  place,
  entries: new Map([...entries].map(([key, value]) => [key, { keyPlace: place, value }])),
})
export const list = (place: Place, items: readonly Tree[]): List => ({ kind: 'list', place, items })

const isNothing = (tree: Tree) => tree.kind === 'leaf' && tree.text === null

/**
 * Lays `above` over `below`. Branches merge key by key; anything else replaces. Nothing written says nothing:
 * an empty section never deletes the section under it.
 */
export function merge(below: Tree, above: Tree): Tree {
  if (isNothing(above)) return below
  if (above.kind !== 'branch' || below.kind !== 'branch') return above
  const entries = new Map(below.entries)
  for (const [key, entry] of above.entries) {
    const under = entries.get(key)
    if (under === undefined) entries.set(key, entry)
    else entries.set(key, { keyPlace: firmer(under, entry), value: merge(under.value, entry.value) })
  }
  return { kind: 'branch', place: below.place, entries }
}

/** A file names what it wants; `--set` and variables only change what is named. */
const firmer = (below: Entry, above: Entry): Place =>
  above.keyPlace.kind !== 'file' && below.keyPlace.kind === 'file' ? below.keyPlace : above.keyPlace

/** What stands under a path, or undefined. A number in `path` counts items of a list. */
export function find(tree: Tree | undefined, path: readonly (string | number)[]): Tree | undefined {
  let at = tree
  for (const step of path) {
    if (at?.kind === 'list' && typeof step === 'number') at = at.items[step]
    else if (at?.kind === 'branch') at = at.entries.get(String(step))?.value
    else return undefined
  }
  return at
}

/** `otlier.yaml:12:7: exporters.otlp.timout: ...`, the form that editors can jump to. */
export function renderProblem(problem: Problem): string {
  const { place, path, text, severity } = problem
  const parts = []
  if (place !== null)
    parts.push(place.line > 0 ? `${place.source}:${place.line}:${place.column}` : place.source)
  if (path !== '') parts.push(path)
  parts.push(severity === 'warning' ? `warning: ${text}` : text)
  return parts.join(': ')
}
