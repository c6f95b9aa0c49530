//! Laws of levels that change for good: one incident, one new normal, then silence; what creeps is told with how long, what comes and goes is no level.
import { expect, test } from 'vitest'
import { scene } from '../kit/plane.ts'
import { Shop, type Trouble } from '../kit/shop.ts'

/** Windows of a minute: days of them are lived through in a second. */
const WINDOW_MS = 60_000
const HOUR = 60
const DAY = 24 * HOUR

function shopOf(seed: number, historyDays: number, perWindow = 25) {
  const one = scene(seed, { windowMs: WINDOW_MS }, new Shop(seed, perWindow, WINDOW_MS))
  one.run(historyDays * DAY)
  const fromMs = one.shop.atMs
  const since = (name: string) => one.named(name).filter(({ observedMs }) => observedMs > fromMs)
  return { ...one, since, fromMs }
}

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
    const { run, since } = shopOf(31, 1)
    run(12 * HOUR, trouble)
    expect(since('otlier.incident.opened')).toHaveLength(1)
    expect(since('otlier.baseline.shift').map(({ body }) => body)).toEqual([expect.stringMatching(said)])
    const resolved = since('otlier.incident.resolved')
    expect(resolved).toHaveLength(1)
    expect(resolved[0].body).toMatch(/over after 6\d min, the new level is taken as normal/)
  })
}

test('a drift of 1 % an hour is told within three days, with how long it has gone on', () => {
  const { run, since, fromMs } = shopOf(32, 2.5, 8)
  for (let hour = 0; hour < 52; hour++) run(HOUR, { slow: { carts: 1.01 ** hour } })
  const [first, ...more] = since('otlier.incident.opened').filter(({ body }) =>
    body.startsWith('carts: own time'),
  )
  expect(more.length).toBeLessThanOrEqual(1)
  const afterHours = (first.observedMs - fromMs) / 3_600_000
  expect(afterHours).toBeLessThan(72)
  const [, hours] = first.body.match(/slowly risen for (\d+) h/) ?? []
  expect(Number(hours)).toBeGreaterThan(afterHours / 2)
  expect(Number(hours)).toBeLessThan(afterHours + 12)
  const shifts = since('otlier.baseline.shift')
  expect(shifts.length).toBeGreaterThan(0)
  for (const { attributes } of shifts)
    expect(Number(attributes['otlier.baseline.after'])).toBeGreaterThan(
      1.2 * Number(attributes['otlier.baseline.before']),
    )
})

test('what comes and goes is told, and is no new level', () => {
  const { run, since } = shopOf(33, 1)
  for (let n = 0; n < 24; n++) {
    run(3, { slow: { carts: 1.85 } })
    run(6)
  }
  expect(since('otlier.incident.opened').length).toBeGreaterThan(0)
  expect(since('otlier.baseline.shift')).toEqual([])
})
