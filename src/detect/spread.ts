//! How much a place moves from window to window beyond what sampling explains, learned by scale.
import { doubles } from '../base/doubles.ts'
import { SCALES } from './scales.ts'

/** What is believed at first weighs as much as so many windows. */
const PRIOR_WINDOWS = 60
/** It is learned over so many windows: a day of them. */
const LEARNED_WINDOWS = 8640
/** No window counts for more than so many standard deviations in what is learned. */
const CLIP = 3

/**
 * The variance between windows, by moments: what squared departures are, on average, above the variance of sampling
 * (DerSimonian and Laird 1986, followed one window after another).
 */
export class Spread {
  readonly #variance: number[]
  readonly #least: number
  #windows = 0

  /** @param prior what is believed at first, and `least` what is believed at least: standard deviations */
  constructor(prior: number, least: number) {
    this.#variance = doubles(SCALES.length, prior ** 2)
    this.#least = least ** 2
  }

  /** Variance from window to window at the shortest scale. */
  get variance(): number {
    return this.#variance[0]
  }

  /** A window from which is learned. Before it is judged by its scales. */
  next(): void {
    this.#windows = Math.min(LEARNED_WINDOWS, this.#windows + 1)
  }

  /** The standard deviation of a departure whose variance by chance is `sampling`. */
  sd(scale: number, sampling: number): number {
    return Math.sqrt(sampling + this.#variance[scale])
  }

  /**
   * How many standard deviations a departure is.
   * @param sampling the variance of `shift` that is due to chance
   * @param learn it also teaches how much is usual
   */
  judge(scale: number, shift: number, sampling: number, learn: boolean): number {
    const between = this.#variance[scale]
    const whole = sampling + between
    if (learn) {
      const excess = Math.min(shift * shift, CLIP ** 2 * whole) - sampling
      const share = 1 / (PRIOR_WINDOWS + this.#windows)
      this.#variance[scale] = Math.max(this.#least, between + share * (excess - between))
    }
    return shift / Math.sqrt(whole)
  }

  /** The same, and nothing is learned. */
  z(scale: number, shift: number, sampling: number): number {
    return shift / Math.sqrt(sampling + this.#variance[scale])
  }

  /** What is kept over a restart. */
  store(): readonly number[] {
    return [this.#windows, ...this.#variance]
  }

  restore([windows, ...variance]: readonly number[]): void {
    this.#windows = windows
    for (const [scale, one] of variance.entries()) this.#variance[scale] = one
  }
}
