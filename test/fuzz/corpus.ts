//! What the fuzzes start from: small odd requests of every signal, the same in each run.

import { oddRequest } from '../kit/odd.ts'
import { pick, type Random, seeded } from '../kit/random.ts'
import type { Signal } from '../oracle/bytes.ts'
import { toJson } from '../oracle/json.ts'

export const SIGNALS: readonly Signal[] = ['traces', 'metrics', 'logs']

export type Entry = { bytes: Uint8Array; json: Uint8Array }

const PER_SIGNAL = 200

const entries = new Map(SIGNALS.map(signal => [signal, grow(signal)]))

/** An entry of the signal: a request, and one that JSON can carry as JSON text. */
export function entry(random: Random, signal: Signal): Entry {
  return pick(random, entries.get(signal) ?? [])
}

function grow(signal: Signal): Entry[] {
  return Array.from({ length: PER_SIGNAL }, (_, n) => {
    const size = n % 4
    const bytes = oddRequest(seeded(n), signal, size, { huge: n % 50 === 0 })
    const text = oddRequest(seeded(n), signal, size, { huge: false, invalidText: false, deepest: 90 })
    return { bytes, json: Buffer.from(toJson(signal, text)) }
  })
}
