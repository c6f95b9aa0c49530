//! A log-bucket histogram that merges exactly and forgets: sixteen buckets an octave, so a quantile is off by at most 3.2 %.

import { doubles } from './doubles.ts'

/** Buckets per power of two. */
const PER_OCTAVE_BITS = 4
/** The bucket of 1.0 in units of the float's own exponent and mantissa bits. */
const ONE = 1023 << PER_OCTAVE_BITS
/** 2^48 ns is 78 hours: what is longer shares the last bucket. */
export const LAST_BUCKET: number = 48 << PER_OCTAVE_BITS
/** Grown by this much on either side, so that a series settles after few growths. */
const MARGIN = 2

const float = new Float64Array(1)
const words = new Uint32Array(float.buffer)
/** Which of the two words holds the exponent. */
const HIGH = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1 ? 1 : 0

/** The bucket of a value: its exponent and the first four mantissa bits. Values below 1 share bucket 0. */
export function bucketOf(value: number): number {
  float[0] = value
  const bucket = (words[HIGH] >>> (20 - PER_OCTAVE_BITS)) - ONE
  return bucket < 0 || !(value >= 1) ? 0 : bucket > LAST_BUCKET ? LAST_BUCKET : bucket
}

/** The lower edge of a bucket; buckets are linear within an octave. */
export function bucketStart(bucket: number): number {
  const octave = bucket >> PER_OCTAVE_BITS
  return 2 ** octave * (1 + (bucket & ((1 << PER_OCTAVE_BITS) - 1)) / (1 << PER_OCTAVE_BITS))
}

/** The middle of a bucket: no value in it is further off than 3.2 %. */
export const bucketMiddle = (bucket: number): number => (bucketStart(bucket) + bucketStart(bucket + 1)) / 2

/** Most sketches of outliers are empty. */
const NONE: number[] = []

/** Counts of non-negative values (nanoseconds, as a rule), as a range of buckets around what has been seen. */
export class Sketch {
  /** `counts[i]` is the weight in bucket `first + i`. */
  counts: number[]
  first: number
  /** The sum of all weights. */
  total: number

  constructor(counts = NONE, first = 0, total = 0) {
    this.counts = counts
    this.first = first
    this.total = total
  }

  add(value: number, weight = 1): void {
    this.addBucket(bucketOf(value), weight)
  }

  /** The same for a value of which only the bucket is known. */
  addBucket(bucket: number, weight = 1): void {
    let at = bucket - this.first
    if (at < 0 || at >= this.counts.length) {
      this.#cover(bucket, bucket)
      at = bucket - this.first
    }
    this.counts[at] += weight
    this.total += weight
  }

  /** Adds another sketch; exact, so the order of merges does not matter beyond the rounding of doubles. */
  merge(other: Sketch, weight = 1): void {
    let low = 0
    let high = other.counts.length - 1
    while (low <= high && other.counts[low] === 0) low++
    while (high >= low && other.counts[high] === 0) high--
    if (low > high) return
    this.#cover(other.first + low, other.first + high)
    const shift = other.first - this.first
    for (let i = low; i <= high; i++) this.counts[i + shift] += other.counts[i] * weight
    this.total += other.total * weight
  }

  /** Forgets: multiplies every weight. */
  scale(factor: number): void {
    for (let i = 0; i < this.counts.length; i++) this.counts[i] *= factor
    this.total *= factor
  }

  /** The value below which the share `q` of the weight lies, as the middle of its bucket; 0 when empty. */
  quantile(q: number): number {
    let left = q * this.total
    if (!(this.total > 0)) return 0
    for (let i = 0; i < this.counts.length; i++) {
      const count = this.counts[i]
      if (count > 0 && left <= count) return bucketMiddle(this.first + i)
      left -= count
    }
    // Rounding may leave a crumb: the last bucket in use.
    let last = this.counts.length - 1
    while (last > 0 && this.counts[last] === 0) last--
    return bucketMiddle(this.first + last)
  }

  copy(): Sketch {
    return new Sketch(this.counts.slice(), this.first, this.total)
  }

  #cover(from: number, to: number): void {
    const length = this.counts.length
    if (length > 0 && from >= this.first && to < this.first + length) return
    const low = Math.max(0, Math.min(from - MARGIN, length > 0 ? this.first : from - MARGIN))
    const high = Math.min(
      LAST_BUCKET,
      Math.max(to + MARGIN, length > 0 ? this.first + length - 1 : to + MARGIN),
    )
    const grown = doubles(high - low + 1)
    for (let i = 0; i < length; i++) grown[this.first - low + i] = this.counts[i]
    this.counts = grown
    this.first = low
  }
}
