//! Broken and nearly broken inputs: seeded mutations of protobuf, JSON text and gzip bytes.

import { constants, gunzipSync, gzipSync } from 'node:zlib'
import { concat, group, type Signal, varint } from '../oracle/bytes.ts'
import { growTree, type Node, nodesOf, writeTree } from '../oracle/tree.ts'
import { between, bytes, chance, int, pick, type Random } from './random.ts'

type Edit = (random: Random, input: Uint8Array, other: Uint8Array) => Uint8Array

/** One to four edits of raw bytes: what a broken network, disk or sender does to anything. */
export function mutateBytes(random: Random, input: Uint8Array, other: Uint8Array): Uint8Array {
  return repeated(
    random,
    [flipBit, setByte, insertBytes, deleteBytes, truncate, duplicate, splice],
    input,
    other,
  )
}

/**
 * A mutated request. Half of them are edited as raw bytes. The others are taken apart by the schema, edited at one or
 * two fields and put together again with right lengths, so that many reach deep or are still valid.
 */
export function mutateProto(
  random: Random,
  signal: Signal,
  input: Uint8Array,
  other: Uint8Array,
): Uint8Array {
  if (chance(random, 0.3)) return mutateBytes(random, input, other)
  if (chance(random, 0.2)) return tamperNumber(random, input)
  const tree = growTree(signal, input)
  const donors = nodesOf(growTree(signal, other) ?? [])
  if (tree === null) return mutateBytes(random, input, other)
  for (let left = between(random, 1, 2); left > 0; left--) {
    const nodes = nodesOf(tree)
    if (nodes.length === 0) return mutateBytes(random, input, other)
    const target = pickNode(random, nodes)
    pick(random, TREE_EDITS)(random, target, pick(random, donors.length > 0 ? donors : nodes))
  }
  return writeTree(tree)
}

/** By field first, so that what is rare among the nodes is not rare among the mutations. */
function pickNode(random: Random, nodes: readonly Node[]): Node {
  const name = pick(random, [...new Set(nodes.map(node => node.name))])
  const named = nodes.filter(node => node.name === name)
  return pick(random, chance(random, 0.5) ? named : nodes)
}

/** A mutated JSON text: raw bytes, or whole tokens exchanged for others that stand where they should not. */
export function mutateJson(random: Random, input: Uint8Array, other: Uint8Array): Uint8Array {
  if (chance(random, 0.3)) return mutateBytes(random, input, other)
  return repeated(random, JSON_EDITS, input, other)
}

/** Mutated gzip bytes: in the stream itself, its frame, or packed anew around a mutated content. */
export function mutateGzip(random: Random, input: Uint8Array, other: Uint8Array): Uint8Array {
  return pick(random, GZIP_EDITS)(random, input, other)
}

function repeated(random: Random, edits: readonly Edit[], input: Uint8Array, other: Uint8Array): Uint8Array {
  let out = input
  for (let left = pick(random, [1, 1, 1, 2, 3, 4]); left > 0; left--)
    out = pick(random, edits)(random, out, other)
  return out
}

// Not slice(): that of a Buffer is a view, and the input would change with it.
function copyOf(input: Uint8Array): Uint8Array {
  return new Uint8Array(input)
}

function flipBit(random: Random, input: Uint8Array): Uint8Array {
  const out = copyOf(input)
  const at = int(random, out.length)
  if (out.length > 0) out[at] = (out[at] ?? 0) ^ (1 << int(random, 8))
  return out
}

function setByte(random: Random, input: Uint8Array): Uint8Array {
  const out = copyOf(input)
  if (out.length > 0) out[int(random, out.length)] = pick(random, [0, 1, 0x7f, 0x80, 0xff, int(random, 256)])
  return out
}

function insertBytes(random: Random, input: Uint8Array): Uint8Array {
  const added = chance(random, 0.5)
    ? bytes(random, between(random, 1, 8))
    : Uint8Array.of(pick(random, [0, 0x80]))
  return replaced(input, int(random, input.length + 1), 0, added)
}

function deleteBytes(random: Random, input: Uint8Array): Uint8Array {
  return replaced(input, int(random, input.length + 1), pick(random, [1, 1, 2, 8, 64]), new Uint8Array(0))
}

function truncate(random: Random, input: Uint8Array): Uint8Array {
  return input.slice(0, int(random, input.length + 1))
}

function duplicate(random: Random, input: Uint8Array): Uint8Array {
  const from = int(random, input.length + 1)
  const range = input.subarray(from, from + pick(random, [1, 4, 16, 256]))
  return replaced(input, int(random, input.length + 1), 0, range)
}

