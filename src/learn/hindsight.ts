//! What was a fault beyond doubt when it came: a day later it says how often this deployment does the like.

/** So long it waits: a day of faults makes nobody deaf on that day. */
const WAITS_MS = 24 * 3_600_000
/** No more of one day teach: a bad day is no usual one. */
const MOST_A_DAY = 3
const MOST_WAITING = 1000

/** A peak of the deciding statistic, and when it was. */
type Peak = readonly [peakMs: number, peak: number]

/**
 * Peaks that are no part of calm times, until they are old. Left out for ever, the record would end where doubt ends, and what a
 * deployment does by itself week after week would be told each time, whatever the budget.
 */
export class Hindsight {
  readonly #note: (peakMs: number, peak: number) => void
  #waiting: Peak[] = []
  /** Those that were noted in the day before the last one. */
  #noted: number[] = []

  constructor(note: (peakMs: number, peak: number) => void) {
    this.#note = note
  }

  add(peakMs: number, peak: number): void {
    if (this.#waiting.length < MOST_WAITING) this.#waiting.push([peakMs, peak])
  }

  /** After each window. */
  turn(nowMs: number): void {
    while (this.#waiting.length > 0 && this.#waiting[0][0] <= nowMs - WAITS_MS) {
      const [peakMs, peak] = this.#waiting.shift() as Peak
      this.#noted = this.#noted.filter(ms => ms > peakMs - WAITS_MS)
      if (this.#noted.length >= MOST_A_DAY) continue
      this.#noted.push(peakMs)
      this.#note(peakMs, peak)
    }
  }

  /** What is kept over a restart. */
  store(): { readonly waiting: readonly Peak[]; readonly noted: readonly number[] } {
    return { waiting: this.#waiting, noted: this.#noted }
  }

  restore({ waiting, noted }: ReturnType<Hindsight['store']>): void {
    this.#waiting = [...waiting]
    this.#noted = [...noted]
  }
}
