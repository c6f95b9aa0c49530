//! Laws of the self-test: it finds what can be found and nothing where the plane is blind, and nobody else notices it.
import { expect, test } from 'vitest'
import { seeded } from '../../src/base/chance.ts'
import type { EventRecord } from '../../src/bus/bus.ts'
import type { SelftestReport } from '../../src/bus/selftest.ts'
import { storePlane } from '../../src/learn/keep.ts'
import type { Fault, Size } from '../../src/learn/selftest/faults.ts'
import { STRETCH_WINDOWS } from '../../src/learn/selftest/recorder.ts'
import { live, Slices } from '../../src/learn/selftest/shadow.ts'
import { type Trouble, WINDOW_MS } from '../kit/shop.ts'
import { type SimulatedWorld, simulatedWorld } from '../kit/world.ts'
import { scene } from './selftest-scene.ts'

/** Lets time pass until the promise is there. */
async function begun<T>(world: SimulatedWorld, promise: Promise<T>): Promise<T> {
  let done = false
  const end = promise.finally(() => {
    done = true
  })
  while (!done) await world.advance(1)
  return end
}

const text = (events: readonly EventRecord[]) =>
  JSON.stringify(events, (_, value) => (typeof value === 'bigint' ? String(value) : value))
const rowOf = ({ rows }: SelftestReport, kind: string, size: string) => {
  const found = rows.find(row => row.kind === kind && row.size === size)
  if (found === undefined) throw new Error(`there is no row ${kind} ${size}`)
  return found
}

test('where traffic is good, what is large is found and located, and an event and the metrics say the same', async () => {
  const { run, report, events, registry } = scene(41)
  run(2 * STRETCH_WINDOWS)
  const found = await report()
  expect(found).toMatchObject({
    seed: 1,
    windows: STRETCH_WINDOWS,
    falseAlarms: 0,
    openedForReal: 0,
    limits: [],
  })
  for (const [kind, size] of [
    ['slow service', 'x5'],
    ['slow way', '+100 ms'],
    ['failures', '50 %'],
    ['silence', ''],
  ]) {
    const { trials, detected, located, delayS } = rowOf(found, kind, size)
    expect(trials, kind).toBeGreaterThan(1)
    expect([detected, located], kind).toEqual([trials, trials])
    expect(delayS, kind).toBeGreaterThan(20)
    expect(delayS, kind).toBeLessThanOrEqual(120)
  }
  const share = found.detected / found.trials
  const told = events.filter(({ name }) => name.startsWith('otlier.selftest.'))
  expect(told).toHaveLength(1)
  expect(told[0]).toMatchObject({
    name: 'otlier.selftest.result',
    severity: 9,
    resource: { 'service.name': 'otlier' },
    attributes: {
      'otlier.selftest.recall': share,
      'otlier.selftest.located': found.located / found.trials,
      'otlier.selftest.false_alarms': 0n,
      'otlier.selftest.delay': found.delayS,
      'otlier.selftest.trials': BigInt(found.trials),
    },
  })
  expect(registry.read('otlier.selftest.recall')).toBe(share)
  expect(registry.read('otlier.selftest.located')).toBe(found.located / found.trials)
  expect(registry.read('otlier.selftest.false_alarms')).toBe(0)
  expect(registry.read('otlier.selftest.delay')).toBe(found.delayS)
  expect(registry.read('otlier.selftest.trials')).toBe(found.trials)
})

test('a plane that never opens anything has a recall of 0', async () => {
  const { run, report, registry } = scene(42, { budgets: [1e-300] })
  run(2 * STRETCH_WINDOWS)
  const found = await report(null)
  // Without a seed one is drawn.
  expect(found.seed).toBeGreaterThan(0)
  expect(found.trials).toBeGreaterThan(20)
  expect(found).toMatchObject({ detected: 0, located: 0, delayS: null })
  expect(registry.read('otlier.selftest.recall')).toBe(0)
})

test('the running plane says and knows the same, byte for byte, with a self-test in between and without', async () => {
  const lives = await Promise.all(
    [true, false].map(async tested => {
      const { run, report, events, plane, registry } = scene(43)
      run(2 * STRETCH_WINDOWS)
      if (tested) await report()
      run(40, { slow: { carts: 5 } })
      run(40)
      const own = events.filter(({ name }) => !name.startsWith('otlier.selftest.'))
      expect(events.length - own.length).toBe(tested ? 1 : 0)
      return [text(own), storePlane(plane, 0), registry.read('otlier.incidents.open')]
    }),
  )
  expect(lives[0][0]).toContain('otlier.incident.opened')
  expect(lives[0]).toEqual(lives[1])
})

test('a seed gives the same report again, also while the running plane goes on, whose events are the same', async () => {
  const alone = scene(44)
  alone.run(2 * STRETCH_WINDOWS)
  const quiet = await alone.report(7)
  alone.run(30, { slow: { prices: 5 } })
  const busy = scene(44)
  busy.run(2 * STRETCH_WINDOWS)
  expect(busy.selftest.start(7)).toEqual({ seed: 7 })
  for (let n = 0; n < 30; n++) {
    // One slice of the self-test, one window of the service.
    await busy.world.settle()
    busy.run(1, { slow: { prices: 5 } })
  }
  expect(busy.selftest.now().state).toBe('running')
  await busy.world.until(() => busy.selftest.now().state !== 'running')
  expect(busy.selftest.now()).toEqual({ state: 'done', report: quiet })
  const own = ({ events }: typeof alone) =>
    text(events.filter(({ name }) => name.startsWith('otlier.incident.')))
  expect(own(busy)).toBe(own(alone))
  expect(own(busy)).toContain('otlier.incident.opened')
})

