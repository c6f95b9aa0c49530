//! How hard the simulated world is: what a textbook detector raises when nothing is wrong, whom it names when something is, and how much quantiles change.
import type { Fault, FaultPlan } from './faults.ts'
import { note, type Windows } from './recordings.ts'
import { events, Textbook } from './textbook.ts'
import { type WindowSummary, windows } from './windows.ts'
import { BEGINNING_MS, type SimulatedWorld } from './world.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000

const bySeries = ({ count, offsets, durationMs }: WindowSummary) => {
  const durations = new Map<string, Float64Array>()
  for (let series = 0; series < count.length; series++)
    if (count[series] > 0)
      durations.set(String(series), durationMs.slice(offsets[series], offsets[series + 1]))
  return durations
}

/**
 * False events in calm hours, after `learning` minutes that do not count. Alarms of any series less than two minutes apart are one
 * event of the whole world: the kindest way to count.
 */
export function falseEvents(world: SimulatedWorld, fromMs: number, hours: number, learning: number) {
  const textbook = new Textbook(learning)
  const moments: number[] = []
  const active = new Set<string>()
  const toMs = fromMs + hours * HOUR_MS + learning * MINUTE_MS
  for (const window of windows(world, { fromMs, toMs, widthMs: MINUTE_MS })) {
    const durations = bySeries(window)
    const alarms = textbook.look(durations)
    if (window.fromMs - BEGINNING_MS < fromMs + learning * MINUTE_MS) continue
    for (const series of durations.keys()) active.add(series)
    if (alarms.length > 0) moments.push(window.fromMs)
  }
  return { events: events(moments, 2 * MINUTE_MS), seriesHours: active.size * hours }
}

/** Whom the textbook names while a fault lasts: the service of its strongest alarm. '' where it says nothing. */
export function namedFirst(
  world: SimulatedWorld,
  fault: Fault,
  faults: readonly Fault[],
  learning: number,
): string {
  const textbook = new Textbook(learning)
  const fromMs = Math.floor(fault.fromMs / MINUTE_MS - learning) * MINUTE_MS
  let best = { series: '', z: 0 }
  for (const window of windows(world, { fromMs, toMs: fault.toMs, faults, widthMs: MINUTE_MS })) {
    const alarm = textbook.look(bySeries(window)).at(0)
    if (window.toMs - BEGINNING_MS > fault.fromMs && alarm !== undefined && alarm.z > best.z) best = alarm
  }
  return best.series === '' ? '' : world.topology.series[Number(best.series)].service.name
}

/** The durations of the world in calm windows, to be held against those of the recordings. */
export function calmWindows(world: SimulatedWorld, fromMs: number, toMs: number, widthMs: number): Windows {
  const calm: Windows = new Map()
  for (const window of windows(world, { fromMs, toMs, widthMs }))
    for (const [series, durations] of bySeries(window))
      for (const durationMs of durations) note(calm, window.fromMs / widthMs, series, durationMs)
  return calm
}

/** The plan of faults that the proof looks at: one day in the fourth week, ten faults from ten o'clock. */
export const PLAN: FaultPlan = { fromMs: (21 * 24 + 10) * HOUR_MS, count: 10 }

/** Clear faults of these plans, by seed and number: the long form of the proof finds them, the short form takes them from here. */
export const CLEAR: readonly (readonly [number, number])[] = [
  [1, 0],
  [2, 3],
  [2, 9],
  [3, 2],
  [3, 6],
  [4, 7],
  [5, 4],
  [6, 1],
  [6, 4],
  [6, 9],
]
