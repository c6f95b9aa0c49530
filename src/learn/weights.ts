//! Samples that stand for many: how much of a share, and of a count, they are.
import type { Feature } from './feature.ts'

/** What weights say of how many there are that stand for so many: sums of the weights and of their squares. */
interface Weights {
  readonly weights: number
  readonly squares: number
}

/** What one stands for on average, by weight: 1 where all spans are recorded (Kish 1965). */
export const unitOf = ({ weights, squares }: Weights): number => (weights > 0 ? squares / weights : 1)

/** A share of samples that stand for many is as uncertain as the number of samples makes it. */
export function share(feature: Feature, hits: number, whole: number, of: Weights): void {
  const unit = unitOf(of)
  feature.a += hits / unit
  feature.b += whole / unit
}

/** A count is what the samples stand for; `b` says what one of them does. */
export function count(feature: Feature, times: number, of: Weights): void {
  feature.a += times
  feature.b += times * unitOf(of)
}
