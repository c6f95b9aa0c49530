//! What one worker saw of one series in one window. Merging is commutative and associative.
import { Sketch } from '../base/sketch.ts'

export class Summary {
  /** Spans, those without usable times included. */
  count = 0
  failures = 0
  /** Durations in nanoseconds of the spans within the series' limit. */
  within = new Sketch()
  /** Durations of the outliers: never learned as normal, but their share is. */
  beyond = new Sketch()

  merge(other: Summary): void {
    this.count += other.count
    this.failures += other.failures
    this.within.merge(other.within)
    this.beyond.merge(other.beyond)
  }
}
