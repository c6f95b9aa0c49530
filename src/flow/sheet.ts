//! What the traces of one window add up to: a row of sums for each series and pod, and for each pair of series.
import type { Bins, Cells, FeatureWindow, Links, PodKey, Samples, SeriesKey } from '../bus/bus.ts'

/** Rows of all open sheets together; what comes beyond them is left out, and counted. */
const MAX_CELLS = 2 ** 17
const MAX_LINKS = 2 ** 16
const MAX_BINS = 2 ** 19
/** A bin's measure stands above its bucket: of any duration that fits 64 bits that is less. */
const BUCKETS = 512
/** Measures and buckets together. */
const KINDS_OF_BINS = 4 * BUCKETS
/** Bytes of a trace id. */
const ID_BYTES = 16
const SMALLEST = 64
const NONE = -1

/** Where in a cell's row its sums are. */
export const SPANS = 0
export const ROOTS = 1
export const TRACES = 2
export const ORIGINS = 3
export const AWAY = 4
/** Behind each of these two stands the sum of its squares. */
export const TIMED = 5
export const ANSWERED = 7
export const SLOW_NS = 9
export const CELL_DOUBLES = 10

/** The room that all open sheets share. */
export class Room {
  cells: number = MAX_CELLS
  links: number = MAX_LINKS
  bins: number = MAX_BINS
  /** How often a row was not to be had. */
  refused = 0
}

/** Pairs of small numbers, each with a row. */
class Pairs {
  length = 0
  first: Int32Array = new Int32Array(SMALLEST)
  second: Int32Array = new Int32Array(SMALLEST)
  /** Row + 1; 0 is free. At most half full. */
  #places = new Int32Array(2 * SMALLEST)

  /** The row of a pair, or -1. */
  find(first: number, second: number): number {
    const mask = this.#places.length - 1
    for (let place = placeOf(first, second) & mask; ; place = (place + 1) & mask) {
      const row = this.#places[place] - 1
      if (row < 0) return NONE
      if (this.first[row] === first && this.second[row] === second) return row
    }
  }

  /** The row of a pair that is not there yet. The columns have doubled where it is a power of two. */
  add(first: number, second: number): number {
    const row = this.length++
    if (row === this.first.length) {
      this.first = doubled(this.first)
      this.second = doubled(this.second)
      this.#places = new Int32Array(4 * row)
      for (let known = 0; known < row; known++) this.#put(known)
    }
    this.first[row] = first
    this.second[row] = second
    this.#put(row)
    return row
  }

  #put(row: number): void {
    const mask = this.#places.length - 1
    let place = placeOf(this.first[row], this.second[row]) & mask
    while (this.#places[place] !== 0) place = (place + 1) & mask
    this.#places[place] = row + 1
  }
}

function placeOf(first: number, second: number): number {
  const hash = Math.imul(first, 0x9e3779b1) ^ Math.imul(second, 0x85ebca6b)
  return hash ^ (hash >>> 15)
}

export class Sheet {
  readonly startMs: number
  readonly cells = new Pairs()
  sums: Float64Array = new Float64Array(SMALLEST * CELL_DOUBLES)
  /** By cell, four words: the id of the slowest span's trace. Zero: none. */
  slow: Int32Array = new Int32Array(SMALLEST * 4)
  /** By cell, for whoever adds a trace: which trace touched it last. */
  touched: Float64Array = new Float64Array(SMALLEST)
  readonly links = new Pairs()
  parents: Float64Array = new Float64Array(SMALLEST)
  children: Float64Array = new Float64Array(SMALLEST)
  /** By link: which parent span touched it last, how many children that has, and how many any has had at most. */
  linked: Float64Array = new Float64Array(SMALLEST)
  ofParent: Int32Array = new Int32Array(SMALLEST)
  most: Int32Array = new Int32Array(SMALLEST)
  /** By cell, and by measure and bucket. */
  readonly bins = new Pairs()
  binned: Float64Array = new Float64Array(SMALLEST)
  readonly #room: Room

