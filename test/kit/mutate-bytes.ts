//! Mutations of raw bytes, whatever they mean: what a broken network, disk or sender does to anything.

import { concat } from '../oracle/bytes.ts'
import { between, bytes, chance, int, pick, type Random } from './random.ts'

export type Edit = (random: Random, input: Uint8Array, other: Uint8Array) => Uint8Array

/** One to four edits of raw bytes: what a broken network, disk or sender does to anything. */
export function mutateBytes(random: Random, input: Uint8Array, other: Uint8Array): Uint8Array {
  return repeated(
    random,
    [flipBit, setByte, insertBytes, deleteBytes, truncate, duplicate, splice],
    input,
    other,
  )
}

/** One to four of the edits, one after the other. */
export function repeated(
  random: Random,
  edits: readonly Edit[],
  input: Uint8Array,
  other: Uint8Array,
): Uint8Array {
  let out = input
  for (let left = pick(random, [1, 1, 1, 2, 3, 4]); left > 0; left--)
    out = pick(random, edits)(random, out, other)
  return out
}

// Not slice(): that of a Buffer is a view, and the input would change with it.
function copyOf(input: Uint8Array): Uint8Array {
  return new Uint8Array(input)
}

export function flipBit(random: Random, input: Uint8Array): Uint8Array {
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

export function truncate(random: Random, input: Uint8Array): Uint8Array {
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

/** The input with `width` bytes exchanged for others. */
export function replaced(input: Uint8Array, at: number, width: number, by: Uint8Array): Uint8Array {
  return concat([input.subarray(0, at), by, input.subarray(Math.min(at + width, input.length))])
}
