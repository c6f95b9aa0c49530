//! The failure baseline of a series: how often its spans fail, and whether a single failure is worth a mark.
import { MIN_SAMPLES } from './latency.ts'
import type { Summary } from './summary.ts'

/** A series whose spans fail less often than this practically never fails. */
const RARE_RATE = 0.0025

/** Owned by the learner, changed in place. Weights, not counts: both forget. */
export interface FailureState {
  spans: number
  failures: number
}

export interface FailureModel {
  readonly samples: number
  /** How many of the samples failed. */
  readonly failures: number
  /** Share of spans that fail, between 0 and 1, with half a failure added: zero failures in 200 are no proof of never. */
  readonly rate: number
  /** Whether one failed span is an outlier. */
  readonly rare: boolean
}

export function forgetFailure(state: FailureState, factor: number): void {
  state.spans *= factor
  state.failures *= factor
}

export function learnFailure(state: FailureState, window: Summary): void {
  state.spans += window.count
  state.failures += window.failures
}

/** The rate is Jeffreys' estimate, shrunk towards one half by a single span. */
export function failureModel(state: FailureState): FailureModel {
  const rate = (state.failures + 0.5) / (state.spans + 1)
  return {
    samples: Math.round(state.spans),
    failures: Math.round(state.failures),
    rate,
    rare: state.spans >= MIN_SAMPLES && rate <= RARE_RATE,
  }
}

/** How surprising one failure is: its information against that at the limit, so 1 at the limit as for every detector. */
export const failureScore = (rate: number): number => Math.log(rate) / Math.log(RARE_RATE)
