//! The statistics of the figures agree with what tables in books say, and with draws.
import { describe, expect, test } from 'vitest'
import { poisson, under } from '../world/draws.ts'
import { poissonAtLeast, poissonAtMost, poissonUpper, quantile, wilson } from './statistics.ts'

describe('an interval of a share', () => {
  test('is the one of the tables', () => {
    for (const [hits, of, low, high] of [
      [8, 10, 0.4902, 0.9433],
      [0, 20, 0, 0.1611],
      [95, 100, 0.8882, 0.9785],
    ]) {
      expect(wilson(hits, of)[0]).toBeCloseTo(low, 4)
      expect(wilson(hits, of)[1]).toBeCloseTo(high, 4)
    }
  })

  test('of nothing leaves everything open', () => {
    expect(wilson(0, 0)).toEqual([0, 1])
  })
})

describe('the law of rare events', () => {
  test('has upper bounds as the tables have', () => {
    // Half the chi-squared quantiles of 2 (count + 1) degrees of freedom.
    for (const [count, upper] of [
      [0, 2.9957],
      [1, 4.7439],
      [10, 16.9622],
      [28, 38.389],
      [140, 161.09],
    ])
      expect(Math.abs(poissonUpper(count) / upper - 1)).toBeLessThan(0.002)
  })

  test('gives tails that add up', () => {
    for (const mean of [0.2, 1.4, 7, 35])
      for (const count of [0, 1, 5, 20, 50])
        expect(poissonAtLeast(count, mean) + poissonAtMost(count - 1, mean)).toBeCloseTo(1, 12)
    expect(poissonAtLeast(0, 7)).toBe(1)
    expect(poissonAtLeast(5, 0.2)).toBeGreaterThan(0)
  })

  test('covers a true mean 19 times in 20', () => {
    const mean = 12
    const draws = Array.from({ length: 4_000 }, (_, n) => poisson(under(77, n), mean))
    const covered = draws.filter(count => poissonUpper(count) >= mean).length / draws.length
    expect(covered).toBeGreaterThan(0.94)
    expect(covered).toBeLessThan(0.985)
  })
})

test('a quantile counts what never came as endless', () => {
  const never = Number.POSITIVE_INFINITY
  expect(quantile([10, never, 20, 30], 0.5)).toBe(20)
  expect(quantile([10, never, never, never], 0.5)).toBe(never)
  expect(quantile([5], 0.5)).toBe(5)
  expect(quantile([], 0.5)).toBeNaN()
})
