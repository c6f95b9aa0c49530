//! The simulated world keeps what it promises: its shape, its rates, its weather, and that one seed makes all of it.
import { describe, expect, test } from 'vitest'
import { Climate, STEP_MS } from './climate.ts'
import { gauss, mix, pareto, poisson, under, unit, wander } from './draws.ts'
import type { Operation } from './topology.ts'
import { FAILED, MOST_SPANS } from './trace.ts'
import { Life, makeWorld } from './world.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const SEEDS = Array.from({ length: 12 }, (_, n) => n + 1)
const worlds = SEEDS.map(seed => makeWorld(seed))
const middle = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1]

describe('draws', () => {
  const draws = Array.from({ length: 60_000 }, (_, n) => under(2_024, n))

  test('are even, normal and heavy-tailed as their names say', () => {
    expect(draws.filter(bits => unit(bits) < 0.3).length / draws.length).toBeCloseTo(0.3, 2)
    const squares = draws.reduce((sum, bits) => sum + gauss(bits) ** 2, 0) / draws.length
    expect(squares).toBeCloseTo(1, 1)
    expect(draws.filter(bits => Math.abs(gauss(bits)) < 1).length / draws.length).toBeCloseTo(0.6827, 2)
    expect(draws.filter(bits => pareto(bits, 2) > 10).length / draws.length).toBeCloseTo(0.01, 2)
    for (const mean of [0.3, 7, 90]) {
      const counts = draws.map(bits => poisson(mix(bits), mean))
      const average = counts.reduce((a, b) => a + b) / counts.length
      const variance = counts.reduce((sum, count) => sum + (count - average) ** 2, 0) / counts.length
      expect(average / mean).toBeCloseTo(1, 1)
      expect(variance / mean).toBeCloseTo(1, 1)
    }
    expect(draws.every(bits => poisson(bits, 2) <= poisson(bits, 2.5))).toBe(true)
  })

  test('wander alike at every scale: each doubling of the distance adds about as much', () => {
    const at = (distance: number) => {
      const steps = Array.from(
        { length: 3_000 },
        (_, n) => wander(5, n * 37, 1, 12) - wander(5, n * 37 + distance, 1, 12),
      )
      return steps.reduce((sum, step) => sum + step ** 2, 0) / steps.length
    }
    const growth = [2, 8, 32, 128].map(distance => at(4 * distance) - at(distance))
    for (const more of growth) expect(more).toBeGreaterThan(0.1)
    expect(Math.max(...growth) / Math.min(...growth)).toBeLessThan(4)
  })
})

describe('the shop', () => {
  test('has 40 services, about 300 series, and trees of calls up to eight deep', () => {
    for (const { topology } of worlds) {
      expect(topology.services).toHaveLength(40)
      const first = new Set<number>(topology.calls.map(({ series }) => series))
      for (const { series, inner } of topology.operations)
        for (const id of [series[0], inner[0]]) if (id >= 0) first.add(id)
      expect(first.size).toBeGreaterThan(260)
      expect(first.size).toBeLessThan(340)
      expect(Math.max(...topology.operations.map(({ depth }) => depth))).toBeLessThanOrEqual(8)
      for (const { from, to, remote } of topology.calls)
        if (remote === 'operation') expect((to as Operation).service.tier).toBeGreaterThan(from.service.tier)
    }
    const depths = worlds.map(({ topology }) => Math.max(...topology.operations.map(({ depth }) => depth)))
    expect(middle(depths)).toBe(8)
    expect(makeWorld(1, { services: 400, days: 1 }).topology.series.length).toBeGreaterThan(2_600)
  })

  test('has retries, fan-out, queues, cache hits, peers without telemetry, and tails of index 1.5 to 3', () => {
    for (const { topology } of worlds) {
      const { calls, operations } = topology
      expect(calls.filter(({ retries }) => retries > 0).length).toBeGreaterThan(20)
      expect(calls.filter(({ fanOut }) => fanOut).length).toBeGreaterThan(5)
      expect(calls.filter(({ async }) => async).length).toBeGreaterThan(1)
      expect(calls.filter(({ remote }) => remote === 'peer').length).toBeGreaterThan(20)
      expect(operations.filter(({ hitShare }) => hitShare > 0).length).toBeGreaterThan(20)
      for (const { tailIndex } of operations) expect(tailIndex).toBeGreaterThanOrEqual(1.5)
      for (const { tailIndex } of operations) expect(tailIndex).toBeLessThanOrEqual(3)
    }
  })

  test('is asked at rates that are log-uniform from 0.02 to 20 requests a second', () => {
    const rates = worlds
      .flatMap(({ topology }) => topology.operations.map(({ rate }) => rate))
      .sort((a, b) => a - b)
    const off = rates.map((rate, n) =>
      Math.abs(Math.log(rate / 0.02) / Math.log(1_000) - (n + 0.5) / rates.length),
    )
    expect(Math.max(...off)).toBeLessThan(0.08)
    expect(rates[0]).toBeGreaterThan(0.005)
    expect(rates.at(-1)).toBeLessThan(25)
  })

  test('is busier by day than by night, and asked more than usual when a promotion runs', () => {
    const { seed, topology, almanac } = worlds[0]
    const load = (fromMs: number) => {
      const climate = new Climate(seed, topology, almanac, [], fromMs)
      let sum = 0
      for (let n = 0; n < 60; n++) {
        climate.step()
        sum += climate.arrivals.reduce((a, b) => a + b, 0)
      }
      return sum
    }
    const days = [1, 2, 3, 8].map(
      day => load(day * DAY_MS + 13 * HOUR_MS) / load(day * DAY_MS + 4.5 * HOUR_MS),
    )
    expect(middle(days)).toBeGreaterThan(1.5)
    const [{ fromMs, toMs, size }] = almanac.promotions
    expect([toMs - fromMs, size]).toEqual([20 * 60_000, 3])
    expect(load(fromMs + 60_000)).toBeGreaterThan(load(fromMs - 10 * 60_000))
  })
})

