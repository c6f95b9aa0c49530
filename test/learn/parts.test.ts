//! Laws of parts that are switched off in an evaluation: each does nothing then, and all the others what they did.
import { expect, test } from 'vitest'
import type { Part } from '../../src/learn/parts.ts'
import { HOUR, MINUTE, scene } from '../kit/plane.ts'

/** A little shop after two hours, with a service that takes not quite a third longer, then six times as long behind a slow way. */
function lived(...ablate: Part[]) {
  const { run, named, plane } = scene(24, { ablate })
  run(2 * HOUR)
  run(12 * MINUTE, { slow: { carts: 1.29 } })
  const opened = named('otlier.incident.opened').length
  run(5 * MINUTE, { slow: { carts: 6 }, way: { 'gateway>carts': 4 } })
  const { features, record, tails } = plane.evidence
  return {
    opened,
    days: record.days,
    frozen: features.some(({ isFrozen }) => isFrozen),
    hours: features.some(({ hours }) => hours !== null),
    sums: features.some(({ decisive, surprise }) => decisive > surprise),
    frail: features.some(
      ({ calmDepartures, class: of }) =>
        calmDepartures > 0 && tails[of][0].surprise(6, calmDepartures) < tails[of][0].surprise(6),
    ),
  }
}

test('without any switched off, what is below its floor opens nothing, calm times are counted, and departures freeze', () => {
  expect(lived()).toEqual({
    opened: 0,
    days: expect.closeTo(2.2 / 24, 1),
    frozen: true,
    hours: true,
    sums: true,
    frail: true,
  })
})

test.each<[Part, object]>([
  ['floors', { opened: 1 }],
  ['calibration', { days: 0 }],
  ['freeze', { frozen: false }],
  ['hours', { hours: false }],
  ['corroboration', { sums: false }],
  ['frailty', { frail: false }],
])('without %s', (part, shown) => {
  expect(lived(part)).toMatchObject(shown)
})
