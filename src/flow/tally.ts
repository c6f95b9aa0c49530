//! Counts scored spans into windows of event time, and hands each window's summary to the bus once it is complete.
import { bucketOf } from '../base/sketch.ts'
import type { Bus, SeriesKey } from '../bus/bus.ts'
import { MIN_SAMPLES } from '../detect/latency.ts'
import { Summary } from '../detect/summary.ts'

export interface TallyOptions {
  readonly windowMs: number
  /** Read each time: it may change. */
  readonly latenessMs: number
}

/** What is known of the series, by their numbers. */
export interface Known {
  readonly keys: readonly SeriesKey[]
  /** The number of the service. */
  readonly groupOf: readonly number[]
}

interface OpenWindow {
  /** Since 1970: a time in milliseconds takes 16 bytes more than a small whole number. */
  readonly nth: number
  /** Its spans as they were staged, while they are few; afterwards all are in the summary. A string is the smallest list of 16-bit cells. */
  spans: string
  summary: Summary | null
  /** The next later one that is open: of most series there are two, and a list would cost more than they do. */
  next: OpenWindow | null
}

/** One series. */
interface Row {
  readonly series: number
  readonly key: SeriesKey
  readonly clock: Clock
  /** The oldest window that is still open. */
  open: OpenWindow | null
  /** The one that the staged spans belong to. */
  staged: OpenWindow | null
  /** Samples of a series in learning, sent or waiting. */
  learned: number
  /** Hours since a window of it was opened. */
  idleHours: number
}

/**
 * The clock of one service: its windows are closed by its own span ends, so that one that begins with history is
 * learned as any other, and a host whose clock is off disturbs nobody else.
 */
interface Clock {
  /** The latest span end. */
  nowMs: number
  /** The monotonic clock when it moved last: a wall clock that jumps must not close what is still coming. */
  movedMs: number
  /** Windows that end by then are closed. */
  closedMs: number
  readonly rows: Row[]
  /** Whether the batch in hand moved it. */
  touched: boolean
}

/**
 * Spans are staged before they are counted: a series has one line of 64 bytes, so that with thousands of series a span
 * costs one wait for memory, and the six from its row to its histogram are shared by 27 of them.
 * In 16-bit cells: start of the window (a double, four cells; NaN where none is staged), count, spans.
 */
const LINE = 32
const STARTS = LINE / 4
const COUNT = 4
const FIRST = 5
const ROOM = LINE - FIRST
/** A staged span: its bucket, or UNTIMED, and two flags. */
const UNTIMED = 0x3fff
const BEYOND = 0x4000
const FAILED = 0x8000

/** Of a seldom series a window is a few numbers. Its histograms would be a thousand bytes. */
const FEW_SPANS = 64

/** A request may bring years of a series in windows of one span each: so many beyond the lateness wait for their end. */
const MAX_OPEN = 64

export class Tally {
  /** Spans for a window that had been closed. */
  late = 0
  /** Spans that end later than the wall clock allows. */
  future = 0
  readonly #bus: Bus
  readonly #known: Known
  readonly #windowMs: number
  readonly #options: TallyOptions
  readonly #clocks: (Clock | undefined)[] = []
  readonly #rows: (Row | undefined)[] = []
  readonly #touched: Clock[] = []
  #lines = new Uint16Array(0)
  #starts = new Float64Array(0)

  constructor(bus: Bus, known: Known, options: TallyOptions) {
    this.#bus = bus
    this.#known = known
    this.#windowMs = options.windowMs
    this.#options = options
  }

