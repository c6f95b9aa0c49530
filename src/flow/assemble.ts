//! Brings spans together by trace, whatever batch or worker they came in, and publishes what whole traces say window by window.
import type { Cell, Registry } from '../base/counters.ts'
import type { Items } from '../base/item.ts'
import type { Log } from '../base/log.ts'
import type { World } from '../base/world.ts'
import { type Bus, NO_SAMPLES, type SeriesKey } from '../bus/bus.ts'
import { delayOf } from '../bus/delay.ts'
import { KEPT_HOURS } from '../bus/idle.ts'
import { registerAssembly } from './assembly-metrics.ts'
import { StreamClock } from './clock.ts'
import type { Guard, Guards } from './guard.ts'
import { IdleHours, Numbers } from './numbers.ts'
import { Peers } from './peers.ts'
import { PodTable } from './pods.ts'
import { Sampler } from './sampler.ts'
import type { Group } from './series.ts'
import { featureWindow, Ranks } from './sheet.ts'
import { Waiting, type WaitOptions } from './waiting.ts'

export interface AssembleOptions extends WaitOptions {
  readonly latenessMs: number
  /** Said with every window, where several workers assemble. */
  readonly worker?: string
}

/** Spans that wait unless told otherwise. The memory grows as they come; 0 switches assembly off. */
export const MAX_SPANS = 2 ** 18
/** Silence is evidence, for so long. */
const MAX_SILENCE_MS = 180_000

const NEVER = Number.NEGATIVE_INFINITY
/** Stands where no series has the number. */
const NOTHING: SeriesKey = {
  id: '',
  service: '',
  operation: '',
  kind: 0,
  namespace: '',
  environment: '',
  overflow: false,
}

/** The series of one inspector, whose numbers are its own. */
export interface SeriesNumbers {
  readonly keys: readonly SeriesKey[]
  readonly groups: readonly Group[]
  readonly groupOf: readonly number[]
}

/** What one inspector feeds: its numbers of series, and the assembler's for them, -1 until they are met. */
export interface Feed {
  readonly number: number
  readonly own: SeriesNumbers
  shared: Int32Array
}

/**
 * One for all inspectors of a process. A window is published when the stream clock has passed its end by `delayOf`: then
 * every span that decides what belongs to it has come that comes within the allowed lateness, and what was published depends
 * neither on the order of the spans nor on the batches and inspectors they came by.
 */
export class Assembler {
  readonly #bus: Bus
  readonly #log: Log
  readonly #options: AssembleOptions
  readonly #clock: StreamClock
  readonly #pods: PodTable
  readonly #waiting: Waiting
  readonly #sampler: Sampler
  readonly #reading: Guard
  /** Replaced when numbers are given back: what was published before names its series by those before. */
  #series: SeriesKey[] = []
  readonly #peers: Peers
  readonly #byId = new Map<string, number>()
  readonly #numbers = new Numbers()
  readonly #idle = new IdleHours()
  readonly #ranks = { series: new Ranks(), pods: new Ranks() }
  /** How often a series has come or gone. */
  #changes = 0
  readonly #feeds: Feed[] = []
  /** An hour is over. */
  #hasToForget = false
  /** Windows that end by then are published. */
  #closedMs = NEVER
  /** What ends later is published before its time. */
  #wholeMs = Number.POSITIVE_INFINITY
  /** Empty windows published in a row, in milliseconds. */
  #silentMs = 0
  readonly #late: Readonly<Record<'age' | 'clock' | 'history' | 'ahead', Cell>>

