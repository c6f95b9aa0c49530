//! How much slower than others what has just started is at each age, learned from all that start: caches are cold, code is not compiled.

/** What is this old has warmed up. */
export const YOUTH_MS = 5 * 60_000
/** Ages that are told apart. */
const STEP_MS = 30_000
const STEPS = YOUTH_MS / STEP_MS

/** Before any was seen: the logarithm of how much slower, and how much that differs. It weighs as much as so many that started. */
const PRIOR_MEAN = 0.4
const PRIOR_SPREAD = 0.6
const PRIOR = 4
/** After so many half of what is known counts. */
const HALF_KNOWN = 1
/** It is learned over so many. */
const MOST = 200
/** None is believed to be further off than so many standard deviations. */
const CLIP = 2.5
const LEAST_VARIANCE = 0.05 ** 2
/** So many windows wait to be learned; what would be more is not. */
const MOST_NOTED = 20_000

/** What one showed in one window. */
interface Noted {
  readonly dueMs: number
  readonly step: number
  readonly shift: number
  readonly sampling: number
  readonly windowMs: number
}

/** By age, mean and variance of the logarithm of how much slower (moments, followed one observation after another). */
export class WarmUp {
  readonly #weights = new Float64Array(STEPS).fill(PRIOR)
  readonly #means = new Float64Array(STEPS).fill(PRIOR_MEAN)
  readonly #variances = new Float64Array(STEPS).fill(PRIOR_SPREAD ** 2)

  #noted: Noted[] = []

  /** How much of it is known, from 0 to 1: until some have started nothing is taken for usual. */
  get known(): number {
    return knownBy(Math.min(...this.#weights))
  }

  /** What is usual at an age, as a logarithm. */
  mean(ageMs: number): number {
    const step = stepOf(ageMs)
    return knownBy(this.#weights[step]) * this.#means[step]
  }

  /** Its variance from one to another. */
  variance(ageMs: number): number {
    const step = stepOf(ageMs)
    return knownBy(this.#weights[step]) * this.#variances[step]
  }

  /**
   * Takes note of how much slower one was in a window. It is learned when that one has grown old, so that nobody excuses itself.
   * @param shift the logarithm
   * @param sampling its variance by chance
   */
  note(nowMs: number, ageMs: number, shift: number, sampling: number, windowMs: number): void {
    if (this.#noted.length < MOST_NOTED)
      this.#noted.push({ dueMs: nowMs - ageMs + YOUTH_MS, step: stepOf(ageMs), shift, sampling, windowMs })
  }

  /** Learns what is due. Once for each window. */
  turn(nowMs: number): void {
    if (this.#noted.length === 0) return
    for (const one of this.#noted) if (one.dueMs <= nowMs) this.#learn(one)
    this.#noted = this.#noted.filter(({ dueMs }) => dueMs > nowMs)
  }

  #learn({ step, shift, sampling, windowMs }: Noted): void {
    const variance = this.#variances[step]
    const whole = variance + sampling
    // All windows of a step together are one observation, and less where chance hides it.
    const part = (Math.min(1, windowMs / STEP_MS) * variance) / whole
    const weight = Math.min(MOST, this.#weights[step] + part)
    const bound = CLIP * Math.sqrt(whole)
    const off = Math.max(-bound, Math.min(bound, shift - this.#means[step]))
    this.#weights[step] = weight
    this.#means[step] += (part / weight) * off
    const excess = off * off - sampling - variance
    this.#variances[step] = Math.max(LEAST_VARIANCE, variance + (part / weight) * excess)
  }

  /** What is kept over a restart. */
  store(): readonly number[] {
    return [...this.#weights, ...this.#means, ...this.#variances]
  }

  restore(kept: readonly number[]): void {
    if (kept.length !== 3 * STEPS) return
    this.#weights.set(kept.slice(0, STEPS))
    this.#means.set(kept.slice(STEPS, 2 * STEPS))
    this.#variances.set(kept.slice(2 * STEPS))
  }
}

const knownBy = (weight: number): number => (weight - PRIOR) / (weight - PRIOR + HALF_KNOWN)

const stepOf = (ageMs: number): number => Math.max(0, Math.min(STEPS - 1, Math.floor(ageMs / STEP_MS)))
