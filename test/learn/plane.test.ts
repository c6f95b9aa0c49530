//! Laws of the learning plane: who is blamed for what, when it is told, and what a restart keeps.
import { expect, test } from 'vitest'
import type { FeatureWindow } from '../../src/bus/bus.ts'
import { Episodes } from '../../src/learn/episodes.ts'
import { loadPlane, restorePlane, savePlane, storePlane } from '../../src/learn/keep.ts'
import { idAt } from '../../src/learn/places.ts'
import { recordingLog } from '../kit/log.ts'
import { HOUR, MINUTE, SLOW_TRACE, scene } from '../kit/plane.ts'
import { Shop, type Trouble } from '../kit/shop.ts'
import { simulatedWorld } from '../kit/world.ts'

const TROUBLES: readonly (readonly [string, Trouble, string])[] = [
  ['a service that is slow itself', { slow: { carts: 5 } }, 'carts'],
  ['the callee of a way that is slow', { way: { 'gateway>prices': 8 } }, 'prices'],
  [
    'a caller that is starved, although the ways to all it calls are slow',
    { slow: { gateway: 5 }, way: { 'gateway>carts': 4, 'gateway>prices': 4 } },
    'gateway',
  ],
  ['the service where failures begin', { failing: { prices: 0.3 } }, 'prices'],
  ['the parent that no longer calls', { calls: { 'gateway>carts': 0.2 } }, 'gateway'],
  ['a service that is seen no more', { mute: ['carts'] }, 'carts'],
  ['the service where less comes in', { traffic: 0.1 }, 'gateway'],
]

for (const [who, trouble, service] of TROUBLES) {
  test(`one incident blames ${who}, and is over when it is over`, () => {
    const { run, named, suspects, states } = scene(11)
    run(HOUR)
    expect(named('otlier.incident.opened')).toHaveLength(0)
    run(5 * MINUTE, trouble)
    expect(named('otlier.incident.opened')).toHaveLength(1)
    expect(suspects()[0]).toBe(service)
    // A service that is silent has no traces to show.
    const silent = trouble.mute !== undefined
    const traces = named('otlier.incident.opened')[0].attributes['otlier.incident.trace_ids']
    expect(traces).toEqual(silent ? [] : [SLOW_TRACE])
    expect(states.filter(({ open }) => open).length).toBeGreaterThan(0)
    run(8 * MINUTE)
    expect(named('otlier.incident.opened')).toHaveLength(1)
    expect(named('otlier.incident.resolved')).toHaveLength(1)
    expect(states.at(-1)).toMatchObject({ open: false })
  })
}

test('a pod that is slow alone is named with its version', () => {
  const { run, named } = scene(12)
  run(HOUR)
  run(5 * MINUTE, { pod: { 'carts-1': 8 } })
  const said = named('otlier.incident.opened')[0].attributes
  expect(said['otlier.incident.suspects']).toEqual(expect.arrayContaining(['carts']))
  expect(String(said['otlier.incident.contributors'])).toMatch(
    /service\.version=2\.0.*k8s\.pod\.name=carts-1/,
  )
})

test('twelve calm hours raise at most one incident', () => {
  const { run, named } = scene(13)
  run(12 * HOUR)
  expect(named('otlier.incident.opened').length).toBeLessThanOrEqual(1)
})

test('a level that stays is told once, adopted once, and then normal', () => {
  const { run, named } = scene(14)
  run(HOUR)
  run(3 * HOUR, { slow: { carts: 3 } })
  expect(named('otlier.incident.opened')).toHaveLength(1)
  expect(named('otlier.incident.resolved')).toHaveLength(1)
  const shifts = named('otlier.baseline.shift').filter(({ resource }) => resource['service.name'] === 'carts')
  expect(shifts.length).toBeGreaterThan(0)
  expect(new Set(shifts.map(({ observedMs }) => observedMs)).size).toBe(1)
})

test('silence of everybody opens nothing, and resolves what is open after three minutes', () => {
  const { run, named } = scene(15)
  run(HOUR)
  run(3 * MINUTE, { slow: { carts: 6 } })
  expect(named('otlier.incident.opened')).toHaveLength(1)
  run(4 * MINUTE, { traffic: 0 })
  expect(named('otlier.incident.resolved')).toHaveLength(1)
  expect(named('otlier.incident.resolved')[0].body).toMatch(/no data/)
  run(HOUR)
  expect(named('otlier.incident.opened')).toHaveLength(1)
})