describe('the weather', () => {
  test('has hiccups of 8 s in the middle, one in a hundred over 90 s', () => {
    const lengths = worlds.flatMap(({ almanac }) => almanac.hiccups.map(({ fromMs, toMs }) => toMs - fromMs))
    expect(middle(lengths)).toBeGreaterThan(7_500)
    expect(middle(lengths)).toBeLessThan(8_500)
    const long = lengths.filter(length => length > 90_000).length / lengths.length
    expect(long).toBeGreaterThan(0.008)
    expect(long).toBeLessThan(0.012)
  })

  test('has bursts of errors of 0 to 2 %, deploys in working hours, jobs at night, and clocks up to 2 s off that jump', () => {
    for (const { seed, topology, almanac } of worlds) {
      for (const { size } of almanac.errorBursts) expect(size).toBeLessThanOrEqual(0.02)
      for (const { fromMs } of almanac.deploys) expect((fromMs % DAY_MS) / HOUR_MS).toBeGreaterThanOrEqual(9)
      for (const { fromMs } of almanac.jobs) expect((fromMs % DAY_MS) / HOUR_MS).toBeLessThan(5)
      expect(almanac.clockJumps.length).toBeGreaterThan(5)
      expect(almanac.deadExporters.length).toBeGreaterThan(5)
      expect(almanac.samplings.length).toBeGreaterThan(1)
      const climate = new Climate(seed, topology, almanac, [], 0)
      climate.step()
      for (const clock of climate.clockMs) expect(Math.abs(clock)).toBeLessThanOrEqual(2_000)
    }
    const renamed = worlds.flatMap(({ topology }) =>
      topology.operations.filter(({ series }) => new Set(series).size > 1),
    )
    const wrapped = worlds.flatMap(({ topology }) =>
      topology.operations.filter(({ inner }) => new Set(inner).size > 1),
    )
    expect(renamed.length).toBeGreaterThan(worlds.length)
    expect(wrapped.length).toBeGreaterThan(worlds.length)
  })

  test('replaces the pods of a service one after the other when it is deployed, and they begin slow', () => {
    const { seed, topology, almanac } = worlds[0]
    const deploy = almanac.deploys.find(one => topology.services[one.service].pods >= 3)
    if (deploy === undefined) throw new Error('no deploy of several pods')
    const climate = new Climate(seed, topology, almanac, [], deploy.fromMs - 60_000)
    const mixed = new Set<string>()
    let slowest = 0
    while (climate.atMs < deploy.fromMs + 15 * 60_000) {
      climate.step()
      const live = climate.pods.live[deploy.service]
      mixed.add([...new Set(live.map(({ version }) => version))].join())
      for (const { bornMs, slow } of live)
        if (climate.atMs - bornMs < STEP_MS) slowest = Math.max(slowest, slow)
    }
    expect(mixed.size).toBeGreaterThanOrEqual(3)
    expect(slowest).toBeGreaterThan(1.4)
  })

  test('scales with the load', () => {
    const { seed, topology, almanac } = worlds[2]
    const pods = (hour: number) => {
      const climate = new Climate(seed, topology, almanac, [], DAY_MS + hour * HOUR_MS)
      return climate.pods.live.reduce((sum, live) => sum + live.length, 0)
    }
    expect(pods(14)).toBeGreaterThan(pods(4))
  })
})

describe('requests', () => {
  test('come at the rates that are meant, fail seldom, and stay within their bounds', () => {
    const world = worlds[1]
    const life = new Life(world, { fromMs: 10 * HOUR_MS, toMs: 11 * HOUR_MS })
    let [expected, roots, spans, failed, longest] = [0, 0, 0, 0, 0]
    for (let n = 0; n < 60; n++) {
      life.step(trace => {
        roots++
        spans += trace.length
        longest = Math.max(longest, trace.length)
        for (let row = 0; row < trace.length; row++) if ((trace.flags[row] & FAILED) !== 0) failed++
      })
      expected += life.climate.arrivals.reduce(
        (sum, rate, id) => sum + rate * life.climate.recorded[id] * 5,
        0,
      )
    }
    expect(Math.abs(roots - expected)).toBeLessThan(5 * Math.sqrt(expected))
    expect(spans / roots).toBeGreaterThan(3)
    expect(failed / spans).toBeLessThan(0.02)
    expect(failed).toBeGreaterThan(0)
    expect(longest).toBeLessThan(MOST_SPANS)
  })

  test('take longer where the service is used harder', () => {
    const { seed, topology, almanac } = worlds[0]
    const [{ fromMs }] = almanac.promotions
    const before = new Climate(seed, topology, almanac, [], fromMs)
    const service = topology.services.map(({ id }) => id)
    const calm = before.slow.slice()
    for (let n = 0; n < 24; n++) before.step()
    expect(Math.max(...service.map(id => before.slow[id] / calm[id]))).toBeGreaterThan(1.3)
  })
})