function splice(random: Random, input: Uint8Array, other: Uint8Array): Uint8Array {
  return concat([
    input.subarray(0, int(random, input.length + 1)),
    other.subarray(int(random, other.length + 1)),
  ])
}

function replaced(input: Uint8Array, at: number, width: number, by: Uint8Array): Uint8Array {
  return concat([input.subarray(0, at), by, input.subarray(Math.min(at + width, input.length))])
}

/** Puts another varint over any byte below 0x80: lengths, tags and values without mending what stands above. */
function tamperNumber(random: Random, input: Uint8Array): Uint8Array {
  const at = int(random, input.length + 1)
  const old = input[at] ?? 0
  const value = pick(random, [old + 1, Math.max(0, old - 1), 0, input.length, 2 ** 31, 2 ** 32 - 1, 2 ** 53])
  return replaced(input, at, 1, chance(random, 0.2) ? overlong(random) : varint(value, int(random, 11)))
}

/** Ten bytes and more, or a tenth byte above 1: no varint at all, or just still one. */
function overlong(random: Random): Uint8Array {
  const length = pick(random, [9, 10, 10, 10, 11, 12])
  return Uint8Array.from({ length }, (_, at) => (at === length - 1 ? pick(random, [0, 1, 2, 0x7f]) : 0x80))
}

const none = new Uint8Array(0)

type TreeEdit = (random: Random, target: Node, donor: Node) => void

const TREE_EDITS: readonly TreeEdit[] = [
  // Another wire type over the same content.
  (random, target) => {
    target.wire = pick(random, [0, 1, 2, 3, 4, 5, 6, 7])
  },
  // Another field number, also 0, the greatest and one beyond it.
  (random, target) => {
    target.number = pick(random, [0, between(random, 1, 20), 2 ** 29 - 1, 2 ** 29])
  },
  // Varints drawn out to their limit and beyond.
  (random, target) => {
    target.tagLength = between(random, 1, 6)
  },
  (random, target) => {
    target.lengthLength = between(random, 1, 11)
  },
  (random, target) => {
    if (target.children === null) target.content = chance(random, 0.5) ? overlong(random) : varint(-1n)
  },
  // Content cut, grown or exchanged.
  (random, target) => {
    if (target.children === null)
      target.content = target.content.slice(0, int(random, target.content.length + 1))
  },
  (random, target) => {
    if (target.children === null)
      target.content = concat([target.content, bytes(random, between(random, 1, 9))])
  },
  // Packed runs that end inside a number: fixed ones too short, varints whose last byte says that more follows.
  (random, target) => {
    if (target.children === null) target.content = target.content.slice(0, -between(random, 1, 8))
  },
  (_random, target) => {
    const last = target.content.at(-1)
    if (target.children === null && last !== undefined)
      target.content[target.content.length - 1] = last | 0x80
  },
  (_random, target, donor) => {
    Object.assign(target, structuredClone(donor))
  },
  // The field twice, away, or in front of all its parent's other fields.
  (random, target) => {
    target.copies = pick(random, [0, 2, 3])
  },
  // A length that says one more or one less than there is, or far more.
  (random, target) => {
    target.lengthError = pick(random, [-1, 1, 127, 2 ** 31, 2 ** 40])
  },
  // Groups around the field and after it: whole, not closed, closed by another number, nested to the limit.
  (random, target) => {
    target.after = pick(random, [group(100, none), Uint8Array.of(0x0c), Uint8Array.of(0x0b), group(3, none)])
  },
  (random, target) => {
    target.after = concat([varint(100 * 8 + 3), varint(pick(random, [100, 101]) * 8 + 4)])
  },
  (random, target) => {
    const open = pick(random, [1, 90, 95, 98, 99, 100, 101, 120])
    target.after = concat([
      ...Array(open).fill(varint(100 * 8 + 3)),
      ...Array(open).fill(varint(100 * 8 + 4)),
    ])
  },
  // Values in values around the depth limit, wherever an AnyValue's content would stand.
  (random, target) => {
    let inner: Uint8Array = none
    for (let left = between(random, 40, 52); left > 0; left--) {
      for (const number of [1, 5]) inner = concat([varint(number * 8 + 2), varint(inner.length), inner])
    }
    target.children = null
    target.content = inner
  },
]

const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null|[[\]{}:,]/gs

