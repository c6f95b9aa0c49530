//! Lets the subject live through a stretch of a simulated world, by windows drawn directly or by spans through the real data plane.
import { Registry } from '../../src/base/counters.ts'
import type { World } from '../../src/base/world.ts'
import type { Bus, EventRecord } from '../../src/bus/bus.ts'
import { memoryBus } from '../../src/bus/memory.ts'
import { NO_HEADERS } from '../../src/flow/sink.ts'
import type { PlaneOptions } from '../../src/learn/plane.ts'
import { planes } from '../../src/otlier.ts'
import { LOUD_LOG } from '../kit/log.ts'
import { DETECTING } from '../kit/planes.ts'
import { NOWHERE } from '../kit/sinks.ts'
import { simulatedWorld } from '../kit/world.ts'
import { DAY_MS } from '../world/almanac.ts'
import { BAD_VERSION } from '../world/faults.ts'
import { spans } from '../world/spans.ts'
import { BEGINNING_MS, type SimulatedWorld, type Span } from '../world/world.ts'
import { features } from './features.ts'
import type { Subject } from './subject.ts'

export type Level = 'windows' | 'spans'

export interface Lived {
  /** Of each subject: incidents, anomalies and shifts; no single outliers. */
  readonly events: readonly (readonly EventRecord[])[]
  /** Names of the pods that ran the bad release, by service. */
  readonly badPods: Map<string, string[]>
  readonly spans: number
}

/** A run that says more than this has failed, and must not fill memory. */
const MOST_EVENTS = 2_000_000

/**
 * `make` is what hears the windows, one for each of `variants`: all hear the same ones. At the level of spans both planes
 * are those of the service, `make` is not asked, and there is one variant. `onDay` hears of every simulated day that is over.
 * Throws where either does.
 */
export async function live(
  make: Subject,
  variants: readonly PlaneOptions[],
  world: SimulatedWorld,
  stretch: Span,
  level: Level,
  onDay: () => void = () => {},
): Promise<Lived> {
  if (level === 'spans' && variants.length > 1) throw new Error('by spans there is one variant')
  const road =
    level === 'windows' ? byWindows(world, stretch, variants, make) : bySpans(world, stretch, variants[0])
  const events = road.buses.map(bus => {
    const own: EventRecord[] = []
    bus.listen('event', event => {
      if (!/^otlier\.(incident|anomaly|baseline)\./.test(event.name)) return
      if (own.push(event) > MOST_EVENTS) throw new Error('the subject says too much')
    })
    return own
  })
  const bad = new Map<string, Set<string>>()
  let pods = 0
  road.buses[0].listen('features', window => {
    for (; pods < window.pods.length; pods++) {
      const { service, name, attributes } = window.pods[pods]
      if (attributes['service.version'] !== BAD_VERSION) continue
      bad.set(service, (bad.get(service) ?? new Set()).add(name))
    }
  })
  let nextDayMs = stretch.fromMs + DAY_MS
  const count = await road.run(atMs => {
    for (; atMs >= nextDayMs; nextDayMs += DAY_MS) onDay()
  })
  return { events, badPods: new Map([...bad].map(([service, names]) => [service, [...names]])), spans: count }
}

/** A way for a world to reach a learning plane. Listen first, then let it run: it gives the number of spans. */
interface Road {
  /** One for each variant. */
  readonly buses: readonly Bus[]
  /** `pass` hears of time, in ms since the world began. */
  run(pass: (atMs: number) => void): Promise<number>
}

function byWindows(
  world: SimulatedWorld,
  stretch: Span,
  variants: readonly PlaneOptions[],
  make: Subject,
): Road {
  const buses = variants.map(() =>
    memoryBus(error => {
      throw error
    }),
  )
  const subjects = variants.map((options, at) => new make(buses[at], new Registry(), options))
  return {
    buses,
    async run(pass) {
      let count = 0
      for (const window of features(world, stretch, variants[0].windowMs)) {
        for (let row = 0; row < window.cells.length; row++) count += window.cells.spans[row]
        for (const bus of buses) bus.publish('features', '', window)
        pass(window.endMs - BEGINNING_MS)
      }
      for (const subject of subjects) subject.close()
      for (const bus of buses) await bus.close()
      return count
    },
  }
}

/** Through the data plane and the learning plane as the service wires them. */
export function bySpans(world: SimulatedWorld, stretch: Span, options: PlaneOptions): Road {
  let nowMs = BEGINNING_MS + stretch.fromMs
  const { bus, inspector } = planes(
    NOWHERE,
    clockedWorld(() => nowMs),
    LOUD_LOG,
    new Registry(),
    { ...DETECTING, ...options },
    () => nowMs + options.windowMs,
  )
  return {
    buses: [bus],
    async run(pass) {
      let count = 0
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
      return count
    },
  }
}

/** Time is that of the simulated shop; timers never come due. */
const clockedWorld = (nowMs: () => number): World => ({
  ...simulatedWorld(1),
  now: nowMs,
  monotonic: nowMs,
})
