//! Laws of what the learning plane says in metrics: one count for each departure that is told, bands where incidents look, and what was held back.
import { expect, test } from 'vitest'
import { Cell, MAX_CELLS, OVERFLOW, Registry } from '../../src/base/counters.ts'
import { renderMetrics } from '../../src/edge/prometheus.ts'
import type { Evidence } from '../../src/learn/evidence.ts'
import { Feature } from '../../src/learn/feature.ts'
import type { Incidents } from '../../src/learn/incidents.ts'
import type { Place } from '../../src/learn/places.ts'
import { Suppressed } from '../../src/learn/suppressed.ts'
import { HOUR, MINUTE, SLOW_TRACE, scene } from '../kit/plane.ts'
import { expectLinted } from '../kit/promtool.ts'

const cellsOf = (registry: Registry, name: string): Cell[] =>
  [...registry.families()].filter(family => family.name === name).flatMap(family => [...family.cells()])

/** The bands of one feature of one place: observed, expected, lower, upper. */
function bandOf(registry: Registry, labels: Readonly<Record<string, string>>) {
  const value = (which: string) => {
    const found = cellsOf(registry, `otlier.baseline.${which}`).filter(cell =>
      Object.entries(labels).every(([key, text]) => (cell.labels[key] ?? '') === text),
    )
    expect([which, labels, found.length]).toEqual([which, labels, 1])
    return found[0].value
  }
  return {
    observed: value('observed'),
    expected: value('expected'),
    lower: value('lower'),
    upper: value('upper'),
  }
}

test('every departure that is told is counted once, by service, kind and severity, with a trace that shows it', () => {
  const { run, named, registry } = scene(11)
  run(HOUR)
  run(5 * MINUTE, { slow: { carts: 5 } })
  const opened = named('otlier.anomaly.opened')
  expect(opened.length).toBeGreaterThan(0)
  expect(registry.total('otlier.anomalies')).toBe(opened.length)
  for (const { resource, attributes, traceId } of opened) {
    expect(traceId).toBe(SLOW_TRACE)
    const labels = {
      'service.name': String(resource['service.name']),
      kind: String((attributes['otlier.anomaly.kinds'] as string[])[0]),
      severity: String(attributes['otlier.anomaly.severity']),
    }
    expect(registry.read('otlier.anomalies', labels)).toBeGreaterThan(0)
  }
  for (const { exemplar } of cellsOf(registry, 'otlier.anomalies'))
    expect(exemplar).toMatchObject({ traceId: SLOW_TRACE })
})

test('of several budgets side by side, metrics tell of the first', () => {
  const { run, named, registry } = scene(11, { budgets: [1, 5] })
  run(HOUR)
  run(5 * MINUTE, { slow: { carts: 5 } })
  const first = named('otlier.anomaly.opened').filter(({ attributes }) => attributes['otlier.budget'] === 1)
  expect(registry.total('otlier.anomalies')).toBe(first.length)
})

test('open incidents are told by severity, and not when they are over', () => {
  const { run, registry } = scene(11)
  const open = () =>
    ['warning', 'critical'].map(severity => registry.read('otlier.incidents.open', { severity }))
  run(HOUR)
  expect(open()).toEqual([0, 0])
  run(5 * MINUTE, { slow: { carts: 5 } })
  expect(open()).toEqual([0, 1])
  run(8 * MINUTE)
  expect(open()).toEqual([0, 0])
})

test('own time, way, failures and rate have bands: what is calm lies within, what departs lies beyond', () => {
  const { run, registry } = scene(11)
  run(HOUR)
  const places = [
    { 'service.name': 'carts', operation: '', feature: 'self' },
    { 'service.name': 'carts', operation: 'POST /carts', kind: 'server', feature: 'self' },
    { 'service.name': 'carts', 'edge.caller': 'gateway', feature: 'gap' },
    { 'service.name': 'carts', operation: '', feature: 'failure' },
    { 'service.name': 'gateway', feature: 'rate' },
  ]
  const calm = places.map(place => bandOf(registry, place))
  for (const { observed, expected, lower, upper } of calm) {
    expect(lower).toBeLessThanOrEqual(expected)
    expect(expected).toBeLessThan(upper)
    expect(observed).toBeGreaterThanOrEqual(lower)
    expect(observed).toBeLessThanOrEqual(upper)
  }
  // In seconds, as a share, and in spans a second: six requests a second come to the shop.
  expect(calm[0].expected).toBeCloseTo(0.012, 3)
  expect(calm[2].expected).toBeCloseTo(0.002, 3)
  expect(calm[3].upper).toBeLessThan(0.1)
  expect(calm[4].expected).toBeCloseTo(6, 1)
  run(2 * MINUTE, {
    slow: { carts: 5 },
    way: { 'gateway>carts': 8 },
    failing: { carts: 0.5 },
    traffic: 0.1,
  })
  const fault = places.map(place => bandOf(registry, place))
  for (const at of [0, 1, 2, 3]) expect(fault[at].observed).toBeGreaterThan(fault[at].upper)
  expect(fault[4].observed).toBeLessThan(fault[4].lower)
})

