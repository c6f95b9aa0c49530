//! What a whole trace says: own times, gaps between client and server, origins of failure and links, added to its window's sheet.
import { BINS_PER_E, MEASURE } from '../bus/bus.ts'
import { WEIGHT_STEPS } from '../wire/threshold.ts'
import { Intervals } from './busy.ts'
import {
  CHILD_FAILED,
  CLIENT,
  CONSUMER,
  Family,
  IS_FAILED,
  IS_UNTIMED,
  KIND,
  type Known,
  OTHER_SIDE,
  PRODUCER,
} from './family.ts'
import {
  DURATION_NS,
  END_MS,
  META,
  PARENT,
  POD,
  type Pool,
  SERIES,
  SPAN_DOUBLES,
  SPAN_WORDS,
  WEIGHT,
} from './pool.ts'
import {
  ANSWERED,
  AWAY,
  CELL_DOUBLES,
  ORIGINS,
  ROOTS,
  type Sheet,
  SLOW_NS,
  SPANS,
  TIMED,
  TRACES,
} from './sheet.ts'

/** Self times and gaps are not told apart below a microsecond: clocks are not, and logarithms go down without end. */
const MIN_NS = 1000
const NONE = -1
const SMALLEST = 64

/** Facts of a cell in one trace: it holds an origin of failure; one whose other side was not seen. */
const ORIGIN = 1
const ORIGIN_AWAY = 2
/** The samples of a cell in one trace: of all spans, and of those that have a duration, a self time, a gap. */
const SAMPLES = 4
const ANY = 0
const HAS_DURATION = 1
const HAS_SELF = 2
const HAS_GAP = 3

/** Its columns are as long as the largest group so far; one is enough for all traces. */
export class Deriver {
  readonly #pool: Pool
  readonly #family: Family
  readonly #clockOf: readonly number[]
  readonly #busy = new Intervals()
  /** By span: its self time or its gap, where it has one. */
  #ownNs = new Float64Array(SMALLEST)
  /** The cells that the group touches: their rows, samples and facts. */
  #rows = new Int32Array(SMALLEST)
  #samples = new Int32Array(SAMPLES * SMALLEST)
  #facts = new Uint8Array(SMALLEST)
  /** Sheets hold one for each cell and link that was touched; it is larger than whatever earlier groups left there. */
  #cellStamp = 1
  /** What a step of weight stands for. */
  #unit = 1 / WEIGHT_STEPS
  #linkStamp = 0
  /** How many spans are in hand, each once. */
  #kept = 0

  constructor(pool: Pool, known: Known) {
    this.#pool = pool
    this.#family = new Family(pool, known)
    this.#clockOf = known.clockOf
  }

  /** Takes spans of one trace in hand: those from place `from` to before `to` of a list of rows. */
  take(list: Int32Array, from: number, to: number): void {
    this.#reserve(to - from)
    const { spans } = this.#family
    for (let at = from; at < to; at++) spans[at - from] = list[at]
    this.#kept = this.#family.relate(to - from)
  }

