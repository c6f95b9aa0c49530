//! The few statistics that the figures need: intervals of shares, and the law of rare events.

const Z95 = 1.959964

/** The 95 % interval of a share after Wilson. Of nothing, everything is possible. */
export function wilson(hits: number, of: number): readonly [number, number] {
  if (of === 0) return [0, 1]
  const share = hits / of
  const square = Z95 ** 2
  const middle = (share + square / (2 * of)) / (1 + square / of)
  const half = (Z95 * Math.sqrt((share * (1 - share) + square / (4 * of)) / of)) / (1 + square / of)
  return [Math.max(0, middle - half), Math.min(1, middle + half)]
}

/** The probability that a Poisson law of this mean gives at most `count`. */
export function poissonAtMost(count: number, mean: number): number {
  if (count < 0) return 0
  let term = Math.exp(-mean)
  let sum = term
  for (let n = 1; n <= count; n++) {
    term *= mean / n
    sum += term
  }
  return Math.min(1, sum)
}

/** The probability that a Poisson law of this mean gives `count` or more. */
export const poissonAtLeast = (count: number, mean: number) => 1 - poissonAtMost(count - 1, mean)

/** The greatest mean that a count as small as this does not refute: the one-sided 95 % upper bound. */
export function poissonUpper(count: number): number {
  let [low, high] = [count, count + 10 + 5 * Math.sqrt(count + 1)]
  for (let n = 0; n < 60; n++) {
    const middle = (low + high) / 2
    if (poissonAtMost(count, middle) > 0.05) low = middle
    else high = middle
  }
  return high
}

/** A quantile of values of which some are missing, and count as endless. NaN of none. */
export function quantile(values: readonly number[], share: number): number {
  if (values.length === 0) return Number.NaN
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)]
}
