//! Laws of what was learned of a series while it is packed: it comes out as it went in, and takes up little.
import { expect, test } from 'vitest'
import { Sketch } from '../../src/base/sketch.ts'
import { NO_OUTLIERS } from '../../src/detect/latency.ts'
import { newLearned, pack, unpack } from '../../src/learn/learned.ts'
import { forSeeds, int, logNormal } from '../kit/random.ts'

const weights = ({ counts, first }: Sketch) =>
  counts.flatMap((weight, at) => (weight === 0 ? [] : [[first + at, Math.fround(weight)]]))

test('what was learned comes out as it went in, to seven digits', () => {
  forSeeds(100, random => {
    const learned = newLearned()
    const samples = int(random, 3) * int(random, 2000)
    for (let n = 0; n < samples; n++) learned.within.add(logNormal(random, 1e6, 3 * random()), random())
    if (random() < 0.5) {
      learned.beyond = new Sketch()
      for (let n = 0; n <= int(random, 5); n++) learned.beyond.add(10 ** (15 * random()))
      learned.limitNs = 1e9 * random()
    }
    learned.spans = samples * random()
    learned.failures = learned.spans * random()
    const again = unpack(pack(learned))
    expect(weights(again.within)).toEqual(weights(learned.within))
    expect(weights(again.beyond)).toEqual(weights(learned.beyond))
    expect(again.within.total).toBeCloseTo(learned.within.total, 2)
    for (const name of ['limitNs', 'spans', 'failures'] as const)
      expect(again[name]).toBe(Math.fround(learned[name]))
  })
})

test('of nothing there is nothing, and who has no outliers shares those of all others', () => {
  const nothing = unpack(pack(newLearned()))
  expect(nothing).toEqual(newLearned())
  expect(nothing.beyond).toBe(NO_OUTLIERS)
})

test('the shortest and the longest durations there are find room in one string', () => {
  const learned = newLearned()
  learned.beyond = new Sketch()
  for (const value of [0, 2 ** 60]) {
    learned.within.add(value)
    learned.beyond.add(value)
  }
  const again = unpack(pack(learned))
  for (const q of [0.1, 0.9]) {
    expect(again.within.quantile(q)).toBe(learned.within.quantile(q))
    expect(again.beyond.quantile(q)).toBe(learned.beyond.quantile(q))
  }
})
