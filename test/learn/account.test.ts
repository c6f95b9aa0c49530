//! Laws of what is kept for explaining: whole reasoning of incidents, what was set aside and why, and no look-ahead.
import { expect, test } from 'vitest'
import { Registry } from '../../src/base/counters.ts'
import type { Assessment, IncidentRecord } from '../../src/bus/accounts.ts'
import type { EventRecord, FeatureWindow } from '../../src/bus/bus.ts'
import { memoryBus } from '../../src/bus/memory.ts'
import { LearningPlane } from '../../src/learn/plane.ts'
import { HOUR, MINUTE, PLANE, SLOW_TRACE } from '../kit/plane.ts'
import { Shop, type Trouble } from '../kit/shop.ts'

const asItIs = (window: FeatureWindow) => window

function scene(seed: number, change = asItIs, budgets = PLANE.budgets) {
  const bus = memoryBus(error => {
    throw error
  })
  const plane = new LearningPlane(bus, new Registry(), { ...PLANE, budgets })
  const shop = new Shop(seed)
  return {
    account: plane.account,
    bus,
    shop,
    run(windows: number, trouble?: Trouble) {
      for (let n = 0; n < windows; n++) bus.publish('features', '', change(shop.window(trouble)))
    },
    silence(windows: number) {
      for (let n = 0; n < windows; n++) {
        const empty = shop.window({ mute: ['gateway', 'carts', 'prices'] })
        bus.publish('features', '', { ...empty, cells: { ...empty.cells, length: 0 } })
      }
    },
    assess(atMs: number | null = null, service: string | null = null): Assessment {
      const answer = plane.account.assess(atMs, service)
      if ('wrong' in answer) throw new Error(answer.wrong)
      return answer
    },
    whole(): IncidentRecord {
      const [line] = plane.account.incidents()
      return plane.account.incident(line.id) as IncidentRecord
    },
  }
}

test('an incident is kept with its members, suspects, traces and what was told, while it is open and after its end', () => {
  const { run, whole, account } = scene(21)
  run(HOUR)
  expect(account.incidents()).toEqual([])
  run(5 * MINUTE, { slow: { carts: 5 } })
  const open = whole()
  expect(open).toMatchObject({ state: 'open', endedMs: null, suspected: expect.arrayContaining(['carts']) })
  run(8 * MINUTE)
  const ended = whole()
  expect(ended).toMatchObject({ id: open.id, state: 'resolved', sinceMs: open.sinceMs })
  expect(ended.endedMs).toBeGreaterThan(ended.peakMs)
  expect(ended.peakMs).toBeGreaterThan(ended.sinceMs)
  const [first] = ended.suspects
  expect(first.service).toBe('carts')
  expect(first.evidence[0].phrase).toMatch(/own time .* normally .* times/)
  // The numbers are those of the peak, and not of the end, when all was normal again.
  for (const member of ended.members) expect(member.strength).toBeGreaterThan(0)
  const strongest = ({ members }: typeof open) => Math.max(...members.map(({ strength }) => strength))
  expect(strongest(ended)).toBeGreaterThanOrEqual(strongest(open))
  expect(Math.exp(first.evidence[0].shift)).toBeGreaterThan(3)
  expect(ended.traceIds).toContain(SLOW_TRACE)
  expect(account.trace(SLOW_TRACE)?.incidents.map(({ id }) => id)).toContain(ended.id)
  expect(ended.told.map(({ event }) => event)).toEqual(
    expect.arrayContaining(['otlier.incident.opened', 'otlier.incident.resolved']),
  )
})

test('of the incidents that have ended the last hundred are kept', () => {
  const { bus, run, account } = scene(22)
  run(1)
  const event = (n: number): EventRecord => ({
    name: 'otlier.incident.opened',
    timeNs: 0n,
    observedMs: n,
    severity: 13,
    body: 'x',
    traceId: '',
    spanId: '',
    resource: {},
    attributes: { 'otlier.incident.id': `I${n}`, 'otlier.incident.trace_ids': [`${n}`.padStart(32, '0')] },
  })
  for (let n = 0; n < 500; n++) {
    bus.publish('event', '', event(n))
    run(1)
  }
  expect(account.memory().incidents).toBe(100)
})

