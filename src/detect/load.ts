//! Whether clearly more requests come than usual: who is asked three times as often may take three times as long.
import { CountTrack } from './counts.ts'
import { newJudged } from './judged.ts'
import { SCALES } from './scales.ts'

/** A rush of requests is no usual traffic for so long. */
const HALF_LIFE_MS = 3_600_000
/** From so many times as many on it is a rush: the hours of the day make less than that within the half-life. */
const RUSH = 1.5
/** By so many standard errors the number is believed to be smaller than it was counted. */
const ERRORS = 2

/** Used again for each judgement. */
const JUDGEMENTS = SCALES.map(newJudged)

export class Load {
  readonly #track = new CountTrack(undefined, 0, HALF_LIFE_MS)
  #count = 0
  #squares = 0
  /** By scale: the logarithm of how many times as many as usual, 0 where it is no rush. */
  readonly more: number[] = SCALES.map(() => 0)

  /** What came in this window: sums of the weights, and of their squares. */
  add(count: number, squares: number): void {
    this.#count += count
    this.#squares += squares
  }

  /** What is kept over a restart. */
  store(): readonly number[] {
    return this.#track.store()
  }

  restore(stored: readonly number[]): void {
    this.#track.restore(stored)
  }

  /** Ends the window. */
  turn(windowMs: number): void {
    this.#track.push(this.#count, this.#squares, true, windowMs)
    this.#count = this.#squares = 0
    this.#track.judge(JUDGEMENTS, false)
    for (const [scale, { shift, n }] of JUDGEMENTS.entries())
      this.more[scale] = Math.max(0, -shift - ERRORS / Math.sqrt(n * Math.exp(-shift) + 1))
    // What is a rush now is a part of one on the longer scales, which also look at what came before.
    if (Math.max(...this.more) < Math.log(RUSH)) this.more.fill(0)
  }
}
