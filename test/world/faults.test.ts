//! The faults of the simulated world: drawn as meant, felt only where they reach, and sized by what they do.
import { describe, expect, test } from 'vitest'
import { named, under } from './draws.ts'
import { BAD_VERSION, drawFault, drawFaults, type Fault, KINDS, type Kind } from './faults.ts'
import { measureFaults } from './measure.ts'
import type { Operation } from './topology.ts'
import { FAILED, TOUCHED } from './trace.ts'
import { Life, makeWorld } from './world.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

describe('a plan of faults', () => {
  const { topology } = makeWorld(5, { days: 1 })
  const faults = drawFaults(5, topology, { fromMs: 0, count: 1_000 })

  test('has each kind as often, of 3 to 15 minutes, a tenth while another lasts', () => {
    for (const kind of KINDS) expect(faults.filter(one => one.kind === kind)).toHaveLength(100)
    for (const { fromMs, toMs } of faults) {
      expect(toMs - fromMs).toBeGreaterThanOrEqual(3 * MINUTE_MS)
      expect(toMs - fromMs).toBeLessThanOrEqual(15 * MINUTE_MS)
    }
    const inside = faults.filter((one, n) => n > 0 && one.fromMs < faults[n - 1].toMs)
    expect(inside.length / faults.length).toBeGreaterThan(0.07)
    expect(inside.length / faults.length).toBeLessThan(0.13)
  })

  test('has sizes that are log-uniform: x1.5 to x10, 2 to 50 points, 30 to 100 % of the traffic', () => {
    const even = (sizes: readonly number[], low: number, high: number) => {
      const at = sizes.map(size => Math.log(size / low) / Math.log(high / low)).sort((a, b) => a - b)
      const off = at.map((share, n) => Math.abs(share - (n + 0.5) / at.length))
      expect(at[0]).toBeGreaterThanOrEqual(0)
      expect(at.at(-1)).toBeLessThanOrEqual(1)
      expect(Math.max(...off)).toBeLessThan(0.1)
    }
    const sizes = (...kinds: Kind[]) =>
      faults.filter(({ kind, fails }) => kinds.includes(kind) && !fails).map(({ size }) => size)
    even(
      sizes('slow dependency', 'cpu contention', 'packet delay', 'slow drift', 'retry storm', 'bad release'),
      1.5,
      10,
    )
    even(sizes('error burst'), 0.02, 0.5)
    even(sizes('traffic drop', 'missing child'), 0.3, 1)
  })

  test('knows beforehand whom to suspect', () => {
    for (const { kind, service, calls, answer } of faults) {
      expect(answer.service).toBe(service.name)
      if (kind === 'packet delay' || kind === 'retry storm')
        for (const { to } of calls) expect((to as Operation).service.name).toBe(answer.service)
      if (kind === 'missing child') expect(calls[0].from.service.name).toBe(answer.service)
      if (kind === 'retry storm') expect(answer.among).toBe(calls[0].from.service.name)
      if (kind === 'traffic drop') expect(service.tier).toBe(0)
      if (kind === 'bad release') {
        expect(answer.version).toBe(BAD_VERSION)
        expect(answer.pod).toBeLessThan(service.pods)
        expect(service.pods).toBeGreaterThanOrEqual(3)
      }
    }
  })
})

