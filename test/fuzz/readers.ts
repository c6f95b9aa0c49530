//! The readers of protobuf requests under fuzz, and what they are held against.

import { Items } from '../../src/base/item.ts'
import { check } from '../../src/wire/check.ts'
import { scanTraces } from '../../src/wire/scan.ts'
import { type Signal, toHex } from '../oracle/bytes.ts'
import { framing } from '../oracle/framing.ts'
import { SIGNALS } from './corpus.ts'
import { shrink } from './run.ts'

type Reader = {
  name: string
  signals: readonly Signal[]
  /** The number of items, -1 when the framing is broken. */
  read: (signal: Signal, bytes: Uint8Array) => number
}

const items = new Items()

const READERS: readonly Reader[] = [
  { name: 'check', signals: SIGNALS, read: check },
  { name: 'scanTraces', signals: ['traces'], read: (_signal, bytes) => scanTraces(bytes, items) },
]

/** Throws, with the shortest input found, where a reader and the law disagree about this request. */
export function holdAgainstLaw(signal: Signal, bytes: Uint8Array): void {
  const wanted = lawful(signal, bytes)
  for (const { name, signals, read } of READERS) {
    if (!signals.includes(signal) || read(signal, bytes) === wanted) continue
    const least = shrink(bytes, cut => read(signal, cut) !== lawful(signal, cut))
    const law = JSON.stringify(framing(signal, least))
    throw new Error(`${name} says ${read(signal, least)}, the law ${law}: ${signal} ${toHex(least)}`)
  }
}

function lawful(signal: Signal, bytes: Uint8Array): number {
  const found = framing(signal, bytes)
  return found.ok ? found.items : -1
}
