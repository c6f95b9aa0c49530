//! Some places depart in calm times far more often than others of their kind: there it means less.

/** Where nothing is known a place is taken to be like others: that weighs as much as so many departures. */
const PRIOR = 0.3
/** And that it has been quiet proves no more than that it departs half as often as others: few places make up a small deployment. */
const LEAST = 1 / 2
/** What a place did weighs half after this long. */
const HALF_LIFE_MS = 2 * 86_400_000

/**
 * How many times as often as others of its kind a place is expected to depart by chance, as a logarithm. Departures are counts by Poisson's
 * law whose rate has a factor for each place; the factor has a Gamma law, and this is its mean once they have been counted (a frailty:
 * Vaupel, Manton and Stallard 1979).
 * @param own departures of the place in calm times
 * @param usual the same of the average place of its kind
 */
export const frailty = (own: number, usual: number): number =>
  Math.log(Math.max(LEAST, (PRIOR + own) / (PRIOR + usual)))

/** What is left of a count after so long. */
export const faded = (count: number, ms: number): number => count * 0.5 ** (ms / HALF_LIFE_MS)
