//! Laws of releases that rename: what an operation calls is learned anew while a release moves its calls to one of another name, and only then.
import { expect, test } from 'vitest'
import type { SeriesKey } from '../../src/bus/bus.ts'
import { Landscape } from '../../src/learn/landscape.ts'
import type { Series } from '../../src/learn/series.ts'

const MINUTE_MS = 60_000
const CLIENT = 3
const SERVER = 2

function shop() {
  const landscape = new Landscape({ maxSeries: 100 })
  const meet = (operation: string, kind: number, atMs: number, isNew = true): Series => {
    const key = { id: `${operation} ${kind}`, service: 's', namespace: '', environment: '', operation, kind }
    return landscape.meet({ ...key, overflow: false } as SeriesKey, '', atMs, isNew) as Series
  }
  const old = meet('PUT /stock', SERVER, 0)
  const call = meet('PUT', CLIENT, 0)
  landscape.callOf(old, call)
  /** Whether the old one's call has moved, at a time. */
  const moved = (atMs: number) => old.service.releases.moved(old, call, atMs)
  return { landscape, meet, old, call, moved, releases: old.service.releases }
}

test('a release that brings another operation with the same call has moved it, for a quarter of an hour', () => {
  const { landscape, meet, call, moved, releases } = shop()
  const release = 60 * MINUTE_MS
  expect(moved(release)).toBe(false)
  const renamed = meet('PUT /v2/stock', SERVER, release)
  releases.pod(release)
  expect(moved(release)).toBe(false)
  landscape.callOf(renamed, call)
  expect(moved(release)).toBe(true)
  expect(moved(release + 14 * MINUTE_MS)).toBe(true)
  expect(moved(release + 15 * MINUTE_MS)).toBe(false)
})

test('an operation that appears without a release, or while its service is new, or with a restart, has moved nothing', () => {
  const { landscape, meet, call, moved, releases } = shop()
  landscape.callOf(meet('at once', SERVER, 1000), call)
  landscape.callOf(meet('known before a restart', SERVER, 60 * MINUTE_MS, false), call)
  releases.pod(60 * MINUTE_MS)
  expect(moved(60 * MINUTE_MS)).toBe(false)
  landscape.callOf(meet('seldom', SERVER, 100 * MINUTE_MS), call)
  expect(moved(100 * MINUTE_MS)).toBe(false)
})

test('an operation has not taken over from itself', () => {
  const { landscape, meet, call, releases } = shop()
  const renamed = meet('PUT /v2/stock', SERVER, 60 * MINUTE_MS)
  releases.pod(60 * MINUTE_MS)
  landscape.callOf(renamed, call)
  expect(releases.moved(renamed, call, 60 * MINUTE_MS)).toBe(false)
})
