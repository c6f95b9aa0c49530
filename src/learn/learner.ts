//! The learning plane: turns the summaries of windows into models, and keeps what is abnormal out of them.
import type { Cell, Registry } from '../base/counters.ts'
import { Sketch } from '../base/sketch.ts'
import type { Bus, SeriesKey, SeriesModel, SeriesSummary } from '../bus/bus.ts'
import { KEPT_HOURS } from '../bus/idle.ts'
import { failureModel, forgetFailure, learnFailure } from '../detect/failure.ts'
import {
  departs,
  forgetLatency,
  latencyModel,
  latencySamples,
  learnLatency,
  MIN_SAMPLES,
  NO_OUTLIERS,
} from '../detect/latency.ts'
import { clearlyMore } from '../detect/share.ts'
import { Summary } from '../detect/summary.ts'
import { type Learned, newLearned, pack, unpack } from './learned.ts'

export interface LearnOptions {
  /** How long a new level must stay before it is taken as normal. */
  readonly rebaselineMs: number
}

/** What was learned weighs half after two hours of event time in which the series was seen. */
const HALF_LIFE_MS = 2 * 3600_000
/** Forgetting stops here: a rare operation keeps what it has, and a long silence costs at most half. */
const KEPT_SAMPLES = 1000
/** So many ordinary windows in a row end a departure. */
const CALM_WINDOWS = 3

/** Windows of a series that are kept out of its baseline because they hold clearly more than the usual share of outliers or failures. */
export interface Hold {
  sinceMs: number
  /** End of the last window in it. */
  untilMs: number
  calm: number
  /** What they held, to become the baseline if the level stays. */
  held: Summary
}

/** What is kept of one series: all in one object, of which there are thousands. */
export interface SeriesState {
  readonly key: SeriesKey
  generation: number
  /** End of the last window learned. */
  untilMs: number
  /** Hours since it was. */
  idleHours: number
  /** What `pack` makes of what was learned. */
  learned: string
  latencyHold: Hold | null
  failureHold: Hold | null
}

export class Learner {
  readonly states = new Map<string, SeriesState>()
  readonly #bus: Bus
  readonly #options: LearnOptions
  readonly #held: Cell
  readonly #shifts: Cell
  readonly #unlisten: readonly (() => void)[]

