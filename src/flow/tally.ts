//! Counts scored spans into windows of event time, and hands each window's summary to the bus once it is complete.
import type { Bus, SeriesKey } from '../bus/bus.ts'
import { MIN_SAMPLES } from '../detect/latency.ts'
import { Summary } from '../detect/summary.ts'

export interface TallyOptions {
  readonly windowMs: number
  readonly latenessMs: number
}

interface OpenWindow {
  readonly startMs: number
  readonly endMs: number
  summary: Summary
}

/** The windows of one series that are still open, oldest first; the last used is tried first. */
interface Row {
  readonly key: SeriesKey
  readonly clock: Clock
  readonly open: OpenWindow[]
  last: OpenWindow
  /** Samples of a series in learning, sent or waiting. */
  learned: number
}

/**
 * The clock of one service: its windows are closed by its own span ends, so that one that begins with history is
 * learned as any other, and a host whose clock is off disturbs nobody else.
 */
interface Clock {
  /** The latest span end. */
  nowMs: number
  /** The wall clock when it moved last. */
  movedMs: number
  /** Windows that end by then are closed. */
  closedMs: number
  readonly rows: Row[]
  /** Whether the batch in hand moved it. */
  touched: boolean
}

export class Tally {
  /** Spans for a window that had been closed. */
  late = 0
  /** Spans that end later than the wall clock allows. */
  future = 0
  readonly #bus: Bus
  readonly #windowMs: number
  readonly #latenessMs: number
  readonly #clocks: (Clock | undefined)[] = []
  readonly #rows: (Row | undefined)[] = []
  readonly #touched: Clock[] = []

  constructor(bus: Bus, options: TallyOptions) {
    this.#bus = bus
    this.#windowMs = options.windowMs
    this.#latenessMs = options.latenessMs
  }

  /**
   * Counts one span.
   * @param group the number of its service, `learning` whether its series has no model yet
   * @param durationNs negative where the span has no usable times
   */
  add(
    series: number,
    key: SeriesKey,
    group: number,
    learning: boolean,
    durationNs: number,
    endMs: number,
    beyond: boolean,
    failed: boolean,
  ): void {
    const row = this.#rows[series] ?? this.#newRow(series, key, group)
    const { clock } = row
    if (endMs > clock.nowMs) {
      clock.nowMs = endMs
      if (!clock.touched) {
        clock.touched = true
        this.#touched.push(clock)
      }
    }
    let window = endMs >= row.last.startMs && endMs < row.last.endMs ? row.last : this.#windowAt(row, endMs)
    if (window === null) {
      this.late++
      if (!learning) return
      // What is normal is not known yet, so no window of it can be spoilt: of a history that comes out of order nothing is wasted.
      window = this.#windowAt(row, clock.closedMs) as OpenWindow
    }
    const { summary } = window
    summary.count++
    if (failed) summary.failures++
    if (durationNs >= 0) (beyond ? summary.beyond : summary.within).add(durationNs)
    // A new series waits for nobody: it is ready with the last sample that it needs, in the middle of a window or a batch.
    if (learning && ++row.learned >= MIN_SAMPLES) {
      row.learned = 0
      for (const open of row.open) this.#publish(row, open)
    }
  }

  /** Closes what the batch has completed. `wallMs` is when that is. */
  endOfBatch(wallMs: number): void {
    for (const clock of this.#touched) {
      clock.touched = false
      clock.movedMs = wallMs
      this.#close(clock, clock.nowMs - this.#latenessMs)
    }
    this.#touched.length = 0
  }

  /** In silence every clock goes on by as much as the wall clock does. */
  passTime(wallMs: number): void {
    for (const clock of this.#clocks) {
      if (clock !== undefined) this.#close(clock, clock.nowMs + wallMs - clock.movedMs - this.#latenessMs)
    }
  }

  /** Hands over all that is open, complete or not: at the end of a recording, and on stop. */
  flush(): void {
    for (const clock of this.#clocks) if (clock !== undefined) this.#close(clock, Number.POSITIVE_INFINITY)
  }

  #close(clock: Clock, watermarkMs: number): void {
    const untilMs = Math.floor(watermarkMs / this.#windowMs) * this.#windowMs
    if (untilMs <= clock.closedMs) return
    if (untilMs !== Number.POSITIVE_INFINITY) clock.closedMs = untilMs
    for (const row of clock.rows) {
      while (row.open.length > 0 && row.open[0].endMs <= untilMs)
        this.#publish(row, row.open.shift() as OpenWindow)
      row.last = row.open.at(-1) ?? NO_WINDOW
    }
  }

  #publish(row: Row, window: OpenWindow): void {
    const { summary } = window
    if (summary.count === 0) return
    window.summary = new Summary()
    this.#bus.publish('summary', row.key.id, {
      series: row.key,
      windowStartMs: window.startMs,
      windowEndMs: window.endMs,
      summary,
    })
  }

  /** The open window in which `endMs` falls, made where there is none; null where it has been closed. */
  #windowAt(row: Row, endMs: number): OpenWindow | null {
    const startMs = Math.floor(endMs / this.#windowMs) * this.#windowMs
    if (startMs < row.clock.closedMs) return null
    let at = row.open.length
    while (at > 0 && row.open[at - 1].startMs > startMs) at--
    if (at === 0 || row.open[at - 1].startMs !== startMs) {
      row.open.splice(at, 0, { startMs, endMs: startMs + this.#windowMs, summary: new Summary() })
      at++
    }
    row.last = row.open[at - 1]
    return row.last
  }

  #newRow(series: number, key: SeriesKey, group: number): Row {
    let clock = this.#clocks[group]
    if (clock === undefined) {
      clock = { nowMs: NEVER, movedMs: 0, closedMs: NEVER, rows: [], touched: false }
      this.#clocks[group] = clock
    }
    const row = { key, clock, open: [], last: NO_WINDOW, learned: 0 }
    clock.rows.push(row)
    this.#rows[series] = row
    return row
  }
}

const NEVER = Number.NEGATIVE_INFINITY
const NO_WINDOW: OpenWindow = { startMs: 1, endMs: 0, summary: new Summary() }
