//! One batch to every destination of its signal: each has its own queue, and a refused batch is taken by none.
import { Failure } from '../base/errors.ts'
import type { Offer, Queue, Undelivered } from './queue.ts'
import { ACCEPTED, type CheckedBatch, type Outcome, SIGNALS, type Signal, type Sink } from './sink.ts'

/** By then another instance answers, or this one again. */
const STOPPING_RETRY_MS = 1000

/** The destinations of each signal. A destination that takes several stands in several lists. */
export type Routes = Readonly<Record<Signal, readonly Pick<Queue, 'probe' | 'offer' | 'retryAfterMs'>[]>>

/**
 * Accepts a batch when every destination has taken it or passed it over. `routes` may be replaced at any time: a batch goes
 * to all of the old ones or to all of the new ones. `close` only ends the taking: the queues are
 * closed by `closeAll`, which has a deadline and a result.
 */
export function fanout(to: { readonly routes: Routes }): Sink<CheckedBatch> {
  const stopping: Outcome = {
    kind: 'busy',
    retryAfterMs: STOPPING_RETRY_MS,
    cause: new Failure('OTLIER_STOPPING'),
  }
  const unsupported: Outcome = { kind: 'refused', cause: new Failure('OTLIER_SIGNAL_UNSUPPORTED') }
  let closed = false

  return {
    async send(batch) {
      if (closed) return stopping
      const { routes } = to
      // With no destination at all, telemetry is learned from and let go.
      if (!SIGNALS.some(signal => routes[signal].length > 0)) {
        batch.loan?.share(0)
        return ACCEPTED
      }
      const queues = routes[batch.signal]
      // First everybody is asked, then everybody is given it: nothing can come in between.
      const answers: Offer[] = queues.map(queue => queue.probe(batch))
      if (answers.includes('full')) {
        // Only those that turn it away are told, so that they can say in the log that they are full.
        const full = queues.filter((_, at) => answers[at] === 'full')
        for (const queue of full) queue.offer(batch)
        const retryAfterMs = Math.max(...full.map(queue => queue.retryAfterMs()))
        return { kind: 'busy', retryAfterMs, cause: new Failure('OTLIER_QUEUE_FULL') }
      }
      if (answers.every(answer => answer === 'unsupported')) return unsupported
      batch.loan?.share(answers.filter(answer => answer === 'taken').length)
      for (const queue of queues) queue.offer(batch)
      return ACCEPTED
    },
    async close() {
      closed = true
    },
  }
}

/** Closes all queues at once, until the monotonic time `deadlineMs`. Returns what stopping lost, per destination and signal. */
export async function closeAll(
  queues: readonly Queue[],
  deadlineMs: number,
): Promise<readonly Undelivered[]> {
  const lost = await Promise.all(queues.map(queue => queue.close(deadlineMs)))
  return lost.flat()
}