  /**
   * Whether nothing seems to be missing of the spans in hand: there is a root, all roots end before `untilMs`, every other
   * span has its parent, and whatever was sent has come to somebody.
   */
  isWhole(untilMs: number): boolean {
    const { spans, child, orphans } = this.#family
    if (orphans > 0) return false
    const { rows, doubles } = this.#pool
    let roots = 0
    for (let nth = 0; nth < this.#kept; nth++) {
      if (child[nth] === NONE && (rows[spans[nth] * SPAN_WORDS + META] & KIND) === PRODUCER) return false
      if (!this.#family.isRoot(nth)) continue
      if (doubles[spans[nth] * SPAN_DOUBLES + END_MS] >= untilMs) return false
      roots++
    }
    return roots > 0
  }

  /**
   * Adds the spans in hand to a sheet. What it adds does not depend on their order.
   * @param traceAt where the pool has the trace's id, as a place among its words; -1 where there is none
   * @param traces for how many traces this one stands, beside what its own weights say
   */
  derive(traceAt: number, traces: number, sheet: Sheet): void {
    this.#unit = traces / WEIGHT_STEPS
    const kept = this.#kept
    const touched = this.#countSpans(kept, traceAt, sheet)
    if (kept > 1) this.#countLinks(kept, sheet)
    for (let cell = 0; cell < touched; cell++) this.#countTrace(cell, sheet)
    this.#cellStamp += touched
  }

  #reserve(count: number): void {
    this.#family.reserve(count)
    const { length } = this.#family.spans
    if (length === this.#rows.length) return
    this.#ownNs = new Float64Array(length)
    this.#rows = new Int32Array(length)
    this.#samples = new Int32Array(SAMPLES * length)
    this.#facts = new Uint8Array(length)
  }

  /** Counts what is counted for each span, and chooses the samples; returns how many cells were touched. */
  #countSpans(kept: number, traceAt: number, sheet: Sheet): number {
    const { spans, facts } = this.#family
    const { rows, doubles } = this.#pool
    let touched = 0
    for (let nth = 0; nth < kept; nth++) {
      const at = spans[nth] * SPAN_WORDS
      const row = sheet.cell(rows[at + SERIES], rows[at + POD])
      if (row === NONE) continue
      let cell = sheet.touched[row] - this.#cellStamp
      if (cell < 0) {
        cell = touched++
        sheet.touched[row] = this.#cellStamp + cell
        this.#rows[cell] = row
        this.#facts[cell] = 0
        this.#samples.fill(NONE, SAMPLES * cell, SAMPLES * (cell + 1))
      }
      const { sums } = sheet
      const sum = row * CELL_DOUBLES
      const weight = rows[at + WEIGHT] * this.#unit
      const meta = rows[at + META]
      const kind = meta & KIND
      sums[sum + SPANS] += weight
      if (rows[at + PARENT] === 0 && rows[at + PARENT + 1] === 0) sums[sum + ROOTS] += weight
      if ((meta & IS_FAILED) !== 0 && (facts[nth] & CHILD_FAILED) === 0) {
        const isAway = (kind === CLIENT || kind === PRODUCER) && (facts[nth] & OTHER_SIDE) === 0
        this.#facts[cell] |= isAway ? ORIGIN | ORIGIN_AWAY : ORIGIN
      }
      this.#sample(cell, ANY, nth)
      if ((meta & IS_UNTIMED) !== 0) continue
      this.#sample(cell, HAS_DURATION, nth)
      const durationNs = doubles[spans[nth] * SPAN_DOUBLES + DURATION_NS]
      if (traceAt >= 0 && durationNs >= sums[sum + SLOW_NS]) {
        if (durationNs > sums[sum + SLOW_NS]) sheet.slow.fill(0, 4 * row, 4 * row + 4)
        sums[sum + SLOW_NS] = durationNs
        this.#choose(sheet.slow, row, traceAt)
      }
      if (kind === CLIENT) {
        const servedNs = this.#family.servedNs[nth]
        if (servedNs === NONE) continue
        this.#ownNs[nth] = Math.max(MIN_NS, durationNs - servedNs)
        this.#sample(cell, HAS_GAP, nth)
      } else if (kind !== PRODUCER) {
        this.#ownNs[nth] = Math.max(MIN_NS, durationNs - this.#busyNs(nth, durationNs))
        this.#sample(cell, HAS_SELF, nth)
      }
    }
    return touched
  }

