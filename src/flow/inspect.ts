//! The step on the path of every request: checks its framing, scores its spans, marks the outliers, and passes it on.
import type { Cell, Registry } from '../base/counters.ts'
import { Failure } from '../base/errors.ts'
import { CARRIES_MARK, FAILED, Items, NO_TIMES, NOWHERE } from '../base/item.ts'
import type { World } from '../base/world.ts'
import type { Bus, SeriesModel } from '../bus/bus.ts'
import { KEPT_HOURS } from '../bus/idle.ts'
import { check } from '../wire/check.ts'
import { merge } from '../wire/merge.ts'
import { scanTraces } from '../wire/scan.ts'
import { splice } from '../wire/splice.ts'
import { type Finding, type MarkOptions, markBytes, markOf, outlierEvent } from './annotate.ts'
import type { Assembler, Feed } from './assemble.ts'
import { registerDurations } from './bands.ts'
import { CHECK_EVERY, type Guards, type Lap } from './guard.ts'
import { Models } from './models.ts'
import { SeriesTable } from './series.ts'
import type { Batch, CheckedBatch, Outcome, Sink } from './sink.ts'
import { Tally } from './tally.ts'

export interface InspectOptions extends MarkOptions {
  /** False forwards traces without looking at them. */
  readonly detect: boolean
  readonly windowMs: number
  readonly latenessMs: number
  readonly maxSeries: number
  /** Spans that end later than this in wall-clock time are scored, and not learned. Infinity in a replay. */
  readonly latestMs: () => number
}

/** What one request may grow by. A mark is some 500 bytes, and a span may be of 20: a flood of outliers must not fill memory. */
const MAX_MARK_BYTES = 16 * 2 ** 20
/** Making a mark costs as much as scoring so many spans (measured). */
const MARK_PIECES = 10
/** So many events a series and window; the rest are counted and told of by the next one. */
const EVENTS_PER_WINDOW = 5

export interface Inspector extends Sink {
  /** Lets event time go on by as much as the wall clock has: once a second, in a live service. */
  passTime(): void
  /** Hands everything that is still open to the learning plane. See `Assembler.flush` for `wholeMs`. */
  flush(wholeMs?: number): void
}

/** The first sink of the data plane. Malformed requests are refused; whatever detection does, the rest goes on to `next`. */
export function inspect(
  next: Sink<CheckedBatch>,
  world: World,
  bus: Bus,
  guards: Guards,
  registry: Registry,
  assembler: Assembler,
  options: InspectOptions,
): Inspector {
  const detection = new Detection(world, bus, registry, assembler, options)
  const guarded = guards.batches()
  const closing = guards.step('the closing of windows')
  const forgetting = guards.step('the forgetting of what is idle')
  const assembling = guards.step('the assembly of traces')
  const malformed = new Failure(
    'OTLIER_MALFORMED',
    'The protobuf framing is broken; nothing of the request was taken.',
  )
  return {
    async send(batch: Batch): Promise<Outcome> {
      if (batch.signal !== 'traces' || !options.detect) {
        const items = check(batch.signal, batch.bytes)
        return items < 0 ? { kind: 'refused', cause: malformed } : next.send({ ...batch, items })
      }
      const { bytes } = batch
      // Between two batches, so that no number changes its meaning while one is in hand.
      if (detection.hasToForget) forgetting.attempt(() => detection.forget())
      // Fail open: whatever detection does, the request goes on.
      let items: number
      let pieces: readonly Uint8Array[] | null = null
      try {
        items = scanTraces(bytes, detection.items)
        if (items >= 0) pieces = guarded.attempt(lap => detection.annotated(bytes, lap)) ?? null
      } catch (error) {
        guarded.leaveOut(error)
        items = check('traces', bytes)
      }
      if (items < 0) return { kind: 'refused', cause: malformed }
      return next.send(pieces === null ? { ...batch, items } : marked(pieces, items, batch))
    },
    passTime() {
      closing.attempt(() => detection.tally.passTime(world.monotonic()))
      assembling.attempt(() => assembler.passTime(world.monotonic(), options.latestMs()))
    },
    flush(wholeMs) {
      closing.attempt(() => detection.tally.flush())
      assembling.attempt(() => assembler.flush(wholeMs))
    },
    close: () => next.close(),
  }
}