test('what comes of several readers takes turns, and one cell that says so stands for what is beyond the bound', () => {
  const registry = new Registry()
  const add = (name: string, count: number) =>
    registry.contribute('otlier.baseline.expected', 's', 'x', function* () {
      for (let n = 0; n < count; n++) yield new Cell({ name, n: String(n) }, n)
    })
  add('many', MAX_CELLS)
  add('few', 5)
  const cells = cellsOf(registry, 'otlier.baseline.expected')
  expect(cells).toHaveLength(MAX_CELLS)
  expect(cells.filter(({ labels }) => labels['name'] === 'few')).toHaveLength(5)
  expect(cells.at(-1)?.labels).toEqual(OVERFLOW)
  expect(cells.filter(({ labels }) => labels === OVERFLOW)).toHaveLength(1)
})

test('a departure that is too weak for the budget is counted when it is over, and one that is told is not', () => {
  const mild = { slow: { carts: 1.65 } }
  const count = (budgets: readonly number[]) => {
    const { run, named, registry } = scene(11, { budgets })
    run(2 * HOUR)
    const before = registry.read('otlier.incidents.suppressed', { reason: 'budget' })
    run(4 * MINUTE, mild)
    const during = registry.read('otlier.incidents.suppressed', { reason: 'budget' })
    run(20 * MINUTE)
    const after = registry.read('otlier.incidents.suppressed', { reason: 'budget' })
    return { told: named('otlier.incident.opened').length, during: during - before, after: after - before }
  }
  const quiet = count([0.001])
  expect(quiet.told).toBe(0)
  expect(quiet.after).toBeGreaterThan(quiet.during)
  expect(count([1])).toEqual({ told: 1, during: 0, after: 0 })
})

/** One feature alone, before a decider that opens incidents from 3 on. */
function alone() {
  const registry = new Registry()
  const suppressed = new Suppressed(registry)
  const { tails } = scene(1).plane.evidence
  const feature = new Feature({} as Place, 'edge gap')
  const open: unknown[] = []
  const evidence = { features: [feature], tails } as unknown as Evidence
  const decider = { open, level: 3 } as unknown as Incidents
  const look = (reason: string) => {
    suppressed.look(evidence, decider)
    return registry.read('otlier.incidents.suppressed', { reason })
  }
  return { feature, open, look }
}

test('a departure that grows until it is told is not counted, and the next one of its place is', () => {
  const { feature, open, look } = alone()
  Object.assign(feature, { decisive: 2, sinceMs: 1000 })
  expect(look('budget')).toBe(0)
  open.push({ members: new Map([['way', { feature, over: false }]]) })
  feature.decisive = 4
  expect(look('budget')).toBe(0)
  open.length = 0
  Object.assign(feature, { decisive: Number.NEGATIVE_INFINITY, sinceMs: Number.NaN })
  expect(look('budget')).toBe(0)
  Object.assign(feature, { decisive: 2, sinceMs: 9000 })
  expect(look('budget')).toBe(0)
  Object.assign(feature, { decisive: Number.NEGATIVE_INFINITY, sinceMs: Number.NaN })
  expect(look('budget')).toBe(1)
  expect(look('budget')).toBe(1)
})

test('a way that would be told, were not others slow with it, is counted once, as systemic', () => {
  const { feature, look } = alone()
  Object.assign(feature.judged[1], { z: 40, shift: 1, level: Math.log(5e6), n: 60 })
  expect(look('systemic')).toBe(0)
  feature.shared = 2
  expect(look('systemic')).toBe(0)
  for (let window = 0; window < 4; window++) expect(look('systemic')).toBe(1)
  feature.shared = 0
  expect(look('systemic')).toBe(1)
  feature.shared = 2
  expect(look('systemic')).toBe(1)
})

test('all of it is served, with a trace as exemplar, and promtool finds nothing wrong', context => {
  const { run, registry } = scene(11)
  run(HOUR)
  run(5 * MINUTE, { slow: { carts: 5 } })
  const identity = { version: '1.2.3', instanceId: 'abc' }
  const text = renderMetrics(registry, 'prometheus', identity)
  for (const name of [
    'otlier_anomalies_total',
    'otlier_incidents_suppressed_total',
    'otlier_baseline_upper_seconds',
    'otlier_baseline_upper_ratio',
    'otlier_baseline_upper_per_second',
  ])
    expect(text).toContain(`# TYPE ${name} `)
  expect(renderMetrics(registry, 'openmetrics', identity)).toMatch(
    new RegExp(`otlier_anomalies_total\\{.*\\} \\d+ # \\{trace_id="${SLOW_TRACE}"\\}`),
  )
  expectLinted(text, context)
})
