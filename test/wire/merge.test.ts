//! The laws of merging requests.
import { expect, test } from 'vitest'
import { check } from '../../src/wire/check.ts'
import { merge } from '../../src/wire/merge.ts'
import { oddRequest } from '../kit/odd.ts'
import { forSeeds, int, pick } from '../kit/random.ts'

test('merged requests are the concatenation of their bytes, and hold the items of all', () => {
  forSeeds(60, random => {
    const signal = pick(random, ['traces', 'metrics', 'logs'] as const)
    const parts = Array.from({ length: 1 + int(random, 4) }, () => oddRequest(random, signal, int(random, 6)))
    const whole = merge(parts)
    expect(Buffer.compare(whole, Buffer.concat(parts))).toBe(0)
    expect(check(signal, whole)).toBe(parts.reduce((sum, part) => sum + check(signal, part), 0))
  })
})

test('a single request is passed on as it is, and none come to an empty one', () => {
  const only = Uint8Array.of(10, 0)
  expect(merge([only])).toBe(only)
  expect(merge([])).toHaveLength(0)
})
