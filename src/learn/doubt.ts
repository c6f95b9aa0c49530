//! Times in which something was in a fault beyond doubt: they are no calm times, unless it was a way that was slow and passed by itself at once.
import type { PeakRecord } from '../detect/tail.ts'
import type { ClassRecord } from '../detect/unusual.ts'

/** So long around a fault is no calm time either. */
const BEFORE_MS = 3 * 60_000
const AFTER_MS = 5 * 60_000
/** Where all is over within this, the calm minute after it included, slow ways were a network that stalled: it says how often its like comes. */
const PASSING_MS = 3 * 60_000
/** The next of its like may be so many times as far out. */
const ITS_LIKE = 1.5
const MOST_KEPT = 1000

export class Doubt {
  #sinceMs = Number.POSITIVE_INFINITY
  #untilMs = Number.NEGATIVE_INFINITY
  /** Peaks of z of ways that were slow then, until it is known whether they passed by. */
  readonly #kept: { readonly tail: ClassRecord; readonly peakMs: number; readonly z: number }[] = []

  /** Something is beyond doubt now. */
  begin(nowMs: number): void {
    if (nowMs > this.#untilMs) this.#sinceMs = nowMs - BEFORE_MS
    this.#untilMs = nowMs + AFTER_MS
  }

  /** Whether now is a calm time. */
  isOver(nowMs: number): boolean {
    return nowMs > this.#untilMs
  }

  /** Whether a departure lies beside a fault: then it is mostly its consequence, and says nothing about calm times. */
  isBeside(sinceMs: number, peakMs: number): boolean {
    return peakMs >= this.#sinceMs && sinceMs <= this.#untilMs
  }

  /** A way is no longer slow; its peak is for `tail`. */
  keep(tail: ClassRecord, peakMs: number, z: number): void {
    if (this.#kept.length < MOST_KEPT) this.#kept.push({ tail, peakMs, z })
  }

  /** In calm times: if the last fault passed by itself, what is so far out is less unusual from now on, and was a peak of calm times. */
  settle(record: PeakRecord): void {
    if (this.#kept.length === 0) return
    const lastedMs = this.#untilMs - AFTER_MS - (this.#sinceMs + BEFORE_MS)
    const kept = this.#kept.splice(0)
    if (lastedMs > PASSING_MS) return
    for (const { tail, peakMs, z } of kept) tail.noteZ(peakMs, ITS_LIKE * z)
    const surprises = kept.map(({ tail, z }) => tail.surprise(z))
    record.note(kept[0].peakMs, Math.max(...surprises))
  }
}
