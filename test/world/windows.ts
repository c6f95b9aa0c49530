//! The simulated world at the level of windows: what a perfect reader of all spans that get through would sum up, without writing any.
import { STEP_MS } from './climate.ts'
import { exportOf, isExportLost, isLost } from './fate.ts'
import type { Pod } from './pods.ts'
import type { Series } from './topology.ts'
import { APART, FAILED, MOST_SPANS, MUTE, ORIGIN, TOUCHED, type Trace } from './trace.ts'
import { BEGINNING_MS, Life, type SimulatedWorld, type Span } from './world.ts'

/**
 * All series in one window of time. A span belongs to the window in which it ends, by a clock that is right; those that are lost
 * are missing, and what their parents did then looks like their own work. Late ones count as if they came in time.
 * Columns are reused: they hold until the next window is asked for.
 */
export interface WindowSummary {
  /** In ms since 1970. */
  readonly fromMs: number
  readonly toMs: number
  /** How many spans each one here stands for: about 10 in a sampled world. */
  readonly weight: number
  /** By series (`world.topology.series`): spans, the failed ones, and those of them where the failure began. */
  readonly count: Uint32Array
  readonly failures: Uint32Array
  readonly origins: Uint32Array
  /** Spans that a fault made slower or made fail. For the world's own accounts: no detector may look. */
  readonly touched: Uint32Array
  /** The spans of series s are the rows from `offsets[s]` to before `offsets[s + 1]`, trace by trace. */
  readonly offsets: Uint32Array
  readonly durationMs: Float64Array
  /** Without the time in which a child was at work that it waited for. */
  readonly selfMs: Float64Array
  /** Of a client: its time less that of the server that it called. NaN where no such server is seen. */
  readonly gapMs: Float64Array
  /** Equal in rows of one trace. */
  readonly trace: Uint32Array
  /** FAILED, ORIGIN and, not for detectors either, TOUCHED. */
  readonly flags: Uint8Array
  /** The pod, as a number of `pods`. */
  readonly pod: Uint16Array
  readonly pods: readonly Pod[]
  /** Children of one series under parents of another, counted in the window of the parent. */
  readonly children: readonly { readonly parent: number; readonly child: number; readonly count: number }[]
}

export interface WindowStretch extends Span {
  readonly widthMs?: number
  /** Only these windows, by their beginning in ms since the world began; the load goes on in between. Default: all. */
  readonly wanted?: (fromMs: number) => boolean
}

/** All windows of a stretch of the world. The last ones count what began in the stretch. */
export function* windows(world: SimulatedWorld, stretch: WindowStretch): Generator<WindowSummary> {
  const { fromMs, toMs, widthMs = 10_000, wanted = () => true, sampled = false } = stretch
  const life = new Life(world, stretch)
  const tally = new Tally(
    world.topology.series,
    life.climate.pods.known,
    widthMs,
    sampled ? 2 ** 16 / (2 ** 16 - 0xe666) : 1,
  )
  const visit = (trace: Trace) => tally.take(trace)
  let next = Math.floor(fromMs / widthMs)
  while (life.climate.atMs + STEP_MS < toMs) {
    const atMs = life.climate.atMs + STEP_MS
    // Long requests that end in a wanted window began before it.
    const near =
      wanted(Math.floor(atMs / widthMs) * widthMs) || wanted(Math.floor((atMs + 60_000) / widthMs) * widthMs)
    if (near) life.step(visit)
    else life.climate.step()
    for (; (next + 1) * widthMs <= atMs + STEP_MS; next++)
      if (wanted(next * widthMs)) yield tally.close(next)
      else tally.forget(next)
  }
}

/** Rows in the order in which they came, before they are sorted by series. */
class Rows {
  length = 0
  series = new Int32Array(1_024)
  trace = new Uint32Array(1_024)
  pod = new Uint16Array(1_024)
  flags = new Uint8Array(1_024)
  duration = new Float64Array(1_024)
  self = new Float64Array(1_024)
  gap = new Float64Array(1_024)
  readonly children = new Map<number, number>()

  room() {
    if (this.length < this.series.length) return
    const size = this.series.length * 2
    const wider = <T extends { set(from: T): void }>(from: T, to: T) => {
      to.set(from)
      return to
    }
    this.series = wider(this.series, new Int32Array(size))
    this.trace = wider(this.trace, new Uint32Array(size))
    this.pod = wider(this.pod, new Uint16Array(size))
    this.flags = wider(this.flags, new Uint8Array(size))
    this.duration = wider(this.duration, new Float64Array(size))
    this.self = wider(this.self, new Float64Array(size))
    this.gap = wider(this.gap, new Float64Array(size))
  }
}

/** What a perfect reader makes of one trace: which of its spans get through, and what their children leave of their time. By row of the trace. */
export class Reading {
  readonly seen = new Uint8Array(MOST_SPANS)
  /** The time in which a child was at work that the span waited for. */
  readonly covered = new Float64Array(MOST_SPANS)
  /** Of a client: its time less that of the server that it called. NaN where no such server is seen. */
  readonly gap = new Float64Array(MOST_SPANS)
  private readonly coveredTo = new Float64Array(MOST_SPANS)
  private readonly isClient: Uint8Array
  /** By pod: the export asked about last, and 1 where that is lost. Spans of one export come together. */
  private slots = new Float64Array(1_024).fill(-1)
  private lost = new Uint8Array(1_024)

  constructor(catalogue: readonly Series[]) {
    this.isClient = Uint8Array.from(catalogue, ({ kind }) => (kind === 'client' ? 1 : 0))
  }