  constructor(startMs: number, room: Room) {
    this.startMs = startMs
    this.#room = room
  }

  /** The row of a series in a pod, or -1 where there is no room for it. */
  cell(series: number, pod: number): number {
    const found = this.cells.find(series, pod)
    if (found !== NONE) return found
    if (this.#room.cells === 0) {
      this.#room.refused++
      return NONE
    }
    this.#room.cells--
    const row = this.cells.add(series, pod)
    if (row === this.touched.length) {
      this.sums = doubled(this.sums)
      this.slow = doubled(this.slow)
      this.touched = doubled(this.touched)
    }
    return row
  }

  /** The row of a pair of series, or -1 where there is no room for it. */
  link(parent: number, child: number): number {
    const found = this.links.find(parent, child)
    if (found !== NONE) return found
    if (this.#room.links === 0) {
      this.#room.refused++
      return NONE
    }
    this.#room.links--
    const row = this.links.add(parent, child)
    if (row === this.linked.length) {
      this.parents = doubled(this.parents)
      this.children = doubled(this.children)
      this.linked = doubled(this.linked)
      this.ofParent = doubled(this.ofParent)
      this.most = doubled(this.most)
    }
    return row
  }

  /** Adds a sample to a cell's histogram. */
  bin(row: number, measure: number, bucket: number, weight: number): void {
    const kind = measure * BUCKETS + bucket
    let bin = this.bins.find(row, kind)
    if (bin === NONE) {
      if (this.#room.bins === 0) {
        this.#room.refused++
        return
      }
      this.#room.bins--
      bin = this.bins.add(row, kind)
      if (bin === this.binned.length) this.binned = doubled(this.binned)
    }
    this.binned[bin] += weight
  }

  /** Gives back the room. Nothing must be added afterwards. */
  close(): void {
    this.#room.cells += this.cells.length
    this.#room.links += this.links.length
    this.#room.bins += this.bins.length
  }
}

/** Places of keys among all, in the order of their ids: what rows are sorted by. Made anew only when keys have changed. */
export class Ranks {
  #ranks = new Int32Array(0)
  #changes = -1

  /** @param changes how often a key has come, or gone: those that have gone have no id, and no rank */
  of(keys: readonly { readonly id: string }[], changes: number): Int32Array {
    if (this.#changes !== changes) {
      this.#changes = changes
      const order = [...keys.keys()]
        .filter(key => keys[key].id !== '')
        .sort((a, b) => (keys[a].id < keys[b].id ? -1 : 1))
      this.#ranks = new Int32Array(keys.length)
      for (const [rank, key] of order.entries()) this.#ranks[key] = rank
    }
    return this.#ranks
  }
}

export interface Tables {
  readonly series: readonly SeriesKey[]
  readonly peers: readonly string[]
  readonly peerOrders: readonly number[]
  readonly pods: readonly PodKey[]
  /** How often the keys of each have changed. */
  readonly changes: { readonly series: number; readonly pods: number }
  readonly worker: string
}

/** A closed sheet as a message; null is a window in which no trace ended. Rows stand in the order of their ids. */
export function featureWindow(
  sheet: Sheet | null,
  startMs: number,
  endMs: number,
  { changes, ...tables }: Tables,
  ranks: { readonly series: Ranks; readonly pods: Ranks },
  samples: Samples,
): FeatureWindow {
  const bySeries = ranks.series.of(tables.series, changes.series)
  const order =
    sheet === null ? NO_ROWS : sorted(sheet.cells, bySeries, ranks.pods.of(tables.pods, changes.pods))
  return {
    startMs,
    endMs,
    ...tables,
    cells: cellsOf(sheet, order),
    bins: binsOf(sheet, order),
    links: linksOf(sheet, bySeries),
    samples,
  }
}

const NO_ROWS = new Int32Array(0)
const NO_SUMS = new Float64Array(0)

