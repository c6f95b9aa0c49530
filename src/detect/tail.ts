//! How often a statistic rises to a value in calm times: the record of its peaks, what is believed before there is one, and the far tail.

const DAY_MS = 86_400_000
/** What is older says little about today. */
const DAYS_KEPT = 28
/** Peaks kept, the largest: the tail is what matters. */
const MOST_PEAKS = 2000
/** From here on the tail is read off an exponential law above the value that was exceeded so often. */
const TAIL_COUNT = 25
/** Before it is known how busy a deployment is with small peaks, it is taken to have shown so many, as many as were believed. */
const PRIOR_PEAKS = 3
/** Nothing is said of values that are rarer than this a day. */
const LEAST_RATE = 1e-12

export interface Belief {
  /** Expected exceedances a day of a value, by what was not seen; `days` of calm times were. Decreasing in the value. */
  readonly rate: (value: number, days: number) => number
  /** How many days of observation that weighs. */
  readonly days: number
  /**
   * A value that is exceeded many times a day. How often it is in fact says within hours how much of the belief to believe (a Gamma
   * prior on the factor, and counts by Poisson's law).
   */
  readonly common?: number
}

/**
 * Peaks over thresholds. Up to the 25th largest peak the rate is counted; beyond it the excesses are taken as exponential, their mean
 * estimated by its maximum likelihood (Pickands 1975, with the shape held at zero, which few peaks cannot tell from others).
 */
export class PeakRecord {
  readonly #belief: Belief
  readonly #learns: boolean
  /** The deployment's size as a part of the one that the belief is about. */
  size = 1
  #observedMs = 0
  #times: number[] = []
  #values: number[] = []
  #sorted = new Float64Array(0)
  #stale = false
  #tailFrom = 0
  #tailScale = 1

  /** `learns`: whether what is noted counts, or what was believed beforehand stands for ever. */
  constructor(belief: Belief, learns = true) {
    this.#belief = belief
    this.#learns = learns
  }

  /** Calm time has passed, in which every peak would have been noted. */
  pass(ms: number): void {
    if (this.#learns) this.#observedMs += ms
  }

  note(timeMs: number, value: number): void {
    if (!this.#learns) return
    this.#times.push(timeMs)
    this.#values.push(value)
    this.#stale = true
    if (this.#values.length > MOST_PEAKS * 1.25) this.#trim()
  }

  get days(): number {
    return Math.min(DAYS_KEPT, this.#observedMs / DAY_MS)
  }

  /** Expected exceedances a day. */
  rate(value: number): number {
    if (this.#stale) this.#sort()
    const { days } = this.#belief
    return Math.max(
      LEAST_RATE,
      (this.#exceedances(value) + days * this.#believed(value)) / (this.days + days),
    )
  }

  #believed(value: number): number {
    const { rate, common } = this.#belief
    const believed = this.size * rate(value, this.days)
    if (common === undefined) return believed
    const expected = this.size * rate(common, this.days) * this.days
    return (believed * (PRIOR_PEAKS + this.#exceedances(common))) / (PRIOR_PEAKS + expected)
  }

  /** The value that is exceeded so often a day, between the two bounds. */
  level(perDay: number, low: number, high: number): number {
    for (let step = 0; step < 40; step++) {
      const middle = (low + high) / 2
      if (this.rate(middle) > perDay) low = middle
      else high = middle
    }
    return high
  }

  /** Forgets what is too old. To be called now and then. */
  forget(nowMs: number): void {
    const oldest = nowMs - DAYS_KEPT * DAY_MS
    if (this.#times.length === 0 || this.#times.every(time => time >= oldest)) return
    const kept = this.#times.map((_, at) => at).filter(at => this.#times[at] >= oldest)
    this.#keep(kept)
  }

  #exceedances(value: number): number {
    const sorted = this.#sorted
    let low = 0
    let high = sorted.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (sorted[middle] > value) high = middle
      else low = middle + 1
    }
    const count = sorted.length - low
    if (count >= TAIL_COUNT || sorted.length < TAIL_COUNT) return count
    return TAIL_COUNT * Math.exp(-(value - this.#tailFrom) / this.#tailScale)
  }

  #sort(): void {
    this.#stale = false
    const sorted = Float64Array.from(this.#values).sort()
    this.#sorted = sorted
    if (sorted.length < TAIL_COUNT) return
    this.#tailFrom = sorted[sorted.length - TAIL_COUNT]
    let excess = 0
    for (let at = sorted.length - TAIL_COUNT; at < sorted.length; at++) excess += sorted[at] - this.#tailFrom
    // The lowest of them is the threshold itself, and has no excess.
    this.#tailScale = Math.max(1e-3, excess / (TAIL_COUNT - 1))
  }

  #trim(): void {
    const order = this.#values.map((_, at) => at).sort((a, b) => this.#values[b] - this.#values[a])
    this.#keep(order.slice(0, MOST_PEAKS).sort((a, b) => a - b))
  }

  #keep(places: readonly number[]): void {
    this.#times = places.map(at => this.#times[at])
    this.#values = places.map(at => this.#values[at])
    this.#stale = true
  }

  store(): {
    readonly observedMs: number
    readonly times: readonly number[]
    readonly values: readonly number[]
  } {
    return { observedMs: this.#observedMs, times: this.#times, values: this.#values }
  }

  restore(from: ReturnType<PeakRecord['store']>): void {
    this.#observedMs = from.observedMs
    this.#times = [...from.times]
    this.#values = [...from.values]
    this.#stale = true
  }
}
