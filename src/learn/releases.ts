//! Releases that move requests to operations of another name: what the old ones still call is another thing then, and is learned anew.
import type { Series } from './series.ts'

/** A release takes so long, and what is new within it came with it. */
const TAKES_MS = 15 * 60_000
/** Operations that are told apart in one; of more, the latest. */
const MOST_NEW = 64

/** What is new at one service. */
export class Releases {
  /** When a new pod was met last. */
  #podMs = Number.NEGATIVE_INFINITY
  readonly #new: { readonly series: Series; readonly sinceMs: number }[] = []

  /** A pod that was not there before. */
  pod(nowMs: number): void {
    this.#podMs = nowMs
  }

  /** An operation that was not there before, of a service that has been known for a while. */
  operation(series: Series, nowMs: number): void {
    if (this.#new.length >= MOST_NEW) this.#new.shift()
    this.#new.push({ series, sinceMs: nowMs })
  }

  /** Whether a release that has just been made has brought another operation that makes the same call. */
  moved(series: Series, child: Series, nowMs: number): boolean {
    while (this.#new.length > 0 && nowMs - this.#new[0].sinceMs >= TAKES_MS) this.#new.shift()
    return this.#new.some(
      ({ series: other, sinceMs }) =>
        other !== series &&
        Math.abs(sinceMs - this.#podMs) < TAKES_MS &&
        other.calls.some(call => call.child === child),
    )
  }
}
