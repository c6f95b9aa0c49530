//! Laws of levels that change for good: one incident, one new normal, then silence; what comes and goes is no level.
import { expect, test } from 'vitest'
import { sceneByMinutes } from '../kit/plane.ts'
import type { Trouble } from '../kit/shop.ts'

const HOUR = 60

const CHANGES: readonly (readonly [string, Trouble, RegExp])[] = [
  ['a service that takes twice as long', { slow: { carts: 2 } }, /^carts: self is now normally 2\d/],
  ['a pod that takes four times as long', { pod: { 'carts-1': 4 } }, /^carts: self is now normally 2\d/],
  [
    'half of the requests',
    { traffic: 0.4 },
    /^gateway: rate is now normally 0\.1\d+ requests a second \(before: 0\.4/,
  ],
]

for (const [what, trouble, said] of CHANGES) {
  test(`for good: ${what}. One incident, one new normal, then silence`, () => {
    const { run, since } = sceneByMinutes(31, 1)
    run(12 * HOUR, trouble)
    expect(since('otlier.incident.opened')).toHaveLength(1)
    expect(since('otlier.baseline.shift').map(({ body }) => body)).toEqual([expect.stringMatching(said)])
    const resolved = since('otlier.incident.resolved')
    expect(resolved).toHaveLength(1)
    expect(resolved[0].body).toMatch(/over after 6\d min, the new level is taken as normal/)
  })
}

test('what comes and goes is told, and is no new level', () => {
  const { run, since } = sceneByMinutes(33, 1)
  for (let n = 0; n < 24; n++) {
    run(3, { slow: { carts: 1.85 } })
    run(6)
  }
  expect(since('otlier.incident.opened').length).toBeGreaterThan(0)
  expect(since('otlier.baseline.shift')).toEqual([])
})
