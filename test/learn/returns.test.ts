//! Laws of what comes back: soon after its incident has ended a place is believed to be over later, twice as late with each time.
import { expect, test } from 'vitest'
import { patience, Returns } from '../../src/learn/returns.ts'
import { HOUR, MINUTE, scene } from '../kit/plane.ts'
import { Shop } from '../kit/shop.ts'

const MINUTE_MS = 60_000

test('each incident soon after the last one of its place waits twice as long, up to eight times', () => {
  const returns = new Returns()
  const waits: number[] = []
  for (let n = 0; n < 6; n++) {
    const nowMs = n * 10 * MINUTE_MS
    const times = returns.of('here', nowMs)
    waits.push(patience(times))
    returns.end(['here', `beside ${n}`], times, nowMs + MINUTE_MS)
  }
  expect(waits).toEqual([1, 2, 4, 8, 8, 8])
  // Who was a part of it has come back too, and others have not.
  expect(returns.of('beside 5', 55 * MINUTE_MS)).toBe(6)
  expect(returns.of('elsewhere', 55 * MINUTE_MS)).toBe(0)
  // After a quarter of an hour all is as it was.
  expect(returns.of('here', 70 * MINUTE_MS)).toBe(0)
})

test('what is slow for two of every four minutes is told a few times, and not each time; once it is over, that is told', () => {
  const { run, named } = scene(31, {}, new Shop(31))
  run(2 * HOUR)
  for (let n = 0; n < 15; n++) {
    run(2 * MINUTE, { slow: { carts: 6 } })
    run(2 * MINUTE)
  }
  run(8 * MINUTE)
  const opened = named('otlier.incident.opened').length
  expect(opened).toBeGreaterThan(0)
  expect(opened).toBeLessThanOrEqual(5)
  expect(named('otlier.incident.resolved')).toHaveLength(opened)
})
