//! Laws of slow drift: what creeps is seen within days and told with how long it has lasted; the course of a day, and what was adopted, is not.
import { expect, test } from 'vitest'
import { DriftTrack } from '../../src/detect/drift.ts'
import { newJudged } from '../../src/detect/judged.ts'
import { SCALES } from '../../src/detect/scales.ts'
import { seeded } from '../kit/random.ts'

const DAY = 24

/** A place whose level has a daily course and some noise; `more` is what comes on top at an hour. */
function place(more: (hour: number) => number) {
  const track = new DriftTrack()
  const judged = SCALES.map(newJudged)
  const random = seeded(5)
  let before = Number.NaN
  let hour = 0
  return {
    track,
    judged: judged[0],
    live(hours: number) {
      for (const end = hour + hours; hour < end; hour++) {
        const noise = 0.04 * (random() - 0.5)
        const level = 15 + 0.3 * Math.sin((2 * Math.PI * hour) / DAY) + noise + more(hour)
        track.push(Number.isNaN(before) ? 0 : level - before, hour, level)
        track.judge(judged, judged[0].z < 2)
        before = level
      }
    },
  }
}

test('a rise of 1 % an hour stands out within three days, with how long it has gone on', () => {
  const from = 8 * DAY
  const { judged, live } = place(hour => Math.max(0, hour - from) * Math.log(1.01))
  live(from)
  expect(judged.z).toBeLessThan(2)
  live(60)
  expect(judged.z).toBeGreaterThan(4)
  expect(judged.shift).toBeGreaterThan(Math.log(1.25))
  expect(judged.n).toBeGreaterThan(36)
  expect(judged.n).toBeLessThanOrEqual(60)
})

test('the course of the day is no drift, and neither is a bad hour of some', () => {
  const { judged, live } = place(hour => (hour % 50 < 6 ? 0.8 : 0))
  for (let day = 0; day < 12; day++) {
    live(DAY)
    expect(judged.z).toBeLessThan(2)
  }
})

test('a level that was adopted is normal at once, and what creeps on from there is seen again', () => {
  const from = 8 * DAY
  const { track, judged, live } = place(hour => Math.max(0, hour - from) * 0.01)
  live(from + 60)
  expect(judged.z).toBeGreaterThan(4)
  track.adopt()
  track.clear()
  track.judge([judged], true)
  expect(judged.z).toBe(0)
  live(DAY / 2)
  expect(judged.z).toBeLessThan(2)
  live(4 * DAY)
  expect(judged.z).toBeGreaterThan(4)
})

test('what is kept goes on as if nothing had happened, and hours without anything are passed over', () => {
  const one = place(hour => hour * 0.002)
  one.live(5 * DAY)
  const other = new DriftTrack()
  other.restore(one.track.store())
  const anew = SCALES.map(newJudged)
  other.judge(anew, false)
  expect(anew[0].shift).toBeCloseTo(one.judged.shift, 5)
  expect(anew[0].shift).toBeGreaterThan(0)
  const [mine, its] = [SCALES.map(newJudged), SCALES.map(newJudged)]
  for (const hour of [5 * DAY + 3, 5 * DAY + 4, 6 * DAY]) {
    one.track.push(0.01, hour, 15)
    one.track.judge(mine, true)
    other.push(0.01, hour, 15)
    other.judge(its, true)
  }
  expect(its[0].shift).toBeCloseTo(mine[0].shift, 5)
  expect(Number.isFinite(its[0].z)).toBe(true)
})
