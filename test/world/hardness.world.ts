//! The proof that the simulated world is harder than life, at length: many busy hours, and every clear fault of the first plans.
import { describe, expect, test } from 'vitest'
import { drawFaults, KINDS } from './faults.ts'
import { CLEAR, falseEvents, namedFirst, PLAN } from './hardness.ts'
import { type Measured, measureFaults, type Size } from './measure.ts'
import { makeWorld } from './world.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const SEEDS = [1, 2, 3, 4, 5, 6]

describe('a textbook detector', () => {
  test('raises at least 16 false events per 1000 series-hours in busy hours', () => {
    let [events, hours] = [0, 0]
    for (const seed of SEEDS) {
      const fromMs = (seed % 5) * DAY_MS + (9 + (seed % 4)) * HOUR_MS
      const found = falseEvents(makeWorld(seed, { days: 7 }), fromMs, 2, 30)
      events += found.events
      hours += found.seriesHours
    }
    console.log(
      `textbook: ${events} false events in ${hours} series-hours, ${((1_000 * events) / hours).toFixed(1)} per 1000`,
    )
    expect((1_000 * events) / hours).toBeGreaterThanOrEqual(16)
  })

  test('names the right service first for at most half of the clear faults', () => {
    const table = new Map(
      KINDS.map(kind => [
        kind,
        { clear: 0, subtle: 0, faint: 0, named: 0 } as Record<Size | 'named', number>,
      ]),
    )
    const clear: string[] = []
    for (const seed of SEEDS) {
      const world = makeWorld(seed)
      const faults = drawFaults(seed, world.topology, PLAN)
      for (const [n, one] of measureFaults(world, faults).entries()) {
        const row = table.get(one.fault.kind)
        if (row === undefined) throw new Error(`${one.fault.kind} is no kind`)
        row[one.size]++
        console.log(line(seed, n, one))
        if (one.size !== 'clear') continue
        clear.push(`${seed}/${n}`)
        if (namedFirst(world, one.fault, faults, 20) === one.fault.answer.service) row.named++
      }
    }
    console.table(Object.fromEntries(table))
    const named = [...table.values()].reduce((sum, row) => sum + row.named, 0)
    console.log(`textbook: ${named} of ${clear.length} clear faults named right`)
    expect(clear.length).toBeGreaterThan(15)
    expect(named / clear.length).toBeLessThanOrEqual(0.5)
    // What the short form takes for clear.
    for (const [seed, n] of CLEAR) expect(clear).toContain(`${seed}/${n}`)
  }, 900_000)
})

function line(seed: number, n: number, { fault, size, shift, affected, feature }: Measured): string {
  const at = `${seed}/${n} ${fault.kind} of ${fault.size.toFixed(2)} at ${fault.service.name}`
  return `${at}: ${size}, ${shift.toFixed(1)} spreads, ${affected} spans a minute, ${feature}`
}
