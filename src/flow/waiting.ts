//! Traces that wait until they are whole, and the sheets of the windows that are still open: when and into what a trace is derived.
import { type Items, NOWHERE } from '../base/item.ts'
import { quietMs } from '../bus/delay.ts'
import { sampledWeight, WEIGHT_STEPS } from '../wire/threshold.ts'
import { Deriver } from './derive.ts'
import { FLAGS_SHIFT, hashOf, type Known } from './family.ts'
import {
  COUNT,
  DURATION_NS,
  END,
  END_MS,
  FIRST,
  HASH,
  ID,
  META,
  PARENT,
  POD,
  Pool,
  SERIES,
  SPAN_DOUBLES,
  SPAN_WORDS,
  TRACE_WORDS,
  WEIGHT,
} from './pool.ts'
import { Room, Sheet } from './sheet.ts'
import { Thinning } from './thinning.ts'

/** A trace that has more is derived in parts. */
const MAX_TRACE_SPANS = 2 ** 13
/** Windows in which something stands that are open at once. */
const MAX_SHEETS = 64
/** When there is no room even so, so large a part of it is made at once. */
const EVICTED_PART = 64
/** With less than this part in use, twice as many traces are kept again. */
const THICKEN_BELOW = 1 / 4

const NEVER = Number.NEGATIVE_INFINITY

export interface WaitOptions {
  readonly windowMs: number
  /** How long a trace of which something is missing must be quiet before it counts as whole. Read each time: it may change. */
  readonly traceWaitMs: number
  /** Spans that may wait for the rest of their trace. */
  readonly maxSpans: number
}

export class Waiting {
  /** Traces that were taken for whole too early: for want of room, or because they have too many spans. */
  evicted = { full: 0, long: 0 }
  /** Spans of traces that others stand for. */
  thinned = 0
  readonly #thinning = new Thinning()
  /** The beginning of the latest window in which a span has ended. */
  latestMs: number = NEVER
  /** The beginning of the earliest window to which something can still be added. */
  #settlingMs: number = NEVER
  readonly #options: WaitOptions
  readonly #pool: Pool
  readonly #deriver: Deriver
  readonly #room = new Room()
  readonly #sheets = new Map<number, Sheet>()
  /** The spans of the trace in hand. */
  #spans = new Int32Array(64)

  /** @param seed see `Pool` */
  constructor(options: WaitOptions, seed: number, known: Known) {
    this.#options = options
    this.#pool = new Pool(options.maxSpans, seed)
    this.#deriver = new Deriver(this.#pool, known)
  }

  /** Spans that wait. */
  get held(): number {
    return this.#pool.spans
  }

  /** Spans and calls that were left out of a window for want of rows. */
  get refused(): number {
    return this.#room.refused
  }

  /** Takes a span with a known end. `view` is of the same bytes. */
  add(
    view: DataView,
    bytes: Uint8Array,
    items: Items,
    item: number,
    series: number,
    pod: number,
    endMs: number,
  ): void {
    const pool = this.#pool
    const slotMs = this.#windowOf(endMs)
    if (slotMs > this.latestMs) this.latestMs = slotMs
    const traceAt = items.traceIdAt[item]
    if (
      traceAt !== NOWHERE &&
      !this.#thinning.keeps(view.getInt32(traceAt + 8), view.getInt32(traceAt + 12))
    ) {
      this.thinned++
      return
    }
    if (pool.spans >= pool.maxSpans) this.#makeRoom()
    const span = pool.addSpan()
    const { rows, doubles } = pool
    const at = span * SPAN_WORDS
    const idAt = items.spanIdAt[item]
    const parentAt = items.parentIdAt[item]
    const endAt = items.endTimeAt[item]
    const stateAt = items.traceStateAt[item]
    const high = idAt === NOWHERE ? 0 : view.getInt32(idAt)
    const low = idAt === NOWHERE ? 0 : view.getInt32(idAt + 4)
    rows[at + ID] = high
    rows[at + ID + 1] = low
    rows[at + HASH] = hashOf(high, low)
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
    const trace = this.#traceOf(view, traceAt, slotMs)
    if (trace < 0) this.#addAlone(span, slotMs)
    else if (pool.chain(trace, span) >= MAX_TRACE_SPANS) this.#evict(trace, 'long')
  }