  constructor(
    bus: Bus,
    world: World,
    log: Log,
    registry: Registry,
    guards: Guards,
    options: AssembleOptions,
  ) {
    this.#bus = bus
    this.#log = log
    this.#options = options
    this.#clock = new StreamClock(options)
    this.#pods = new PodTable(world.random())
    this.#peers = new Peers(options.windowMs)
    const series = () => this.#series
    const pods = this.#pods
    this.#waiting = new Waiting(options, Math.floor(world.random() * 2 ** 32) | 0, {
      get series() {
        return series()
      },
      get pods() {
        return pods.keys
      },
      clockOf: pods.clockOf,
    })
    bus.listen('hour', () => {
      this.#hasToForget = true
    })
    this.#sampler = new Sampler(options.windowMs)
    this.#reading = guards.step('the reading of samples')
    const late = (reason: string) =>
      registry.counter(
        'otlier.assembly.spans.late',
        '{span}',
        "Spans left out of traces: by their own age, because their sender's clock is behind or ahead, or as its history.",
        { reason },
      )
    this.#late = { age: late('age'), clock: late('clock'), history: late('history'), ahead: late('ahead') }
    registerAssembly(registry, this.#waiting, this.#clock, this.#pods, options.maxSpans)
  }

  /** For each inspector its own. */
  feed(own: SeriesNumbers): Feed {
    const feed = { number: this.#feeds.length, own, shared: new Int32Array(0) }
    this.#feeds.push(feed)
    return feed
  }

  /** These numbers of an inspector will stand for other series. */
  released(feed: Feed, gone: readonly number[]): void {
    for (const series of gone) if (series < feed.shared.length) feed.shared[series] = -1
  }

  /** Once after each hour: forgets the series and pods of which nothing has been published for too long, and nothing waits. */
  forget(): void {
    if (!this.#hasToForget) return
    this.#hasToForget = false
    const series = new Set<number>()
    const pods = new Set<number>()
    this.#waiting.forEachUse((one, pod) => {
      series.add(one)
      pods.add(pod)
    })
    this.#sampler.forEachUse(one => series.add(one))
    const clock = this.#clock
    this.#pods.forget(
      KEPT_HOURS.pods,
      pod => pods.has(pod),
      sender => clock.forget(sender),
    )
    this.#idle.pass(this.#numbers.end)
    const gone = [...this.#byId].filter(
      ([, one]) => this.#idle.of(one) > KEPT_HOURS.series && !series.has(one),
    )
    if (gone.length === 0) return
    this.#series = [...this.#series]
    this.#changes++
    const numbers = new Set<number>()
    for (const [id, one] of gone) {
      this.#byId.delete(id)
      this.#series[one] = NOTHING
      this.#numbers.giveBack(one)
      numbers.add(one)
    }
    this.#peers.forget(numbers)
    for (const { shared } of this.#feeds)
      for (let own = 0; own < shared.length; own++) if (numbers.has(shared[own])) shared[own] = -1
  }

  /** Takes the spans of a scanned batch whose series are known, but for those that end after `latestMs`. */
  take(feed: Feed, bytes: Uint8Array, items: Items, latestMs: number, monotonicMs: number): void {
    const { windowMs, maxSpans } = this.#options
    if (maxSpans === 0) return
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#sampler.begin()
    let resource = -1
    let pod = 0
    let sender = 0
    let aheadMs = Number.POSITIVE_INFINITY
    for (let item = 0; item < items.count; item++) {
      const endMs = items.endMs[item]
      if (!(endMs > 0 && endMs <= latestMs)) continue
      const of = items.scopeResource[items.scope[item]]
      if (of !== resource) {
        resource = of
        const group = feed.own.groups[feed.own.groupOf[items.series[item]]]
        pod = this.#pods.intern(view, bytes, items, resource, group, feed.number)
        sender = this.#pods.clockOf[pod]
        aheadMs = this.#clock.isOff(sender) ? this.#clock.nowMs + windowMs : Number.POSITIVE_INFINITY
      }
      this.#clock.saw(sender, endMs)
      if (endMs < this.#closedMs) this.#late[this.#clock.whyLate(sender)].value++
      else if (endMs > aheadMs) this.#late.ahead.value++
      else {
        const series = this.#seriesOf(feed, items, item)
        this.#peers.hear(series, view, bytes, items, item)
        this.#waiting.add(view, bytes, items, item, series, pod, endMs)
        this.#sampler.add(view, bytes, items, item, series, endMs)
      }
    }
    this.#clock.settle(monotonicMs)
    this.#close()
  }

  /** In silence the stream goes on as time does, never beyond `latestMs`. For a live service. */
  passTime(monotonicMs: number, latestMs: number): void {
    this.#clock.pass(monotonicMs, latestMs)
    this.#close()
  }

  /**
   * Publishes all that is open: at the end of a recording, and on stop. Windows that end later than `wholeMs` are said to be partial:
   * unless it is given, those for which late spans may still come.
   */
  flush(wholeMs?: number): void {
    const { windowMs, latenessMs } = this.#options
    this.#wholeMs = wholeMs ?? this.#clock.nowMs - latenessMs
    this.#closeUntil(this.#waiting.latestMs + windowMs)
    while (this.#waiting.held > 0) this.#closeUntil(this.#closedMs + windowMs)
    this.#wholeMs = Number.POSITIVE_INFINITY
  }

  #seriesOf(feed: Feed, items: Items, item: number): number {
    const own = items.series[item]
    if (own >= feed.shared.length) {
      const shared = new Int32Array(Math.max(1024, 2 * own)).fill(-1)
      shared.set(feed.shared)
      feed.shared = shared
    }
    const known = feed.shared[own]
    return known >= 0 ? known : (feed.shared[own] = this.#meet(feed.own.keys[own]))
  }

  #meet(key: SeriesKey): number {
    const known = this.#byId.get(key.id)
    if (known !== undefined) return known
    const series = this.#numbers.take()
    this.#series[series] = key
    this.#byId.set(key.id, series)
    this.#idle.seen(series)
    this.#changes++
    this.#peers.meet(series, key.kind)
    return series
  }

  #close(): void {
    const { windowMs } = this.#options
    const watermarkMs = this.#clock.nowMs - delayOf(this.#options)
    if (watermarkMs > NEVER) this.#closeUntil(Math.floor(watermarkMs / windowMs) * windowMs)
  }

  /** Publishes the windows that end by then, one after the other. A long silence is passed over once it has been told. */
  #closeUntil(untilMs: number): void {
    const { windowMs } = this.#options
    if (this.#closedMs === NEVER) {
      const earliestMs = this.#waiting.earliestMs()
      if (!(earliestMs < untilMs)) return
      this.#closedMs = earliestMs
    }
    while (this.#closedMs + windowMs <= untilMs) {
      const startMs = this.#closedMs
      const sheet = this.#waiting.settle(startMs)
      if (sheet === null && this.#silentMs >= MAX_SILENCE_MS) {
        this.#closedMs = Math.min(this.#waiting.earliestMs(), untilMs)
        continue
      }
      this.#closedMs = startMs + windowMs
      const message = featureWindow(
        sheet,
        startMs,
        this.#closedMs,
        {
          series: this.#series,
          peers: this.#peers.names,
          peerOrders: this.#peers.orders,
          pods: this.#pods.keys,
          changes: { series: this.#changes, pods: this.#pods.changes },
          worker: this.#options.worker ?? '',
        },
        this.#ranks,
        this.#reading.attempt(() =>
          this.#sampler.settle(startMs, this.#ranks.series.of(this.#series, this.#changes)),
        ) ?? NO_SAMPLES,
      )
      for (const series of message.cells.series) this.#idle.seen(series)
      if (sheet !== null) this.#waiting.drop(sheet)
      const isPartial = this.#closedMs > this.#wholeMs
      this.#bus.publish('features', String(startMs), isPartial ? { ...message, isPartial } : message)
      this.#silentMs = sheet === null ? this.#silentMs + windowMs : 0
      if (sheet === null && this.#silentMs >= MAX_SILENCE_MS) {
        this.#log.info({}, 'no trace has ended for three minutes: windows are passed over until one does')
      }
    }
  }
}
