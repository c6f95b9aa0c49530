//! How far beyond the usual a place goes now and then: of two places with the same spread one may have a much longer tail.
import { SCALES } from './scales.ts'

/** From this z on a window is beyond. */
export const BEYOND = 1.5
/** Where nothing is known a place is taken to be like others: that weighs as much as so many windows of the shortest scale that were beyond. */
const PRIOR = 20
/** It is learned over so many of them. */
const MOST = 200

/** What a run of windows beyond has shown so far, by scale. It is learned when it is over and was no fault. */
export class Run {
  readonly n: number[] = SCALES.map(() => 0)
  readonly sum: number[] = SCALES.map(() => 0)

  /** A window beyond. Those of a longer scale overlap, and count for less. */
  note(scale: number, z: number): void {
    const weight = SCALES[0] / SCALES[scale]
    this.n[scale] += weight
    this.sum[scale] += weight * (z - BEYOND)
  }
}

/** The mean excess over a threshold, by scale (Davison and Smith 1990): of an exponential tail it is what it falls to an e-th in. */
export class Excess {
  /** Numbers of a row: by scale how much was beyond, and its mean excess. */
  static readonly WIDTH = 2 * SCALES.length
  readonly #numbers: Float32Array
  readonly #from: number
  readonly #usual: number
  readonly #least: number

  /**
   * In a row of `numbers`.
   * @param usual the mean excess of most places of its kind
   * @param least no place's is believed to be smaller
   */
  constructor(numbers: Float32Array, from: number, usual: number, least = 0) {
    this.#numbers = numbers
    this.#from = from
    this.#usual = usual
    this.#least = least
  }

  learn({ n, sum }: Run): void {
    for (let scale = 0; scale < SCALES.length; scale++) {
      if (n[scale] === 0) continue
      const at = this.#from + 2 * scale
      const weight = Math.min(MOST, this.#numbers[at] + n[scale])
      const mean = this.#numbers[at + 1]
      this.#numbers[at] = weight
      this.#numbers[at + 1] += (sum[scale] - n[scale] * mean) / Math.max(weight, n[scale])
    }
  }

  /** z by the place's own measure: what it would be at a place whose tail is like most others'. */
  measured(scale: number, z: number): number {
    if (!(z > BEYOND)) return z
    const at = this.#from + 2 * scale
    const n = this.#numbers[at]
    const own = (PRIOR * this.#usual + n * this.#numbers[at + 1]) / (PRIOR + n)
    return BEYOND + ((z - BEYOND) * this.#usual) / Math.max(this.#least, own)
  }

  /** What is kept over a restart. */
  store(): readonly number[] {
    return [...this.#numbers.subarray(this.#from, this.#from + Excess.WIDTH)]
  }

  restore(kept: readonly number[]): void {
    this.#numbers.set(kept.slice(0, Excess.WIDTH), this.#from)
  }
}
