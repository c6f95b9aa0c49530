//! What a whole trace says: own times, gaps between client and server, origins of failure and links, added to its window's sheet.
import { FAILED, NO_TIMES } from '../base/item.ts'
import type { PodKey, SeriesKey } from '../bus/bus.ts'
import { WEIGHT_STEPS } from '../wire/threshold.ts'
import {
  DURATION_NS,
  END,
  ID,
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
  AWAY,
  CELL_DOUBLES,
  DURATION,
  FAILURES,
  GAP,
  ORIGINS,
  ROOTS,
  SELF,
  type Sheet,
  SLOW_NS,
  SPANS,
  TRACES,
} from './sheet.ts'

const SERVER = 2
const CLIENT = 3
const PRODUCER = 4
const CONSUMER = 5
/** A row's META: the kind in the lowest bits, the flags above. */
const KIND = 7
export const FLAGS_SHIFT = 3

/** Self times and gaps are not told apart below a microsecond: clocks are not, and logarithms go without end. */
const MIN_NS = 1000
/** Logarithms are counted in steps of 1/256, so that sums are exact. */
const LOG_STEPS = 256
const NONE = -1
const SMALLEST = 64

/** What it has to know of the rows' numbers. */
export interface Known {
  readonly series: readonly SeriesKey[]
  readonly pods: readonly PodKey[]
  /** By pod: which clock it reads. */
  readonly clockOf: readonly number[]
}

/** Facts of a span about what it called. */
const CHILD_FAILED = 1
const OTHER_SIDE = 2
/** Facts of a cell in one trace: it holds an origin of failure; one whose other side was not seen. */
const ORIGIN = 1
const ORIGIN_AWAY = 2
/** The samples of a cell in one trace: of all spans, and of those that have a duration, a self time, a gap. */
const SAMPLES = 4
const ANY = 0
const TIMED = 1
const OWN = 2
const CALL = 3

/** Its arrays are as long as the longest trace; one is enough for all. */
export class Deriver {
  /** The spans of the group in hand: rows of the pool. The caller fills the first `count`. */
  group: Int32Array = new Int32Array(SMALLEST)
  readonly #pool: Pool
  readonly #known: Known
  /** By place in the group: the place of the parent; the first child and the next sibling; facts; the longest server child. */
  #parent = new Int32Array(SMALLEST)
  #child = new Int32Array(SMALLEST)
  #sibling = new Int32Array(SMALLEST)
  #facts = new Uint8Array(SMALLEST)
  #served = new Float64Array(SMALLEST)
  /** Nanoseconds from the end of the group's first span. */
  #end = new Float64Array(SMALLEST)
  #cell = new Int32Array(SMALLEST)
  /** Span ids, hashed: the place in the group, or NONE. At most half full. */
  #places = new Int32Array(2 * SMALLEST)
  /** The intervals in which children of the span in hand are at work. */
  #from = new Float64Array(SMALLEST)
  #to = new Float64Array(SMALLEST)
  /** The cells that the group touches, and for each: its sample of all spans, of timed ones, of self, of gap; whether it holds origins. */
  #cells = new Int32Array(SMALLEST)
  #samples = new Int32Array(SAMPLES * SMALLEST)
  #origins = new Uint8Array(SMALLEST)
  #selfNs = new Float64Array(SMALLEST)
  #gapNs = new Float64Array(SMALLEST)
  /** Sheets hold it for each cell and link that was touched; larger than whatever earlier groups left there. */
  #stamp = 1
  #parentStamp = 0

  constructor(pool: Pool, known: Known) {
    this.#pool = pool
    this.#known = known
  }

