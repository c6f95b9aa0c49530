//! The proof that the simulated world is harder than life, in short: false events, wrong names, and quantiles that change as in the recordings.
import { describe, expect, test } from 'vitest'
import { drawFaults } from './faults.ts'
import { CLEAR, calmWindows, falseEvents, namedFirst, PLAN } from './hardness.ts'
import { changes, faultFree, RECORDINGS } from './recordings.ts'
import { makeWorld } from './world.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

if (RECORDINGS.length === 0)
  console.log('SKIP: how much quantiles change in recordings: ../shared/data is absent')

describe('a textbook detector', () => {
  test('raises at least 16 false events per 1000 series-hours in busy hours', () => {
    let [events, hours] = [0, 0]
    for (const seed of [1, 2]) {
      const found = falseEvents(makeWorld(seed, { days: 7 }), seed * DAY_MS + 11 * HOUR_MS, 0.6, 12)
      events += found.events
      hours += found.seriesHours
    }
    console.log(
      `textbook: ${events} false events in ${hours} series-hours, ${((1_000 * events) / hours).toFixed(1)} per 1000`,
    )
    expect((1_000 * events) / hours).toBeGreaterThanOrEqual(16)
  })

  test('names the right service first for at most half of clear faults', () => {
    let named = 0
    for (const [seed, n] of CLEAR) {
      const world = makeWorld(seed)
      const faults = drawFaults(seed, world.topology, PLAN)
      if (namedFirst(world, faults[n], faults, 8) === faults[n].answer.service) named++
    }
    console.log(`textbook: ${named} of ${CLEAR.length} clear faults named right`)
    expect(CLEAR.length).toBeGreaterThan(5)
    expect(named / CLEAR.length).toBeLessThanOrEqual(0.5)
  })
})

describe.runIf(RECORDINGS.length > 0)('from window to window', () => {
  test('p50 and p99 change at least as much as in the fault-free minutes of the recordings', async () => {
    const [widthMs, least] = [20_000, 30]
    const worlds = [1, 2, 3].map(seed => {
      const fromMs = (seed % 5) * DAY_MS + 11 * HOUR_MS
      return calmWindows(makeWorld(seed, { days: 7 }), fromMs, fromMs + 10 * 60_000, widthMs)
    })
    for (const name of RECORDINGS) {
      const recording = await faultFree(name, widthMs)
      for (const share of [0.5, 0.99]) {
        const theirs = summary(changes(recording, share, least))
        const ours = summary(worlds.flatMap(one => changes(one, share, least)))
        console.log(
          `change of p${100 * share}: ${name} ${JSON.stringify(theirs)}, world ${JSON.stringify(ours)}`,
        )
        expect(theirs.count).toBeGreaterThan(100)
        expect(ours.median).toBeGreaterThanOrEqual(theirs.median)
        expect(ours.mean).toBeGreaterThanOrEqual(theirs.mean)
      }
    }
  })
})

function summary(values: readonly number[]) {
  const sorted = [...values].sort((a, b) => a - b)
  const mean = sorted.reduce((a, b) => a + b, 0) / sorted.length
  return { count: sorted.length, median: rounded(sorted[sorted.length >> 1]), mean: rounded(mean) }
}

const rounded = (value: number) => Math.round(value * 1_000) / 1_000
