//! The law of what creeps: it is told with how long it has gone on.
import { expect, test } from 'vitest'
import { sceneByMinutes } from '../kit/plane.ts'

const HOUR = 60

test('a drift of 1 % an hour is told within three days, with how long it has gone on', () => {
  const { run, since, fromMs } = sceneByMinutes(32, 2.5, 8)
  for (let hour = 0; hour < 52; hour++) run(HOUR, { slow: { carts: 1.01 ** hour } })
  const [first, ...more] = since('otlier.incident.opened').filter(({ body }) =>
    /^carts: own time .* slowly risen/.test(body),
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
