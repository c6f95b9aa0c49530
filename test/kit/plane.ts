//! A learning plane that hears the windows of a little shop, with all that it says and counts recorded.
import { Registry } from '../../src/base/counters.ts'
import type { EventRecord, IncidentState } from '../../src/bus/bus.ts'
import { memoryBus } from '../../src/bus/memory.ts'
import { LearningPlane, type PlaneOptions } from '../../src/learn/plane.ts'
import { Shop, type Trouble, WINDOW_MS } from './shop.ts'

export const PLANE: PlaneOptions = {
  windowMs: WINDOW_MS,
  traceWaitMs: 10_000,
  latenessMs: 10_000,
  rebaselineMs: 3_600_000,
  maxSeries: 1000,
  budgets: [1],
}
/** In windows. */
export const MINUTE = 6
export const HOUR: number = 60 * MINUTE
/** Of every slow span of the shop. */
export const SLOW_TRACE: string = '07'.repeat(16)

export function scene(seed: number, options: Partial<PlaneOptions> = {}, shop = new Shop(seed)) {
  const all = { ...PLANE, ...options }
  const bus = memoryBus(error => {
    throw error
  })
  const registry = new Registry()
  const events: EventRecord[] = []
  const states: IncidentState[] = []
  bus.listen('event', event => events.push(event))
  bus.listen('incident', state => states.push(state))
  const plane = new LearningPlane(bus, registry, all)
  const run = (windows: number, trouble?: Trouble) => {
    for (let n = 0; n < windows; n++) bus.publish('features', '', shop.window(trouble))
  }
  const named = (name: string) => events.filter(event => event.name === name)
  const suspects = () => {
    const last = events
      .filter(({ attributes }) => attributes['otlier.incident.suspects'] !== undefined)
      .at(-1)
    return (last?.attributes['otlier.incident.suspects'] ?? []) as string[]
  }
  return { plane, options: all, bus, registry, shop, events, states, run, named, suspects }
}

/** The same with windows of a minute, after days of calm: days are lived through in a second. `since` leaves the calm ones out. */
export function sceneByMinutes(seed: number, historyDays: number, perWindow = 25) {
  const windowMs = 60_000
  const one = scene(seed, { windowMs }, new Shop(seed, perWindow, windowMs))
  one.run(historyDays * 24 * 60)
  const fromMs = one.shop.atMs
  const since = (name: string) => one.named(name).filter(({ observedMs }) => observedMs > fromMs)
  return { ...one, since, fromMs }
}
