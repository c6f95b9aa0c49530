//! Mutated protobuf requests: Otlier refuses exactly those whose framing the law calls broken, and counts the others right.

import { test } from 'vitest'
import { mutateProto } from '../kit/mutate.ts'
import { pick } from '../kit/random.ts'
import { entry, SIGNALS } from './corpus.ts'
import { DEEP, neighboursOf, SMALL } from './neighbours.ts'
import { holdAgainstLaw } from './readers.ts'
import { fuzz, timeoutMs } from './run.ts'

/** The fuzzes come to 200,000 inputs without those that are written as JSON, of which the broken ones are passed over. */
const INPUTS = 110_000

test('a mutated request is refused exactly when its framing is broken', {
  timeout: timeoutMs(INPUTS),
}, async () => {
  await fuzz({
    name: 'protobuf',
    inputs: INPUTS,
    one: random => {
      const signal = pick(random, SIGNALS)
      holdAgainstLaw(
        signal,
        mutateProto(random, signal, entry(random, signal).bytes, entry(random, signal).bytes),
      )
    },
  })
})

test('a hundred levels below the request are read, a hundred and one are not', () => {
  for (const { signal, bytes } of DEEP) holdAgainstLaw(signal, bytes)
})

test('every request one byte away from a small one is refused exactly when its framing is broken', {
  timeout: 120_000,
}, () => {
  for (const { signal, bytes } of SMALL) {
    for (const near of neighboursOf(bytes)) holdAgainstLaw(signal, near)
  }
})
