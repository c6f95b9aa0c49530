//! How many at a time are more than chance: of many places a few are always far out, and the more there are the more of them.
import { SCALES } from './scales.ts'

/** The share of places that is far out by chance, as long as nothing is known: the normal law's tail beyond 2.5. */
const PRIOR_SHARE = 0.006
/** That weighs as much as so many windows, and what is learned follows a day of them. */
const PRIOR_WINDOWS = 60
const LEARNED_WINDOWS = 8640
/** What chance alone reaches in so many windows is not more than chance. */
const BY_CHANCE = 0.25
/** Two alone are a coincidence, however few there are. */
const LEAST = 2

/** Follows how many of the places are usually far out at the same time, by scale. What is more than chance teaches no more than chance. */
export class Together {
  readonly #share: number[] = SCALES.map(() => PRIOR_SHARE)
  #windows = 0
  /** So many others, by scale, are more than chance. */
  readonly most: number[] = SCALES.map(() => LEAST)

  /** What is kept over a restart. */
  store(): readonly number[] {
    return [this.#windows, ...this.#share]
  }

  restore([windows, ...share]: readonly number[]): void {
    this.#windows = windows
    for (let scale = 0; scale < SCALES.length; scale++) this.#share[scale] = share[scale]
  }

  /**
   * The next window.
   * @param far by scale, how many places are far out
   * @param watched how many there are
   */
  window(far: readonly number[], watched: number): void {
    if (watched === 0) return
    this.#windows = Math.min(LEARNED_WINDOWS, this.#windows + 1)
    for (let scale = 0; scale < SCALES.length; scale++) {
      const share = this.#share[scale]
      const most = Math.max(LEAST, moreThan(share * watched, BY_CHANCE))
      this.most[scale] = most
      const taught = Math.min(far[scale], most) / watched
      this.#share[scale] = share + (taught - share) / (PRIOR_WINDOWS + this.#windows)
    }
  }
}

/** The smallest count that Poisson's law of this mean reaches with at most this probability. */
export function moreThan(mean: number, probability: number): number {
  let count = 0
  let term = Math.exp(-mean)
  for (let left = 1; left > probability && count < 1000; term *= mean / count) {
    left -= term
    count++
  }
  return count
}