test('the right service is suspected first before an incident opens, and it is said how far it was below the level', () => {
  const { run, assess, account } = scene(23, asItIs, [0.001])
  run(HOUR)
  run(2, { slow: { prices: 1.45 } })
  const { suspects, evidence, level } = assess(null, 'prices')
  expect(account.incidents()).toEqual([])
  expect(suspects[0].service).toBe('prices')
  expect(level).toBeGreaterThan(0)
  for (const one of evidence) expect(one.aside).not.toBe('')
})

test('a departure below its floor is kept, and the floor is named', () => {
  const { run, assess, account } = scene(24)
  run(HOUR)
  run(12 * MINUTE, { slow: { carts: 1.22 } })
  expect(account.incidents()).toEqual([])
  const own = assess(null, 'carts').evidence.filter(({ feature }) => feature === 'self')
  expect(own.map(({ aside }) => aside).join()).toMatch(
    /too small to count: 1\.\d+ times, and the floor is 1\.\d+ times/,
  )
})

test('what is seen after a moment changes nothing of what is said of it', () => {
  const { run, assess, shop } = scene(25)
  run(HOUR)
  run(4, { slow: { carts: 3 } })
  const atMs = shop.atMs
  const before = assess(atMs)
  run(6 * MINUTE, { failing: { prices: 0.5 } })
  const { suspects, evidence } = assess(atMs)
  expect(evidence).toEqual(before.evidence)
  expect(suspects[0]).toEqual(before.suspects[0])
  expect(assess().suspects[0].service).toBe('prices')
})

test('a silence of everybody is said, and a moment that is not kept is refused with what is kept', () => {
  const { run, silence, assess, account, shop } = scene(26)
  expect(account.assess(null, null)).toEqual({ wrong: expect.stringMatching(/No window/) })
  run(HOUR)
  silence(6)
  expect(assess().limits.join()).toMatch(/No trace ended in 6 of these 18 windows/)
  for (const atMs of [shop.atMs - 90 * 60_000, shop.atMs + 10 * 60_000])
    expect(account.assess(atMs, null)).toEqual({
      wrong: expect.stringMatching(/What is kept goes from .* to /),
    })
  expect(account.assess(null, 'crats')).toEqual({ wrong: expect.stringMatching(/Did you mean carts\?/) })
})

test('a window that was closed early says nothing of what is missing', () => {
  const { run, assess, account, shop } = scene(27)
  run(HOUR)
  account.endAt(shop.atMs)
  run(3, { traffic: 0.05, calls: { 'gateway>carts': 0.1 } })
  expect(
    assess(shop.atMs).evidence.filter(({ feature }) => feature === 'rate' || feature === 'structure'),
  ).toEqual([])
  expect(assess(shop.atMs).atMs).toBe(shop.atMs)
})

test('a version, an operation and a call that are new shortly before an incident are told with it; at the start nothing is', () => {
  const { run, whole, assess, shop } = scene(28)
  run(5 * MINUTE)
  const first = { ...shop.pods[3], id: 'first', name: 'carts-1b', attributes: { 'service.version': '2.1' } }
  Object.assign(shop, { pods: shop.pods.with(3, first) })
  run(1)
  expect(assess().changes).toEqual([])
  run(HOUR)
  const younger = { ...shop.pods[2], id: 'new', name: 'carts-0b', attributes: { 'service.version': '3.0' } }
  // Another table, as after a restart of the data plane.
  Object.assign(shop, { pods: shop.pods.with(2, younger) })
  run(1)
  run(5 * MINUTE, { slow: { carts: 5 } })
  expect(whole().changes).toEqual([expect.objectContaining({ service: 'carts', what: 'a new version: 3.0' })])
})

test('what is kept stays bounded, whatever comes', () => {
  const { run, account } = scene(29)
  run(30 * MINUTE, { slow: { carts: 2, prices: 3 }, failing: { gateway: 0.2 } })
  run(2 * HOUR, { slow: { carts: 2, prices: 3 }, failing: { gateway: 0.2 } })
  const { windows, most } = account.memory()
  expect(windows).toBeLessThanOrEqual(360)
  expect(most).toBeGreaterThan(0)
})