  /** Nanoseconds of a span in which children that it waits for were at work. */
  #busyNs(nth: number, durationNs: number): number {
    const { spans, sibling, endNs } = this.#family
    let child = this.#family.child[nth]
    if (child === NONE) return 0
    const { rows, doubles } = this.#pool
    const clock = this.#clockOf[rows[spans[nth] * SPAN_WORDS + POD]]
    const stopNs = endNs[nth]
    const startNs = stopNs - durationNs
    this.#busy.clear()
    for (; child !== NONE; child = sibling[child]) {
      const at = spans[child] * SPAN_WORDS
      const meta = rows[at + META]
      // Nobody waits for a consumer, and what has no times was at work nobody knows when.
      if ((meta & KIND) === CONSUMER || (meta & IS_UNTIMED) !== 0) continue
      const childNs = doubles[spans[child] * SPAN_DOUBLES + DURATION_NS]
      let to = endNs[child]
      let from = to - childNs
      // Another machine has another clock: only the duration is known, and that it lies within.
      if (this.#clockOf[rows[at + POD]] !== clock) {
        if (from < startNs) to = startNs + childNs
        if (to > stopNs) to = stopNs
        from = to - childNs
      }
      if (from < startNs) from = startNs
      if (to > stopNs) to = stopNs
      if (from < to) this.#busy.add(from, to)
    }
    return this.#busy.total()
  }

  #sample(cell: number, which: number, nth: number): void {
    const at = SAMPLES * cell + which
    const best = this.#samples[at]
    if (best === NONE || this.#family.isBefore(nth, best)) this.#samples[at] = nth
  }

  #countLinks(kept: number, sheet: Sheet): void {
    const { spans, child: children, sibling } = this.#family
    const { rows } = this.#pool
    for (let parent = 0; parent < kept; parent++) {
      let child = children[parent]
      if (child === NONE) continue
      const at = spans[parent] * SPAN_WORDS
      this.#linkStamp++
      for (; child !== NONE; child = sibling[child]) {
        const childAt = spans[child] * SPAN_WORDS
        const link = sheet.link(rows[at + SERIES], rows[childAt + SERIES])
        if (link === NONE) continue
        sheet.children[link] += rows[childAt + WEIGHT] * this.#unit
        if (sheet.linked[link] !== this.#linkStamp) {
          sheet.linked[link] = this.#linkStamp
          sheet.ofParent[link] = 0
          sheet.parents[link] += rows[at + WEIGHT] * this.#unit
        }
        if (++sheet.ofParent[link] > sheet.most[link]) sheet.most[link] = sheet.ofParent[link]
      }
    }
  }

  /** Counts what is counted once for each trace. */
  #countTrace(cell: number, sheet: Sheet): void {
    const row = this.#rows[cell]
    const sum = row * CELL_DOUBLES
    const { sums } = sheet
    const samples = SAMPLES * cell
    const weight = this.#weightOf(this.#samples[samples + ANY])
    sums[sum + TRACES] += weight
    if ((this.#facts[cell] & ORIGIN) !== 0) sums[sum + ORIGINS] += weight
    if ((this.#facts[cell] & ORIGIN_AWAY) !== 0) sums[sum + AWAY] += weight
    const timed = this.#samples[samples + HAS_DURATION]
    if (timed === NONE) return
    addWeight(sums, sum + TIMED, this.#weightOf(timed))
    const own = this.#samples[samples + HAS_SELF]
    const call = this.#samples[samples + HAS_GAP]
    if (own !== NONE) this.#bin(sheet, row, MEASURE.self, own, this.#ownNs[own])
    if (call !== NONE) {
      addWeight(sums, sum + ANSWERED, this.#weightOf(call))
      this.#bin(sheet, row, MEASURE.gap, call, this.#ownNs[call])
    } else if (own === NONE) {
      const durationNs = this.#pool.doubles[this.#family.spans[timed] * SPAN_DOUBLES + DURATION_NS]
      this.#bin(sheet, row, MEASURE.duration, timed, Math.max(1, durationNs))
    }
  }

  #bin(sheet: Sheet, row: number, measure: number, nth: number, ns: number): void {
    sheet.bin(row, measure, Math.round(Math.log(ns) * BINS_PER_E), this.#weightOf(nth))
  }

  #weightOf(nth: number): number {
    return this.#pool.rows[this.#family.spans[nth] * SPAN_WORDS + WEIGHT] * this.#unit
  }

  /** Keeps the smaller of a row's trace id and the one in hand. No id is zero. */
  #choose(ids: Int32Array, row: number, traceAt: number): void {
    const { traces } = this.#pool
    const at = row * 4
    if ((ids[at] | ids[at + 1] | ids[at + 2] | ids[at + 3]) !== 0) {
      let word = 0
      while (word < 3 && traces[traceAt + word] === ids[at + word]) word++
      if (traces[traceAt + word] >>> 0 >= ids[at + word] >>> 0) return
    }
    for (let word = 0; word < 4; word++) ids[at + word] = traces[traceAt + word]
  }
}

/** Adds to a sum of weights, and to that of their squares behind it. */
function addWeight(sums: Float64Array, at: number, weight: number): void {
  sums[at] += weight
  sums[at + 1] += weight * weight
}
