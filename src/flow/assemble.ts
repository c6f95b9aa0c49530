//! Brings spans together by trace, whatever batch or worker they came in, and publishes what whole traces say window by window.
import { Cell, type Registry } from '../base/counters.ts'
import { type Items, NOWHERE } from '../base/item.ts'
import type { Log } from '../base/log.ts'
import type { World } from '../base/world.ts'
import type { Bus, SeriesKey } from '../bus/bus.ts'
import { texts } from '../wire/key-value.ts'
import { sampledWeight, WEIGHT_STEPS } from '../wire/threshold.ts'
import { StreamClock } from './clock.ts'
import { Deriver, FLAGS_SHIFT } from './derive.ts'
import { PodTable } from './pods.ts'
import {
  COUNT,
  DURATION_NS,
  END,
  END_MS,
  FIRST,
  ID,
  META,
  NEXT,
  PARENT,
  POD,
  Pool,
  SERIES,
  SPAN_DOUBLES,
  SPAN_WORDS,
  TRACE_WORDS,
  WEIGHT,
} from './pool.ts'
import type { Group } from './series.ts'
import { featureWindow, Ranks, Room, Sheet } from './sheet.ts'

export interface AssembleOptions {
  readonly windowMs: number
  readonly latenessMs: number
  /** How long a trace must be quiet before it counts as whole. */
  readonly traceWaitMs: number
  /** Spans that may wait for the rest of their trace. 0 switches assembly off. */
  readonly maxSpans: number
}

/** Spans that wait unless told otherwise: at BYTES_A_SPAN each 29 MiB when full, and nothing before they come. */
export const MAX_SPANS = 2 ** 18
/** A trace that has more is derived in parts. */
const MAX_TRACE_SPANS = 2 ** 13
/** Windows in which something stands that are open at once. */
const MAX_SHEETS = 64
/** Silence is evidence, for so long. */
const MAX_SILENCE_MS = 180_000
/** When there is no room, so large a part of it is made at once. */
const EVICTED_PART = 64
const MAX_PEER_BYTES = 256
/** Senders that are told of by name. */
const MAX_NAMED_CLOCKS = 100

const NEVER = Number.NEGATIVE_INFINITY

// message Span { ... repeated KeyValue attributes = 9; ... }
const SPAN_ATTRIBUTES_TAG = 0x4a
const encoder = new TextEncoder()
/** What a client or producer says about whom it calls, the most telling first. */
const PEER_KEYS = [
  'peer.service',
  'server.address',
  'net.peer.name',
  'db.system.name',
  'db.system',
  'messaging.system',
].map(key => encoder.encode(key))
const CLIENT = 3
const PRODUCER = 4

/** The series of one inspector, whose numbers are its own. */
export interface SeriesNumbers {
  readonly keys: readonly SeriesKey[]
  readonly groups: readonly Group[]
  readonly groupOf: readonly number[]
}

/** What one inspector feeds: its numbers of series, and what the assembler calls them. */
export interface Feed {
  readonly number: number
  readonly own: SeriesNumbers
  shared: Int32Array
}

/** One for all inspectors of a process. */
export class Assembler {
  readonly clock: StreamClock
  readonly #bus: Bus
  readonly #log: Log
  readonly #options: AssembleOptions
  readonly #pool: Pool
  readonly #pods: PodTable
  readonly #deriver: Deriver
  readonly #series: SeriesKey[] = []
  readonly #peers: string[] = []
  readonly #byId = new Map<string, number>()
  readonly #ranks = { series: new Ranks(), pods: new Ranks() }
  readonly #room = new Room()
  readonly #sheets = new Map<number, Sheet>()
  /** The spans of the trace in hand. */
  #spans = new Int32Array(64)
  #feeds = 0
  /** Windows that end by then are published. */
  #closedMs = NEVER
  /** The beginning of the latest window in which a span has ended. */
  #latestMs = NEVER
  /** Empty windows published in a row, in milliseconds. */
  #silentMs = 0
  readonly #late: Record<'age' | 'clock' | 'history', Cell>
  readonly #ahead: Cell
  readonly #evicted: Record<'full' | 'long', Cell>

