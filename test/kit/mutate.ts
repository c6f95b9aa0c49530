//! Broken and nearly broken inputs: seeded mutations of protobuf, JSON text and gzip bytes.

import { constants, gunzipSync, gzipSync } from 'node:zlib'
import { concat, group, type Signal, varint } from '../oracle/bytes.ts'
import { growTree, type Node, nodesOf, writeTree } from '../oracle/tree.ts'
import { type Edit, flipBit, mutateBytes, replaced, truncate } from './mutate-bytes.ts'
import { between, bytes, chance, int, pick, type Random } from './random.ts'

export { mutateBytes } from './mutate-bytes.ts'
export { mutateJson } from './mutate-json.ts'

/**
 * A mutated request. About half of them are edited as raw bytes. The others are taken apart by the schema, edited at one or
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

/** Mutated gzip bytes: in the stream itself, its frame, or packed anew around a mutated content. */
export function mutateGzip(random: Random, input: Uint8Array, other: Uint8Array): Uint8Array {
  return pick(random, GZIP_EDITS)(random, input, other)
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
