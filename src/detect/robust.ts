//! The middle of a histogram of logarithms, hardly moved by a minority that lies far out.

/** Samples count as lying at most so many spreads from the median. */
const CLIP = 1.5
/** Wide enough for a femtosecond to a year in eighths of e. */
const MOST_BUCKETS = 512

export interface Middle {
  /** Effective samples. */
  n: number
  /** In units of one bucket. */
  mean: number
  /** Mean of squared distances from it, by what the samples count as. */
  variance: number
}

/**
 * Huber's estimate of location by one step from the median (Huber 1964), on a histogram that is cleared on the way. Something that
 * delays a fifth of the samples a hundredfold moves it by little; something that slows all of them down moves it by as much.
 */
export class Histogram {
  readonly #weights = new Float64Array(MOST_BUCKETS)
  #low = MOST_BUCKETS
  #high = -1
  #total = 0

  add(bucket: number, weight: number): void {
    const at = bucket < 0 ? 0 : bucket >= MOST_BUCKETS ? MOST_BUCKETS - 1 : bucket
    this.#weights[at] += weight
    this.#total += weight
    if (at < this.#low) this.#low = at
    if (at > this.#high) this.#high = at
  }

  /**
   * Takes the middle out and leaves nothing behind.
   * @param n effective number of samples
   * @param spread the usual standard deviation of single samples, in buckets
   */
  take(n: number, spread: number, into: Middle): void {
    const weights = this.#weights
    into.n = n
    into.mean = 0
    into.variance = 0
    const total = this.#total
    if (total > 0) {
      const median = this.#median()
      const bound = CLIP * spread
      let sum = 0
      for (let at = this.#low; at <= this.#high; at++) {
        if (weights[at] === 0) continue
        sum += weights[at] * Math.max(-bound, Math.min(bound, at - median))
      }
      const mean = median + sum / total
      let squares = 0
      const wide = 2 * bound
      for (let at = this.#low; at <= this.#high; at++) {
        if (weights[at] === 0) continue
        const off = Math.max(-wide, Math.min(wide, at - mean))
        squares += weights[at] * off * off
        weights[at] = 0
      }
      into.mean = mean
      into.variance = squares / total
    } else into.n = 0
    this.#low = MOST_BUCKETS
    this.#high = -1
    this.#total = 0
  }

  #median(): number {
    const half = this.#total / 2
    let below = 0
    for (let at = this.#low; at <= this.#high; at++) {
      const weight = this.#weights[at]
      if (below + weight >= half) return at - 0.5 + (half - below) / weight
      below += weight
    }
    return this.#high
  }
}
