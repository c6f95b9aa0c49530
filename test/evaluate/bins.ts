//! Samples of a window as sparse histograms, sorted by row, measure and bucket without comparing any two.
import { BINS_PER_E, type Bins } from '../../src/bus/bus.ts'
import { wider } from './catalogue.ts'

/** e^31 ns are years. */
const BUCKETS = 256
const PLACES = 4 * BUCKETS

/** Gathers samples while a window is open. All weigh the same. */
export class Samples {
  private length = 0
  private keys = new Int32Array(4_096)

  /** `measure` as in MEASURE; `ln` the logarithm of nanoseconds, not below 0. */
  add(row: number, measure: number, ln: number) {
    if (this.length === this.keys.length) this.keys = wider(this.keys, new Int32Array(2 * this.length))
    const bucket = Math.round(BINS_PER_E * ln)
    this.keys[this.length++] = row * PLACES + measure * BUCKETS + Math.min(BUCKETS - 1, bucket)
  }

  clear() {
    this.length = 0
  }

  /** What was gathered, of rows below `rows`. */
  bins(rows: number, weight: number): Bins {
    const { length, keys } = this
    const byPlace = new Int32Array(PLACES + 1)
    const byRow = new Int32Array(rows + 1)
    for (let at = 0; at < length; at++) {
      byPlace[(keys[at] % PLACES) + 1]++
      byRow[Math.floor(keys[at] / PLACES) + 1]++
    }
    for (let one = 0; one < PLACES; one++) byPlace[one + 1] += byPlace[one]
    for (let one = 0; one < rows; one++) byRow[one + 1] += byRow[one]
    const half = new Int32Array(length)
    for (let at = 0; at < length; at++) half[byPlace[keys[at] % PLACES]++] = keys[at]
    const sorted = new Int32Array(length)
    for (let at = 0; at < length; at++) sorted[byRow[Math.floor(half[at] / PLACES)]++] = half[at]
    let count = 0
    for (let at = 0; at < length; at++) if (at === 0 || sorted[at] !== sorted[at - 1]) count++
    const row = new Int32Array(count)
    const measure = new Uint8Array(count)
    const bucket = new Int16Array(count)
    const weights = new Float64Array(count)
    let bin = -1
    for (let at = 0; at < length; at++) {
      const key = sorted[at]
      if (at === 0 || key !== sorted[at - 1]) {
        bin++
        row[bin] = Math.floor(key / PLACES)
        measure[bin] = Math.floor((key % PLACES) / BUCKETS)
        bucket[bin] = key % BUCKETS
      }
      weights[bin] += weight
    }
    return { length: count, row, measure, bucket, weight: weights }
  }
}
