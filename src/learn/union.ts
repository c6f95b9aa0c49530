//! One window of several workers as the sum of their rows, with tables of its own.
import type { Bins, Cells, FeatureWindow, Links, PodKey, SeriesKey } from '../bus/bus.ts'
import { unionOfSamples } from './samples.ts'

const ID_BYTES = 16

/** By a worker's number of a series, or of a pod, that has a row: the number in the union. */
interface Numbers {
  readonly series: readonly number[]
  readonly pods: readonly number[]
}

/** The tables of the union, made of what has a row. */
class Tables {
  readonly series: SeriesKey[] = []
  readonly peers: string[] = []
  readonly pods: PodKey[] = []
  readonly #peerOrders: number[] = []
  readonly #series = new Map<string, number>()
  readonly #pods = new Map<string, number>()

  numbers({ series, pods, cells, links, samples }: FeatureWindow): Numbers {
    const numbers = { series: [] as number[], pods: [] as number[] }
    for (const at of [...cells.series, ...links.parent, ...links.child, ...samples.series])
      numbers.series[at] ??= intern(series[at], this.series, this.#series)
    for (const at of cells.pod) numbers.pods[at] ??= intern(pods[at], this.pods, this.#pods)
    return numbers
  }

  /**
   * Whom a series calls is what the worker with the earliest span says. That span may be of a trace that ends in a later window,
   * so workers without a row are asked as well.
   */
  hearPeers({ series, peers, peerOrders }: FeatureWindow): void {
    for (const [at, { id }] of series.entries()) {
      const own = this.#series.get(id)
      if (own === undefined) continue
      const order = peerOrders?.[at] ?? Number.POSITIVE_INFINITY
      const known = this.#peerOrders[own]
      if (order > known || (order === known && peers[at] >= this.peers[own])) continue
      this.#peerOrders[own] = order
      this.peers[own] = peers[at]
    }
  }
}

function intern<T extends { readonly id: string }>(key: T, keys: T[], numbers: Map<string, number>): number {
  const known = numbers.get(key.id)
  if (known !== undefined) return known
  numbers.set(key.id, keys.length)
  return keys.push(key) - 1
}

/** The sum of what several workers say of one window. Rows come in the order of ids, as each worker has them. */
export function union(parts: readonly FeatureWindow[]): FeatureWindow {
  const tables = new Tables()
  const [{ startMs, endMs }] = parts
  const known = parts.map(part => tables.numbers(part))
  for (const part of parts) tables.hearPeers(part)
  const cells = inOrder(parts.length, {
    length: part => parts[part].cells.length,
    first: (part, row) => known[part].series[parts[part].cells.series[row]],
    second: (part, row) => known[part].pods[parts[part].cells.pod[row]],
    before: (a, b) => tables.series[a].id < tables.series[b].id,
    beforeSecond: (a, b) => tables.pods[a].id < tables.pods[b].id,
  })
  const links = inOrder(parts.length, {
    length: part => parts[part].links.length,
    first: (part, row) => known[part].series[parts[part].links.parent[row]],
    second: (part, row) => known[part].series[parts[part].links.child[row]],
    before: (a, b) => tables.series[a].id < tables.series[b].id,
    beforeSecond: (a, b) => tables.series[a].id < tables.series[b].id,
  })
  return {
    startMs,
    endMs,
    isPartial: parts.some(({ isPartial }) => isPartial === true),
    series: tables.series,
    peers: tables.peers,
    pods: tables.pods,
    cells: cellsOf(parts, cells),
    bins: binsOf(parts, cells),
    links: linksOf(parts, links),
    samples: unionOfSamples(
      parts,
      tables.series,
      known.map(({ series }) => series),
    ),
  }
}

/** Rows of the union: which pair each is of, and the row of each part that goes into it. */
interface Rows {
  readonly length: number
  readonly first: readonly number[]
  readonly second: readonly number[]
  /** By part: the row of the union for each of its rows. */
  readonly to: readonly Int32Array[]
}

interface Source {
  length(part: number): number
  first(part: number, row: number): number
  second(part: number, row: number): number
  before(a: number, b: number): boolean
  beforeSecond(a: number, b: number): boolean
}

/** Merges rows that are sorted in each part. */
function inOrder(parts: number, source: Source): Rows {
  const heads = new Int32Array(parts)
  const to = Array.from({ length: parts }, (_, part) => new Int32Array(source.length(part)))
  const firsts: number[] = []
  const seconds: number[] = []
  for (;;) {
    let least = -1
    let first = 0
    let second = 0
    for (let part = 0; part < parts; part++) {
      const row = heads[part]
      if (row === to[part].length) continue
      const [a, b] = [source.first(part, row), source.second(part, row)]
      if (
        least < 0 ||
        (a === first ? b !== second && source.beforeSecond(b, second) : source.before(a, first))
      ) {
        least = part
        first = a
        second = b
      }
    }
    if (least < 0) return { length: firsts.length, first: firsts, second: seconds, to }
    for (let part = 0; part < parts; part++) {
      const row = heads[part]
      if (row === to[part].length) continue
      if (source.first(part, row) !== first || source.second(part, row) !== second) continue
      to[part][row] = firsts.length
      heads[part]++
    }
    firsts.push(first)
    seconds.push(second)
  }
}

function cellsOf(parts: readonly FeatureWindow[], rows: Rows): Cells {
  const column = (of: (cells: Cells) => Float64Array) =>
    summed(
      parts.map(part => of(part.cells)),
      rows,
    )
  const slowNs = new Float64Array(rows.length)
  const slowTrace = new Uint8Array(ID_BYTES * rows.length)
  for (const [part, { cells }] of parts.entries()) {
    for (let row = 0; row < cells.length; row++) {
      const to = rows.to[part][row]
      const slower = cells.slowNs[row] - slowNs[to]
      if (slower > 0 || (slower === 0 && isLess(cells.slowTrace, row, slowTrace, to))) {
        slowNs[to] = cells.slowNs[row]
        copyId(cells.slowTrace, row, slowTrace, to)
      }
    }
  }
  return {
    length: rows.length,
    series: Int32Array.from(rows.first),
    pod: Int32Array.from(rows.second),
    spans: column(cells => cells.spans),
    roots: column(cells => cells.roots),
    traces: column(cells => cells.traces),
    origins: column(cells => cells.origins),
    away: column(cells => cells.away),
    timed: column(cells => cells.timed),
    timedSquares: column(cells => cells.timedSquares),
    answered: column(cells => cells.answered),
    answeredSquares: column(cells => cells.answeredSquares),
    slowTrace,
    slowNs,
  }
}

/** Whether a trace id is smaller than another. One of zeros is none, and larger than all. */
function isLess(one: Uint8Array, at: number, other: Uint8Array, otherAt: number): boolean {
  const a = Buffer.from(one.buffer, one.byteOffset + at * ID_BYTES, ID_BYTES)
  const b = Buffer.from(other.buffer, other.byteOffset + otherAt * ID_BYTES, ID_BYTES)
  if (a.every(byte => byte === 0)) return false
  return b.every(byte => byte === 0) || a.compare(b) < 0
}

const copyId = (from: Uint8Array, at: number, to: Uint8Array, toAt: number): void =>
  to.set(from.subarray(at * ID_BYTES, (at + 1) * ID_BYTES), toAt * ID_BYTES)

function summed(columns: readonly Float64Array[], rows: Rows): Float64Array {
  const sum = new Float64Array(rows.length)
  for (const [part, column] of columns.entries())
    for (let row = 0; row < column.length; row++) sum[rows.to[part][row]] += column[row]
  return sum
}

function largest(columns: readonly Int32Array[], rows: Rows): Int32Array {
  const most = new Int32Array(rows.length)
  for (const [part, column] of columns.entries())
    for (let row = 0; row < column.length; row++) {
      const to = rows.to[part][row]
      most[to] = Math.max(most[to], column[row])
    }
  return most
}

function binsOf(parts: readonly FeatureWindow[], rows: Rows): Bins {
  const heads = new Int32Array(parts.length)
  const row: number[] = []
  const measure: number[] = []
  const bucket: number[] = []
  const weight: number[] = []
  // In each part they stand in the order of row, measure and bucket, and its rows in that of the union.
  const keyOf = (part: number) => {
    const { bins } = parts[part]
    const at = heads[part]
    if (at === bins.length) return Number.POSITIVE_INFINITY
    return (rows.to[part][bins.row[at]] * 4 + bins.measure[at]) * 2 ** 16 + bins.bucket[at]
  }
  for (;;) {
    const keys = parts.map((_, part) => keyOf(part))
    const least = Math.min(...keys)
    if (least === Number.POSITIVE_INFINITY) break
    const from = keys.indexOf(least)
    const { bins } = parts[from]
    row.push(rows.to[from][bins.row[heads[from]]])
    measure.push(bins.measure[heads[from]])
    bucket.push(bins.bucket[heads[from]])
    let sum = 0
    for (const [part, key] of keys.entries()) if (key === least) sum += parts[part].bins.weight[heads[part]++]
    weight.push(sum)
  }
  return {
    length: row.length,
    row: Int32Array.from(row),
    measure: Uint8Array.from(measure),
    bucket: Int16Array.from(bucket),
    weight: Float64Array.from(weight),
  }
}

const linksOf = (parts: readonly FeatureWindow[], rows: Rows): Links => ({
  length: rows.length,
  parent: Int32Array.from(rows.first),
  child: Int32Array.from(rows.second),
  parents: summed(
    parts.map(({ links }) => links.parents),
    rows,
  ),
  children: summed(
    parts.map(({ links }) => links.children),
    rows,
  ),
  most: largest(
    parts.map(({ links }) => links.most),
    rows,
  ),
})
