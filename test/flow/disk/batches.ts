//! The batches that a history sends: of all signals, small and large, each with bytes that no other has.
import { type CheckedBatch, SIGNALS } from '../../../src/flow/sink.ts'
import { between, chance, pick, type Random } from '../../kit/random.ts'
import { concat, delimited } from '../../oracle/bytes.ts'

export function batchOf(random: Random, number: number): CheckedBatch {
  const signal = pick(random, SIGNALS)
  const items = between(random, 1, 3)
  const filler = 'x'.repeat(pick(random, [0, 50, 2000, 2000, 20_000]))
  const bytes = delimited(
    1,
    delimited(
      2,
      concat(
        Array.from({ length: items }, (_, at) =>
          delimited(2, delimited(5, `batch ${number} item ${at} ${filler}`)),
        ),
      ),
    ),
  )
  const headers = chance(random, 0.2) ? { tenant: `t${number % 2}` } : {}
  return { signal, bytes, headers, items, receivedMs: 0 }
}
