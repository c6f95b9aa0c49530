//! Laws of ways that are slow together: the network's where they are more than chance, and in a large deployment chance alone slows some.
import { expect, test } from 'vitest'
import { moreThan } from '../../src/detect/together.ts'
import { Evidence } from '../../src/learn/evidence.ts'
import { normal, seeded } from '../kit/random.ts'
import { Shop, WINDOW_MS } from '../kit/shop.ts'

const CALLS = 20
const VARIANCE = 0.25
/** From window to window, beside chance in the calls: as much as is believed beforehand, so that z is a normal law's. */
const SPREAD = 0.28
/** A way that is slow takes so much longer, as a logarithm. */
const SLOW = 1.6

/** So many ways that have no end in common. `slow`: by how much each is slower in a window, as a logarithm. */
function deployment(count: number) {
  const evidence = new Evidence({ windowMs: WINDOW_MS, maxSeries: 10_000, rebaselineMs: 3_600_000 })
  const { landscape } = evidence
  const shop = new Shop(1, 1)
  const random = seeded(2)
  const ways = Array.from({ length: count }, (_, at) => {
    const [caller, callee] = [`caller ${at}`, `callee ${at}`].map(name =>
      landscape.serviceOf(name, '', '', shop.atMs),
    )
    return evidence.feature('edge gap', callee, { caller, target: callee.name, targetService: callee })
  })
  const window = (slow: (way: number) => number) => {
    for (const [at, way] of ways.entries()) {
      way.a = CALLS * (slow(at) + normal(random) * SPREAD)
      way.b = CALLS * VARIANCE
      way.c = 0
      way.d = CALLS
      way.e = CALLS * Math.log(20e6)
    }
    evidence.window(shop.window())
  }
  for (let n = 0; n < 120; n++) window(() => 0)
  return { ways, window }
}

for (const count of [12, 150, 700]) {
  test(`of ${count} ways the one that is slow is seen in most windows of twenty seconds`, () => {
    const { ways, window } = deployment(count)
    let seen = 0
    for (let n = 0; n < 40; n++) {
      window(way => (way === 0 ? SLOW : 0))
      if (n >= 6 && ways[0].held[0] > 0) seen++
    }
    expect(seen).toBeGreaterThan(0.65 * 34)
  })

  test(`a hiccup that slows a quarter of ${count} ways is nobody's fault`, () => {
    const { ways, window } = deployment(count)
    for (let n = 0; n < 12; n++) {
      window(way => (way % 4 === 0 ? SLOW : 0))
      if (n < 3) continue
      expect(ways[0].shared & 3).toBe(3)
    }
  })
}

test('as many as that are more than chance', () => {
  expect(moreThan(0.1, 0.1)).toBe(1)
  expect(moreThan(1, 0.1)).toBe(3)
  expect(moreThan(5, 0.1)).toBe(9)
  expect(moreThan(5, 0.5)).toBeLessThanOrEqual(6)
})
