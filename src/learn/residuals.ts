//! How far the samples of a window lie from the levels of their series, summed for the place that they belong to.
import type { Middle } from '../detect/robust.ts'
import type { Feature } from './feature.ts'
import type { LaggedLevel } from './lagged.ts'

/** The sums of one service or pod in one window. */
export interface Parts {
  residual: number
  variance: number
  doubt: number
  n: number
  level: number
  traces: number
  origins: number
  weights: number
  squares: number
}
export const newParts = (): Parts => ({
  residual: 0,
  variance: 0,
  doubt: 0,
  n: 0,
  level: 0,
  traces: 0,
  origins: 0,
  weights: 0,
  squares: 0,
})

/**
 * The mean of one series in one window counts as at most so many spreads away, and one more for every so many samples; as many times
 * as far where the windows before were far out too.
 */
const FEW_SPREADS = 3
const FEW_SAMPLES = 3

/** Adds what one series says in one window to `into`. Nothing while its level is not known. */
export function residualOf(level: LaggedLevel, { n, mean }: Middle, into: Parts): Parts {
  if (!level.isReady || !(n > 0)) return into
  // One sample of a heavy tail is not yet a level: the fewer there are, the less far out they count as lying.
  const bound = Math.sqrt(level.variance) * (FEW_SPREADS + (n - 1) / FEW_SAMPLES) * (1 + level.farWindows)
  into.residual += n * Math.max(-bound, Math.min(bound, mean - level.mean))
  into.variance += n * level.variance
  into.doubt += (n * n * level.variance) / level.samples
  into.n += n
  into.level += n * level.mean
  return into
}

/** What a surge of requests explains of a rise is nobody's. `surge`: the logarithm of how many times as many come. */
export function excuse(said: Parts, surge: number): Parts {
  if (said.residual > 0) said.residual = Math.max(0, said.residual - said.n * surge)
  return said
}

export function addParts(to: Parts, from: Parts): void {
  to.residual += from.residual
  to.variance += from.variance
  to.doubt += from.doubt
  to.n += from.n
  to.level += from.level
}

export function add(feature: Feature, { residual, variance, doubt, n, level }: Parts): void {
  feature.a += residual
  feature.b += variance
  feature.c += doubt
  feature.d += n
  feature.e += level
}
