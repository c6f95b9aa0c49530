//! Sinks for tests: one that remembers what reached it, one that does not, and one that checks the framing before it passes on.
import { Failure } from '../../src/base/errors.ts'
import { ACCEPTED, type Batch, type CheckedBatch, type Outcome, type Sink } from '../../src/flow/sink.ts'
import { check } from '../../src/wire/check.ts'

export interface RecordingSink extends Sink<Batch> {
  readonly batches: Batch[]
  /** Resolves when `count` batches have come. */
  received(count: number): Promise<void>
}

/** Remembers every batch, and answers as `answer` says. */
export function recordingSink(
  answer: (batch: Batch) => Outcome | Promise<Outcome> = () => ACCEPTED,
): RecordingSink {
  const batches: Batch[] = []
  const waiting = new Set<() => void>()
  return {
    batches,
    async received(count) {
      while (batches.length < count) await new Promise<void>(resolve => waiting.add(resolve))
    },
    async send(batch) {
      batches.push(batch)
      for (const resolve of waiting) resolve()
      waiting.clear()
      return await answer(batch)
    },
    async close() {},
  }
}

/** Takes everything, and keeps nothing. */
export const NOWHERE: Sink<CheckedBatch> = { send: async () => ACCEPTED, close: async () => {} }

/** Refuses batches whose framing is broken, and passes the others on with their number of items. */
export function checkingSink(next: Sink<CheckedBatch>): Sink<Batch> {
  return {
    async send(batch) {
      const items = check(batch.signal, batch.bytes)
      if (items < 0)
        return { kind: 'refused', cause: new Failure('OTLIER_MALFORMED', 'The framing is broken.') }
      return await next.send({ ...batch, items })
    },
    close: () => next.close(),
  }
}
