//! The windows of features drawn from the simulated world say what its own windows say, in the terms of the bus.
import { describe, expect, test } from 'vitest'
import { BINS_PER_E, type FeatureWindow, MEASURE } from '../../src/bus/bus.ts'
import { KINDS } from '../world/otlp.ts'
import { windows } from '../world/windows.ts'
import { BEGINNING_MS, makeWorld, type Span } from '../world/world.ts'
import { features } from './features.ts'

const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000
const world = makeWorld(5, { days: 3 })
const stretch: Span = { fromMs: 10 * HOUR_MS, toMs: 10 * HOUR_MS + 2 * MINUTE_MS }
const all = [...features(world, stretch)]
const sum = (column: Float64Array) => column.reduce((a, b) => a + b, 0)
const total = (list: readonly FeatureWindow[], pick: (window: FeatureWindow) => Float64Array) =>
  list.reduce((whole, one) => whole + sum(pick(one)), 0)
const name = ({ service, kind, operation }: FeatureWindow['series'][number]) =>
  `${service} ${kind} ${operation}`

/** Sums over rows, by series. */
function bySeries(list: readonly FeatureWindow[], pick: (window: FeatureWindow) => Float64Array) {
  const sums = new Map<string, number>()
  for (const window of list) {
    const column = pick(window)
    for (let row = 0; row < window.cells.length; row++) {
      const key = name(window.series[window.cells.series[row]])
      sums.set(key, (sums.get(key) ?? 0) + column[row])
    }
  }
  return sums
}

