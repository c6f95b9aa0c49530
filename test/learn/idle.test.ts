//! Laws of forgetting in the learning plane: what is gone goes with all that hung on it, and a restart does not begin the time anew.
import { expect, test } from 'vitest'
import { Registry } from '../../src/base/counters.ts'
import type { SeriesKey } from '../../src/bus/bus.ts'
import { KEPT_HOURS } from '../../src/bus/idle.ts'
import { memoryBus } from '../../src/bus/memory.ts'
import { Summary } from '../../src/detect/summary.ts'
import { Changes } from '../../src/learn/changes.ts'
import { fade } from '../../src/learn/fading.ts'
import type { Feature } from '../../src/learn/feature.ts'
import { loadPlane, storePlane } from '../../src/learn/keep.ts'
import { Landscape } from '../../src/learn/landscape.ts'
import { Learner } from '../../src/learn/learner.ts'
import { idAt } from '../../src/learn/places.ts'
import type { Series } from '../../src/learn/series.ts'
import { decodeSnapshot, encodeSnapshot } from '../../src/learn/snapshot.ts'
import { scene } from '../kit/plane.ts'

/** Of the plane's time; a window counts for twenty minutes, so that days go by. */
const HOUR = 3
const slow = { windowMs: 20 * 60_000 }
const SERIES: SeriesKey = {
  id: '',
  service: 's',
  operation: '',
  kind: 2,
  namespace: '',
  environment: '',
  overflow: false,
}
const GONE = { mute: ['carts'] }

const knownOf = ({ plane }: Pick<ReturnType<typeof scene>, 'plane'>, name: string) => {
  const { landscape, features } = plane.evidence
  const names = (nodes: Iterable<{ readonly name: string }>) => [...nodes].map(node => node.name)
  const gateway = [...landscape.services.values()].find(service => service.name === 'gateway')
  return {
    service: names(landscape.services.values()).includes(name),
    series: [...landscape.series.values()].filter(({ service }) => service.name === name).length,
    pods: [...landscape.pods.values()].filter(({ service }) => service.name === name).length,
    edge: names(gateway?.callees ?? []).includes(name),
    features: features.filter(
      ({ place }) => place.service.name === name || place.targetService?.name === name,
    ).length,
  }
}

test('pods that are gone go first, then a service with its series, edges and features; who still calls it calls a peer', () => {
  const shop = scene(21, slow)
  shop.run(6 * HOUR)
  const before = knownOf(shop, 'carts')
  expect(before).toMatchObject({ service: true, series: 2, pods: 2, edge: true })
  expect(before.features).toBeGreaterThan(5)
  const { evidence } = shop.plane
  const levels = evidence.landscape.levels.size
  shop.run((KEPT_HOURS.pods + 2) * HOUR, GONE)
  expect(knownOf(shop, 'carts')).toMatchObject({ service: true, series: 2, pods: 0, edge: true })
  shop.run((KEPT_HOURS.series - KEPT_HOURS.pods - 4) * HOUR, GONE)
  expect(knownOf(shop, 'carts')).toMatchObject({ service: true, series: 2 })
  shop.run(4 * HOUR, GONE)
  expect(knownOf(shop, 'carts')).toEqual({ service: false, series: 0, pods: 0, edge: false, features: 0 })
  expect(evidence.slots.size).toBe(evidence.features.length)
  // A level of what it served and one of the way by which it called are gone; that by which a peer answers is new.
  expect(evidence.landscape.levels.size).toBe(levels - 2 + 1)
  const peers = shop.plane.evidence.features.filter(feature => feature.class === 'edge failure')
  expect(peers.map(({ place }) => place.target)).toContain('call carts')
  // The others are as they were, and it is met anew when it comes back.
  expect(knownOf(shop, 'prices')).toMatchObject({ service: true, series: 1, pods: 2, edge: true })
  shop.run(HOUR)
  expect(knownOf(shop, 'carts')).toMatchObject({ service: true, series: 2, pods: 2, edge: true })
  const [level] = [...shop.plane.evidence.landscape.series.values()]
    .filter(({ service, isCall }) => service.name === 'carts' && !isCall)
    .map(({ self }) => self.samples)
  expect(level).toBeLessThan(60 * HOUR + 1)
})

test('what was forgotten is watched anew, though its series is known', () => {
  const shop = scene(25, slow)
  shop.run(6 * HOUR)
  const { evidence } = shop.plane
  const before = ['operation self', 'operation failure', 'edge gap', 'call missing'].map(name =>
    evidence.features.find(({ class: of }) => of === name),
  ) as Feature[]
  for (const feature of before) feature.idleHours = KEPT_HOURS.series + 1
  evidence.passHour()
  for (const feature of before) expect(evidence.features).not.toContain(feature)
  shop.run(HOUR)
  expect(evidence.features.map(idAt)).toEqual(expect.arrayContaining(before.map(idAt)))
})

test('what is new is told, and what was there is not, whatever is forgotten beside it', () => {
  const shop = scene(22, slow)
  const changes = () => shop.plane.account.assess(null, null)
  shop.run(6 * HOUR)
  shop.run((KEPT_HOURS.series + 2) * HOUR, GONE)
  const told = (found: ReturnType<typeof changes>) =>
    'wrong' in found ? [] : found.changes.map(({ service, what }) => `${service}: ${what}`)
  expect(told(changes())).toEqual([])
  shop.run(1)
  expect(told(changes())).toEqual(['gateway: it calls carts for the first time'])
})