function marked(pieces: readonly Uint8Array[], items: number, batch: Batch): CheckedBatch {
  return {
    ...batch,
    items,
    pieces,
    get bytes() {
      return merge(pieces)
    },
  }
}

class Detection {
  readonly items = new Items()
  readonly tally: Tally
  readonly #series: SeriesTable
  readonly #models: Models
  readonly #assembler: Assembler
  readonly #feed: Feed
  readonly #world: World
  readonly #bus: Bus
  readonly #registry: Registry
  readonly #options: InspectOptions
  readonly #outliers = new Map<string, Cell>()
  readonly #told = new Map<number, { window: number; events: number; suppressed: number }>()
  readonly #suppressed: Cell
  readonly #unmarked: Cell
  /** The latest span end seen. */
  #streamMs = 0
  /** An hour is over: series that are idle are to be forgotten. */
  hasToForget = false
  /** That are over since the start. */
  #hours = 0

  constructor(world: World, bus: Bus, registry: Registry, assembler: Assembler, options: InspectOptions) {
    this.#world = world
    this.#assembler = assembler
    this.#bus = bus
    this.#registry = registry
    this.#options = options
    this.#series = new SeriesTable(options, (series, key) => this.#models.met(series, key))
    this.#models = new Models(bus, id => this.#series.byId(id))
    this.tally = new Tally(bus, this.#series, options)
    this.#feed = assembler.feed(this.#series)
    bus.listen('hour', () => {
      this.hasToForget = true
    })
    this.#suppressed = registry.counter(
      'otlier.events.suppressed',
      '{event}',
      'Outlier events held back by the limit per series; their spans are marked all the same.',
    )
    this.#unmarked = registry.counter(
      'otlier.outliers.unmarked',
      '{span}',
      'Outliers beyond what one request may grow by: forwarded without their mark.',
    )
    const gauge = (name: string, unit: string, help: string, labels = {}) =>
      registry.gauge(name, unit, help, labels)
    const tracked = gauge('otlier.series.tracked', '{series}', 'Series in the table.')
    const overflow = gauge(
      'otlier.series.overflow',
      '{span}',
      'Spans beyond max_series, counted in overflow series.',
    )
    const late = gauge(
      'otlier.spans.late',
      '{span}',
      'Spans for a window that had been closed; scored, and learned only while their series is new.',
    )
    const future = gauge(
      'otlier.spans.future',
      '{span}',
      'Spans that end in the future; scored, not learned.',
    )
    const states = (['learning', 'ready', 'frozen', 'stale'] as const).map(
      state => [state, gauge('otlier.models', '{model}', 'Models by state.', { state })] as const,
    )
    registerDurations(registry, () => this.#models.all())
    registry.beforeRead(() => {
      tracked.value = this.#series.size
      overflow.value = this.#series.overflowed
      late.value = this.tally.late
      future.value = this.tally.future
      const counts = this.#models.states(
        series => (series < 0 ? this.#hours : this.tally.idleHours(series)) >= KEPT_HOURS.fresh,
      )
      for (const [state, cell] of states) cell.value = counts[state]
    })
  }

  /** Forgets the series that nobody has sent anything of for too long. Not while a batch is in hand. */
  forget(): void {
    this.hasToForget = false
    this.#hours++
    this.tally.passHour()
    const gone = this.#series.forget(series => this.tally.idleHours(series) > KEPT_HOURS.series)
    this.tally.forget(gone)
    this.#assembler.released(this.#feed, gone)
    for (const series of gone) {
      this.#models.forget(series)
      this.#told.delete(series)
    }
    // The registry knows the cells of those that come again.
    if (gone.length > 0) this.#outliers.clear()
    this.#assembler.forget()
  }

