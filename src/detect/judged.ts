//! What the last windows of one place say on one scale, before anybody asks how unusual that is.

export interface Judged {
  /** How far beyond, in standard deviations of what sampling and the usual change from window to window explain. */
  z: number
  /** The departure itself: of durations in logarithms, of shares their difference, of counts in logarithms. */
  shift: number
  /** What is normal, in the same form. */
  level: number
  /** What it rests on: samples; for counts the number expected. */
  n: number
}

/** As it is made. Reused; holds until the next judgement. */
export interface Judgement extends Judged {
  /** The standard deviation that z counts in; 0 where nothing is judged. */
  sd: number
  /** The same as `z` by the later half of these windows alone, and by the earlier: what lasts shows in both. */
  later: number
  earlier: number
}

export const newJudged = (): Judgement => ({ z: 0, shift: 0, sd: 0, level: 0, n: 0, later: 0, earlier: 0 })

/** Nothing is judged; the level stays. */
export function clearJudged(judged: Judgement): void {
  judged.z = judged.shift = judged.sd = judged.n = judged.later = judged.earlier = 0
}

/** By itself: it stays as it is. */
export const judgedCopy = ({ z, shift, level, n }: Judged): Judged => ({ z, shift, level, n })

/** Numbers of a row that all scales together take: one level, which is the same on all of them but for their length, and of each the others. */
export const judgedWidth = (scales: number): number => 1 + 3 * scales

/** One scale of those that stand in a row from there on. */
export class JudgedAt implements Judged {
  readonly #numbers: Float32Array
  readonly #level: number
  readonly #from: number
  readonly #windows: number

  /** `windows`: those that the scale has, of what grows with them; otherwise 1. */
  constructor(numbers: Float32Array, from: number, scale: number, windows: number) {
    this.#numbers = numbers
    this.#windows = windows
    this.#level = from
    this.#from = from + 1 + 3 * scale
  }

  get z(): number {
    return this.#numbers[this.#from]
  }

  set z(value: number) {
    this.#numbers[this.#from] = value
  }

  get shift(): number {
    return this.#numbers[this.#from + 1]
  }

  set shift(value: number) {
    this.#numbers[this.#from + 1] = value
  }

  get level(): number {
    return this.#numbers[this.#level] * this.#windows
  }

  set level(value: number) {
    this.#numbers[this.#level] = value / this.#windows
  }

  get n(): number {
    return this.#numbers[this.#from + 2]
  }

  set n(value: number) {
    this.#numbers[this.#from + 2] = value
  }
}