  /** The trace whose id stands there, or -1 where no usable one does. */
  #traceOf(view: DataView, at: number, slotMs: number): number {
    if (at === NOWHERE) return -1
    const a = view.getInt32(at)
    const b = view.getInt32(at + 4)
    const c = view.getInt32(at + 8)
    const d = view.getInt32(at + 12)
    return (a | b | c | d) === 0 ? -1 : this.#pool.traceOf(a, b, c, d, slotMs)
  }

  /** The sheet of a window once all traces that end in it are on it, to be given back by `drop`; null where none does. */
  settle(startMs: number): Sheet | null {
    const endMs = startMs + this.#options.windowMs
    this.#settlingMs = startMs
    for (let trace = this.#pool.firstOf(startMs); trace >= 0; trace = this.#pool.firstOf(startMs)) {
      this.#deriveDue(trace, endMs)
    }
    this.#settlingMs = endMs
    return this.#sheets.get(startMs) ?? null
  }

  /** Nothing more is added to the sheet. */
  drop(sheet: Sheet): void {
    sheet.close()
    this.#sheets.delete(sheet.startMs)
    // What is missing something stands in a later window than its own.
    if (this.#thinning.isOld(sheet.startMs - this.#options.traceWaitMs)) this.#thicken()
  }

  /** Calls `use` with the series and the pod of everything that waits, or stands on an open sheet. */
  forEachUse(use: (series: number, pod: number) => void): void {
    const { rows, next, traces } = this.#pool
    this.#pool.forEach(trace => {
      const at = trace * TRACE_WORDS
      let span = traces[at + FIRST]
      for (let left = traces[at + COUNT]; left > 0; left--) {
        use(rows[span * SPAN_WORDS + SERIES], rows[span * SPAN_WORDS + POD])
        span = next[span]
      }
    })
    // A link is between series that have cells, but for want of rows.
    for (const { cells, links } of this.#sheets.values()) {
      for (let row = 0; row < cells.length; row++) use(cells.first[row], cells.second[row])
      for (let row = 0; row < links.length; row++) {
        use(links.first[row], -1)
        use(links.second[row], -1)
      }
    }
  }

  /** The beginning of the earliest window for which anything waits; Infinity where nothing does. */
  earliestMs(): number {
    let earliest = this.#pool.earliestMs()
    for (const startMs of this.#sheets.keys()) if (startMs < earliest) earliest = startMs
    return earliest
  }

  #windowOf(ms: number): number {
    const { windowMs } = this.#options
    return Math.floor(ms / windowMs) * windowMs
  }

  /** A span without a usable trace id is a trace of its own, and has nothing to wait for. */
  #addAlone(span: number, windowMs: number): void {
    this.#spans[0] = span
    this.#deriver.take(this.#spans, 0, 1)
    this.#derive(1, -1, windowMs, windowMs)
    this.#pool.freeSpan(span)
  }

  #keepsTrace(trace: number, thinning?: number): boolean {
    const at = trace * TRACE_WORDS
    return this.#thinning.keeps(this.#pool.traces[at + 2], this.#pool.traces[at + 3], thinning)
  }

  /** Keeps half as many traces; where that is not enough, takes for whole what has waited longest. */
  #makeRoom(): void {
    const pool = this.#pool
    const until = pool.spans - Math.max(1, pool.maxSpans / EVICTED_PART)
    if (this.#thinning.more())
      pool.forEach(trace => {
        // Others stand for it.
        if (!this.#keepsTrace(trace)) this.thinned += pool.freeAll(trace)
      })
    const slotMs = pool.earliestMs()
    for (let trace = pool.firstOf(slotMs); trace >= 0 && pool.spans > until; trace = pool.firstOf(slotMs)) {
      this.#evict(trace, 'full')
    }
  }

  /** Keeps twice as many traces where there is room for them: in windows of which no span has come yet. */
  #thicken(): void {
    const { windowMs, maxSpans } = this.#options
    if (this.#pool.spans <= maxSpans * THICKEN_BELOW) this.#thinning.less(this.latestMs + windowMs)
  }

  /** Takes a trace for whole that may not be. */
  #evict(trace: number, reason: 'full' | 'long'): void {
    this.evicted[reason]++
    this.#deriveDue(trace, Number.POSITIVE_INFINITY)
  }

  /**
   * Derives what of a trace belongs to the window that ends at `untilMs`, and lets the rest wait. A group of which nothing is
   * missing does so by the end of its root, once it has been quiet for `quietMs`; one of which something is, when no more of
   * it can come. Spans that end further apart than a trace is waited for are different groups. Only what ends early enough to
   * have come for certain is looked at, so that order does not matter.
   */
  #deriveDue(trace: number, untilMs: number): void {
    const pool = this.#pool
    const { traces } = pool
    const { traceWaitMs } = this.#options
    const settledMs = untilMs + quietMs(this.#options)
    const traceAt = trace * TRACE_WORDS
    const count = traces[traceAt + COUNT]
    let lastMs = this.#list(trace, count, settledMs)
    const isOne = !Number.isNaN(lastMs)
    const spans = this.#spans
    let from = 0
    while (from < count) {
      const to = isOne ? count : this.#groupEnd(from, count)
      const seen = isOne ? count : this.#settledEnd(from, to, settledMs)
      if (seen === from) break
      if (!isOne) lastMs = this.#endOf(seen - 1)
      this.#deriver.take(spans, from, seen)
      const isOver = seen === to && lastMs + traceWaitMs < settledMs
      if (!isOver && !this.#deriver.isWhole(untilMs)) break
      const ownMs = this.#windowOf(lastMs)
      const isEarly = untilMs === Number.POSITIVE_INFINITY
      const windowMs = isEarly ? Math.max(ownMs, this.#settlingMs) : this.#settlingMs
      this.#derive(seen - from, traceAt, windowMs, ownMs)
      for (; from < seen; from++) pool.freeSpan(spans[from])
    }
    if (from === count) {
      pool.freeTrace(trace)
      return
    }
    traces[traceAt + COUNT] = 0
    traces[traceAt + FIRST] = -1
    let slotMs = Number.POSITIVE_INFINITY
    for (; from < count; from++) {
      slotMs = Math.min(slotMs, this.#windowOf(this.#endOf(from)))
      pool.chain(trace, spans[from])
    }
    pool.moveTo(trace, Math.max(slotMs, untilMs))
  }

  /** The place behind the last of the sorted spans that is in the group of the one at `from`. */
  #groupEnd(from: number, count: number): number {
    let to = from + 1
    while (to < count && this.#endOf(to) - this.#endOf(to - 1) <= this.#options.traceWaitMs) to++
    return to
  }

  /** The place behind the last of the sorted spans from `from` to before `to` that ends before a time. */
  #settledEnd(from: number, to: number, beforeMs: number): number {
    let seen = from
    while (seen < to && this.#endOf(seen) < beforeMs) seen++
    return seen
  }

  /** When the span at a place of the list ends. */
  #endOf(nth: number): number {
    return this.#pool.doubles[this.#spans[nth] * SPAN_DOUBLES + END_MS]
  }

  /**
   * Lists a trace's spans in `#spans`. Returns the end of the last; NaN where there may be several groups, or not all end
   * before `beforeMs`, then sorted by their ends.
   */
  #list(trace: number, count: number, beforeMs: number): number {
    const { next, doubles, traces } = this.#pool
    if (count > this.#spans.length) this.#spans = new Int32Array(2 * count)
    const spans = this.#spans
    let span = traces[trace * TRACE_WORDS + FIRST]
    let firstMs = Number.POSITIVE_INFINITY
    let lastMs = NEVER
    for (let nth = 0; nth < count; nth++) {
      spans[nth] = span
      const endMs = doubles[span * SPAN_DOUBLES + END_MS]
      if (endMs < firstMs) firstMs = endMs
      if (endMs > lastMs) lastMs = endMs
      span = next[span]
    }
    if (lastMs < beforeMs && lastMs - firstMs <= this.#options.traceWaitMs) return lastMs
    spans
      .subarray(0, count)
      .sort((a, b) => doubles[a * SPAN_DOUBLES + END_MS] - doubles[b * SPAN_DOUBLES + END_MS])
    return Number.NaN
  }

  /** Adds the spans in hand, as one group, to the sheet of a window. They were thinned in the window of their own. */
  #derive(count: number, traceAt: number, windowMs: number, ownMs: number): void {
    const thinning = traceAt < 0 ? 0 : this.#thinning.of(ownMs)
    if (thinning > this.#thinning.now && !this.#keepsTrace(traceAt / TRACE_WORDS, thinning)) {
      this.thinned += count
      return
    }
    const sheet = this.#sheetAt(windowMs)
    if (sheet === null) this.#room.refused += count
    else this.#deriver.derive(traceAt, 2 ** thinning, sheet)
  }

  #sheetAt(startMs: number): Sheet | null {
    let sheet = this.#sheets.get(startMs)
    if (sheet !== undefined) return sheet
    if (this.#sheets.size >= MAX_SHEETS) return null
    sheet = new Sheet(startMs, this.#room)
    this.#sheets.set(startMs, sheet)
    return sheet
  }
}