  /** Makes room for a group of so many spans. */
  reserve(count: number): void {
    if (count <= this.group.length) return
    let length = this.group.length
    while (length < count) length *= 2
    const group = new Int32Array(length)
    group.set(this.group)
    this.group = group
    this.#parent = new Int32Array(length)
    this.#child = new Int32Array(length)
    this.#sibling = new Int32Array(length)
    this.#facts = new Uint8Array(length)
    this.#served = new Float64Array(length)
    this.#end = new Float64Array(length)
    this.#cell = new Int32Array(length)
    this.#places = new Int32Array(2 * length)
    this.#from = new Float64Array(length)
    this.#to = new Float64Array(length)
    this.#cells = new Int32Array(length)
    this.#samples = new Int32Array(SAMPLES * length)
    this.#origins = new Uint8Array(length)
    this.#selfNs = new Float64Array(length)
    this.#gapNs = new Float64Array(length)
  }

  /**
   * Adds the first `count` spans of `group`, all of one trace, to a sheet. What it adds does not depend on their order.
   * @param traceAt where the pool has the trace's id, as a place among its words; -1 where it has none
   */
  derive(count: number, traceAt: number, sheet: Sheet): void {
    const kept = this.#distinct(count)
    this.#relate(kept)
    const touched = this.#countSpans(kept, traceAt, sheet)
    this.#countLinks(kept, sheet)
    for (let cell = 0; cell < touched; cell++) this.#countTrace(cell, traceAt, sheet)
    this.#stamp += touched
  }

  /** Puts every span id once, and returns how many spans are left. Spans without an id are all different. */
  #distinct(count: number): number {
    const { group } = this
    const { rows } = this.#pool
    if (count === 1) return 1
    const places = this.#places
    let size = 2
    while (size < 2 * count) size *= 2
    places.fill(NONE, 0, size)
    let kept = 0
    for (let nth = 0; nth < count; nth++) {
      const span = group[nth]
      const at = span * SPAN_WORDS + ID
      if (rows[at] === 0 && rows[at + 1] === 0) {
        group[kept++] = span
        continue
      }
      const place = this.#placeOf(rows[at], rows[at + 1], size)
      if (places[place] === NONE) {
        places[place] = kept
        group[kept++] = span
      } else if (this.#precedes(span, group[places[place]])) group[places[place]] = span
    }
    return kept
  }

  /** Where an id is, or the free place where it would be. */
  #placeOf(high: number, low: number, size: number): number {
    const { rows } = this.#pool
    const places = this.#places
    let place = hashOf(high ^ this.#pool.seed, low) & (size - 1)
    while (places[place] !== NONE) {
      const at = this.group[places[place]] * SPAN_WORDS + ID
      if (rows[at] === high && rows[at + 1] === low) break
      place = (place + 1) & (size - 1)
    }
    return place
  }

