//! Laws of hindsight: what was beyond doubt teaches nothing on its day, and a little of it the day after.
import { expect, test } from 'vitest'
import { Hindsight } from '../../src/learn/hindsight.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

function waiting() {
  const noted: [number, number][] = []
  const note = (peakMs: number, peak: number) => noted.push([peakMs, peak])
  return { noted, note, hindsight: new Hindsight(note) }
}

test('a peak teaches nothing for a day, and then once', () => {
  const { noted, hindsight } = waiting()
  hindsight.add(HOUR_MS, 9)
  hindsight.turn(HOUR_MS + DAY_MS - 1)
  expect(noted).toEqual([])
  hindsight.turn(HOUR_MS + DAY_MS)
  hindsight.turn(HOUR_MS + 2 * DAY_MS)
  expect(noted).toEqual([[HOUR_MS, 9]])
})

test('of a day full of faults no more than three teach; where one comes each day all do', () => {
  const { noted, hindsight } = waiting()
  for (let n = 0; n < 24; n++) hindsight.add(n * HOUR_MS, 9)
  for (let n = 0; n <= 48; n++) hindsight.turn(n * HOUR_MS)
  expect(noted.map(([ms]) => ms / HOUR_MS)).toEqual([0, 1, 2])
  const daily = waiting()
  for (let n = 0; n < 9; n++) daily.hindsight.add(n * DAY_MS, 7)
  daily.hindsight.turn(20 * DAY_MS)
  expect(daily.noted.length).toBe(9)
})

test('what waits is kept over a restart, and so is how many have taught', () => {
  const { hindsight } = waiting()
  for (let n = 0; n < 5; n++) hindsight.add(n * HOUR_MS, 8)
  hindsight.turn(DAY_MS + HOUR_MS)
  const after = waiting()
  after.hindsight.restore(JSON.parse(JSON.stringify(hindsight.store())))
  after.hindsight.turn(3 * DAY_MS)
  expect(after.noted).toEqual([[2 * HOUR_MS, 8]])
})
