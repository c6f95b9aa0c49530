//! How far out a difference lies: odds, shares and means of few samples as a normal law's z, and its tail.

/** How many equal samples are as sure as some whose weights sum up to `w`, and their squares to `w2` (Kish 1965). */
export const effective = (w: number, w2: number): number => (w2 > 0 ? (w * w) / w2 : 0)

/**
 * How far out the odds of `a` against `b` lie above those of `c` against `d`, in standard errors of the logarithm of their ratio, with
 * Jeffreys' prior.
 */
export function oddsZ(a: number, b: number, c: number, d: number): number {
  const [hurt, hurtRest, fine, fineRest] = [a, b, c, d].map(cell => Math.max(0, cell) + 0.5)
  const error = Math.sqrt(1 / hurt + 1 / hurtRest + 1 / fine + 1 / fineRest)
  return Math.log((hurt * fineRest) / (hurtRest * fine)) / error
}

/** The variance of a share, by Jeffreys' estimate of it. */
export function doubtOf(share: number, n: number): number {
  const p = (n * share + 0.5) / (n + 1)
  return (p * (1 - p)) / n
}

/** The z that is as far out as this t (Wallace 1959). */
export function asNormal(t: number, freedom: number): number {
  const z = Math.sqrt(freedom * Math.log1p((t * t) / freedom))
  return (Math.sign(t) * z * (8 * freedom + 1)) / (8 * freedom + 3)
}

/** An upper bound of the normal law's tail beyond z > 0 (Mills). */
export const tailOf = (z: number): number => Math.exp((-z * z) / 2) / (z * Math.sqrt(2 * Math.PI))
