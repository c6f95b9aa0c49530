//! Both levels of the simulated world say the same: the windows that are drawn directly, and those that the data plane makes of the spans.
import { describe, expect, test } from 'vitest'
import type { FeatureWindow } from '../../src/bus/bus.ts'
import { makeWorld, type Span } from '../world/world.ts'
import { features } from './features.ts'
import { bySpans } from './live.ts'
import { DEFAULTS } from './subject.ts'

const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000
/** Traces that began before are seen by spans only, and those that end after by neither. */
const EDGE_WINDOWS = 4

const COUNTS = [
  'spans',
  'roots',
  'traces',
  'origins',
  'away',
  'timed',
  'timedSquares',
  'answered',
  'answeredSquares',
] as const

type Sums = Map<string, number>

function add(sums: Sums, key: string, more: number) {
  sums.set(key, (sums.get(key) ?? 0) + more)
}

/** Everything that the windows say, added up. */
function sumsOf(windows: readonly FeatureWindow[]): Sums {
  const sums: Sums = new Map()
  for (const { cells, links, bins, series } of windows) {
    for (let row = 0; row < cells.length; row++) {
      for (const what of COUNTS) add(sums, what, cells[what][row])
      add(sums, `spans of ${series[cells.series[row]].id}`, cells.spans[row])
    }
    for (let at = 0; at < links.length; at++) {
      add(sums, 'parents', links.parents[at])
      add(sums, 'children', links.children[at])
    }
    for (let at = 0; at < bins.length; at++) {
      add(sums, `bins of ${bins.measure[at]}`, bins.weight[at])
      add(sums, `buckets of ${bins.measure[at]}`, bins.weight[at] * bins.bucket[at])
      add(sums, `squares of ${bins.measure[at]}`, bins.weight[at] * bins.bucket[at] ** 2)
    }
  }
  return sums
}

describe.each([
  ['whole', false],
  ['sampled', true],
])('a %s world', (_, sampled) => {
  test('is summed up alike by windows and by spans', async () => {
    const world = makeWorld(4, { services: 16, days: 2 })
    const fromMs = 11 * HOUR_MS
    const stretch: Span = { fromMs, toMs: fromMs + 6 * MINUTE_MS, sampled }
    const drawn = [...features(world, stretch)]
    const made = new Map<number, FeatureWindow>()
    const road = bySpans(world, stretch, DEFAULTS)
    road.buses[0].listen('features', window => made.set(window.startMs, structuredClone(window)))
    await road.run(() => {})
    const kept = drawn.slice(EDGE_WINDOWS, -EDGE_WINDOWS)
    const own = sumsOf(kept)
    const theirs = sumsOf(
      kept.map(({ startMs }) => made.get(startMs)).filter((one): one is FeatureWindow => one !== undefined),
    )
    expect(own.get('traces')).toBeGreaterThan(5_000)
    for (const [what, sum] of own) {
      // What is counted in ones and twos differs by them: a late span, a clock that is off.
      const off = Math.abs((theirs.get(what) ?? 0) - sum)
      const few = 5 * Math.sqrt(sum * (sampled ? 10 : 1))
      expect(off, `${what}: ${sum} by windows, ${theirs.get(what)} by spans`).toBeLessThanOrEqual(
        Math.max(0.04 * sum, few),
      )
    }
    const pods = (windows: Iterable<FeatureWindow>) =>
      new Map([...windows].flatMap(window => window.pods).map(pod => [pod.name, pod.attributes]))
    const known = pods(made.values())
    for (const [name, attributes] of pods(drawn.slice(-1))) expect(known.get(name)).toEqual(attributes)
  })
})