  constructor(bus: Bus, world: World, log: Log, registry: Registry, options: AssembleOptions) {
    this.#bus = bus
    this.#log = log
    this.#options = options
    this.clock = new StreamClock(options.windowMs)
    this.#pool = new Pool(options.maxSpans, Math.floor(world.random() * 2 ** 32) | 0)
    this.#pods = new PodTable(world.random())
    this.#deriver = new Deriver(this.#pool, {
      series: this.#series,
      pods: this.#pods.keys,
      clockOf: this.#pods.clockOf,
    })
    const left = (reason: string) =>
      registry.counter(
        'otlier.assembly.spans.late',
        '{span}',
        'Spans left out of traces: too late, of a sender whose clock is off, or of one that begins with history.',
        { reason },
      )
    this.#late = { age: left('age'), clock: left('clock'), history: left('history') }
    this.#ahead = left('ahead')
    const evicted = (reason: string) =>
      registry.counter(
        'otlier.assembly.traces.evicted',
        '{trace}',
        'Traces that were taken for whole too early: for want of room, or because they are too long.',
        { reason },
      )
    this.#evicted = { full: evicted('full'), long: evicted('long') }
    const held = registry.gauge(
      'otlier.assembly.spans',
      '{span}',
      'Spans that wait for the rest of their trace.',
    )
    const refused = registry.gauge(
      'otlier.assembly.rows.refused',
      '{span}',
      'Spans and calls left out of a window that has as many rows as it may.',
    )
    const jumps = registry.gauge(
      'otlier.clock.jumps',
      '{jump}',
      "Times that a sender's clock was found to be off.",
    )
    registry.beforeRead(() => {
      held.value = this.#pool.spans
      refused.value = this.#room.refused
      jumps.value = this.clock.jumps
    })
    registry.observe(
      'otlier.clock.offset',
      's',
      'How far the clocks of senders are ahead of the others, where they are off; less than nothing is behind.',
      () => this.#offsets(),
    )
  }

  feed(own: SeriesNumbers): Feed {
    return { number: this.#feeds++, own, shared: new Int32Array(0) }
  }

  /** Takes the spans of a scanned batch whose series are known, but for those that end after `latestMs`. */
  take(feed: Feed, bytes: Uint8Array, items: Items, latestMs: number, monotonicMs: number): void {
    if (this.#options.maxSpans === 0) return
    const { windowMs } = this.#options
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
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
        aheadMs = this.clock.isOff(sender) ? this.clock.nowMs + windowMs : Number.POSITIVE_INFINITY
      }
      this.clock.saw(sender, endMs)
      if (endMs < this.#closedMs) this.#late[this.clock.whyLate(sender)].value++
      else if (endMs > aheadMs) this.#ahead.value++
      else this.#add(this.#seriesOf(feed, bytes, items, item), pod, view, bytes, items, item, endMs)
    }
    this.clock.settle(monotonicMs)
    this.#close()
  }

  /** In silence the stream goes on as time does, never beyond `latestMs`. For a live service. */
  passTime(monotonicMs: number, latestMs: number): void {
    this.clock.pass(monotonicMs, latestMs)
    this.#close()
  }

  /** Publishes all that is open, complete or not: at the end of a recording, and on stop. */
  flush(): void {
    this.#closeUntil(this.#latestMs + this.#options.windowMs)
  }

  #seriesOf(feed: Feed, bytes: Uint8Array, items: Items, item: number): number {
    const own = items.series[item]
    if (own >= feed.shared.length) {
      const shared = new Int32Array(Math.max(1024, 2 * own)).fill(-1)
      shared.set(feed.shared)
      feed.shared = shared
    }
    const known = feed.shared[own]
    return known >= 0 ? known : (feed.shared[own] = this.#meet(feed.own.keys[own], bytes, items, item))
  }

  #meet(key: SeriesKey, bytes: Uint8Array, items: Items, item: number): number {
    const known = this.#byId.get(key.id)
    if (known !== undefined) return known
    const series = this.#series.length
    this.#series.push(key)
    this.#byId.set(key.id, series)
    let peer = ''
    if (key.kind === CLIENT || key.kind === PRODUCER) {
      const { contentAt, endAt } = items
      const said = texts(bytes, contentAt[item], endAt[item], SPAN_ATTRIBUTES_TAG, PEER_KEYS, MAX_PEER_BYTES)
      peer = said.find(text => text !== '') ?? ''
    }
    this.#peers.push(peer)
    return series
  }

  #add(
    series: number,
    pod: number,
    view: DataView,
    bytes: Uint8Array,
    items: Items,
    item: number,
    endMs: number,
  ): void {
    const pool = this.#pool
    if (pool.full) this.#makeRoom()
    const span = pool.addSpan()
    const { rows, doubles } = pool
    const at = span * SPAN_WORDS
    const idAt = items.spanIdAt[item]
    const parentAt = items.parentIdAt[item]
    const endAt = items.endTimeAt[item]
    const stateAt = items.traceStateAt[item]
    rows[at + ID] = idAt === NOWHERE ? 0 : view.getInt32(idAt)
    rows[at + ID + 1] = idAt === NOWHERE ? 0 : view.getInt32(idAt + 4)
    rows[at + PARENT] = parentAt === NOWHERE ? 0 : view.getInt32(parentAt)
    rows[at + PARENT + 1] = parentAt === NOWHERE ? 0 : view.getInt32(parentAt + 4)
    rows[at + END] = view.getInt32(endAt + 4, true)
    rows[at + END + 1] = view.getInt32(endAt, true)
    rows[at + SERIES] = series
    rows[at + POD] = pod
    rows[at + META] = items.kind[item] | (items.flags[item] << FLAGS_SHIFT)
    rows[at + WEIGHT] =
      stateAt === NOWHERE ? WEIGHT_STEPS : sampledWeight(bytes, stateAt, items.traceStateEnd[item])
    doubles[span * SPAN_DOUBLES + DURATION_NS] = items.durationNs[item]
    doubles[span * SPAN_DOUBLES + END_MS] = endMs
    const slotMs = this.#windowOf(endMs)
    if (slotMs > this.#latestMs) this.#latestMs = slotMs
    const traceAt = items.traceIdAt[item]
    if (traceAt === NOWHERE) return this.#alone(span, slotMs)
    const a = view.getInt32(traceAt)
    const b = view.getInt32(traceAt + 4)
    const c = view.getInt32(traceAt + 8)
    const d = view.getInt32(traceAt + 12)
    if ((a | b | c | d) === 0) return this.#alone(span, slotMs)
    const trace = pool.traceOf(a, b, c, d, slotMs)
    if (pool.chain(trace, span) >= MAX_TRACE_SPANS) this.#evict(trace, 'long')
  }

  #windowOf(ms: number): number {
    const { windowMs } = this.#options
    return Math.floor(ms / windowMs) * windowMs
  }

  /** A span without a usable trace id is a trace of its own, and has nothing to wait for. */
  #alone(span: number, windowMs: number): void {
    this.#spans[0] = span
    this.#derive(this.#spans, 0, 1, -1, windowMs)
    this.#pool.freeSpan(span)
  }

  /** Takes for whole what has waited longest. */
  #makeRoom(): void {
    const pool = this.#pool
    const slotMs = pool.earliestMs()
    const enough = Math.max(1, pool.maxSpans / EVICTED_PART)
    const until = pool.spans - enough
    for (let trace = pool.firstOf(slotMs); trace >= 0 && pool.spans > until; trace = pool.firstOf(slotMs)) {
      this.#evict(trace, 'full')
    }
  }

  #evict(trace: number, reason: 'full' | 'long'): void {
    this.#evicted[reason].value++
    this.#deriveDue(trace, Number.POSITIVE_INFINITY)
  }

  #close(): void {
    const { windowMs, latenessMs, traceWaitMs } = this.#options
    const watermarkMs = this.clock.nowMs - latenessMs - traceWaitMs
    if (watermarkMs > NEVER) this.#closeUntil(Math.floor(watermarkMs / windowMs) * windowMs)
  }

  /** Publishes the windows that end by then, one after the other. */
  #closeUntil(untilMs: number): void {
    const { windowMs } = this.#options
    if (this.#closedMs === NEVER) {
      const earliestMs = this.#earliestMs()
      if (earliestMs === Number.POSITIVE_INFINITY) return
      if (earliestMs < untilMs) this.#closedMs = earliestMs
    }
    if (this.#closedMs === NEVER) return
    while (this.#closedMs + windowMs <= untilMs) {
      const startMs = this.#closedMs
      const sheet = this.#settled(startMs)
      if (sheet === null) {
        if (this.#silentMs >= MAX_SILENCE_MS) {
          this.#closedMs = Math.min(this.#earliestMs(), untilMs)
          continue
        }
        this.#silentMs += windowMs
        if (this.#silentMs >= MAX_SILENCE_MS)
          this.#log.info(
            { sinceMs: startMs + windowMs - this.#silentMs },
            'no traces for three minutes: windows are passed over until some come',
          )
      } else this.#silentMs = 0
      this.#closedMs = startMs + windowMs
      this.#publish(sheet, startMs)
    }
  }

  /** The sheet of a window once all traces that end in it are on it; null where none does. */
  #settled(startMs: number): Sheet | null {
    const endMs = startMs + this.#options.windowMs
    for (let trace = this.#pool.firstOf(startMs); trace >= 0; trace = this.#pool.firstOf(startMs)) {
      this.#deriveDue(trace, endMs)
    }
    return this.#sheets.get(startMs) ?? null
  }

  #publish(sheet: Sheet | null, startMs: number): void {
    const endMs = startMs + this.#options.windowMs
    const tables = { series: this.#series, peers: this.#peers, pods: this.#pods.keys }
    const message = featureWindow(sheet, startMs, endMs, tables, this.#ranks)
    if (sheet !== null) {
      sheet.close()
      this.#sheets.delete(startMs)
    }
    this.#bus.publish('features', String(startMs), message)
  }

  #earliestMs(): number {
    let earliest = this.#pool.earliestMs()
    for (const startMs of this.#sheets.keys()) if (startMs < earliest) earliest = startMs
    return earliest
  }

  /**
   * Derives those groups of a trace whose last span ends before `untilMs`, and lets the rest wait for its own window. Spans
   * that end further apart than a trace is waited for are different groups, in whatever order they have come.
   */
  #deriveDue(trace: number, untilMs: number): void {
    const pool = this.#pool
    const { doubles, traces } = pool
    const traceAt = trace * TRACE_WORDS
    const count = traces[traceAt + COUNT]
    const isSplit = this.#list(trace)
    const spans = this.#spans
    let from = 0
    let windowMs = NEVER
    let endMs = doubles[spans[0] * SPAN_DOUBLES + END_MS]
    for (let nth = 1; nth <= count; nth++) {
      const nextMs = nth < count ? doubles[spans[nth] * SPAN_DOUBLES + END_MS] : Number.POSITIVE_INFINITY
      const isLast = nth === count || (isSplit && nextMs - endMs > this.#options.traceWaitMs)
      if (!isLast && (isSplit || nextMs > endMs)) endMs = nextMs
      if (!isLast) continue
      windowMs = this.#windowOf(endMs)
      if (windowMs >= untilMs) break
      this.#derive(spans, from, nth, traceAt, windowMs)
      for (; from < nth; from++) pool.freeSpan(spans[from])
      endMs = nextMs
    }
    if (from === count) return pool.freeTrace(trace)
    traces[traceAt + COUNT] = 0
    traces[traceAt + FIRST] = -1
    for (; from < count; from++) pool.chain(trace, spans[from])
    pool.moveTo(trace, windowMs)
  }

  /** Lists a trace's spans in `#spans`, by their ends where those say that it may be several groups; returns whether they do. */
  #list(trace: number): boolean {
    const { rows, doubles, traces } = this.#pool
    const count = traces[trace * TRACE_WORDS + COUNT]
    if (count > this.#spans.length) this.#spans = new Int32Array(2 * count)
    let span = traces[trace * TRACE_WORDS + FIRST]
    let firstMs = Number.POSITIVE_INFINITY
    let lastMs = NEVER
    for (let nth = 0; nth < count; nth++) {
      this.#spans[nth] = span
      const endMs = doubles[span * SPAN_DOUBLES + END_MS]
      if (endMs < firstMs) firstMs = endMs
      if (endMs > lastMs) lastMs = endMs
      span = rows[span * SPAN_WORDS + NEXT]
    }
    if (lastMs - firstMs <= this.#options.traceWaitMs) return false
    this.#spans
      .subarray(0, count)
      .sort((a, b) => doubles[a * SPAN_DOUBLES + END_MS] - doubles[b * SPAN_DOUBLES + END_MS])
    return true
  }

  /** Adds some of the listed spans, as one group, to the sheet of their window. */
  #derive(spans: Int32Array, from: number, to: number, traceAt: number, windowMs: number): void {
    const sheet = this.#sheetAt(windowMs)
    if (sheet === null) {
      this.#room.refused += to - from
      return
    }
    const count = to - from
    this.#deriver.reserve(count)
    const { group } = this.#deriver
    for (let nth = 0; nth < count; nth++) group[nth] = spans[from + nth]
    this.#deriver.derive(count, traceAt, sheet)
  }

  #sheetAt(startMs: number): Sheet | null {
    let sheet = this.#sheets.get(startMs)
    if (sheet !== undefined) return sheet
    if (this.#sheets.size >= MAX_SHEETS) return null
    sheet = new Sheet(startMs, this.#room)
    this.#sheets.set(startMs, sheet)
    return sheet
  }

  *#offsets(): Generator<Cell> {
    let told = 0
    for (const [sender, offsetMs] of this.clock.offsets()) {
      if (++told > MAX_NAMED_CLOCKS) return
      const cell = new Cell({ sender: this.#pods.clockNames[sender] })
      cell.value = offsetMs / 1000
      yield cell
    }
  }
}
