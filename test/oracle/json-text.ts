//! JSON text as RFC 8259 has it, parsed into a tree that keeps what JSON.parse loses: digits of numbers and keys given twice.

export type Json =
  | { kind: 'object'; entries: [key: string, value: Json][] }
  | { kind: 'array'; items: Json[] }
  | { kind: 'string'; text: string }
  | { kind: 'number'; digits: string }
  | { kind: 'true' | 'false' | 'null' }

const WORDS = ['true', 'false', 'null'] as const
const SPACE = /[ \t\n\r]*/y
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
// biome-ignore lint/suspicious/noControlCharactersInRegex: a JSON string may hold none of them.
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y

/** Nested deeper than this, a text is not read: the reader's own stack would end. */
const JSON_DEEPEST = 2_000

/** Null where the text is not JSON, `deep` where it nests beyond the limit. */
export function parseJson(text: string): Json | 'deep' | null {
  const reader = { text, at: 0, depth: 0 }
  try {
    const value = readValue(reader)
    take(reader, SPACE)
    return reader.at === text.length ? value : null
  } catch (error) {
    if (error instanceof RangeError) return 'deep'
    if (error instanceof SyntaxError) return null
    throw error
  }
}

type Reader = { readonly text: string; at: number; depth: number }

function take(reader: Reader, pattern: RegExp): string | null {
  pattern.lastIndex = reader.at
  const found = pattern.exec(reader.text)?.[0] ?? null
  reader.at += found?.length ?? 0
  return found
}

function skip(reader: Reader, mark: string): boolean {
  take(reader, SPACE)
  const isThere = reader.text.startsWith(mark, reader.at)
  if (isThere) reader.at += mark.length
  return isThere
}

function expectMark(reader: Reader, mark: string): void {
  if (!skip(reader, mark)) throw new SyntaxError(`no ${mark} at ${reader.at}`)
}

function readValue(reader: Reader): Json {
  if (skip(reader, '{')) return { kind: 'object', entries: readList(reader, '}', readEntry) }
  if (skip(reader, '[')) return { kind: 'array', items: readList(reader, ']', readValue) }
  for (const kind of WORDS) if (skip(reader, kind)) return { kind }
  if (reader.text[reader.at] === '"') return { kind: 'string', text: readString(reader) }
  const digits = take(reader, NUMBER)
  if (digits === null) throw new SyntaxError(`no value at ${reader.at}`)
  return { kind: 'number', digits }
}

function readList<T>(reader: Reader, close: string, readOne: (reader: Reader) => T): T[] {
  const list: T[] = []
  if (++reader.depth > JSON_DEEPEST) throw new RangeError('too deep')
  while (list.length > 0 || !skip(reader, close)) {
    list.push(readOne(reader))
    if (skip(reader, close)) break
    expectMark(reader, ',')
  }
  reader.depth--
  return list
}

function readEntry(reader: Reader): [string, Json] {
  take(reader, SPACE)
  const key = readString(reader)
  expectMark(reader, ':')
  return [key, readValue(reader)]
}

function readString(reader: Reader): string {
  const quoted = take(reader, STRING)
  if (quoted === null) throw new SyntaxError(`no string at ${reader.at}`)
  return JSON.parse(quoted) as string
}
