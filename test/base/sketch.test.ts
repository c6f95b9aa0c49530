//! Laws of the log-bucket histogram.
import { expect, test } from 'vitest'
import { bucketOf, bucketStart, Sketch } from '../../src/base/sketch.ts'
import { forSeeds, int, logNormal } from '../kit/random.ts'

test('a quantile is off by at most four per cent', () => {
  forSeeds(20, random => {
    const sketch = new Sketch()
    const median = 10 ** (3 + int(random, 7))
    const values = Array.from({ length: 3000 }, () => logNormal(random, median, 1))
    for (const value of values) sketch.add(value)
    values.sort((a, b) => a - b)
    for (const q of [0.01, 0.25, 0.5, 0.9, 0.99]) {
      const exact = values[Math.ceil(q * values.length) - 1]
      expect(Math.abs(sketch.quantile(q) / exact - 1)).toBeLessThan(0.04)
    }
  })
})

test('sketches merge to the same counts in any order and grouping', () => {
  forSeeds(50, random => {
    const parts = Array.from({ length: 4 }, () => {
      const sketch = new Sketch()
      for (let i = int(random, 50); i > 0; i--) sketch.add(logNormal(random, 1e6, 3))
      return sketch
    })
    const [a, b, c, d] = parts
    const left = new Sketch()
    for (const part of [a, b, c, d]) left.merge(part)
    const inner = new Sketch()
    inner.merge(d)
    inner.merge(c)
    const right = new Sketch()
    right.merge(inner)
    right.merge(b)
    right.merge(a)
    expect(right.total).toBe(left.total)
    for (const q of [0, 0.1, 0.5, 0.9, 1]) expect(right.quantile(q)).toBe(left.quantile(q))
  })
})

test('every value from nothing to a week lies in its bucket, and buckets never go back', () => {
  let before = 0
  for (let value = 0.5; value < 2 ** 50; value *= 1.01) {
    const bucket = bucketOf(value)
    expect(bucket).toBeGreaterThanOrEqual(before)
    before = bucket
    if (value >= 1 && value < 2 ** 48) {
      expect(bucketStart(bucket)).toBeLessThanOrEqual(value)
      expect(bucketStart(bucket + 1)).toBeGreaterThan(value)
    }
  }
  for (const odd of [0, -5, Number.NaN]) expect(bucketOf(odd)).toBe(0)
})

test('forgetting scales every weight and moves no quantile', () => {
  const sketch = new Sketch()
  for (let value = 1; value <= 1000; value++) sketch.add(value * 1000)
  const before = sketch.quantile(0.9)
  sketch.scale(0.25)
  expect(sketch.total).toBeCloseTo(250, 6)
  expect(sketch.quantile(0.9)).toBeCloseTo(before, 3)
})