  /**
   * Counts one span.
   * @param learning whether its series has no model yet
   * @param durationNs negative where the span has no usable times
   */
  add(
    series: number,
    learning: boolean,
    durationNs: number,
    endMs: number,
    beyond: boolean,
    failed: boolean,
  ): void {
    const clock = this.#clocks[this.#known.groupOf[series]]
    if (clock === undefined || !(endMs <= clock.nowMs)) this.#advance(series, endMs)
    const startMs = this.#starts[series * STARTS]
    if (!(endMs >= startMs && endMs < startMs + this.#windowMs) && !this.#stage(series, endMs)) {
      this.late++
      if (!learning) return
      // What is normal is not known yet, so no window of it can be spoilt: of a history that comes out of order nothing is wasted.
      this.#stage(series, this.#clockOf(series).closedMs)
    }
    const lines = this.#lines
    const line = series * LINE
    const count = lines[line + COUNT]
    lines[line + FIRST + count] =
      (durationNs >= 0 ? bucketOf(durationNs) : UNTIMED) | (beyond ? BEYOND : 0) | (failed ? FAILED : 0)
    lines[line + COUNT] = count + 1
    if (count + 1 === ROOM) this.#unload(this.#rows[series] as Row)
    if (learning) this.#learn(series)
  }

  /** Closes what the batch has completed. `monotonicMs` is when that is. */
  endOfBatch(monotonicMs: number): void {
    for (const clock of this.#touched) {
      clock.touched = false
      clock.movedMs = monotonicMs
      this.#close(clock, clock.nowMs - this.#options.latenessMs)
    }
    this.#touched.length = 0
  }

  /** In silence every clock goes on by as much as time does. */
  passTime(monotonicMs: number): void {
    for (const clock of this.#clocks) {
      if (clock === undefined) continue
      this.#close(clock, clock.nowMs + monotonicMs - clock.movedMs - this.#options.latenessMs)
    }
  }

  /** Hands over all that is open, complete or not: at the end of a recording, and on stop. */
  flush(): void {
    for (const clock of this.#clocks) if (clock !== undefined) this.#close(clock, Number.POSITIVE_INFINITY)
  }

  /** An hour is over. */
  passHour(): void {
    for (const row of this.#rows) if (row !== undefined) row.idleHours++
  }

  /** Hours since anything of a series was counted; Infinity where nothing ever was. */
  idleHours(series: number): number {
    return this.#rows[series]?.idleHours ?? Number.POSITIVE_INFINITY
  }

  /** The numbers of these series will stand for others. What waits of them for the end of its window is as old as they are. */
  forget(gone: readonly number[]): void {
    const clocks = new Set<Clock>()
    for (const series of gone) {
      const row = this.#rows[series]
      if (row === undefined) continue
      clocks.add(row.clock)
      this.#rows[series] = undefined
      this.#lines[series * LINE + COUNT] = 0
      this.#starts[series * STARTS] = Number.NaN
    }
    for (const [group, clock] of this.#clocks.entries()) {
      if (clock === undefined || !clocks.has(clock)) continue
      const rows = clock.rows.splice(0)
      for (const row of rows) if (this.#rows[row.series] === row) clock.rows.push(row)
      if (clock.rows.length === 0) this.#clocks[group] = undefined
    }
  }

  #advance(series: number, endMs: number): void {
    const clock = this.#clockOf(series)
    if (endMs > clock.nowMs) clock.nowMs = endMs
    if (clock.touched) return
    clock.touched = true
    this.#touched.push(clock)
  }

  /** A new series waits for nobody: it is ready with the last sample that it needs, in the middle of a window or a batch. */
  #learn(series: number): void {
    const row = this.#rows[series] as Row
    if (++row.learned < MIN_SAMPLES) return
    row.learned = 0
    this.#unload(row)
    for (let open = row.open; open !== null; open = open.next) this.#publish(row, open)
  }

  #close(clock: Clock, watermarkMs: number): void {
    const untilMs = Math.floor(watermarkMs / this.#windowMs) * this.#windowMs
    if (untilMs <= clock.closedMs) return
    if (untilMs !== Number.POSITIVE_INFINITY) clock.closedMs = untilMs
    for (const row of clock.rows) {
      this.#unstage(row)
      let { open } = row
      while (open !== null && (open.nth + 1) * this.#windowMs <= untilMs) {
        row.open = open.next
        // What is over must not keep what comes after it from being collected young.
        open.next = null
        this.#publish(row, open)
        open = row.open
      }
    }
  }

  #publish(row: Row, window: OpenWindow): void {
    const summary = summed(window)
    if (summary.count === 0) return
    window.spans = ''
    window.summary = null
    this.#bus.publish('summary', row.key.id, {
      series: row.key,
      windowStartMs: window.nth * this.#windowMs,
      windowEndMs: (window.nth + 1) * this.#windowMs,
      summary,
    })
  }

  /** Makes the window in which `endMs` falls the staged one; false where it has been closed. */
  #stage(series: number, endMs: number): boolean {
    const row = this.#rows[series] ?? this.#newRow(series)
    const window = this.#windowAt(row, endMs)
    if (window === null) return false
    this.#unload(row)
    row.idleHours = 0
    row.staged = window
    this.#starts[series * STARTS] = window.nth * this.#windowMs
    return true
  }

  #unstage(row: Row): void {
    this.#unload(row)
    row.staged = null
    this.#starts[row.series * STARTS] = Number.NaN
  }

  /** Counts the staged spans. */
  #unload({ series, staged }: Row): void {
    if (staged === null) return
    const lines = this.#lines
    const from = series * LINE + FIRST
    const end = from + lines[series * LINE + COUNT]
    if (end === from) return
    if (staged.summary === null && staged.spans.length + end - from <= FEW_SPANS) {
      staged.spans += String.fromCharCode(...lines.subarray(from, end))
    } else {
      const summary = summed(staged)
      for (let at = from; at < end; at++) count(lines[at], summary)
      staged.summary = summary
      staged.spans = ''
    }
    lines[series * LINE + COUNT] = 0
  }

  /** The open window in which `endMs` falls, made where there is none; null where it has been closed. */
  #windowAt(row: Row, endMs: number): OpenWindow | null {
    const nth = Math.floor(endMs / this.#windowMs)
    if (nth * this.#windowMs < row.clock.closedMs) return null
    let before: OpenWindow | null = null
    let length = 0
    for (let open = row.open; open !== null; open = open.next) {
      if (open.nth === nth) return open
      if (open.nth < nth) before = open
      length++
    }
    if (length >= MAX_OPEN + Math.ceil(this.#options.latenessMs / this.#windowMs)) {
      this.#handOver(row)
      before = null
    }
    const made = { nth, spans: '', summary: null, next: before === null ? row.open : before.next }
    if (before === null) row.open = made
    else before.next = made
    return made
  }

  /** All open windows of a series at once, complete or not: what comes for one of them later is a further part of it. */
  #handOver(row: Row): void {
    this.#unstage(row)
    const { open } = row
    row.open = null
    for (let window = open; window !== null; window = window.next) this.#publish(row, window)
  }

  #newRow(series: number): Row {
    if ((series + 1) * LINE > this.#lines.length) this.#growLines(series + 1)
    const clock = this.#clockOf(series)
    const key = this.#known.keys[series]
    const row = { series, key, clock, open: null, staged: null, learned: 0, idleHours: 0 }
    clock.rows.push(row)
    this.#rows[series] = row
    return row
  }

  #clockOf(series: number): Clock {
    const group = this.#known.groupOf[series]
    let clock = this.#clocks[group]
    if (clock === undefined) {
      clock = { nowMs: NEVER, movedMs: 0, closedMs: NEVER, rows: [], touched: false }
      this.#clocks[group] = clock
    }
    return clock
  }

  #growLines(needed: number): void {
    const count = Math.max(1024, needed, (2 * this.#lines.length) / LINE)
    const lines = new Uint16Array(count * LINE)
    const starts = new Float64Array(lines.buffer).fill(Number.NaN)
    lines.set(this.#lines)
    this.#lines = lines
    this.#starts = starts
  }
}

/** What a window holds so far. */
function summed({ spans, summary }: OpenWindow): Summary {
  if (summary !== null) return summary
  const made = new Summary()
  for (let at = 0; at < spans.length; at++) count(spans.charCodeAt(at), made)
  return made
}

function count(span: number, into: Summary): void {
  const bucket = span & UNTIMED
  into.count++
  if ((span & FAILED) !== 0) into.failures++
  if (bucket !== UNTIMED) ((span & BEYOND) === 0 ? into.within : into.beyond).addBucket(bucket)
}

const NEVER = Number.NEGATIVE_INFINITY
