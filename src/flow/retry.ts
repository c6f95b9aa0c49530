//! Asks a destination again while it is busy: exponential backoff with full jitter, and never before the time it asked for.
import { Failure } from '../base/errors.ts'
import type { World } from '../base/world.ts'
import type { Answer, Exporter, ExportRequest } from './sink.ts'

/** `retry_on_failure` of the configuration. */
export interface RetryOptions {
  readonly enabled: boolean
  readonly initialIntervalMs: number
  readonly multiplier: number
  readonly maxIntervalMs: number
  /** From the first attempt on. 0: never give up. */
  readonly maxElapsedTimeMs: number
}

export const RETRY_DEFAULTS: RetryOptions = {
  enabled: true,
  initialIntervalMs: 1000,
  multiplier: 1.5,
  maxIntervalMs: 30_000,
  maxElapsedTimeMs: 300_000,
}

/** The longest wait that a destination is granted: one hostile header must not silence it for good. */
const ASKED_MAX_MS = 3_600_000

/** Shut while the destination has asked to wait. All its consumers go through the same gate. */
export interface Gate {
  /** Monotonic time before which nothing is sent. */
  readonly opensMs: number
  shut(forMs: number): void
  /** Takes back every wish to wait: it is another destination now, or reached in another way. */
  open(): void
}

export function gate(world: World): Gate {
  let opensMs = Number.NEGATIVE_INFINITY
  return {
    get opensMs() {
      return opensMs
    },
    // A later, shorter wish does not take back an earlier one.
    shut: forMs => void (opensMs = Math.max(opensMs, world.monotonic() + Math.min(forMs, ASKED_MAX_MS))),
    open: () => void (opensMs = Number.NEGATIVE_INFINITY),
  }
}

/** How those who wait hear that something has changed: the end of the service, or what the destination is. */
export interface Ending {
  /** Aborted when stopping begins: waits end, and from then on they are short, so that the time that is left is used. */
  readonly stop: AbortSignal
  /** Ends the waits of the moment: there is reason to ask again at once. Another one stands there afterwards. */
  readonly again?: () => AbortSignal
  /** Whether what is given up while stopping is kept all the same: then it gets one more attempt, and no more. */
  readonly isKept?: () => boolean
  /** Aborted when time is up: every wait ends. */
  readonly kill: AbortSignal
  /** Monotonic time at which `kill` comes; infinite until stopping begins. */
  deadlineMs(): number
}

/** What became of a request in the end. */
export type Settled =
  | Exclude<Answer, { kind: 'busy' }>
  /** Given up, because it took too long or because the service stops. */
  | { readonly kind: 'expired' | 'stopped'; readonly cause: Failure | null }
  /** Its sender waits, and is the one to try again. */
  | { readonly kind: 'returned'; readonly cause: Failure; readonly retryAfterMs: number | null }

/** While stopping, a destination is asked this often: it may come back in time. */
const STOPPING_MAX_MS = 1000

/**
 * Sends until the answer is another than busy; once alone where its sender `isAwaiting` it. Never rejects, unless `exporter` has a
 * bug. `settings` are those of each request's first attempt.
 */
export function retry(
  exporter: Exporter,
  world: World,
  settings: () => RetryOptions,
  at: Gate,
  ending: Ending,
) {
  /** Ends early when stopping begins, and when there is reason to ask again. */
  async function pause(forMs: number) {
    const signals = [ending.stop.aborted ? ending.kill : ending.stop, ending.again?.()]
    const early = new AbortController()
    const end = () => early.abort()
    for (const signal of signals) {
      if (signal?.aborted) end()
      signal?.addEventListener('abort', end, { once: true })
    }
    await world.sleep(forMs, early.signal)
    for (const signal of signals) signal?.removeEventListener('abort', end)
  }
  return async (request: ExportRequest, isAwaiting = false): Promise<Settled> => {
    const options = settings()
    const giveUpMs =
      options.maxElapsedTimeMs === 0 ? Number.POSITIVE_INFINITY : world.monotonic() + options.maxElapsedTimeMs
    let intervalMs = Math.min(options.initialIntervalMs, options.maxIntervalMs)
    let cause: Failure | null = null
    const shutMs = at.opensMs - world.monotonic()
    if (isAwaiting && shutMs > 0)
      return { kind: 'returned', cause: new Failure('OTLIER_DESTINATION_BUSY'), retryAfterMs: shutMs }
    while (true) {
      // Others may have been asked to wait while this one slept.
      while (world.monotonic() < at.opensMs) {
        if (at.opensMs > giveUpMs) return { kind: 'expired', cause }
        if (at.opensMs > ending.deadlineMs() || ending.kill.aborted) return { kind: 'stopped', cause }
        await pause(at.opensMs - world.monotonic())
      }
      if (ending.kill.aborted) return { kind: 'stopped', cause }
      const isLast = ending.stop.aborted && ending.isKept?.() === true
      const answer = await exporter.export(request)
      if (answer.kind !== 'busy') return answer
      cause = answer.cause
      const askedMs = Math.min(answer.retryAfterMs ?? 0, ASKED_MAX_MS)
      if (askedMs > 0) at.shut(askedMs)
      if (isAwaiting) return { kind: 'returned', cause: answer.cause, retryAfterMs: answer.retryAfterMs }
      if (isLast) return { kind: 'stopped', cause }
      if (!options.enabled) return { kind: ending.stop.aborted ? 'stopped' : 'expired', cause }
      // Full jitter: senders that failed together must not come back together.
      const longestMs = ending.stop.aborted ? Math.min(intervalMs, STOPPING_MAX_MS) : intervalMs
      const waitMs = Math.max(world.random() * longestMs, askedMs)
      const nextMs = world.monotonic() + waitMs
      if (nextMs > ending.deadlineMs()) return { kind: 'stopped', cause }
      if (nextMs > giveUpMs) return { kind: 'expired', cause }
      await pause(waitMs)
      intervalMs = Math.min(intervalMs * options.multiplier, options.maxIntervalMs)
    }
  }
}
