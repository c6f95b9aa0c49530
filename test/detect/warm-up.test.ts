//! Laws of warming up: what is usual at each age is learned from many, and one that is far off teaches little.
import { describe, expect, test } from 'vitest'
import { WarmUp, YOUTH_MS } from '../../src/detect/warm-up.ts'
import { forSeeds, type Random, seeded } from '../kit/random.ts'

const WINDOW_MS = 10_000
const SAMPLING = 0.01

/** One that starts `cold` times as slow, and is that by an e-th less after `warmMs`. */
function warms(up: WarmUp, cold: number, warmMs: number, random: Random): void {
  for (let ageMs = WINDOW_MS; ageMs < YOUTH_MS; ageMs += WINDOW_MS) {
    const noise = Math.sqrt(SAMPLING) * (random() + random() + random() - 1.5) * 2
    const shift = Math.log(1 + (cold - 1) * Math.exp(-ageMs / warmMs)) + noise
    up.note(ageMs, ageMs, shift, SAMPLING, WINDOW_MS)
  }
  up.turn(YOUTH_MS)
}

function learned(random: Random, pods: number): WarmUp {
  const up = new WarmUp()
  for (let pod = 0; pod < pods; pod++) warms(up, 2 + 4 * random(), 30_000 + 60_000 * random(), random)
  return up
}

describe('warming up', () => {
  test('what is usual falls with age, and what starts differs less and less', () => {
    forSeeds(10, random => {
      const up = learned(random, 60)
      const ages = [20_000, 80_000, 140_000, 290_000]
      for (const [at, ageMs] of ages.entries()) {
        if (at === 0) continue
        expect(up.mean(ageMs)).toBeLessThan(up.mean(ages[at - 1]))
        expect(up.variance(ageMs)).toBeLessThan(up.variance(ages[at - 1]))
      }
      expect(up.mean(20_000)).toBeGreaterThan(Math.log(2))
      expect(up.mean(290_000)).toBeLessThan(Math.log(1.2))
    })
  })

  test('four times as slow is nothing at first, and far out after some minutes', () => {
    const up = learned(seeded(1), 60)
    const deviations = (ageMs: number) =>
      (Math.log(4) - up.mean(ageMs)) / Math.sqrt(up.variance(ageMs) + SAMPLING)
    expect(deviations(10_000)).toBeLessThan(2)
    expect(deviations(240_000)).toBeGreaterThan(5)
  })

  test('nothing is usual until some have started, and nobody excuses itself', () => {
    const up = new WarmUp()
    expect([up.mean(20_000), up.variance(20_000), up.known]).toEqual([0, 0, 0])
    up.note(20_000, 20_000, 2, SAMPLING, WINDOW_MS)
    up.turn(YOUTH_MS - WINDOW_MS)
    expect(up.mean(20_000)).toBe(0)
    up.turn(YOUTH_MS)
    expect(up.mean(20_000)).toBeGreaterThan(0)
  })

  test('one that is a thousand times as slow changes what is usual by little', () => {
    const up = learned(seeded(2), 60)
    const before = up.mean(200_000)
    warms(up, 1000, 1e9, seeded(3))
    expect(Math.abs(up.mean(200_000) - before)).toBeLessThan(0.05)
  })

  test('is the same after a restart, and what does not fit is not taken', () => {
    const up = learned(seeded(4), 10)
    const other = new WarmUp()
    other.restore(up.store())
    expect(other.store()).toEqual(up.store())
    other.restore([1, 2, 3])
    expect(other.store()).toEqual(up.store())
  })
})
