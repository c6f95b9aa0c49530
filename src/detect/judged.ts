//! What the last windows of one place say on one scale, before anybody asks how unusual that is.

export interface Judged {
  /** How far beyond, in standard deviations of what sampling and the usual change from window to window explain. */
  z: number
  /** The departure itself: of durations in logarithms, of shares their difference, of counts in logarithms. */
  shift: number
  /** The standard deviation that z counts in; 0 where nothing is judged. */
  sd: number
  /** What is normal, in the same form. */
  level: number
  /** What it rests on: samples; for counts the number expected. */
  n: number
}

/** As it is made. Reused; holds until the next judgement. */
export interface Judgement extends Judged {
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
export const judgedCopy = ({ z, shift, sd, level, n }: Judged): Judged => ({ z, shift, sd, level, n })

/** Numbers of a row that one takes. */
export const JUDGED_WIDTH = 5

/** The one that stands in a row from there on. */
export class JudgedAt implements Judged {
  readonly #numbers: Float32Array
  readonly #from: number

  constructor(numbers: Float32Array, from: number) {
    this.#numbers = numbers
    this.#from = from
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

  get sd(): number {
    return this.#numbers[this.#from + 2]
  }

  set sd(value: number) {
    this.#numbers[this.#from + 2] = value
  }

  get level(): number {
    return this.#numbers[this.#from + 3]
  }

  set level(value: number) {
    this.#numbers[this.#from + 3] = value
  }

  get n(): number {
    return this.#numbers[this.#from + 4]
  }

  set n(value: number) {
    this.#numbers[this.#from + 4] = value
  }
}