describe('a fault and its twin', () => {
  const world = makeWorld(6, { days: 1, services: 16 })
  const fromMs = 11 * HOUR_MS
  const faultFrom = fromMs + 20_000

  /** Every trace by its id: what it is, to the last bit, where it passed, and who was hurt. */
  function live(faults: readonly Fault[]) {
    const traces = new Map<
      string,
      { print: number; services: Set<number>; calls: Set<number>; hurt: number; failed: number }
    >()
    const life = new Life(world, { fromMs, toMs: fromMs + 75_000, faults })
    const words = new Uint32Array(2)
    const double = new Float64Array(words.buffer)
    for (let n = 0; n < 15; n++)
      life.step((trace, { id }) => {
        let [print, hurt, failed] = [0, 0, 0]
        const services = new Set<number>()
        const calls = new Set<number>()
        for (let row = 0; row < trace.length; row++) {
          for (const value of [trace.startMs[row], trace.endMs[row], trace.series[row], trace.flags[row]]) {
            double[0] = value
            print = under(under(print, words[0]), words[1])
          }
          print = named(print, trace.pod[row].label)
          services.add(trace.pod[row].service.id)
          calls.add(trace.call[row])
          if ((trace.flags[row] & TOUCHED) !== 0) hurt++
          if ((trace.flags[row] & FAILED) !== 0) failed++
        }
        traces.set([...id].join(), { print, services, calls, hurt, failed })
      })
    return traces
  }
  const twin = live([])

  for (const kind of KINDS)
    test(`${kind}: only what passes its place is another, and something is`, () => {
      const fault = hotFault(kind)
      const own = live([fault])
      let [different, elsewhere] = [0, 0]
      for (const id of new Set([...own.keys(), ...twin.keys()])) {
        const [one, other] = [own.get(id), twin.get(id)]
        if (one?.print === other?.print) continue
        different++
        const passes = [one, other].some(
          trace =>
            trace?.services.has(fault.service.id) ||
            fault.calls.some(({ id: call }) => trace?.calls.has(call)),
        )
        if (!passes) elsewhere++
      }
      expect(elsewhere).toBe(0)
      expect(different).toBeGreaterThan(2)
      if (kind === 'traffic drop') expect(own.size).toBeLessThan(twin.size)
      else expect(own.size).toBe(twin.size)
      const failed = (traces: typeof own) => [...traces.values()].reduce((sum, one) => sum + one.failed, 0)
      if (kind === 'error burst' || kind === 'retry storm') expect(failed(own)).toBeGreaterThan(failed(twin))
      if (kind !== 'traffic drop' && kind !== 'missing child' && !fault.mute)
        expect([...own.values()].some(({ hurt }) => hurt > 0)).toBe(true)
    })

  /** The first of a kind, by its bits, at a place where something happens. */
  function hotFault(kind: Kind): Fault {
    for (let bits = 1; ; bits++) {
      const fault = drawFault(world.topology, kind, faultFrom, 40_000, under(9, bits))
      const asked = (operations: readonly Operation[]) => operations.reduce((sum, { rate }) => sum + rate, 0)
      const rate =
        fault.calls.length > 0
          ? fault.calls[0].from.rate * fault.calls[0].share
          : asked(fault.service.operations)
      if (rate > 3) return fault
    }
  }
})

describe('the size of a fault', () => {
  test('is clear where much changes, faint where nothing does, and never clear where few spans are hurt', () => {
    const world = makeWorld(8, { days: 1, services: 12 })
    const bySize = [...world.topology.services]
      .filter(({ tier }) => tier > 0)
      .sort((a, b) => total(b.operations) - total(a.operations))
    const at = (n: number, kind: Kind, service = bySize[0], size = 8): Fault => ({
      ...drawFault(world.topology, kind, 11 * HOUR_MS + n * 10 * MINUTE_MS, 4 * MINUTE_MS, 1, size),
      service,
    })
    const rare = bySize.at(-1)
    const measured = measureFaults(world, [
      at(0, 'slow dependency'),
      at(1, 'slow dependency', bySize[0], 1.002),
      at(2, 'error burst', bySize[0], 0.4),
      at(3, 'slow dependency', rare, 9),
    ])
    expect(measured.map(({ size }) => size).slice(0, 3)).toEqual(['clear', 'faint', 'clear'])
    expect(measured[0].shift).toBeGreaterThan(6)
    expect(measured[0].affected).toBeGreaterThanOrEqual(10)
    expect(measured[1].shift).toBeLessThan(2.5)
    expect(measured[2].feature).toMatch(/^failures/)
    expect(total(rare?.operations ?? [])).toBeLessThan(10 / 60)
    expect(measured[3].size).not.toBe('clear')
  })
})

const total = (operations: readonly Operation[]) => operations.reduce((sum, { rate }) => sum + rate, 0)