test('what begins later next door has an incident of its own, however weak it was at first', () => {
  const { run, named, suspects } = scene(12)
  run(3 * HOUR)
  run(4 * MINUTE, { slow: { carts: 6 } })
  expect(named('otlier.incident.opened')).toHaveLength(1)
  run(1 * MINUTE, { slow: { carts: 6 }, failing: { gateway: 0.05 } })
  run(4 * MINUTE, { slow: { carts: 6 }, failing: { gateway: 0.3 } })
  expect(named('otlier.incident.opened')).toHaveLength(2)
  expect(suspects()[0]).toBe('gateway')
})

test('a restart in the middle of an incident neither forgets nor re-opens it', () => {
  const before = scene(16)
  before.run(HOUR)
  before.run(4 * MINUTE, { slow: { carts: 5 } })
  const after = scene(16, {}, before.shop)
  loadPlane(after.plane, storePlane(before.plane, 0))
  expect(after.states).toHaveLength(1)
  after.run(2 * MINUTE, { slow: { carts: 5 } })
  expect(after.named('otlier.incident.opened')).toHaveLength(0)
  after.run(8 * MINUTE)
  expect(after.named('otlier.incident.opened')).toHaveLength(0)
  expect(after.named('otlier.incident.resolved')).toHaveLength(1)
  expect(after.named('otlier.incident.resolved')[0].attributes['otlier.incident.id']).toBe(
    before.named('otlier.incident.opened')[0].attributes['otlier.incident.id'],
  )
})

test('what is kept can be read back, and what is damaged is set aside with a word', async () => {
  const world = simulatedWorld(1, 0)
  const { plane, run } = scene(17)
  run(HOUR)
  run(3 * MINUTE, { slow: { carts: 5 } })
  const stored = JSON.parse(storePlane(plane, 0).split('\n')[0])
  expect(stored.together[0]).toBeGreaterThan(MINUTE)
  expect(stored.services[0].at(-1)[0]).toBeGreaterThan(0)
  const named = (name: string) => stored.series.filter((one: Record<string, number>) => one[name] > 0)
  expect(named('hourly')).not.toEqual([])
  expect(named('usualPerTrace')).not.toEqual([])
  await savePlane('/state', plane, world, recordingLog().log)
  const fresh = scene(17).plane
  await restorePlane('/state', fresh, world, recordingLog().log)
  expect(storePlane(fresh, 0)).toBe(storePlane(plane, 0))
  const bytes = (await world.disk.read('/state/learning.otlier')) as Uint8Array
  await world.disk.writeAtomic('/state/learning.otlier', bytes.slice(0, bytes.length - 3))
  const { log, lines } = recordingLog()
  const other = scene(17).plane
  await restorePlane('/state', other, world, log)
  expect(other.evidence.features).toHaveLength(0)
  expect(JSON.stringify(lines)).toMatch(/set aside/)
})

test('the same windows give the same events, and a budget changes decisions and no evidence', () => {
  const said = [1, 2].map(() => {
    const { run, events } = scene(18)
    run(HOUR)
    run(4 * MINUTE, { slow: { prices: 4 } })
    return JSON.stringify(events, (_, value) => (typeof value === 'bigint' ? String(value) : value))
  })
  expect(said[0]).toBe(said[1])
  const [small, large] = [0.2, 20].map(budget => {
    const one = scene(19, { budgets: [budget] })
    one.run(HOUR)
    return one.plane.evidence.record.store()
  })
  expect(small).toEqual(large)
})

test('another budget decides from the next window on, and nothing that was learned is lost by it', () => {
  const [changed, same] = [scene(20), scene(20)]
  for (const one of [changed, same]) one.run(2 * HOUR + 1)
  const [decider] = changed.plane.deciders
  expect(decider.level).toBe(same.plane.deciders[0].level)
  Object.assign(changed.options, { budgets: [1e-4] })
  for (const one of [changed, same]) one.run(1)
  expect(decider.level).toBeGreaterThan(same.plane.deciders[0].level + 1)
  expect(storePlane(changed.plane, 0)).toBe(storePlane(same.plane, 0))
  // It is what events and answers speak of, too.
  const answer = changed.plane.account.assess(null, null)
  expect(answer).toMatchObject({ budgetPerDay: 1e-4, level: decider.level })
  for (const one of [changed, same]) one.run(5 * MINUTE, { slow: { carts: 1.6 } })
  expect(changed.named('otlier.incident.opened')).toEqual([])
  expect(same.named('otlier.incident.opened')).toHaveLength(1)
})