test('it says how much traffic it needs, and is not started twice', async () => {
  const { run, selftest } = scene(46)
  expect(selftest.now()).toEqual({ state: 'idle' })
  expect(selftest.start(1)).toEqual({
    wrong: 'A self-test needs 18.3 minutes of traffic since the start; there are 0 so far.',
  })
  run(STRETCH_WINDOWS + 49)
  expect(selftest.start(1)).toMatchObject({ wrong: expect.stringContaining('there are 18.1 so far') })
  run(1)
  expect(selftest.start(1)).toEqual({ seed: 1 })
  expect(selftest.start(2)).toMatchObject({ wrong: expect.stringContaining('is running already') })
  selftest.stop()
})

test('what the windows open by themselves is no detection: it is told as such, and nothing is injected next to it', async () => {
  const { run, report, events } = scene(47)
  run(2 * STRETCH_WINDOWS)
  run(STRETCH_WINDOWS / 2, { slow: { carts: 6 } })
  run(STRETCH_WINDOWS / 2)
  expect(events.filter(({ name }) => name === 'otlier.incident.opened')).toHaveLength(1)
  const found = await report()
  expect(found).toMatchObject({ falseAlarms: 1, openedForReal: 1, elsewhere: 0 })
  expect(found.limits).toHaveLength(2)
  // Of three services in the calm stretch, and in the other of the one that is no neighbour of carts.
  expect(rowOf(found, 'slow service', 'x5').trials).toBe(4)
})

test('a copy that begins where nothing had been learned opens what the running service opened, and names the same', async () => {
  const { run, recorder, events, options, world, said } = scene(48)
  run(35)
  run(24, { slow: { carts: 8 }, failing: { prices: 0.4 } })
  const [stretch] = recorder.stretches
  expect(stretch.windows).toHaveLength(said.length)
  const { opened } = await begun(
    world,
    live(stretch, stretch.windows.length, null, options, new Slices(world)),
  )
  const real = events.filter(({ name }) => name === 'otlier.incident.opened')
  expect(real.length).toBeGreaterThan(0)
  expect(opened.map(({ id, toldMs }) => [id, toldMs])).toEqual(
    real.map(({ attributes, observedMs }) => [attributes['otlier.incident.id'], observedMs]),
  )
  expect(opened.map(({ suspects }) => suspects[0])).toContain('carts')
})

const ONSET = 25
const KINDS: readonly (readonly [Size, Trouble, string, string[], string[]])[] = [
  [{ kind: 'slow service', factor: 3 }, { slow: { carts: 3 } }, 'carts', ['POST /carts'], []],
  [{ kind: 'slow way', addedNs: 10e6 }, { way: { 'gateway>prices': 6 } }, 'prices', ['call prices'], []],
  [{ kind: 'failures', share: 0.2 }, { failing: { prices: 0.2 } }, 'prices', ['POST /prices'], []],
  [{ kind: 'silence' }, { mute: ['carts'] }, 'carts', ['POST /carts', 'call cart-db'], ['call carts']],
]
test.each(KINDS)(
  '%j in a copy is told like the real thing: as soon, and with the same service first',
  async (size, trouble, service, series, callers) => {
    const real = scene(49)
    real.run(2 * STRETCH_WINDOWS + ONSET)
    const realMs = real.said[real.said.length - 1].endMs
    real.run(30, trouble)
    const told = real.events.filter(({ name }) => name === 'otlier.incident.opened')
    const copied = scene(49)
    copied.run(2 * STRETCH_WINDOWS + 55)
    const ids = (names: readonly string[]) =>
      new Set(copied.said[0].series.filter(({ operation }) => names.includes(operation)).map(({ id }) => id))
    const fault: Fault = { service, size, series: ids(series), callers: ids(callers) }
    const { recorder, world, options } = copied
    const stretch = recorder.stretches[recorder.stretches.length - 1]
    expect(stretch.windows).toHaveLength(55)
    const injection = { fault, onset: ONSET, random: seeded(1) }
    const lived = live(stretch, 55, injection, options, new Slices(world))
    const { opened: found } = await begun(world, lived)
    expect([told.length, found.length]).toEqual([1, 1])
    expect([(told[0].attributes['otlier.incident.suspects'] as string[])[0], found[0].suspects[0]]).toEqual([
      service,
      service,
    ])
    expect(Math.abs(found[0].toldMs - told[0].observedMs)).toBeLessThanOrEqual(2 * WINDOW_MS)
    expect(found[0].toldMs).toBeGreaterThan(realMs)
  },
)

test('a slice of work is followed by three times as long for others, and a stop ends it all', async () => {
  const world = simulatedWorld(1)
  const slices = new Slices(world)
  let done = false
  void slices
    .slice(() => world.burn(10))
    .then(() => {
      done = true
    })
  await world.advance(29)
  expect(done).toBe(false)
  await world.advance(1)
  expect([done, slices.longestMs, slices.totalMs]).toEqual([true, 10, 10])
  const { run, selftest, world: other, events } = scene(53)
  run(2 * STRETCH_WINDOWS)
  selftest.start(1)
  selftest.stop()
  await other.advance(1000)
  expect(other.timers()).toBe(0)
  expect(events).toEqual([])
})
