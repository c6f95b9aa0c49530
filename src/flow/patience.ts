//! A sender that waits for what the destination says to its batch, and for how long.
import { Failure } from '../base/errors.ts'
import type { World } from '../base/world.ts'
import type { Waiter } from './lane.ts'
import type { Stored } from './offer.ts'
import type { CheckedBatch, Outcome } from './sink.ts'

/** So long somebody waits who does not say until when. */
const PATIENCE_MS = 10_000
/** Before the receiver itself would answer. */
const MARGIN_MS = 100

export interface Answered extends Waiter {
  readonly outcome: Promise<Outcome>
}

/** When the sender has to have an answer, on the monotonic clock. */
const dueMs = (world: World, batch: CheckedBatch) =>
  (batch.answerByMs ?? world.monotonic() + PATIENCE_MS) - MARGIN_MS

/** What comes of `work`, or null once `limitMs` is over. */
export async function within<T>(world: World, limitMs: number, work: Promise<T>): Promise<T | null> {
  let cancel = () => {}
  const late = new Promise<null>(resolve => {
    cancel = world.after(Math.max(0, limitMs), () => resolve(null))
  })
  const result = await Promise.race([work, late])
  cancel()
  return result
}

/** What becomes of storing a batch, or `late` once its sender has to have an answer. */
export async function inTime(world: World, batch: CheckedBatch, storing: Promise<boolean>): Promise<Stored> {
  const isStored = await within(world, dueMs(world, batch) - world.monotonic(), storing)
  if (isStored === null) return 'late'
  return isStored ? 'stored' : 'failed'
}

/**
 * When the time is up the sender is told to come again. `giveBack` then takes the batch out of the queue, if it still waits
 * there; a request that is under way goes on, as nobody can know whether it will arrive.
 */
export function awaited(world: World, batch: CheckedBatch, giveBack: () => void): Answered {
  let isAnswered = false
  let tell: (outcome: Outcome) => void = () => {}
  const outcome = new Promise<Outcome>(resolve => {
    tell = resolve
  })
  const cancel = world.after(Math.max(0, dueMs(world, batch) - world.monotonic()), () => {
    answer({ kind: 'busy', retryAfterMs: null, cause: new Failure('OTLIER_NO_ANSWER') })
    giveBack()
  })
  function answer(what: Outcome) {
    cancel()
    isAnswered = true
    tell(what)
  }
  return {
    outcome,
    answer,
    get isAnswered() {
      return isAnswered
    },
  }
}
