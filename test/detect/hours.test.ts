//! Laws of the hours of the day: what both days before had is usual, one day alone proves nothing, and nobody's days are another's.
import { expect, test } from 'vitest'
import { Hours } from '../../src/detect/hours.ts'

const HOUR_MS = 3_600_000
const at = (day: number, hour: number) => (day * 24 + hour) * HOUR_MS

test('what both of the last two days had around an hour is usual then, and what one had is not', () => {
  const hours = new Hours()
  for (const day of [1, 2]) hours.note(at(day, 3), day)
  hours.note(at(2, 15), 5)
  expect([2, 3, 4, 5, 15].map(hour => hours.usual(at(3, hour)))).toEqual([1, 1, 1, 0, 0])
  // A day without it, and it is usual no more.
  expect(hours.usual(at(4, 3))).toBe(0)
})

test('days without departures are shared and stay empty, also over a restart', () => {
  const [one, other] = [new Hours(), new Hours()]
  one.usual(at(1, 3))
  one.note(at(1, 3), 2)
  one.note(at(2, 3), 1)
  expect(
    other
      .store()
      .slice(1)
      .every(shift => shift === 0),
  ).toBe(true)
  const again = new Hours()
  again.restore(one.store())
  expect(again.store()).toEqual(one.store())
  expect(again.usual(at(3, 3))).toBe(1)
  again.note(at(3, 9), 4)
  expect(new Hours().usual(at(3, 9))).toBe(0)
  expect(
    again
      .store()
      .slice(1, 25)
      .filter(shift => shift > 0),
  ).toEqual([4])
})
