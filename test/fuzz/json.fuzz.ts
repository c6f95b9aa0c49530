//! Mutated OTLP/JSON: what the book allows is understood, what it forbids is refused, and whatever comes out is well framed.

import { isDeepStrictEqual } from 'node:util'
import { expect, test } from 'vitest'
import { check } from '../../src/wire/check.ts'
import { jsonToProto } from '../../src/wire/json.ts'
import { protoToJson } from '../../src/wire/json-out.ts'
import { mutateJson, mutateProto } from '../kit/mutate.ts'
import { chance, pick } from '../kit/random.ts'
import type { Signal } from '../oracle/bytes.ts'
import { framing } from '../oracle/framing.ts'
import { judgeJson, type Verdict } from '../oracle/json.ts'
import { meaningOf } from '../oracle/meaning.ts'
import { entry, SIGNALS } from './corpus.ts'
import { fuzz, shrink, timeoutMs } from './run.ts'

const INPUTS = 50_000

/** What is wrong with Otlier's answer to this text, or ''. */
function complaint(signal: Signal, text: Uint8Array, verdict: Verdict = judgeJson(signal, text)): string {
  const bytes = read(signal, text)
  if (bytes === null) return verdict.kind === 'accept' ? 'refuses what must be accepted' : ''
  if (typeof bytes === 'string') return `fails with ${bytes}`
  const framed = framing(signal, bytes)
  if (!framed.ok) return `writes broken framing: ${framed.why}`
  if (check(signal, bytes) !== framed.items) return 'counts its own output wrong'
  if (verdict.kind === 'refuse') return `accepts what must be refused: ${verdict.why}`
  if (verdict.kind === 'either' || isDeepStrictEqual(meaningOf(signal, bytes), verdict.meaning)) return ''
  return 'means another thing'
}

/** Null when the text is refused as malformed; another failure is told by its message. */
function read(signal: Signal, text: Uint8Array): Uint8Array | string | null {
  try {
    return jsonToProto(signal, text)
  } catch (error) {
    const isRefusal = error instanceof Error && 'code' in error && error.code === 'OTLIER_MALFORMED'
    return isRefusal ? null : String(error)
  }
}

test('mutated JSON is read by the book', { timeout: timeoutMs(INPUTS) }, async () => {
  const told = { accept: 0, refuse: 0, either: 0 }
  await fuzz({
    name: 'json',
    inputs: INPUTS,
    one: random => {
      const signal = pick(random, SIGNALS)
      const [one, other] = [entry(random, signal), entry(random, signal)]
      const text = chance(random, 0.05) ? one.json : mutateJson(random, one.json, other.json)
      const verdict = judgeJson(signal, text)
      told[verdict.kind]++
      const found = complaint(signal, text, verdict)
      if (found === '') return
      const least = shrink(text, cut => complaint(signal, cut) === found)
      throw new Error(`jsonToProto ${found}: ${signal} ${Buffer.from(least)}`)
    },
  })
  console.log(`json: ${told.accept} to be accepted, ${told.refuse} to be refused, ${told.either} either`)
  const all = told.accept + told.refuse + told.either
  // A single input that is replayed is the one or the other.
  if (all > 1) expect(Math.min(told.accept, told.refuse) / all).toBeGreaterThanOrEqual(0.1)
})

const WRITTEN = 10_000

test('a mutated request that is still whole means the same as JSON', {
  timeout: timeoutMs(WRITTEN),
}, async () => {
  await fuzz({
    name: 'json out',
    inputs: WRITTEN,
    one: random => {
      const signal = pick(random, SIGNALS)
      const bytes = mutateProto(random, signal, entry(random, signal).bytes, entry(random, signal).bytes)
      if (!framing(signal, bytes).ok) return
      const text = protoToJson(signal, bytes)
      const verdict = judgeJson(signal, text)
      if (verdict.kind === 'refuse')
        throw new Error(`protoToJson writes what must be refused: ${verdict.why}`)
      if (verdict.kind === 'accept' && !isDeepStrictEqual(verdict.meaning, meaningOf(signal, bytes))) {
        throw new Error(`protoToJson changes the meaning: ${Buffer.from(text)}`)
      }
    },
  })
})
