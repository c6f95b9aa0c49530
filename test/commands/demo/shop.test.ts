//! The laws of the shop: its traces are trees in time, its seed is all of its chance, and each fault does what it says.
import { expect, test } from 'vitest'
import { FAULTS, type Trouble, troubleAt } from '../../../src/commands/demo/faults.ts'
import { type PlannedSpan, Shop } from '../../../src/commands/demo/shop.ts'

const traces = (seed: number, trouble: Trouble = {}, count = 2000): PlannedSpan[][] => {
  const shop = new Shop(seed, 10)
  return Array.from({ length: count }, (_, n) => shop.trace(n * 1000, trouble))
}
const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]
const takes = ({ startMs, endMs }: PlannedSpan) => endMs - startMs
const named = (all: readonly PlannedSpan[][], service: string, kind: PlannedSpan['kind'], name = '') =>
  all.flat().filter(each => each.pod.service === service && each.kind === kind && each.name.startsWith(name))

test('children lie within their parents in time, come after them, and calls go three deep and more', () => {
  let deepest = 0
  for (const trace of traces(1)) {
    trace.forEach((span, at) => {
      let depth = 0
      for (let up: PlannedSpan | null = span; up !== null; up = up.parent) if (up.kind === 'server') depth++
      deepest = Math.max(deepest, depth)
      if (span.parent === null) return
      expect(trace.indexOf(span.parent)).toBeLessThan(at)
      expect(span.startMs).toBeGreaterThanOrEqual(span.parent.startMs)
      expect(span.endMs).toBeLessThanOrEqual(span.parent.endMs + 1e-6)
    })
  }
  expect(deepest).toBeGreaterThanOrEqual(3)
})

test('the same seed draws the same traces, and another one draws others', () => {
  const text = (seed: number) => JSON.stringify(traces(seed, {}, 20).map(trace => trace.map(takes)))
  expect(text(3)).toBe(text(3))
  expect(text(3)).not.toBe(text(4))
})

test('about one request in a thousand fails by itself, and durations have a tail', () => {
  const servers = traces(2, {}, 20_000)
    .flat()
    .filter(({ kind }) => kind === 'server')
  const origins = servers.filter(
    span => span.failed && !servers.some(each => each.parent?.parent === span && each.failed),
  )
  expect(origins.length / servers.length).toBeGreaterThan(0.0005)
  expect(origins.length / servers.length).toBeLessThan(0.002)
  const own = named([servers], 'shipping', 'server').map(takes)
  expect(Math.max(...own)).toBeGreaterThan(8 * median(own))
}, 60_000)

test('a slow service is slow itself', () => {
  const of = (trouble: Trouble) => median(named(traces(5, trouble), 'shipping', 'server').map(takes))
  expect(of({ slow: { service: 'shipping', times: 6 } }) / of({})).toBeGreaterThan(5)
})

test('a delay on the way shows between caller and callee, and only there', () => {
  const gap = (trouble: Trouble, name: string) => {
    const all = traces(6, trouble)
    const servers = new Map(
      all.flat().flatMap(span => (span.kind === 'server' && span.parent ? [[span.parent, span]] : [])),
    )
    const calls = named(all, 'frontend', 'client', name).filter(call => servers.has(call))
    return median(calls.map(call => takes(call) - takes(servers.get(call) as PlannedSpan)))
  }
  const { trouble } = FAULTS['network-delay']
  expect(gap(trouble, 'POST /items') - gap({}, 'POST /items')).toBeCloseTo(80, -1)
  expect(gap(trouble, 'GET /products') - gap({}, 'GET /products')).toBeLessThan(1)
})

test('an error burst begins where it says, and reaches those that call', () => {
  const all = traces(7, FAULTS['error-burst'].trouble)
  const share = (spans: readonly PlannedSpan[]) => spans.filter(({ failed }) => failed).length / spans.length
  expect(share(named(all, 'inventory', 'server'))).toBeCloseTo(0.33, 1)
  expect(share(named(all, 'frontend', 'server', 'GET /'))).toBeGreaterThan(0.2)
  expect(share(named(all, 'shipping', 'server'))).toBeLessThan(0.01)
})

test('a bad release is one pod of a new version, and its siblings stay as they are', () => {
  const spans = named(traces(8, FAULTS['bad-release'].trouble), 'catalog', 'server')
  const versions = Map.groupBy(spans, ({ pod }) => pod.version)
  expect([...versions.keys()].sort()).toEqual(['1.7.2', '1.8.0'])
  expect(new Set(versions.get('1.8.0')?.map(({ pod }) => pod.name)).size).toBe(1)
  expect(new Set(versions.get('1.7.2')?.map(({ pod }) => pod.name)).size).toBe(2)
})

test('a missing child is called no more, and a silent service leaves its callers as they were', () => {
  const missing = traces(9, FAULTS['missing-child'].trouble)
  expect(named(missing, 'shipping', 'server')).toHaveLength(0)
  expect(named(missing, 'checkout', 'client', 'POST /quotes')).toHaveLength(0)
  const silent = traces(9, FAULTS.silence.trouble)
  expect(named(silent, 'recommendations', 'server')).toHaveLength(0)
  expect(named(silent, 'frontend', 'client', 'GET /suggestions').length).toBeGreaterThan(100)
})

test('what is wrong at a moment is what has begun and not ended', () => {
  const injections = [
    { name: 'silence', beginMs: 10, endMs: 20 },
    { name: 'slow-dependency', beginMs: 15, endMs: 30 },
  ] as const
  expect(troubleAt(injections, 9)).toEqual({})
  expect(troubleAt(injections, 10)).toEqual(FAULTS.silence.trouble)
  expect(troubleAt(injections, 19)).toEqual({
    ...FAULTS.silence.trouble,
    ...FAULTS['slow-dependency'].trouble,
  })
  expect(troubleAt(injections, 20)).toEqual(FAULTS['slow-dependency'].trouble)
})