  read({ length, series, parent, startMs, endMs, flags, address, pod }: Trace) {
    const { covered, coveredTo, gap, seen } = this
    for (let row = 0; row < length; row++) {
      const own = pod[row]
      const visible = (flags[row] & MUTE) === 0 && !isLost(address[row]) && !this.isUnsent(own, endMs[row])
      seen[row] = visible ? 1 : 0
      covered[row] = 0
      coveredTo[row] = startMs[row]
      gap[row] = Number.NaN
      const above = parent[row]
      if (!visible || above < 0 || (flags[row] & APART) !== 0) continue
      const from = Math.max(startMs[row], coveredTo[above])
      const to = Math.min(endMs[row], endMs[above])
      if (to > from) {
        covered[above] += to - from
        coveredTo[above] = to
      }
      if (pod[above] !== own || this.isClient[series[above]] === 1)
        gap[above] = endMs[above] - startMs[above] - (endMs[row] - startMs[row])
    }
  }

  private isUnsent(pod: Pod, endMs: number): boolean {
    if (pod.exporterDead) return true
    if (pod.id >= this.slots.length) {
      const [slots, lost] = [this.slots, this.lost]
      this.slots = new Float64Array(2 * pod.id).fill(-1)
      this.slots.set(slots)
      this.lost = new Uint8Array(2 * pod.id)
      this.lost.set(lost)
    }
    const slot = exportOf(pod, endMs)
    if (this.slots[pod.id] !== slot) {
      this.slots[pod.id] = slot
      this.lost[pod.id] = isExportLost(pod, slot) ? 1 : 0
    }
    return this.lost[pod.id] === 1
  }
}

class Tally {
  private readonly catalogue: readonly Series[]
  private readonly widthMs: number
  private readonly weight: number
  private readonly open = new Map<number, Rows>()
  private readonly spare: Rows[] = []
  private readonly reading: Reading
  private readonly pods: readonly Pod[]
  private sorted = new Rows()
  private traces = 0

  constructor(catalogue: readonly Series[], pods: readonly Pod[], widthMs: number, weight: number) {
    this.pods = pods
    this.catalogue = catalogue
    this.reading = new Reading(catalogue)
    this.widthMs = widthMs
    this.weight = weight
  }

  take(trace: Trace) {
    this.traces++
    this.reading.read(trace)
    const { seen } = this.reading
    for (let row = 0; row < trace.length; row++) if (seen[row] === 1) this.add(trace, row)
  }

  private add(trace: Trace, row: number) {
    const rows = this.rows(Math.floor(trace.endMs[row] / this.widthMs))
    rows.room()
    const at = rows.length++
    const durationMs = trace.endMs[row] - trace.startMs[row]
    rows.series[at] = trace.series[row]
    rows.trace[at] = this.traces
    rows.pod[at] = trace.pod[row].id
    rows.flags[at] = trace.flags[row]
    rows.duration[at] = durationMs
    rows.self[at] = durationMs - this.reading.covered[row]
    rows.gap[at] = this.reading.gap[row]
    const above = trace.parent[row]
    if (above < 0 || this.reading.seen[above] === 0) return
    const { children } = this.rows(Math.floor(trace.endMs[above] / this.widthMs))
    const key = trace.series[above] * 2 ** 16 + trace.series[row]
    children.set(key, (children.get(key) ?? 0) + 1)
  }

  private rows(window: number): Rows {
    let rows = this.open.get(window)
    if (rows === undefined) this.open.set(window, (rows = this.spare.pop() ?? new Rows()))
    return rows
  }

  forget(window: number) {
    const rows = this.open.get(window)
    if (rows === undefined) return
    this.open.delete(window)
    rows.length = 0
    rows.children.clear()
    this.spare.push(rows)
  }

  close(window: number): WindowSummary {
    const rows = this.rows(window)
    const size = this.catalogue.length
    const [count, failures, origins, touched] = Array.from({ length: 4 }, () => new Uint32Array(size))
    for (let row = 0; row < rows.length; row++) {
      const flags = rows.flags[row]
      const at = rows.series[row]
      count[at]++
      if ((flags & FAILED) !== 0) failures[at]++
      if ((flags & ORIGIN) !== 0) origins[at]++
      if ((flags & TOUCHED) !== 0) touched[at]++
    }
    const offsets = new Uint32Array(size + 1)
    for (let one = 0; one < size; one++) offsets[one + 1] = offsets[one] + count[one]
    const next = offsets.slice()
    const { sorted } = this
    while (sorted.series.length < rows.length) {
      sorted.length = sorted.series.length
      sorted.room()
    }
    for (let row = 0; row < rows.length; row++) {
      const to = next[rows.series[row]]++
      sorted.trace[to] = rows.trace[row]
      sorted.pod[to] = rows.pod[row]
      sorted.flags[to] = rows.flags[row]
      sorted.duration[to] = rows.duration[row]
      sorted.self[to] = rows.self[row]
      sorted.gap[to] = rows.gap[row]
    }
    const children = [...rows.children].map(([key, times]) => ({
      parent: Math.floor(key / 2 ** 16),
      child: key % 2 ** 16,
      count: times,
    }))
    this.forget(window)
    const fromMs = BEGINNING_MS + window * this.widthMs
    const { pods, weight } = this
    const { duration, self, gap, trace, pod, flags } = sorted
    const columns = { durationMs: duration, selfMs: self, gapMs: gap, trace, pod, flags }
    return {
      fromMs,
      toMs: fromMs + this.widthMs,
      weight,
      count,
      failures,
      origins,
      touched,
      offsets,
      ...columns,
      pods,
      children,
    }
  }
}
