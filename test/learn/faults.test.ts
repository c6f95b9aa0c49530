//! Laws of what a self-test injects: each fault does what it is called to the rows that it is in, and nothing to others.
import { expect, test } from 'vitest'
import { seeded } from '../../src/base/chance.ts'
import { BINS_PER_E, type FeatureWindow, MEASURE } from '../../src/bus/bus.ts'
import { type Fault, inject, type Size } from '../../src/learn/selftest/faults.ts'
import { Shop } from '../kit/shop.ts'

const REQUESTS = 2000

function faulty(size: Size, operations: readonly string[], callers: readonly string[] = [], halved = false) {
  const [before, copy] = [1, 2].map(() => {
    const window = new Shop(61, REQUESTS).window()
    if (halved) window.links.children.forEach((n, at, all) => void (all[at] = n / 2))
    return window
  })
  const ids = (names: readonly string[]) =>
    new Set(before.series.filter(({ operation }) => names.includes(operation)).map(({ id }) => id))
  const fault: Fault = { service: '', size, series: ids(operations), callers: ids(callers) }
  return { before, after: inject(copy, fault, seeded(1)) }
}

/** The sum of a column over the rows of an operation. */
function sum({ cells, series }: FeatureWindow, operation: string, column: Float64Array): number {
  let total = 0
  for (let row = 0; row < cells.length; row++)
    if (series[cells.series[row]].operation === operation) total += column[row]
  return total
}

/** The samples of one measure of an operation: how many, and e to the mean of their logarithms, in milliseconds. */
function samples({ cells, bins, series }: FeatureWindow, operation: string, measure: number) {
  let n = 0
  let sum = 0
  for (let bin = 0; bin < bins.length; bin++) {
    if (bins.measure[bin] !== measure) continue
    if (series[cells.series[bins.row[bin]]].operation !== operation) continue
    n += bins.weight[bin]
    sum += bins.weight[bin] * bins.bucket[bin]
  }
  return { n, ms: Math.exp(sum / n / BINS_PER_E) / 1e6 }
}

test('own times rise by the factor, and nothing else moves', () => {
  for (const factor of [2, 3, 5]) {
    const { before, after } = faulty({ kind: 'slow service', factor }, ['POST /carts'])
    const [was, is] = [before, after].map(window => samples(window, 'POST /carts', MEASURE.self))
    expect(is.n).toBe(was.n)
    // A row moves by whole buckets: with two of them the mean is right to half a bucket.
    expect(Math.abs(Math.log(is.ms / was.ms / factor))).toBeLessThan(0.5 / BINS_PER_E + 1e-9)
    for (const other of ['POST /gateway', 'POST /prices'])
      expect(samples(after, other, MEASURE.self)).toEqual(samples(before, other, MEASURE.self))
    expect(after.cells).toEqual(before.cells)
    expect(after.links).toEqual(before.links)
  }
})

test('a way takes so much more, and own times do not', () => {
  const { before, after } = faulty({ kind: 'slow way', addedNs: 20e6 }, ['call prices'])
  const [was, is] = [before, after].map(window => samples(window, 'call prices', MEASURE.gap))
  expect(is.n).toBe(was.n)
  expect(was.ms).toBeLessThan(2.5)
  expect(is.ms).toBeGreaterThan(20)
  expect(is.ms).toBeLessThan(24)
  expect(samples(after, 'call carts', MEASURE.gap)).toEqual(samples(before, 'call carts', MEASURE.gap))
  expect(after.cells).toEqual(before.cells)
})

test('so large a share of traces begins to fail there, and nowhere else', () => {
  for (const share of [0.1, 0.5]) {
    const { before, after } = faulty({ kind: 'failures', share }, ['POST /prices'])
    const traces = sum(before, 'POST /prices', before.cells.traces)
    const more =
      sum(after, 'POST /prices', after.cells.origins) - sum(before, 'POST /prices', before.cells.origins)
    expect(Math.abs(more - share * traces)).toBeLessThan(4 * Math.sqrt(share * (1 - share) * traces))
    expect(sum(after, 'POST /carts', after.cells.origins)).toBe(
      sum(before, 'POST /carts', before.cells.origins),
    )
    expect(after.bins).toEqual(before.bins)
  }
})

test('of a service that is silent nothing is seen, calls to it fail without an answer, and others go on', () => {
  const { before, after } = faulty({ kind: 'silence' }, ['POST /carts', 'call cart-db'], ['call carts'])
  const { cells } = after
  for (const gone of ['POST /carts', 'call cart-db']) {
    expect(sum(before, gone, before.cells.traces)).toBe(REQUESTS)
    expect([...cells.series].filter(series => after.series[series].operation === gone)).toEqual([])
  }
  expect(sum(after, 'call carts', cells.traces)).toBe(REQUESTS)
  for (const column of [cells.origins, cells.away]) expect(sum(after, 'call carts', column)).toBe(REQUESTS)
  expect(sum(after, 'call carts', cells.answered)).toBe(0)
  expect(samples(after, 'call carts', MEASURE.gap).n).toBe(0)
  for (const [other, measure] of [
    ['POST /prices', MEASURE.self],
    ['call prices', MEASURE.gap],
  ] as const)
    expect(samples(after, other, measure)).toEqual(samples(before, other, measure))
  const named = [...after.links.parent, ...after.links.child].map(series => after.series[series].operation)
  expect(named).toContain('call carts')
  expect(named).not.toContain('POST /carts')
})

test('what a silent service would have called is called less, by as much as it called of it', () => {
  const { after } = faulty({ kind: 'silence' }, ['POST /gateway', 'call carts', 'call prices'])
  expect([after.cells.length, after.bins.length, after.links.length]).toEqual([0, 0, 0])
  // As if half of the calls came from somebody else.
  const { before, after: half } = faulty(
    { kind: 'silence' },
    ['POST /gateway', 'call carts', 'call prices'],
    [],
    true,
  )
  for (const operation of ['POST /carts', 'POST /prices']) {
    for (const column of ['spans', 'traces'] as const)
      expect(sum(half, operation, half.cells[column])).toBeCloseTo(
        sum(before, operation, before.cells[column]) / 2,
      )
    const [was, is] = [before, half].map(window => samples(window, operation, MEASURE.self))
    expect(is.n).toBeCloseTo(was.n / 2)
    expect(is.ms).toBeCloseTo(was.ms)
  }
  // A half of what carts call comes of that half.
  expect(sum(half, 'call cart-db', half.cells.spans)).toBeCloseTo(
    sum(before, 'call cart-db', before.cells.spans) * 0.75,
  )
})
