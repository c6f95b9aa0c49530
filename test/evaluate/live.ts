//! Lets the subject live through a stretch of a simulated world, by windows drawn directly or by spans through the real data plane.
import { Registry } from '../../src/base/counters.ts'
import { type Log, silentLog } from '../../src/base/log.ts'
import type { World } from '../../src/base/world.ts'
import type { Bus, EventRecord } from '../../src/bus/bus.ts'
import { memoryBus } from '../../src/bus/memory.ts'
import { ACCEPTED, type CheckedBatch, NO_HEADERS } from '../../src/flow/sink.ts'
import { planes } from '../../src/otlier.ts'
import { DETECTING } from '../kit/planes.ts'
import { simulatedWorld } from '../kit/world.ts'
import { DAY_MS } from '../world/almanac.ts'
import { BAD_VERSION } from '../world/faults.ts'
import { spans } from '../world/spans.ts'
import { BEGINNING_MS, type SimulatedWorld, type Span } from '../world/world.ts'
import { features } from './features.ts'
import type { Subject, SubjectOptions } from './subject.ts'

export type Level = 'windows' | 'spans'

export interface Lived {
  /** Incidents, anomalies and shifts; no single outliers. */
  readonly events: EventRecord[]
  /** Names of the pods that ran the bad release, by service. */
  readonly badPods: Map<string, string[]>
  readonly spans: number
}

/** A run that says more than this has failed, and must not fill memory. */
const MOST_EVENTS = 2_000_000

/** At the level of spans both planes are those of the service, and `make` is not asked. `onDay` hears of every simulated day that is over. Throws where the subject does. */
export async function live(
  make: Subject,
  options: SubjectOptions,
  world: SimulatedWorld,
  stretch: Span,
  level: Level,
  onDay: () => void = () => {},
): Promise<Lived> {
  const events: EventRecord[] = []
  const registry = new Registry()
  const hear = (bus: Bus) =>
    bus.listen('event', event => {
      if (!/^otlier\.(incident|anomaly|baseline)\./.test(event.name)) return
      if (events.push(event) > MOST_EVENTS) throw new Error('the subject says too much')
    })
  const bad = new Map<string, Set<string>>()
  let pods = 0
  const notePods = (bus: Bus) =>
    bus.listen('features', window => {
      for (; pods < window.pods.length; pods++) {
        const { service, name, attributes } = window.pods[pods]
        if (attributes['service.version'] !== BAD_VERSION) continue
        bad.set(service, (bad.get(service) ?? new Set()).add(name))
      }
    })
  let nextDayMs = stretch.fromMs + DAY_MS
  const pass = (atMs: number) => {
    for (; atMs >= nextDayMs; nextDayMs += DAY_MS) onDay()
  }
  let count = 0
  if (level === 'windows') {
    const bus = memoryBus(error => {
      throw error
    })
    const subject = new make(bus, registry, options)
    hear(bus)
    notePods(bus)
    for (const window of features(world, stretch, options.windowMs)) {
      for (let row = 0; row < window.cells.length; row++) count += window.cells.spans[row]
      bus.publish('features', '', window)
      pass(window.endMs - BEGINNING_MS)
    }
    subject.close()
    await bus.close()
  } else {
    let nowMs = BEGINNING_MS + stretch.fromMs
    const { bus, inspector } = planes(
      nowhere,
      clockedWorld(() => nowMs),
      LOUD,
      registry,
      { ...DETECTING, ...options },
      () => nowMs + options.windowMs,
    )
    hear(bus)
    notePods(bus)
    for (const { timeMs, bytes, spans: some } of spans(world, stretch)) {
      // As a live service does once a second.
      for (; timeMs - nowMs >= 1_000; nowMs += 1_000) inspector.passTime()
      nowMs = Math.max(nowMs, timeMs)
      await inspector.send({ signal: 'traces', bytes, receivedMs: timeMs, headers: NO_HEADERS })
      count += some
      pass(timeMs - BEGINNING_MS)
    }
    inspector.flush()
    await inspector.close()
    await bus.close()
  }
  return { events, badPods: new Map([...bad].map(([service, names]) => [service, [...names]])), spans: count }
}

const nowhere = {
  async send(_: CheckedBatch) {
    return ACCEPTED
  },
  async close() {},
}

/** What the data plane would survive, an evaluation must not: its figures would be those of half a service. */
const LOUD: Log = {
  ...silentLog,
  error(fields, message) {
    throw new Error(message, { cause: fields })
  },
}

/** Time is that of the simulated shop; timers never come due. */
const clockedWorld = (nowMs: () => number): World => ({
  ...simulatedWorld(1),
  now: nowMs,
  monotonic: nowMs,
})