  /** A fixed order of spans that have the same id, so that whichever comes first makes no difference. */
  #precedes(a: number, b: number): boolean {
    const { rows, doubles } = this.#pool
    const { series, pods } = this.#known
    const [atA, atB] = [a * SPAN_WORDS, b * SPAN_WORDS]
    for (let word = END; word < END + 2; word++) {
      if (rows[atA + word] !== rows[atB + word]) return rows[atA + word] >>> 0 < rows[atB + word] >>> 0
    }
    const durationA = doubles[a * SPAN_DOUBLES + DURATION_NS]
    const durationB = doubles[b * SPAN_DOUBLES + DURATION_NS]
    if (durationA !== durationB) return durationA < durationB
    for (const word of [META, WEIGHT, PARENT, PARENT + 1]) {
      if (rows[atA + word] !== rows[atB + word]) return rows[atA + word] >>> 0 < rows[atB + word] >>> 0
    }
    const [seriesA, seriesB] = [series[rows[atA + SERIES]].id, series[rows[atB + SERIES]].id]
    if (seriesA !== seriesB) return seriesA < seriesB
    return pods[rows[atA + POD]].id < pods[rows[atB + POD]].id
  }

  /** Finds each span's parent in the group, and what parents have to know of their children. */
  #relate(kept: number): void {
    const { group } = this
    const { rows, doubles } = this.#pool
    const first = group[0] * SPAN_WORDS + END
    const [baseHigh, baseLow] = [rows[first] >>> 0, rows[first + 1] >>> 0]
    for (let nth = 0; nth < kept; nth++) {
      const at = group[nth] * SPAN_WORDS + END
      this.#end[nth] = ((rows[at] >>> 0) - baseHigh) * 2 ** 32 + ((rows[at + 1] >>> 0) - baseLow)
      this.#child[nth] = NONE
      this.#facts[nth] = 0
      this.#served[nth] = NONE
    }
    let size = 2
    while (size < 2 * kept) size *= 2
    if (kept > 1) this.#index(kept, size)
    for (let nth = 0; nth < kept; nth++) {
      const span = group[nth]
      const at = span * SPAN_WORDS
      const [high, low] = [rows[at + PARENT], rows[at + PARENT + 1]]
      let parent = NONE
      if (kept > 1 && (high !== 0 || low !== 0)) parent = this.#places[this.#placeOf(high, low, size)]
      if (parent === nth) parent = NONE
      this.#parent[nth] = parent
      if (parent === NONE) continue
      this.#sibling[nth] = this.#child[parent]
      this.#child[parent] = nth
      const meta = rows[at + META]
      const kind = meta & KIND
      if (((meta >> FLAGS_SHIFT) & FAILED) !== 0) this.#facts[parent] |= CHILD_FAILED
      const caller = rows[group[parent] * SPAN_WORDS + META] & KIND
      if (caller === PRODUCER && kind === CONSUMER) this.#facts[parent] |= OTHER_SIDE
      if (caller !== CLIENT || kind !== SERVER) continue
      this.#facts[parent] |= OTHER_SIDE
      const timed = ((meta >> FLAGS_SHIFT) & NO_TIMES) === 0
      if (timed) {
        const durationNs = doubles[span * SPAN_DOUBLES + DURATION_NS]
        if (durationNs > this.#served[parent]) this.#served[parent] = durationNs
      }
    }
  }

  #index(kept: number, size: number): void {
    const { rows } = this.#pool
    this.#places.fill(NONE, 0, size)
    for (let nth = 0; nth < kept; nth++) {
      const at = this.group[nth] * SPAN_WORDS + ID
      if (rows[at] === 0 && rows[at + 1] === 0) continue
      this.#places[this.#placeOf(rows[at], rows[at + 1], size)] = nth
    }
  }

  /** Counts what is counted for each span, and chooses the samples; returns how many cells were touched. */
  #countSpans(kept: number, traceAt: number, sheet: Sheet): number {
    const { group } = this
    const { rows, doubles } = this.#pool
    let touched = 0
    for (let nth = 0; nth < kept; nth++) {
      const span = group[nth]
      const at = span * SPAN_WORDS
      const row = sheet.cell(rows[at + SERIES], rows[at + POD])
      this.#cell[nth] = row
      if (row === NONE) continue
      let cell = sheet.touched[row] - this.#stamp
      if (!(cell >= 0)) {
        cell = touched++
        sheet.touched[row] = this.#stamp + cell
        this.#cells[cell] = row
        this.#origins[cell] = 0
        this.#samples.fill(NONE, SAMPLES * cell, SAMPLES * (cell + 1))
      }
      const meta = rows[at + META]
      const kind = meta & KIND
      const flags = meta >> FLAGS_SHIFT
      const weight = rows[at + WEIGHT] / WEIGHT_STEPS
      const { sums } = sheet
      const sum = row * CELL_DOUBLES
      sums[sum + SPANS] += weight
      if (rows[at + PARENT] === 0 && rows[at + PARENT + 1] === 0) sums[sum + ROOTS] += weight
      if ((flags & FAILED) !== 0) {
        sums[sum + FAILURES] += weight
        const facts = this.#facts[nth]
        if ((facts & CHILD_FAILED) === 0) {
          const isAway = (kind === CLIENT || kind === PRODUCER) && (facts & OTHER_SIDE) === 0
          this.#origins[cell] |= isAway ? ORIGIN | ORIGIN_AWAY : ORIGIN
        }
      }
      this.#sample(cell, ANY, nth)
      if ((flags & NO_TIMES) !== 0) continue
      this.#sample(cell, TIMED, nth)
      const durationNs = doubles[span * SPAN_DOUBLES + DURATION_NS]
      if (traceAt >= 0 && durationNs >= sums[sum + SLOW_NS]) {
        if (durationNs > sums[sum + SLOW_NS]) sheet.slow.fill(0, 4 * row, 4 * row + 4)
        sums[sum + SLOW_NS] = durationNs
        this.#choose(sheet.slow, row, traceAt)
      }
      if (kind === CLIENT) {
        if (this.#served[nth] === NONE) continue
        this.#gapNs[nth] = Math.max(MIN_NS, durationNs - this.#served[nth])
        this.#sample(cell, CALL, nth)
      } else if (kind !== PRODUCER) {
        this.#selfNs[nth] = Math.max(MIN_NS, durationNs - this.#busyNs(nth, durationNs))
        this.#sample(cell, OWN, nth)
      }
    }
    return touched
  }

  /** Nanoseconds of a span in which children that it waits for were at work. */
  #busyNs(nth: number, durationNs: number): number {
    const { group } = this
    const { rows, doubles } = this.#pool
    const { clockOf } = this.#known
    const clock = clockOf[rows[group[nth] * SPAN_WORDS + POD]]
    const endNs = this.#end[nth]
    const startNs = endNs - durationNs
    let count = 0
    for (let child = this.#child[nth]; child !== NONE; child = this.#sibling[child]) {
      const span = group[child]
      const meta = rows[span * SPAN_WORDS + META]
      // Nobody waits for a consumer, and what has no times was at work nobody knows when.
      if ((meta & KIND) === CONSUMER || ((meta >> FLAGS_SHIFT) & NO_TIMES) !== 0) continue
      const childNs = doubles[span * SPAN_DOUBLES + DURATION_NS]
      let to = this.#end[child]
      let from = to - childNs
      // Another machine has another clock: only the duration is known, and that it lies within.
      if (clockOf[rows[span * SPAN_WORDS + POD]] !== clock) {
        if (from < startNs) to = startNs + childNs
        if (to > endNs) to = endNs
        from = to - childNs
      }
      if (from < startNs) from = startNs
      if (to > endNs) to = endNs
      if (from >= to) continue
      this.#from[count] = from
      this.#to[count++] = to
    }
    return this.#union(count)
  }

  /** The length of the union of the first `count` intervals. */
  #union(count: number): number {
    if (count === 0) return 0
    const from = this.#from
    const to = this.#to
    if (count > FEW) sortIntervals(from, to, count)
    else {
      for (let nth = 1; nth < count; nth++) {
        const [start, stop] = [from[nth], to[nth]]
        let place = nth
        for (; place > 0 && from[place - 1] > start; place--) {
          from[place] = from[place - 1]
          to[place] = to[place - 1]
        }
        from[place] = start
        to[place] = stop
      }
    }
    let total = 0
    let reached = from[0]
    for (let nth = 0; nth < count; nth++) {
      if (to[nth] <= reached) continue
      total += to[nth] - Math.max(reached, from[nth])
      reached = to[nth]
    }
    return total
  }

  /** A sample is the span with the smallest hash of its id: which one that is depends on no order and no splitting. */
  #sample(cell: number, which: number, nth: number): void {
    const at = SAMPLES * cell + which
    const best = this.#samples[at]
    if (best === NONE || this.#isBefore(this.group[nth], this.group[best])) this.#samples[at] = nth
  }

  #isBefore(a: number, b: number): boolean {
    const { rows } = this.#pool
    const [atA, atB] = [a * SPAN_WORDS + ID, b * SPAN_WORDS + ID]
    const hashA = hashOf(rows[atA], rows[atA + 1]) >>> 0
    const hashB = hashOf(rows[atB], rows[atB + 1]) >>> 0
    if (hashA !== hashB) return hashA < hashB
    if (rows[atA] !== rows[atB]) return rows[atA] >>> 0 < rows[atB] >>> 0
    if (rows[atA + 1] !== rows[atB + 1]) return rows[atA + 1] >>> 0 < rows[atB + 1] >>> 0
    return this.#precedes(a, b)
  }

  #countLinks(kept: number, sheet: Sheet): void {
    const { group } = this
    const { rows } = this.#pool
    for (let parent = 0; parent < kept; parent++) {
      if (this.#child[parent] === NONE) continue
      const at = group[parent] * SPAN_WORDS
      this.#parentStamp++
      for (let child = this.#child[parent]; child !== NONE; child = this.#sibling[child]) {
        const childAt = group[child] * SPAN_WORDS
        const link = sheet.link(rows[at + SERIES], rows[childAt + SERIES])
        if (link === NONE) continue
        sheet.children[link] += rows[childAt + WEIGHT] / WEIGHT_STEPS
        if (sheet.linked[link] === this.#parentStamp) continue
        sheet.linked[link] = this.#parentStamp
        sheet.parents[link] += rows[at + WEIGHT] / WEIGHT_STEPS
      }
    }
  }

  /** Counts what is counted once for each trace. */
  #countTrace(cell: number, traceAt: number, sheet: Sheet): void {
    const { rows, doubles } = this.#pool
    const row = this.#cells[cell]
    const sum = row * CELL_DOUBLES
    const { sums } = sheet
    const samples = SAMPLES * cell
    const weight = rows[this.group[this.#samples[samples + ANY]] * SPAN_WORDS + WEIGHT] / WEIGHT_STEPS
    sums[sum + TRACES] += weight
    if ((this.#origins[cell] & ORIGIN) !== 0) sums[sum + ORIGINS] += weight
    if ((this.#origins[cell] & ORIGIN_AWAY) !== 0) sums[sum + AWAY] += weight
    const timed = this.#samples[samples + TIMED]
    if (timed !== NONE) {
      const durationNs = doubles[this.group[timed] * SPAN_DOUBLES + DURATION_NS]
      this.#addMoments(sums, sum + DURATION, timed, durationNs)
    }
    const own = this.#samples[samples + OWN]
    if (own !== NONE) this.#addMoments(sums, sum + SELF, own, this.#selfNs[own])
    const call = this.#samples[samples + CALL]
    if (call !== NONE) this.#addMoments(sums, sum + GAP, call, this.#gapNs[call])
    if (traceAt >= 0) this.#choose(sheet.plain, row, traceAt)
  }

  #addMoments(sums: Float64Array, at: number, nth: number, ns: number): void {
    const weight = this.#pool.rows[this.group[nth] * SPAN_WORDS + WEIGHT] / WEIGHT_STEPS
    const y = Math.round(Math.log(Math.max(1, ns)) * LOG_STEPS) / LOG_STEPS
    sums[at] += weight
    sums[at + 1] += weight * weight
    sums[at + 2] += weight * y
    sums[at + 3] += weight * y * y
  }

  /** Keeps the smaller of a row's trace id and the one in hand. No id is zero. */
  #choose(ids: Int32Array, row: number, traceAt: number): void {
    const { traces } = this.#pool
    const at = row * 4
    const isNone = ids[at] === 0 && ids[at + 1] === 0 && ids[at + 2] === 0 && ids[at + 3] === 0
    if (!isNone) {
      let word = 0
      while (word < 3 && traces[traceAt + word] === ids[at + word]) word++
      if (traces[traceAt + word] >>> 0 >= ids[at + word] >>> 0) return
    }
    for (let word = 0; word < 4; word++) ids[at + word] = traces[traceAt + word]
  }
}

/** Up to so many are sorted by insertion. */
const FEW = 32

function sortIntervals(from: Float64Array, to: Float64Array, count: number): void {
  const order = Int32Array.from({ length: count }, (_, nth) => nth).sort((a, b) => from[a] - from[b])
  const starts = from.slice(0, count)
  const ends = to.slice(0, count)
  for (let nth = 0; nth < count; nth++) {
    from[nth] = starts[order[nth]]
    to[nth] = ends[order[nth]]
  }
}

/** Mixes the two halves of an id: as good as random, and the same everywhere. */
function hashOf(high: number, low: number): number {
  let hash = Math.imul(high ^ (high >>> 16), 0x85ebca6b) ^ low
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}