  /** Scores and tallies the scanned batch; returns it with marks spliced in, or null where there is no outlier. */
  annotated(bytes: Uint8Array, lap: Lap): readonly Uint8Array[] | null {
    const { items, tally } = this
    this.#series.intern(bytes, items)
    // A model may change its columns' values in the middle of a batch; only a new series replaces the columns, and all are known by now.
    const { limitNs, failureRare, learning } = this.#models
    const latestMs = this.#options.latestMs()
    const marked: number[] = []
    const additions: Uint8Array[] = []
    let addedBytes = 0
    for (let item = 0; item < items.count; item++) {
      const series = items.series[item]
      const flags = items.flags[item]
      const durationNs = items.durationNs[item]
      const failed = (flags & FAILED) !== 0
      if ((item & (CHECK_EVERY - 1)) === 0) lap.check(item + MARK_PIECES * marked.length)
      const slow = durationNs > lap.number(limitNs[series])
      if ((slow || (failed && failureRare[series] === 1)) && (flags & CARRIES_MARK) === 0) {
        const addition = this.#mark(bytes, item, series, slow, failed && failureRare[series] === 1, lap)
        if (addition !== null && addedBytes + addition.length <= MAX_MARK_BYTES) {
          addedBytes += addition.length
          marked.push(item)
          additions.push(addition)
        } else this.#unmarked.value++
      }
      const endMs = items.endMs[item]
      const timed = (flags & NO_TIMES) === 0
      if (endMs > latestMs) tally.future++
      else if (endMs > 0) {
        if (endMs > this.#streamMs) this.#streamMs = endMs
        tally.add(series, learning[series] === 1, timed ? durationNs : -1, endMs, slow, failed)
      }
    }
    const monotonicMs = this.#world.monotonic()
    tally.endOfBatch(monotonicMs)
    this.#assembler.take(this.#feed, bytes, items, latestMs, monotonicMs)
    return marked.length === 0 ? null : splice(bytes, items, marked, additions)
  }

  #mark(
    bytes: Uint8Array,
    item: number,
    series: number,
    slow: boolean,
    failed: boolean,
    lap: Lap,
  ): Uint8Array | null {
    const model = this.#models.of(series)
    if (model === undefined) return null
    const finding: Finding = {
      model,
      slow,
      failed,
      durationNs: this.items.durationNs[item],
      incident: this.#models.incidentOf(model),
    }
    const mark = markOf(finding)
    for (const value of Object.values(mark)) if (typeof value === 'number') lap.number(value)
    const outliers = this.#outliersOf(model, slow ? 'latency' : 'error')
    outliers.value++
    // A clock that is off must not use up what the limit allows until its time has come.
    const endMs = Math.min(this.items.endMs[item], this.#options.latestMs())
    const suppressed = this.#allowance(series, endMs)
    if (suppressed >= 0) {
      const traceId = hex(bytes, this.items.traceIdAt[item], 16)
      const spanId = hex(bytes, this.items.spanIdAt[item], 8)
      const value = mark['otlier.anomaly.value'] as number
      if (traceId !== '') outliers.exemplar = { traceId, spanId, value, timeMs: this.#world.now() }
      const endNs = nanoseconds(bytes, this.items.endTimeAt[item])
      const observedMs = Math.max(this.#streamMs, Math.floor(endMs))
      const event = outlierEvent(finding, mark, { traceId, spanId, endNs, observedMs, suppressed })
      this.#bus.publish('event', model.series.id, event)
    }
    return markBytes(mark, this.#options)
  }

  /** How many events were held back before this one, or -1 where this one is held back too. */
  #allowance(series: number, endMs: number): number {
    const window = Math.floor(endMs / this.#options.windowMs)
    let told = this.#told.get(series)
    if (told === undefined) {
      told = { window, events: 0, suppressed: 0 }
      this.#told.set(series, told)
    }
    if (window > told.window) {
      told.window = window
      told.events = 0
    }
    if (++told.events > EVENTS_PER_WINDOW) {
      told.suppressed++
      this.#suppressed.value++
      return -1
    }
    const { suppressed } = told
    told.suppressed = 0
    return suppressed
  }

  #outliersOf({ series: { service } }: SeriesModel, kind: string): Cell {
    const key = `${kind} ${service}`
    let cell = this.#outliers.get(key)
    if (cell === undefined) {
      cell = this.#registry.counter('otlier.outliers', '{span}', 'Spans marked as outliers.', {
        'service.name': service,
        kind,
      })
      this.#outliers.set(key, cell)
    }
    return cell
  }
}

/** Lower-case hex of `length` bytes, empty where there are none. */
const hex = (bytes: Uint8Array, at: number, length: number): string =>
  at === NOWHERE ? '' : Buffer.from(bytes.buffer, bytes.byteOffset + at, length).toString('hex')

const nanoseconds = (bytes: Uint8Array, at: number): bigint =>
  at === NOWHERE ? 0n : new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at, true)
