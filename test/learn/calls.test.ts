//! Laws of calls that have moved: a step that a release puts between an operation and its calls hides none, and excuses none.
import { expect, test } from 'vitest'
import type { Cells, FeatureWindow, SeriesKey } from '../../src/bus/bus.ts'
import { MINUTE, scene } from '../kit/plane.ts'
import type { Shop, Trouble } from '../kit/shop.ts'

const INTERNAL = 1

/** Windows of a shop whose gateway, from some moment on, does its calls within a step of its own, in a share of its requests. */
function wrapping(shop: Shop) {
  const gateway = shop.series[0]
  const id = JSON.stringify(['', 'gateway', '', INTERNAL, 'step'])
  const step: SeriesKey = { ...gateway, id, operation: 'step', kind: INTERNAL }
  const series = [...shop.series, step]
  const peers = [...shop.peers, '']
  const stepAt = shop.series.length
  return (window: FeatureWindow, share: number): FeatureWindow => {
    if (share === 0) return { ...window, series, peers }
    const rows = window.links.length
    const calls = Array.from({ length: rows }, (_, row) => row).filter(row => window.links.parent[row] === 0)
    const spans = window.links.parents
    const children = window.links.children
    const direct = (row: number) => (calls.includes(row) ? 1 - share : 1)
    const most = Math.max(...calls.map(row => spans[row]))
    const of = (column: Float64Array) =>
      Float64Array.from([
        ...column.map((value, row) => direct(row) * value),
        share * most,
        ...calls.map(row => share * column[row]),
      ])
    return {
      ...window,
      series,
      peers,
      cells: withStep(window.cells, stepAt),
      links: {
        length: rows + 1 + calls.length,
        parent: Int32Array.from([...window.links.parent, 0, ...calls.map(() => stepAt)]),
        child: Int32Array.from([...window.links.child, stepAt, ...calls.map(row => window.links.child[row])]),
        parents: of(spans),
        children: of(children),
        most: new Int32Array(rows + 1 + calls.length).fill(1),
      },
    }
  }
}

/** One more row like the first, which is the gateway's. */
function withStep(cells: Cells, stepAt: number): Cells {
  const longer = (value: unknown): unknown => {
    if (value instanceof Int32Array) return Int32Array.from([...value, value[0]])
    if (value instanceof Float64Array) return Float64Array.from([...value, value[0]])
    if (value instanceof Uint8Array) return Uint8Array.from([...value, ...value.subarray(0, 16)])
    if (typeof value === 'number') return value + 1
    return Object.fromEntries(Object.entries(value as object).map(([key, of]) => [key, longer(of)]))
  }
  const more = longer(cells) as Cells
  more.series[cells.length] = stepAt
  return more
}

function shopWithSteps(seed: number) {
  const { bus, shop, named, suspects } = scene(seed)
  const wrap = wrapping(shop)
  const run = (windows: number, share: number, trouble?: Trouble) => {
    for (let n = 0; n < windows; n++) bus.publish('features', '', wrap(shop.window(trouble), share))
  }
  return { run, named, suspects }
}

test('calls that a new step makes in place of its operation are not missing, whether it comes pod by pod or at once', () => {
  for (const [seed, shares] of [
    [61, [1]],
    [62, [0.5, 1]],
  ] as const) {
    const { run, named } = shopWithSteps(seed)
    run(30 * MINUTE, 0)
    for (const share of shares) run(20 * MINUTE, share)
    expect(named('otlier.incident.opened')).toEqual([])
  }
})

test('calls that the step makes no more are missing', () => {
  const { run, named, suspects } = shopWithSteps(63)
  run(30 * MINUTE, 0)
  run(10 * MINUTE, 1)
  run(5 * MINUTE, 1, { calls: { 'gateway>carts': 0.2 } })
  expect(named('otlier.incident.opened')).toHaveLength(1)
  expect(suspects()[0]).toBe('gateway')
  expect(named('otlier.incident.opened')[0].body).toMatch(/carts/)
})
