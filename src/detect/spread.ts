//! How much a place moves from window to window beyond what sampling explains, learned by scale.
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
  /** Numbers of a row: the windows that taught it, and a variance for each scale. */
  static readonly WIDTH = 1 + SCALES.length
  #numbers: Float32Array = new Float32Array(0)
  #windows = 0
  #variance = 1
  #least = 0

  /** Stands in a row from there on. `least`: the standard deviation that is believed at least. */
  at(numbers: Float32Array, from: number, least: number): this {
    this.#numbers = numbers
    this.#windows = from
    this.#variance = from + 1
    this.#least = least ** 2
    return this
  }

  /** Nothing is known yet. `prior`: the standard deviation that is believed at first. */
  begin(prior: number): void {
    this.#numbers[this.#windows] = 0
    this.#numbers.fill(prior ** 2, this.#variance, this.#variance + SCALES.length)
  }

  /** Variance from window to window at the shortest scale. */
  get variance(): number {
    return this.#numbers[this.#variance]
  }

  /** A window from which is learned. Before it is judged by its scales. */
  next(): void {
    this.#numbers[this.#windows] = Math.min(LEARNED_WINDOWS, this.#numbers[this.#windows] + 1)
  }

  /** The standard deviation of a departure whose variance by chance is `sampling`. */
  sd(scale: number, sampling: number): number {
    return Math.sqrt(sampling + this.#numbers[this.#variance + scale])
  }

  /**
   * How many standard deviations a departure is.
   * @param sampling the variance of `shift` that is due to chance
   * @param learn it also teaches how much is usual
   */
  judge(scale: number, shift: number, sampling: number, learn: boolean): number {
    const between = this.#numbers[this.#variance + scale]
    const whole = sampling + between
    if (learn) {
      const excess = Math.min(shift * shift, CLIP ** 2 * whole) - sampling
      const share = 1 / (PRIOR_WINDOWS + this.#numbers[this.#windows])
      this.#numbers[this.#variance + scale] = Math.max(this.#least, between + share * (excess - between))
    }
    return shift / Math.sqrt(whole)
  }

  /** The same, and nothing is learned. */
  z(scale: number, shift: number, sampling: number): number {
    return shift / Math.sqrt(sampling + this.#numbers[this.#variance + scale])
  }

  /** What is kept over a restart. */
  store(): readonly number[] {
    return [...this.#numbers.subarray(this.#windows, this.#windows + Spread.WIDTH)]
  }

  restore(stored: readonly number[]): void {
    this.#numbers.set(stored.slice(0, Spread.WIDTH), this.#windows)
  }
}

/** One view for all, which holds until the next is asked for. */
const VIEW = new Spread()

/** What is judged against a spread, with numbers in a row that begins with it. */
export class RowTrack {
  protected numbers: Float32Array
  protected from: number
  protected readonly least: number

  /** In a row of `numbers`. `least`: the standard deviation that is believed at least. */
  constructor(numbers: Float32Array, from: number, least: number) {
    this.numbers = numbers
    this.from = from
    this.least = least
  }

  /** Stands elsewhere from now on: what it took up is used by others. */
  release(numbers: Float32Array, from: number): void {
    this.numbers = numbers
    this.from = from
  }

  protected get spread(): Spread {
    return VIEW.at(this.numbers, this.from, this.least)
  }
}