test('a burst of a single window opens nothing, however slow it is', () => {
  const { run, named } = scene(20)
  run(HOUR)
  for (let n = 0; n < 5; n++) {
    run(1, { slow: { carts: 50 }, way: { 'gateway>prices': 50 } })
    run(10 * MINUTE)
  }
  expect(named('otlier.incident.opened')).toHaveLength(0)
})

test('an operation that is seldom asked is told of when it is slow time after time', () => {
  const { run, named, suspects } = scene(21, {}, new Shop(21, 1))
  run(3 * HOUR)
  run(5 * MINUTE, { slow: { carts: 30 } })
  expect(named('otlier.incident.opened')).toHaveLength(1)
  expect(suspects()[0]).toBe('carts')
})

test('who waits longer asks less often: the slow one is blamed, and not who is asked less', () => {
  const { run, named, suspects } = scene(22)
  run(HOUR)
  run(5 * MINUTE, { slow: { carts: 6 }, traffic: 0.2 })
  expect(named('otlier.incident.opened')).toHaveLength(1)
  expect(suspects()[0]).toBe('carts')
})

test('a rush of requests may slow down who is asked, as far as it explains it, and no further', () => {
  const opened = (traffic: number, factor: number) => {
    const { run, named } = scene(25)
    run(HOUR)
    run(5 * MINUTE, { traffic, slow: { carts: factor } })
    return named('otlier.incident.opened').length
  }
  expect(opened(3, 2.5)).toBe(0)
  expect(opened(1, 2.5)).toBe(1)
  expect(opened(3, 8)).toBe(1)
})

test('a network that stalls for half a minute is told once and not each time; a way that is slow for minutes is told', () => {
  const { run, named } = scene(26, {}, new Shop(26, 20))
  const opened = () => named('otlier.incident.opened').length
  const slow = { way: { 'gateway>prices': 8 } }
  run(HOUR)
  for (let n = 0; n < 6; n++) {
    run(3, slow)
    run(HOUR)
  }
  expect(opened()).toBe(1)
  run(5 * MINUTE, slow)
  expect(opened()).toBe(2)
  run(HOUR)
  run(5 * MINUTE, { slow: { carts: 2 } })
  expect(opened()).toBe(3)
})

test('what departs at one moment at neighbours is one peak of calm times, and what comes later another', () => {
  const { plane, run } = scene(23)
  run(HOUR)
  const notes: number[] = []
  const episodes = new Episodes((_, peak) => notes.push(peak))
  const all = plane.evidence.features.filter(({ class: of }) => of === 'service self' || of === 'edge gap')
  const end = (sinceMs: number, peak: number) => {
    for (const [n, feature] of all.entries())
      episodes.add(Object.assign(feature, { sinceMs, peakMs: sinceMs, peak: peak + n }), sinceMs + 60_000)
  }
  end(0, 1)
  end(3_600_000, 2)
  episodes.turn(7_200_000)
  expect(notes).toEqual([all.length, all.length + 1])
})

/** As if every span stood for so many, of which it alone was recorded. */
function sampled(window: FeatureWindow, times: number): FeatureWindow {
  const { cells, bins, links } = window
  const { spans, roots, traces, origins, away, timed, timedSquares, answered, answeredSquares } = cells
  const weights = [spans, roots, traces, origins, away, timed, answered, bins.weight]
  for (const column of [...weights, links.parents, links.children])
    column.forEach((weight, row) => void (column[row] = weight * times))
  for (const column of [timedSquares, answeredSquares])
    column.forEach((squares, row) => void (column[row] = squares * times * times))
  return window
}

test('one span that stands for ten is no more certain than one that stands for itself', () => {
  const [whole, tenth] = [1, 10].map(times => {
    const { plane, bus, shop, named } = scene(24)
    const run = (windows: number, trouble: Trouble = {}) => {
      for (let n = 0; n < windows; n++) bus.publish('features', '', sampled(shop.window(trouble), times))
    }
    run(HOUR)
    run(2 * MINUTE, { failing: { prices: 0.1 }, calls: { 'gateway>carts': 0.8 }, traffic: 0.5 })
    const judged = plane.evidence.features.map(feature => {
      const [, { z, n }] = feature.judged
      return [idAt(feature), Number(z.toFixed(6)), Number(n.toFixed(6))]
    })
    return {
      judged,
      opened: named('otlier.incident.opened').map(({ observedMs, body }) => [observedMs, body]),
    }
  })
  expect(tenth.judged).toEqual(whole.judged)
  expect(whole.judged.length).toBeGreaterThan(20)
  expect(tenth.opened).toEqual(whole.opened)
})