test('what comes with the next window after something was forgotten is told', () => {
  const landscape = new Landscape({ maxSeries: 100 })
  const changes = new Changes()
  const meet = (operation: string, ms: number) =>
    landscape.meet({ ...SERIES, id: operation, operation }, '', ms)
  for (const operation of ['a', 'b']) meet(operation, 0)
  changes.look(landscape, 0)
  for (let hour = 1; hour <= KEPT_HOURS.series + 1; hour++) {
    meet('a', hour * 3_600_000)
    changes.look(landscape, hour * 3_600_000)
    fade(landscape)
    changes.forgot(landscape)
  }
  expect([...landscape.series.keys()]).toEqual(['a'])
  const nowMs = 60 * 3_600_000
  meet('c', nowMs)
  changes.look(landscape, nowMs)
  expect(changes.between(0, nowMs, null).map(({ what }) => what)).toEqual(['a new operation: c'])
})

test('of what one operation calls, and of all features, no more are kept than the bound, and the rest is counted', () => {
  const { evidence } = scene(1, { maxSeries: 1000 }).plane
  const { landscape } = evidence
  const series = Array.from({ length: 1000 }, (_, n) =>
    landscape.meet({ ...SERIES, id: `${n}`, service: `s-${n}`, operation: `${n}` }, '', 0),
  ).filter(one => one !== null)
  for (const child of series) {
    landscape.callOf(series[0], child)
    landscape.saw(series[0], child, 1)
  }
  expect(series[0].calls.length).toBe(256)
  expect(series[0].votes.length).toBe(256)
  expect(landscape.crowded).toBe(1000 - 256 + 999 - 256)
  const before = landscape.crowded
  for (let n = 0; n < 20_000; n++)
    evidence.feature('call missing', series[0].service, { detail: String(n) }).a = 1
  expect(evidence.features).toHaveLength(16_000)
  expect(landscape.crowded - before).toBe(4_000)
})

test('a way that is not gone any more is forgotten, though both of its ends live', () => {
  const landscape = new Landscape({ maxSeries: 100 })
  const meet = (service: string, operation: string, kind: number) =>
    landscape.meet({ ...SERIES, id: `${service} ${operation}`, service, operation, kind }, '', 0) as Series
  const server = meet('shop', 'GET /', 2)
  const client = meet('shop', 'call', 3)
  const [old, now] = [meet('old', 'serve', 2), meet('new', 'serve', 2)]
  landscape.callOf(server, client)
  landscape.callOf(server, meet('shop', 'dropped', 1))
  landscape.saw(client, old, 9)
  const callees = () => [...client.service.callees].map(({ name }) => name)
  for (let hour = 0; hour <= KEPT_HOURS.series; hour++) {
    expect(client.callee?.name).toBe('old')
    for (const one of [server, client, old, now]) meet(one.service.name, one.key.operation, one.key.kind)
    meet('shop', 'dropped', 1)
    landscape.callOf(server, client)
    landscape.saw(client, now, 0.1)
    fade(landscape)
  }
  expect(client.callee?.name).toBe('new')
  expect(callees()).toEqual(['new'])
  expect(old.service.callers.size).toBe(0)
  expect(server.calls.map(({ child }) => child)).toEqual([client])
})

test('silence of everybody forgets nothing, however long', () => {
  const shop = scene(23, slow)
  shop.run(6 * HOUR)
  const before = knownOf(shop, 'carts')
  shop.run(500 * HOUR, { traffic: 0 })
  shop.run(2)
  expect(knownOf(shop, 'carts')).toEqual(before)
})

test('a restart does not begin the time anew, and what is forgotten stands in no snapshot', () => {
  const before = scene(24, slow)
  before.run(6 * HOUR)
  before.run((KEPT_HOURS.series - 10) * HOUR, GONE)
  const after = scene(24, slow, before.shop)
  loadPlane(after.plane, storePlane(before.plane, 0))
  expect(knownOf(after, 'carts')).toMatchObject({ service: true, series: 2 })
  after.run(12 * HOUR, GONE)
  expect(knownOf(after, 'carts')).toMatchObject({ service: false, features: 0 })
  // Not even as the peer that it is called by now.
  expect(storePlane(after.plane, 0)).not.toContain('POST /carts')
})

test('models are forgotten in the same time over a restart, and the data plane is told which', async () => {
  const bus = memoryBus(error => {
    throw error
  })
  const forgotten: string[] = []
  bus.listen('forgotten', ({ ids }) => forgotten.push(...ids))
  const hear = (learner: Learner, id: string) =>
    learner.hear({
      series: { ...SERIES, id, operation: id },
      windowStartMs: 0,
      windowEndMs: 10_000,
      summary: new Summary(),
    })
  const hours = (count: number, learner: Learner) => {
    for (let n = 0; n < count; n++) {
      hear(learner, 'always')
      bus.publish('hour', '', { endMs: 0 })
    }
  }
  const first = new Learner(bus, new Registry(), { rebaselineMs: 3_600_000 })
  hear(first, 'once')
  hours(30, first)
  first.close()
  const snapshot = decodeSnapshot(await encodeSnapshot(first.states.values(), 0, async () => {}))
  if ('wrong' in snapshot) throw new Error(snapshot.wrong)
  const second = new Learner(bus, new Registry(), { rebaselineMs: 3_600_000 })
  second.restore(snapshot.states)
  hours(KEPT_HOURS.series - 30, second)
  expect([...second.states.keys()]).toEqual(['once', 'always'])
  hours(1, second)
  expect([...second.states.keys()]).toEqual(['always'])
  expect(forgotten).toEqual(['once'])
})
