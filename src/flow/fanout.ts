//! One batch to every destination of its signal: each has its own queue, and a refused batch is taken by none.
import { Failure } from '../base/errors.ts'
import type { Offer, Reservation, Stored } from './offer.ts'
import type { Queue, Undelivered } from './queue.ts'
import { ACCEPTED, type CheckedBatch, type Outcome, SIGNALS, type Signal, type Sink } from './sink.ts'

/** By then another instance answers, or this one again. */
const STOPPING_RETRY_MS = 1000

/** The destinations of each signal. A destination that takes several stands in several lists. */
export type Routes = Readonly<
  Record<Signal, readonly Pick<Queue, 'probe' | 'offer' | 'reserve' | 'retryAfterMs'>[]>
>

export interface Destined {
  readonly routes: Routes
  /** Signals of pipelines that name no exporters: they are taken, learned from, and let go. */
  readonly letGo?: ReadonlySet<Signal>
}

/** The queue on disk is tried again after a second. */
const DISK_RETRY_MS = 1000

/**
 * Accepts a batch when every destination has taken it or passed it over, and those that the sender waits for have answered.
 * `to` may change at any time: a batch goes to all of the old ones or to all of the new ones. `close` only ends the
 * taking: the queues are closed by `closeAll`, which has a deadline and a result.
 */
export function fanout(to: Destined): Sink<CheckedBatch> {
  const stopping: Outcome = {
    kind: 'busy',
    retryAfterMs: STOPPING_RETRY_MS,
    cause: new Failure('OTLIER_STOPPING'),
  }
  const late: Outcome = { kind: 'busy', retryAfterMs: null, cause: new Failure('OTLIER_NO_ANSWER') }
  const unwritable: Outcome = { kind: 'busy', retryAfterMs: DISK_RETRY_MS, cause: new Failure('OTLIER_DISK') }
  const unsupported: Outcome = { kind: 'refused', cause: new Failure('OTLIER_SIGNAL_UNSUPPORTED') }
  let closed = false

  return {
    async send(batch, taken) {
      if (closed) return stopping
      const { routes } = to
      // With no destination at all, everything is.
      if (to.letGo?.has(batch.signal) || !SIGNALS.some(signal => routes[signal].length > 0)) {
        taken?.()
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
      const reservations = queues.map(queue => queue.reserve(batch))
      const stands = await areStored(reservations)
      if (stands !== 'stored' || closed) {
        // A batch that one cannot store is taken by none.
        for (const reservation of reservations) reservation.cancel()
        if (closed) return stopping
        return stands === 'late' ? late : unwritable
      }
      batch.loan?.share(reservations.filter(({ holds }) => holds).length)
      // All in one step, for the accounts.
      const outcomes = reservations.map(reservation => reservation.commit())
      taken?.()
      const awaited = outcomes.filter(outcome => outcome !== null)
      return awaited.length === 0 ? ACCEPTED : (await Promise.all(awaited)).reduce(worse)
    },
    async close() {
      closed = true
    },
  }
}

/** What stands in the way, if anything, of promising the batch to its sender. */
async function areStored(reservations: readonly Reservation[]): Promise<Stored> {
  const storing = reservations.filter(({ stored }) => stored !== null)
  if (storing.length === 0) return 'stored'
  const results = await Promise.all(
    storing.map(async ({ stored, isOptional }) => {
      const stands = (await stored) ?? 'stored'
      return isOptional ? 'stored' : stands
    }),
  )
  return results.find(stands => stands !== 'stored') ?? 'stored'
}

/**
 * What the sender is told where destinations differ. What one of them wants again comes before everything else, or the sender would
 * throw away what that one has not got.
 */
function worse(one: Outcome, other: Outcome): Outcome {
  const rank = { busy: 3, refused: 2, accepted: 1 }
  if (one.kind === 'busy' && other.kind === 'busy')
    return (one.retryAfterMs ?? 0) >= (other.retryAfterMs ?? 0) ? one : other
  if (one.kind === 'accepted' && other.kind === 'accepted')
    return one.rejectedItems >= other.rejectedItems ? one : other
  return rank[one.kind] >= rank[other.kind] ? one : other
}

/** Closes all queues at once, until the monotonic time `deadlineMs`. Returns what stopping lost, per destination and signal. */
export async function closeAll(
  queues: readonly Queue[],
  deadlineMs: number,
): Promise<readonly Undelivered[]> {
  const lost = await Promise.all(queues.map(queue => queue.close(deadlineMs)))
  return lost.flat()
}
