//! How often one request makes the same call: who tries again and again makes it more often than any request did before.

import type { Series } from './series.ts'

/** What is usual ends one to two of these ago, so that what goes on now is no part of it. */
const TURN_MS = 15 * 60_000
/** After so many turns, a day, what was once reached counts for one less. */
const FORGETS = 96

/** The most calls of one kind that any single request made, lately and before. */
export class Repeats {
  /** Before the last two turns. */
  usual: number
  #before: number
  #now = 1
  #turn: number

  /** `usual`: what is known of it already; infinite where nothing is. */
  constructor(usual: number, nowMs: number) {
    this.usual = this.#before = usual
    this.#turn = Math.floor(nowMs / TURN_MS)
  }

  /** A window in which a request made so many. */
  note(most: number, nowMs: number): void {
    const turn = Math.floor(nowMs / TURN_MS)
    for (let left = Math.min(2, turn - this.#turn); left > 0; left--) {
      this.usual = Number.isFinite(this.usual) ? Math.max(this.usual, this.#before) : this.#before
      this.#before = this.#now
      this.#now = 1
    }
    if (Math.floor(turn / FORGETS) > Math.floor(this.#turn / FORGETS))
      this.usual = Math.max(1, this.usual - 1)
    this.#turn = turn
    this.#now = Math.max(this.#now, most)
  }

  /** By how many the most of lately exceeds what is usual; 0 where it does not. */
  get beyond(): number {
    return Number.isFinite(this.usual) ? Math.max(0, Math.max(this.#before, this.#now) - this.usual) : 0
  }
}

/** A window in which one request made this call so often. */
export function noteRepeats(series: Series, most: number, nowMs: number): void {
  if (most > 1 && series.repeats === null) {
    const isKnown = nowMs - series.service.firstSeenMs >= 2 * TURN_MS
    series.repeats = new Repeats(isKnown ? 1 : Number.POSITIVE_INFINITY, nowMs)
  }
  series.repeats?.note(most, nowMs)
}
