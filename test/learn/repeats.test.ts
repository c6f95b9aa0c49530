//! Laws of calls that are made again: what no request did before stands out, what goes on now is no part of what is usual, and a day forgets.
import { expect, test } from 'vitest'
import { noteRepeats, Repeats } from '../../src/learn/repeats.ts'
import type { Series } from '../../src/learn/series.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const FROM_MS = Date.UTC(2026, 0, 5)

/** The most calls of a request, minute by minute; by how many the last exceeds what is usual. */
function beyondAfter(...minutes: readonly number[]): number {
  const repeats = new Repeats(1, FROM_MS)
  for (const [minute, most] of minutes.entries()) repeats.note(most, FROM_MS + minute * MINUTE_MS)
  return repeats.beyond
}

const times = (minutes: number, most: number) => new Array<number>(minutes).fill(most)

test('a request that makes a call more often than any before stands out, and goes on doing so for a quarter of an hour', () => {
  expect(beyondAfter(...times(60, 2))).toBe(0)
  expect(beyondAfter(...times(60, 2), 5)).toBe(3)
  expect(beyondAfter(...times(60, 2), ...times(14, 5))).toBe(3)
  expect(beyondAfter(...times(60, 2), 5, ...times(10, 1))).toBe(3)
  expect(beyondAfter(...times(60, 2), ...times(60, 5))).toBe(0)
})

test('what was reached once is forgotten, one a day', () => {
  const repeats = new Repeats(5, FROM_MS)
  for (let hour = 1; hour <= 73; hour++) repeats.note(2, FROM_MS + hour * HOUR_MS)
  expect(repeats.usual).toBe(2)
})

test('of a service that is hardly known nothing stands out, and of a call that is never made twice nothing is kept', () => {
  const series = (firstSeenMs: number) => ({ service: { firstSeenMs }, repeats: null }) as unknown as Series
  const known = series(FROM_MS)
  noteRepeats(known, 1, FROM_MS + HOUR_MS)
  expect(known.repeats).toBeNull()
  noteRepeats(known, 4, FROM_MS + HOUR_MS)
  expect(known.repeats?.beyond).toBe(3)
  const young = series(FROM_MS)
  noteRepeats(young, 4, FROM_MS + MINUTE_MS)
  expect(young.repeats?.beyond).toBe(0)
  for (const minute of [16, 31]) noteRepeats(young, 3, FROM_MS + minute * MINUTE_MS)
  expect(young.repeats?.beyond).toBe(0)
  noteRepeats(young, 6, FROM_MS + 46 * MINUTE_MS)
  expect(young.repeats?.beyond).toBe(2)
})