const STRANGE_TOKENS = [
  ...[
    'null',
    'true',
    '""',
    '0',
    '-1',
    '1.5',
    '1e3',
    '-0',
    '18446744073709551615',
    '18446744073709551616',
    '1e999',
  ],
  ...[
    '"9223372036854775808"',
    '"-9223372036854775809"',
    '"1.0"',
    '" 1"',
    '"NaN"',
    '"Infinity"',
    'NaN',
    '{}',
    '[]',
  ],
  ...[
    '"\\ud800"',
    '"\\u0000"',
    '"\\x"',
    '"abc',
    "'a'",
    '[[[[',
    '}}',
    ',',
    ':',
    '01',
    '+1',
    '.5',
    '1.',
    '0x10',
  ],
  ...[
    '"SPAN_KIND_SERVER"',
    '"STATUS_CODE_ERROR"',
    '"traceId"',
    '"trace_id"',
    '"__proto__"',
    '"zz"',
    '"abc"',
    '"YQ"',
  ],
  ...[
    '"0102030405060708090A0b0c0d0e0f10"',
    '{"unknown":[{"a":1}]}',
    '{"doubleValue":"-Infinity"}',
    '// a',
    '\ufeff',
  ],
]

const JSON_EDITS: readonly Edit[] = [
  (random, input) => overToken(random, input, () => pick(random, STRANGE_TOKENS)),
  (random, input) => overToken(random, input, () => pick(random, STRANGE_TOKENS)),
  (random, input) => overToken(random, input, token => `${token}${token}`),
  (random, input) => overToken(random, input, () => ''),
  (random, input) => overToken(random, input, token => `[${token}]`),
  (random, input) =>
    overToken(random, input, token => (token.startsWith('"') ? token.slice(1, -1) : `"${token}"`)),
  (random, input) =>
    overToken(random, input, token => `${pick(random, [' ', '\n', '\t', '\u00a0', '\0'])}${token}`),
  (random, input) => overToken(random, input, token => `${nest(random)}${token}`),
  (random, input, other) => overToken(random, input, () => pick(random, tokensOf(other))[0]),
]

function nest(random: Random): string {
  const depth = pick(random, [2, 90, 110, 5_000])
  return chance(random, 0.5) ? '['.repeat(depth) : `${'['.repeat(depth)}${']'.repeat(depth)},`
}

function overToken(random: Random, input: Uint8Array, by: (token: string) => string): Uint8Array {
  const token = pick(random, tokensOf(input))
  const source = Buffer.from(input).toString('latin1')
  const rest = source.slice(token.index + token[0].length)
  const changed = Buffer.from(by(Buffer.from(token[0], 'latin1').toString('utf8')))
  return concat([Buffer.from(source.slice(0, token.index), 'latin1'), changed, Buffer.from(rest, 'latin1')])
}

// Read as latin1, so that every byte, UTF-8 or not, keeps its place. Without any token, the end counts as one.
function tokensOf(input: Uint8Array): { 0: string; index: number }[] {
  const source = Buffer.from(input).toString('latin1')
  const tokens = [...source.matchAll(TOKENS)].map(match => ({ 0: match[0], index: match.index }))
  return tokens.length > 0 ? tokens : [{ 0: '', index: source.length }]
}

const GZIP_EDITS: readonly Edit[] = [
  mutateBytes,
  // The ten bytes in front and the eight at the end: magic, method, flags, checksum, size.
  (random, input) => flipWithin(random, input, 0, 10),
  (random, input) => flipWithin(random, input, input.length - 8, input.length),
  truncate,
  (random, input) => concat([input, bytes(random, between(random, 1, 20))]),
  (_random, input, other) => concat([input, other]),
  (_random, input) => concat([input, new Uint8Array(20)]),
  (random, input, other) => repack(random, mutateBytes(random, unpack(input), unpack(other))),
  (random, input, other) => repack(random, concat([unpack(input), unpack(other)])),
  (_random, input) => unpack(input),
  // Gzip within gzip, and a small bomb.
  (random, input) => repack(random, input),
  random => gzipSync(new Uint8Array(pick(random, [1e5, 1e6]))),
]

function flipWithin(random: Random, input: Uint8Array, from: number, to: number): Uint8Array {
  const start = Math.max(0, from)
  const inner = flipBit(random, input.subarray(start, to))
  return concat([input.subarray(0, start), inner, input.subarray(Math.min(to, input.length))])
}

function repack(random: Random, content: Uint8Array): Uint8Array {
  const level = pick(random, [0, 1, 9])
  return gzipSync(content, {
    level,
    strategy: pick(random, [constants.Z_FIXED, constants.Z_HUFFMAN_ONLY, 0]),
  })
}

function unpack(input: Uint8Array): Uint8Array {
  try {
    return gunzipSync(input, { maxOutputLength: 2 ** 22 })
  } catch {
    return input
  }
}
