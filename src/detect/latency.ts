//! The latency baseline of a series: a decaying histogram, its band, and the limit past which a single span is an outlier.
import { bucketMiddle, bucketOf, Sketch } from '../base/sketch.ts'
import { clearlyMore } from './share.ts'
import type { Summary } from './summary.ts'

/** Fewer samples than this make no claim. */
export const MIN_SAMPLES = 200
/** The floors: a span must last this many times the 99th percentile, and this much beyond it. */
const FLOOR_RATIO = 2
const FLOOR_NS = 5e6
/** The share of spans that may lie beyond the limit in a series that behaves as learned. */
const TAIL_SHARE = 5e-4
/**
 * A quantile of few samples is uncertain, so the limit is widened by this over the square root of their number: by a third for
 * 200, by a twentieth for 10,000. What that spares in calm minutes, and what it costs, is in decision 12 of src/README.md.
 */
const CAUTION = 5
/** Where the tail begins. */
const TAIL_FROM = 0.98
/** Few samples say little about a tail: they are joined by so many imagined ones with a tail index of 0.15. */
const PRIOR_WEIGHT = 10
const PRIOR_INDEX = 0.15
/** Heavier tails than this are a second mode that the band will cover once it is learned. */
const MAX_INDEX = 0.8

/** What a series has learned. Owned by the learner, changed in place. */
export interface LatencyState {
  within: Sketch
  /** Outliers met while nothing was wrong: they belong to the tail, not to the level. Shared while there are none. */
  beyond: Sketch
  /** The limit in force when they were met last. */
  limitNs: number
}

/** What the data plane needs of it. All in nanoseconds. */
export interface LatencyModel {
  readonly samples: number
  readonly p50Ns: number
  /** The band in which 98 of 100 spans lie. */
  readonly lowerNs: number
  readonly upperNs: number
  /** A longer span is an outlier. Infinity while there are too few samples. */
  readonly limitNs: number
}

/** Most series have none. Nobody writes to it. */
export const NO_OUTLIERS: Sketch = new Sketch()

/** How many samples the state stands for, after forgetting. */
export const latencySamples = (state: LatencyState): number => state.within.total + state.beyond.total

export function forgetLatency(state: LatencyState, factor: number): void {
  state.within.scale(factor)
  if (state.beyond !== NO_OUTLIERS) state.beyond.scale(factor)
}

export function learnLatency(state: LatencyState, window: Summary): void {
  state.within.merge(window.within)
  if (window.beyond.total === 0) return
  if (state.beyond === NO_OUTLIERS) state.beyond = new Sketch()
  state.beyond.merge(window.beyond)
}

/** The model of a state; it also becomes the limit that the state's next outliers are measured by. */
export function latencyModel(state: LatencyState): LatencyModel {
  const samples = latencySamples(state)
  const at = (q: number) => quantileWithBeyond(state, q)
  const upperNs = at(0.99)
  const limitNs =
    samples < MIN_SAMPLES
      ? Number.POSITIVE_INFINITY
      : (1 + CAUTION / Math.sqrt(samples)) *
        Math.max(FLOOR_RATIO * upperNs, upperNs + FLOOR_NS, tailQuantile(state, TAIL_SHARE))
  state.limitNs = limitNs
  return { samples: Math.round(samples), p50Ns: at(0.5), lowerNs: at(0.01), upperNs, limitNs }
}

/**
 * How far a span lies beyond the limit: 1 at the limit, one more for every doubling.
 * Below 1 for spans within it.
 */
export const latencyScore = (durationNs: number, limitNs: number): number =>
  durationNs > 0 ? Math.max(0, 1 + Math.log2(durationNs / limitNs)) : 0

/**
 * Whether a window holds clearly more than the usual share of spans beyond the band. The comparison is by whole buckets, so that
 * what is usual is counted in the same way as what is seen.
 */
export function departs(state: LatencyState, window: Summary): boolean {
  const upper = bucketOf(quantileWithBeyond(state, 0.99))
  const seen = weightAbove(window.within, upper) + window.beyond.total
  const usual = (weightAbove(state.within, upper) + state.beyond.total) / latencySamples(state)
  return clearlyMore(seen, window.within.total + window.beyond.total, usual)
}

function weightAbove({ counts, first }: Sketch, bucket: number): number {
  let weight = 0
  for (let i = Math.max(0, bucket + 1 - first); i < counts.length; i++) weight += counts[i]
  return weight
}

/** The weight above `from`, and the sum of the logarithms of how far above; no value counts for more than `cap`. */
function tailAbove({ counts, first }: Sketch, from: number, cap: number): { weight: number; logs: number } {
  let weight = 0
  let logs = 0
  for (let i = counts.length - 1; i >= 0; i--) {
    const middle = bucketMiddle(first + i)
    if (middle <= from) break
    weight += counts[i]
    logs += counts[i] * Math.log(Math.min(middle, cap) / from)
  }
  return { weight, logs }
}

/** The outliers count as lying above all that lies within. */
function quantileWithBeyond(state: LatencyState, q: number): number {
  const total = latencySamples(state)
  const left = q * total
  if (left <= state.within.total || state.beyond.total === 0) {
    return state.within.quantile(Math.min(1, left / Math.max(state.within.total, Number.MIN_VALUE)))
  }
  return state.beyond.quantile((left - state.within.total) / state.beyond.total)
}

/**
 * The value that the share `share` of spans exceeds, by a Pareto tail above the 98th percentile: Hill's estimator of its index (1975)
 * with the outliers in it (so that leaving them out of the level does not make the tail seem ever shorter) but none of them beyond
 * the limit in force (so that one of a minute says no more than one of a second), extrapolated as Weissman does (1978).
 */
function tailQuantile(state: LatencyState, share: number): number {
  const total = latencySamples(state)
  const from = quantileWithBeyond(state, TAIL_FROM)
  if (!(from > 0)) return 0
  const within = tailAbove(state.within, from, Number.POSITIVE_INFINITY)
  const beyond = tailAbove(state.beyond, from, state.limitNs)
  const above = within.weight + beyond.weight
  const logs = within.logs + beyond.logs
  const index = Math.min(MAX_INDEX, (logs + PRIOR_WEIGHT * PRIOR_INDEX) / (above + PRIOR_WEIGHT))
  const tailShare = Math.max(share, above / total)
  return from * (tailShare / share) ** index
}
