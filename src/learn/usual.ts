//! What is usual of spans that were drawn: how many they stand for, how long they take, and how many failed.
import { doubles } from '../base/doubles.ts'
import { singleSlots } from '../base/slots.ts'
import type { Before } from '../detect/contributors.ts'
import { effective } from '../detect/significance.ts'

/** Sums of weights and of their squares, the mean, weighted squares of distances from it, weights of what failed, and spans that had not. */
const [W, W2, MEAN, SQUARES, FAILED, FINE] = [0, 1, 2, 3, 4, 5] as const
const WIDTH = 6

/** Effective numbers, mean and squares of durations, and failures. */
export class Usual {
  readonly #sums: number[] | Float32Array
  readonly #from: number

  constructor(sums: number[] | Float32Array = doubles(WIDTH), from = 0) {
    this.#sums = sums
    this.#from = from
  }

  add(weight: number, y: number, failed: boolean): void {
    const sums = this.#sums
    const from = this.#from
    sums[from + W] += weight
    sums[from + W2] += weight * weight
    const off = y - sums[from + MEAN]
    sums[from + MEAN] += (off * weight) / sums[from + W]
    sums[from + SQUARES] += weight * off * (y - sums[from + MEAN])
    if (failed) sums[from + FAILED] += weight
    else sums[from + FINE]++
  }

  get mean(): number {
    return this.#sums[this.#from + MEAN]
  }

  get n(): number {
    return effective(this.#sums[this.#from + W], this.#sums[this.#from + W2])
  }

  halve(): void {
    // The effective number halves with the weights.
    for (const sum of [W, W2, SQUARES, FAILED, FINE]) this.#sums[this.#from + sum] /= 2
  }

  before(hurt: 'slow' | 'failed'): Before {
    const { n } = this
    const [w, , mean, squares, failed, fine] = this.#sums.slice(this.#from, this.#from + WIDTH)
    if (!(w > 0)) return { n: 0, mean: 0, variance: 0, fine: 0 }
    const rate = failed / w
    return hurt === 'slow'
      ? { n, mean, variance: squares / w, fine }
      : { n, mean: rate, variance: rate * (1 - rate), fine }
  }
}

/** Who has a usual knows its row by number. */
interface Owner {
  usualRow: number
}
export const NO_ROW = -1

/** One for each of thousands of series: rows, and objects only while one of them is looked at. */
export class Usuals {
  readonly #slots = singleSlots(WIDTH)

  /** How many there are. */
  get size(): number {
    return this.#slots.size
  }

  of({ usualRow }: Owner): Usual | null {
    return usualRow === NO_ROW ? null : new Usual(this.#slots.pieceOf(usualRow), this.#slots.fromOf(usualRow))
  }

  begin(owner: Owner): Usual {
    owner.usualRow = this.#slots.take()
    return this.of(owner) as Usual
  }

  forget(owner: Owner): void {
    if (owner.usualRow !== NO_ROW) this.#slots.give(owner.usualRow)
    owner.usualRow = NO_ROW
  }
}
