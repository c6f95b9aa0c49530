//! What was learned of one series, as a string of bytes between two windows: of thousands of series each has numbers, and no lists of doubles.
import { doubles } from '../base/doubles.ts'
import { LAST_BUCKET, Sketch } from '../base/sketch.ts'
import type { FailureState } from '../detect/failure.ts'
import { type LatencyState, NO_OUTLIERS } from '../detect/latency.ts'

/** Durations and failures, to be changed in place. */
export interface Learned extends LatencyState, FailureState {}

export const newLearned = (): Learned => ({
  within: new Sketch(),
  beyond: NO_OUTLIERS,
  limitNs: Number.POSITIVE_INFINITY,
  spans: 0,
  failures: 0,
})

/** In single precision, seven digits: the limit, spans, failures, and for each histogram its first bucket, how many there are, and their weights. */
const HEAD = 3
const numbers = new Float32Array(HEAD + 2 * (2 + LAST_BUCKET + 1))
const bytes = Buffer.from(numbers.buffer)

/** The bytes, one a character. */
export function pack({ within, beyond, limitNs, spans, failures }: Learned): string {
  numbers[0] = limitNs
  numbers[1] = spans
  numbers[2] = failures
  const end = packSketch(beyond, packSketch(within, HEAD))
  return bytes.toString('latin1', 0, end * Float32Array.BYTES_PER_ELEMENT)
}

export function unpack(packed: string): Learned {
  bytes.write(packed, 'latin1')
  const [limitNs, spans, failures] = numbers
  const within = unpackSketch(HEAD)
  const beyond = unpackSketch(HEAD + 2 + numbers[HEAD + 1])
  return { within, beyond: beyond.total > 0 ? beyond : NO_OUTLIERS, limitNs, spans, failures }
}

/** Without the empty buckets at both ends. Returns where it ends. */
function packSketch({ counts, first }: Sketch, from: number): number {
  let low = 0
  let high = counts.length
  while (high > low && counts[high - 1] === 0) high--
  while (low < high && counts[low] === 0) low++
  numbers[from] = first + low
  numbers[from + 1] = high - low
  for (let at = low; at < high; at++) numbers[from + 2 + at - low] = counts[at]
  return from + 2 + high - low
}

function unpackSketch(from: number): Sketch {
  const length = numbers[from + 1]
  if (length === 0) return new Sketch()
  const counts = doubles(length)
  let total = 0
  for (let at = 0; at < length; at++) {
    counts[at] = numbers[from + 2 + at]
    total += counts[at]
  }
  return new Sketch(counts, numbers[from], total)
}