function cellsOf(sheet: Sheet | null, order: Int32Array): Cells {
  const sums = sheet === null ? NO_SUMS : sheet.sums
  const column = (at: number) => picked(sums, order, CELL_DOUBLES, at)
  return {
    length: order.length,
    series: sheet === null ? NO_ROWS : picked(sheet.cells.first, order),
    pod: sheet === null ? NO_ROWS : picked(sheet.cells.second, order),
    spans: column(SPANS),
    roots: column(ROOTS),
    traces: column(TRACES),
    origins: column(ORIGINS),
    away: column(AWAY),
    timed: column(TIMED),
    timedSquares: column(TIMED + 1),
    answered: column(ANSWERED),
    answeredSquares: column(ANSWERED + 1),
    slowTrace: ids(order, sheet === null ? NO_ROWS : sheet.slow),
    slowNs: column(SLOW_NS),
  }
}

/** @param order of the cells: bins name them by where they stand in the message */
function binsOf(sheet: Sheet | null, order: Int32Array): Bins {
  const pairs = sheet?.bins ?? new Pairs()
  const { length, first, second } = pairs
  const rows = new Int32Array(order.length)
  for (let row = 0; row < order.length; row++) rows[order[row]] = row
  // Up to 2^17 rows, 2^11 kinds and 2^19 bins are exact in a double, and numbers sort without a comparison function.
  const keys = new Float64Array(length)
  for (let bin = 0; bin < length; bin++) {
    keys[bin] = (rows[first[bin]] * KINDS_OF_BINS + second[bin]) * MAX_BINS + bin
  }
  keys.sort()
  const row = new Int32Array(length)
  const measure = new Uint8Array(length)
  const bucket = new Int16Array(length)
  const weight = new Float64Array(length)
  for (let at = 0; at < length; at++) {
    const bin = keys[at] % MAX_BINS
    row[at] = rows[first[bin]]
    measure[at] = Math.floor(second[bin] / BUCKETS)
    bucket[at] = second[bin] % BUCKETS
    weight[at] = sheet === null ? 0 : sheet.binned[bin]
  }
  return { length, row, measure, bucket, weight }
}

function linksOf(sheet: Sheet | null, bySeries: Int32Array): Links {
  if (sheet === null)
    return { length: 0, parent: NO_ROWS, child: NO_ROWS, parents: NO_SUMS, children: NO_SUMS, most: NO_ROWS }
  const order = sorted(sheet.links, bySeries, bySeries)
  return {
    length: order.length,
    parent: picked(sheet.links.first, order),
    child: picked(sheet.links.second, order),
    parents: picked(sheet.parents, order),
    children: picked(sheet.children, order),
    most: picked(sheet.most, order),
  }
}

/** One column of rows of `stride` numbers, in this order. */
function picked<T extends Int32Array | Float64Array>(rows: T, order: Int32Array, stride = 1, column = 0): T {
  const Column = rows.constructor as new (length: number) => T
  const out = new Column(order.length)
  for (let at = 0; at < order.length; at++) out[at] = rows[order[at] * stride + column]
  return out
}

/** The rows in the order of both ranks. */
function sorted({ length, first, second }: Pairs, byFirst: Int32Array, bySecond: Int32Array): Int32Array {
  const order = new Int32Array(length)
  for (let row = 0; row < length; row++) order[row] = row
  return order.sort(
    (a, b) => byFirst[first[a]] - byFirst[first[b]] || bySecond[second[a]] - bySecond[second[b]],
  )
}

function ids(order: Int32Array, words: Int32Array): Uint8Array {
  const bytes = new Uint8Array(order.length * ID_BYTES)
  const view = new DataView(bytes.buffer)
  for (let at = 0; at < order.length; at++) {
    for (let word = 0; word < 4; word++) view.setInt32(at * ID_BYTES + word * 4, words[order[at] * 4 + word])
  }
  return bytes
}

function doubled<T extends Int32Array | Float64Array>(column: T): T {
  const Column = column.constructor as new (length: number) => T
  const grown = new Column(column.length * 2)
  grown.set(column)
  return grown
}