describe('windows of features', () => {
  test('follow each other without a gap, once each', () => {
    expect(all.map(({ startMs }) => startMs)).toEqual(
      Array.from({ length: 12 }, (_, n) => BEGINNING_MS + stretch.fromMs + n * 10_000),
    )
    expect(all.every(({ startMs, endMs }) => endMs - startMs === 10_000)).toBe(true)
  })

  test('count spans, and where failures begin, as the windows of the world do, but for traces that end later', () => {
    const spans = new Map<string, number>()
    let origins = 0
    for (const window of windows(world, stretch))
      for (const [series, count] of window.count.entries()) {
        const { service, kind, name: operation } = world.topology.series[series]
        const key = `${service.name} ${KINDS[kind]} ${operation}`
        if (count === 0) continue
        spans.set(key, (spans.get(key) ?? 0) + count)
        origins += window.origins[series]
      }
    const own = bySeries(all, ({ cells }) => cells.spans)
    const whole = (sums: Map<string, number>) => [...sums.values()].reduce((a, b) => a + b, 0)
    expect(whole(own)).toBeGreaterThan(0.99 * whole(spans))
    expect(whole(own)).toBeLessThanOrEqual(whole(spans))
    for (const [key, count] of own) expect(count).toBeLessThanOrEqual(spans.get(key) ?? 0)
    const began = total(all, ({ cells }) => cells.origins)
    expect(began).toBeGreaterThan(0.95 * origins)
    expect(began).toBeLessThanOrEqual(origins)
  })

  test('take one sample of a trace in each cell: all have a duration, and calls alone are answered', () => {
    for (const { cells, series } of all)
      for (let row = 0; row < cells.length; row++) {
        const isCall = [KINDS.client, KINDS.producer].includes(series[cells.series[row]].kind)
        expect(cells.timed[row]).toBe(cells.traces[row])
        expect(cells.answered[row]).toBeLessThanOrEqual(isCall ? cells.traces[row] : 0)
        expect(cells.traces[row]).toBeLessThanOrEqual(cells.spans[row])
        expect(cells.origins[row]).toBeLessThanOrEqual(cells.traces[row])
        expect(cells.away[row]).toBeLessThanOrEqual(isCall ? cells.origins[row] : 0)
      }
    expect(total(all, ({ cells }) => cells.answered)).toBeGreaterThan(1_000)
    expect(total(all, ({ cells }) => cells.origins)).toBeGreaterThan(10)
    expect(total(all, ({ cells }) => cells.away)).toBeGreaterThan(0)
  })

  test('have the same samples in bins, sorted, one measure for each sample', () => {
    for (const { cells, bins, series } of all) {
      const weights = new Float64Array(cells.length)
      const gaps = new Float64Array(cells.length)
      for (let bin = 0; bin < bins.length; bin++) {
        const [row, measure, bucket] = [bins.row[bin], bins.measure[bin], bins.bucket[bin]]
        weights[row] += bins.weight[bin]
        if (measure === MEASURE.gap) gaps[row] += bins.weight[bin]
        expect(bucket).toBeLessThanOrEqual(Math.round(BINS_PER_E * Math.log(cells.slowNs[row]) + 0.01))
        const { kind } = series[cells.series[row]]
        expect(measure === MEASURE.self).toBe(kind !== KINDS.client && kind !== KINDS.producer)
        if (bin === 0) continue
        const order = (at: number) => (bins.row[at] * 4 + bins.measure[at]) * 256 + bins.bucket[at]
        expect(order(bin)).toBeGreaterThan(order(bin - 1))
      }
      for (let row = 0; row < cells.length; row++) {
        expect(weights[row]).toBe(cells.timed[row])
        expect(gaps[row]).toBe(cells.answered[row])
      }
    }
  })

  test('link each child to a parent once, and no more parents than children', () => {
    for (const { links, series } of all) {
      const pairs = new Set<number>()
      for (let at = 0; at < links.length; at++) {
        pairs.add(links.parent[at] * 65_536 + links.child[at])
        expect(links.parents[at]).toBeLessThanOrEqual(links.children[at])
        expect(links.parents[at]).toBeGreaterThan(0)
        expect(series[links.parent[at]]).not.toBe(series[links.child[at]])
      }
      expect(pairs.size).toBe(links.length)
    }
    const children = total(all, ({ links }) => links.children)
    const [spans, roots] = [total(all, ({ cells }) => cells.spans), total(all, ({ cells }) => cells.roots)]
    // Whoever is no root has a parent, unless that was lost.
    expect(children / (spans - roots)).toBeGreaterThan(0.98)
    expect(children).toBeLessThanOrEqual(spans - roots)
  })

  test('know no series and no pod before its first span', () => {
    const seen = new Set<string>()
    const pods = new Set<string>()
    for (const window of features(world, stretch)) {
      for (let row = 0; row < window.cells.length; row++) {
        seen.add(window.series[window.cells.series[row]].id)
        pods.add(window.pods[window.cells.pod[row]].id)
      }
      // Whoever ends in a later window may be met already: its trace began here.
      expect(window.series.length - seen.size).toBeLessThan(20)
      expect(window.pods.length - pods.size).toBeLessThan(20)
    }
    expect(seen.size).toBeLessThan(world.topology.series.length)
  })

  test('name trace ids of sixteen bytes', () => {
    for (const { cells } of all)
      for (let row = 0; row < cells.length; row++) {
        const id = Buffer.from(cells.slowTrace.subarray(16 * row, 16 * row + 16)).toString('hex')
        expect(id).not.toMatch(/^(0+|f+)$/)
      }
  })

  test('are the same again from the same seed', () => {
    expect([...features(world, stretch)]).toEqual(all)
  })

  test('of a sampled world count one trace for ten', () => {
    const sampled = [...features(world, { ...stretch, sampled: true })]
    const share = total(sampled, ({ cells }) => cells.traces) / total(all, ({ cells }) => cells.traces)
    expect(share).toBeGreaterThan(0.8)
    expect(share).toBeLessThan(1.2)
    for (const { cells } of sampled)
      for (let row = 0; row < cells.length; row++) expect(cells.timedSquares[row]).toBe(10 * cells.timed[row])
  })
})
