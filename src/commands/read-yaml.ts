//! Reads YAML (and so JSON) into settings as written, every piece with its line and column.
import {
  type Alias,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  type Scalar,
} from 'yaml'
import { substitute, type Variables } from '../base/substitute.ts'
import { branch, type Entry, leaf, type Place, type Report, type Tree } from '../base/tree.ts'

/** A configuration is small; a bound on what aliases can multiply. */
const MAX_NODES = 20_000
const MAX_DEPTH = 32
const MAX_BYTES = 2 ** 20

/** What the text is called, and what its places say. */
export type Source = Pick<Place, 'source' | 'kind'>

/** Undefined after an error that leaves nothing to check. Problems are reported with the path as far as it is known. */
export function readYaml(
  text: string,
  source: Source,
  variables: Variables,
  report: Report,
): Tree | undefined {
  const lines = new LineCounter()
  const start: Place =
    source.kind === 'file' ? { ...source, line: 1, column: 1 } : { ...source, line: 0, column: 0 }
  const placeAt = (offset: number | undefined): Place => {
    if (offset === undefined || source.kind !== 'file') return start
    const { line, col } = lines.linePos(offset)
    return { ...source, line, column: col }
  }
  if (Buffer.byteLength(text) > MAX_BYTES) {
    report(start, '', 'is larger than 1 MiB, which no configuration is')
    return undefined
  }
  const document = parseDocument(text.replace(/^\uFEFF/, ''), {
    lineCounter: lines,
    prettyErrors: false,
    stringKeys: false,
  })
  for (const error of document.errors) report(placeAt(error.pos[0]), '', explain(error.message))
  if (document.errors.length > 0) return undefined
  let nodes = 0

  const walk = (node: Node | null | undefined, path: string, depth: number): Tree => {
    const place = placeAt(node?.range?.[0])
    if (++nodes === MAX_NODES) report(place, path, `more than ${MAX_NODES} values; are aliases multiplied?`)
    if (depth > MAX_DEPTH) report(place, path, `nested deeper than ${MAX_DEPTH} levels`)
    if (node === null || node === undefined || nodes >= MAX_NODES || depth > MAX_DEPTH)
      return leaf(null, place)
    if (isAlias(node)) {
      const target = (node as Alias).resolve(document)
      if (target === undefined)
        report(place, path, `*${node.source} stands for nothing: no &${node.source} comes before it`)
      return target === undefined ? { ...leaf(null, place), broken: true } : walk(target, path, depth + 1)
    }
    if (isScalar(node)) return walkScalar(node, path, place)
    if (isSeq(node)) {
      const items = node.items.map((item, index) => walk(item as Node, `${path}[${index}]`, depth + 1))
      return { kind: 'list', place, items }
    }
    if (!isMap(node)) return leaf(null, place)
    const entries = new Map<string, Entry>()
    for (const { key, value } of node.items as Pair<Node, Node | null>[]) {
      const keyPlace = placeAt(key?.range?.[0])
      if (!isScalar(key)) {
        report(keyPlace, path, 'a key is a single word')
        continue
      }
      const name = wordOf(key)
      const under =
        value === null ? leaf(null, keyPlace) : walk(value, path === '' ? name : `${path}.${name}`, depth + 1)
      entries.set(name, { keyPlace, value: under })
    }
    return { kind: 'branch', place, entries }
  }

  const walkScalar = (node: Scalar, path: string, place: Place): Tree => {
    const quoted = node.type !== 'PLAIN'
    const written = wordOf(node)
    if (!quoted && node.value === null) return leaf(null, place)
    const { text: replaced, whole, problems } = substitute(written, variables)
    for (const problem of problems) report(place, path, problem)
    if (problems.length > 0) return { ...leaf(null, place), broken: true }
    if (!quoted && whole && replaced === '') return leaf(null, place)
    return leaf(replaced, place, quoted)
  }

  const tree = walk(document.contents, '', 0)
  if (tree.kind === 'leaf' && tree.text === null) return branch(tree.place)
  return tree
}

/** The text as it stands, so that 0123, 1_000 or yes mean what the setting takes them for. */
const wordOf = (node: Scalar): string =>
  typeof node.value === 'string' ? node.value : (node.source ?? String(node.value ?? ''))

/** The commonest slips in words that say what to do. */
function explain(message: string): string {
  if (/tab/i.test(message) && /indent/i.test(message)) return 'a tab is used to indent; YAML wants spaces'
  if (/unique/i.test(message)) return 'this key stands here twice; keep one of them'
  return `is not readable as YAML: ${message}`
}
