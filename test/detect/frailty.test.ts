//! Laws of frailty: a departure means less where there are many in calm times, more where there are none, and restless places speak for themselves alone.
import { expect, test } from 'vitest'
import { faded, frailty } from '../../src/detect/frailty.ts'
import { ClassRecord } from '../../src/detect/unusual.ts'
import { HOUR, MINUTE, scene } from '../kit/plane.ts'

const DAY_MS = 86_400_000
const record = () => new ClassRecord({ hourly: 4, scale: 0.15, law: 'stretched' })

test('a place that departs as often as others of its kind is like them, and each departure more is worth less than the one before', () => {
  expect(frailty(0, 0)).toBe(0)
  expect(frailty(2.5, 2.5)).toBe(0)
  expect(frailty(0, 1)).toBeLessThan(0)
  const steps = [1, 2, 3, 4, 5].map(own => frailty(own, 1) - frailty(own - 1, 1))
  for (const [at, step] of steps.entries()) {
    expect(step).toBeGreaterThan(0)
    if (at > 0) expect(step).toBeLessThan(steps[at - 1])
  }
  // A count far beyond what is believed is the factor itself.
  expect(Math.exp(frailty(1000, 10))).toBeCloseTo(97, 0)
})

test('what a place did is half forgotten after two days', () => {
  expect(faded(8, 2 * DAY_MS)).toBeCloseTo(4)
  expect(faded(faded(8, DAY_MS), DAY_MS)).toBeCloseTo(4)
})

test('the same z is less surprising at a restless place, by its frailty where nothing else is known', () => {
  const tail = record()
  tail.usual = 1
  for (const z of [4, 6, 9]) {
    expect(tail.surprise(z, 1)).toBeCloseTo(tail.surprise(z))
    expect(tail.surprise(z, 1) - tail.surprise(z, 20)).toBeCloseTo(frailty(20, 1))
    expect(tail.surprise(z, 0)).toBeGreaterThan(tail.surprise(z, 1))
  }
})

test('what a restless place reaches says less about all others than what a quiet one does', () => {
  const surpriseAfter = (own: number) => {
    const tail = record()
    tail.usual = 1
    tail.pass(DAY_MS)
    for (let n = 0; n < 30; n++) tail.noteZ(n, 7 + n / 100, own)
    return tail.surprise(7, 1)
  }
  expect(surpriseAfter(20)).toBeGreaterThan(surpriseAfter(1) + 1)
})

test('departures of calm times are counted, and faults are not', () => {
  const { run, plane, named } = scene(31)
  run(6 * HOUR)
  const counted = () => plane.evidence.features.reduce((sum, { calmDepartures }) => sum + calmDepartures, 0)
  const before = counted()
  expect(before).toBeGreaterThan(0)
  const own = () =>
    plane.evidence.features
      .filter(({ place, class: of }) => of === 'service self' && place.service.name === 'carts')
      .map(({ calmDepartures }) => calmDepartures)
  const [calm] = own()
  run(6 * MINUTE, { slow: { carts: 6 } })
  run(20 * MINUTE)
  expect(named('otlier.incident.resolved')).toHaveLength(1)
  expect(own()[0]).toBeLessThanOrEqual(calm)
})
