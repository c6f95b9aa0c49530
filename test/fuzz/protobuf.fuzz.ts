//! Mutated protobuf requests: Otlier refuses exactly those whose framing the law calls broken, and counts the others right.

import { test } from 'vitest'
import { Items } from '../../src/base/item.ts'
import { check } from '../../src/wire/check.ts'
import { scanTraces } from '../../src/wire/scan.ts'
import { mutateProto } from '../kit/mutate.ts'
import { pick } from '../kit/random.ts'
import { type Signal, toHex } from '../oracle/bytes.ts'
import { framing } from '../oracle/framing.ts'
import { entry, SIGNALS } from './corpus.ts'
import { fuzz, shrink, timeoutMs } from './run.ts'

const INPUTS = 100_000

const items = new Items()

const readers: {
  name: string
  signals: readonly Signal[]
  read: (signal: Signal, bytes: Uint8Array) => number
}[] = [
  { name: 'check', signals: SIGNALS, read: check },
  { name: 'scanTraces', signals: ['traces'], read: (_signal, bytes) => scanTraces(bytes, items) },
]

function lawful(signal: Signal, bytes: Uint8Array): number {
  const found = framing(signal, bytes)
  return found.ok ? found.items : -1
}

test('a mutated request is refused exactly when its framing is broken', {
  timeout: timeoutMs(INPUTS),
}, async () => {
  await fuzz({
    name: 'protobuf',
    inputs: INPUTS,
    one: (random) => {
      const signal = pick(random, SIGNALS)
      const bytes = mutateProto(random, signal, entry(random, signal).bytes, entry(random, signal).bytes)
      for (const { name, signals, read } of readers) {
        if (!signals.includes(signal) || read(signal, bytes) === lawful(signal, bytes)) continue
        const least = shrink(bytes, (cut) => read(signal, cut) !== lawful(signal, cut))
        const law = JSON.stringify(framing(signal, least))
        throw new Error(`${name} says ${read(signal, least)}, the law ${law}: ${signal} ${toHex(least)}`)
      }
    },
  })
})