  constructor(bus: Bus, registry: Registry, options: LearnOptions) {
    this.#bus = bus
    this.#options = options
    this.#held = registry.counter(
      'otlier.windows.held',
      '{window}',
      'Windows of a series kept out of its baseline.',
    )
    this.#shifts = registry.counter('otlier.baseline.shifts', '{shift}', 'New levels adopted as normal.')
    this.#unlisten = [
      bus.listen('summary', summary => this.hear(summary)),
      bus.listen('hour', () => this.#passHour()),
    ]
  }

  close(): void {
    for (const unlisten of this.#unlisten) unlisten()
  }

  /** Takes back what a snapshot held, and tells the data plane. */
  restore(states: Iterable<SeriesState>): void {
    for (const state of states) {
      this.states.set(state.key.id, state)
      this.#publish(state, unpack(state.learned), Number.NaN)
    }
  }

  /** Learns one summary. A window arrives in several parts while its series is new, and from several workers. */
  hear(heard: SeriesSummary): void {
    const { series, summary } = heard
    let state = this.states.get(series.id)
    if (state === undefined) {
      state = newState(series)
      this.states.set(series.id, state)
    }
    state.idleHours = 0
    const learned = unpack(state.learned)
    this.#forget(state, learned, heard.windowEndMs)
    const timed = latencySamples(learned) >= MIN_SAMPLES
    if (!(timed && this.#holdLatency(state, learned, heard))) learnLatency(learned, summary)
    const counted = learned.spans >= MIN_SAMPLES
    if (!(counted && this.#holdFailure(state, learned, heard))) learnFailure(learned, summary)
    this.#publish(state, learned, medianOf(summary))
  }

  /** An hour is over: series that have been idle for too long are forgotten. One that comes again is new. */
  #passHour(): void {
    const ids: string[] = []
    for (const [id, state] of this.states) {
      if (++state.idleHours <= KEPT_HOURS.series) continue
      ids.push(id)
      this.states.delete(id)
    }
    if (ids.length > 0) this.#bus.publish('forgotten', '', { ids })
  }

  #forget(state: SeriesState, learned: Learned, nowMs: number): void {
    if (state.untilMs > 0 && nowMs > state.untilMs) {
      const factor = Math.max(0.5, 0.5 ** ((nowMs - state.untilMs) / HALF_LIFE_MS))
      forgetLatency(learned, keeping(latencySamples(learned), factor))
      forgetFailure(learned, keeping(learned.spans, factor))
    }
    state.untilMs = Math.max(state.untilMs, nowMs)
  }

  /** Whether the window is kept out of the latency baseline. A level that has stayed for long enough becomes the baseline. */
  #holdLatency(state: SeriesState, learned: Learned, heard: SeriesSummary): boolean {
    const hold = this.#hold(state.latencyHold, departs(learned, heard.summary), heard)
    state.latencyHold = hold
    if (hold === null || hold.calm > 0) return false
    if (!this.#hasStayed(hold, hold.held.within.total + hold.held.beyond.total)) return true
    const sketch = new Sketch()
    sketch.merge(hold.held.within)
    sketch.merge(hold.held.beyond)
    learned.within = sketch
    learned.beyond = NO_OUTLIERS
    learned.limitNs = Number.POSITIVE_INFINITY
    state.latencyHold = null
    this.#shifts.value++
    return true
  }

  /** The same for failures. */
  #holdFailure(state: SeriesState, learned: Learned, heard: SeriesSummary): boolean {
    const { count, failures } = heard.summary
    const usual = learned.failures / learned.spans
    const hold = this.#hold(state.failureHold, clearlyMore(failures, count, usual), heard)
    state.failureHold = hold
    if (hold === null || hold.calm > 0) return false
    if (!this.#hasStayed(hold, hold.held.count)) return true
    learned.spans = hold.held.count
    learned.failures = hold.held.failures
    state.failureHold = null
    this.#shifts.value++
    return true
  }

  /** The hold after one more window: begun, continued, calming down, or over. */
  #hold(before: Hold | null, departed: boolean, heard: SeriesSummary): Hold | null {
    const { windowStartMs: startMs, windowEndMs: endMs, summary } = heard
    // What was seen last so long ago has not stayed: a nightly job is no new level, and neither is a fault before a downtime.
    const hold = before !== null && startMs - before.untilMs > this.#options.rebaselineMs ? null : before
    if (!departed) {
      if (hold === null || ++hold.calm >= CALM_WINDOWS) return null
      return hold
    }
    this.#held.value++
    const next = hold ?? { sinceMs: startMs, untilMs: endMs, calm: 0, held: new Summary() }
    next.calm = 0
    next.untilMs = Math.max(next.untilMs, endMs)
    next.held.merge(summary)
    return next
  }

  /** Whether what departed has become the level: it lasts for long enough, and there is enough of it to learn from. */
  #hasStayed(hold: Hold, samples: number): boolean {
    return hold.untilMs - hold.sinceMs >= this.#options.rebaselineMs && samples >= MIN_SAMPLES
  }

  /** What it was is packed again. */
  #publish(state: SeriesState, learned: Learned, observedNs: number): void {
    const latency = latencyModel(learned)
    state.learned = pack(learned)
    const held = state.latencyHold !== null || state.failureHold !== null
    const model: SeriesModel = {
      series: state.key,
      generation: ++state.generation,
      effectiveMs: state.untilMs,
      state: latency.samples < MIN_SAMPLES ? 'learning' : held ? 'frozen' : 'ready',
      observedNs,
      latency,
      failure: failureModel(learned),
    }
    this.#bus.publish('model', state.key.id, model)
  }
}

/** NaN where no span of the window has usable times. */
function medianOf({ within, beyond }: Summary): number {
  if (within.total + beyond.total === 0) return Number.NaN
  const inside = within.total / (within.total + beyond.total)
  return inside >= 0.5 ? within.quantile(0.5 / inside) : beyond.quantile((0.5 - inside) / (1 - inside))
}

/** Of most at first. */
const NOTHING = pack(newLearned())

export function newState(key: SeriesKey): SeriesState {
  return {
    key,
    generation: 0,
    untilMs: 0,
    idleHours: 0,
    learned: NOTHING,
    latencyHold: null,
    failureHold: null,
  }
}

/** The factor, but never one that leaves less than KEPT_SAMPLES of more than that. */
const keeping = (samples: number, factor: number): number =>
  samples <= KEPT_SAMPLES ? 1 : Math.max(factor, KEPT_SAMPLES / samples)
