//! What a self-test injects: faults as they would show in the windows of features.
import { BINS_PER_E, type Bins, type FeatureWindow, type Links, MEASURE } from '../../bus/bus.ts'
import { countsOf } from './copies.ts'

/** Where a fault is, by ids of series. The window is the caller's own copy and is changed. */
export interface Fault {
  /** The name by which an incident has to suspect it. */
  readonly service: string
  readonly size: Size
  /** The series that the fault is in: operations that are slow or fail, calls whose way is slow, all that falls silent. */
  readonly series: ReadonlySet<string>
  /** Of a silence: calls that get no answer. */
  readonly callers: ReadonlySet<string>
}

export type Size =
  | { readonly kind: 'slow service' | 'slow operation'; readonly factor: number }
  | { readonly kind: 'slow way'; readonly addedNs: number }
  | { readonly kind: 'failures'; readonly share: number }
  | { readonly kind: 'silence' }

/** The window with the fault in all of it. `random` is asked in the order of the rows. */
export function inject(window: FeatureWindow, fault: Fault, random: () => number): FeatureWindow {
  const { size } = fault
  const isIn = Uint8Array.from(window.series, ({ id }) => (fault.series.has(id) ? 1 : 0))
  switch (size.kind) {
    case 'slow service':
    case 'slow operation':
      slowDown(window, isIn, size.factor, random)
      return window
    case 'slow way':
      delay(window, isIn, size.addedNs)
      return window
    case 'failures':
      fail(window, isIn, size.share, random)
      return window
    case 'silence':
      return silence(
        window,
        isIn,
        Uint8Array.from(window.series, ({ id }) => (fault.callers.has(id) ? 1 : 0)),
      )
  }
}

/** Own times, by a factor. Buckets are coarse: each row moves by one of the two whole numbers next to it, so that the mean is right. */
function slowDown(
  { cells, bins }: FeatureWindow,
  isIn: Uint8Array,
  factor: number,
  random: () => number,
): void {
  const by = BINS_PER_E * Math.log(factor)
  const rows = Int32Array.from(cells.series, series =>
    isIn[series] === 1 ? Math.floor(by) + (random() < by - Math.floor(by) ? 1 : 0) : 0,
  )
  for (let bin = 0; bin < bins.length; bin++)
    if (bins.measure[bin] === MEASURE.self) bins.bucket[bin] += rows[bins.row[bin]]
}

/** The ways of calls, by so much more. */
function delay({ cells, bins }: FeatureWindow, isIn: Uint8Array, addedNs: number): void {
  for (let bin = 0; bin < bins.length; bin++)
    if (bins.measure[bin] === MEASURE.gap && isIn[cells.series[bins.row[bin]]] === 1)
      bins.bucket[bin] = Math.round(BINS_PER_E * Math.log(Math.exp(bins.bucket[bin] / BINS_PER_E) + addedNs))
}

/** Failures that begin there. Those who call it fail with it, and nothing begins at them. */
function fail({ cells }: FeatureWindow, isIn: Uint8Array, share: number, random: () => number): void {
  for (let row = 0; row < cells.length; row++) {
    if (isIn[cells.series[row]] === 0) continue
    const well = Math.max(0, cells.traces[row] - cells.origins[row])
    cells.origins[row] += Math.min(well, draw(well, share, random))
  }
}

/** So many draws are made one by one; more are told by their mean and spread. */
const MOST_DRAWS = 64

/** How many of `n` are hit: a binomial, by its normal limit where there are many. */
function draw(n: number, share: number, random: () => number): number {
  let hit = 0
  if (n <= MOST_DRAWS) {
    for (let one = 0; one < Math.round(n); one++) if (random() < share) hit++
    return hit
  }
  // The sum of twelve uniforms has variance 1.
  let normal = -6
  for (let one = 0; one < 12; one++) normal += random()
  return Math.max(0, Math.round(n * share + normal * Math.sqrt(n * share * (1 - share))))
}

/** A trace goes through so many services, one after the other, at most. */
const MOST_STEPS = 16
/** What is left of a row is no span any more. */
const LEAST_SPANS = 0.5

/**
 * A service that is down: nothing of it is seen, calls to it fail, and what it would have called is called less. The others go on as
 * if those who call it did nothing else because of it.
 */
function silence(window: FeatureWindow, isIn: Uint8Array, isCaller: Uint8Array): FeatureWindow {
  const { cells, links } = window
  const counts = countsOf(cells)
  const kept = keptOf(window, isIn)
  for (let row = 0; row < cells.length; row++) {
    const series = cells.series[row]
    for (const column of counts) column[row] *= kept[series]
    if (isCaller[series] === 0) continue
    cells.origins[row] = cells.away[row] = cells.traces[row]
    cells.answered[row] = cells.answeredSquares[row] = 0
  }
  return {
    ...window,
    ...withoutEmpty(window, kept, isCaller),
    links: linksWhere(
      links,
      row => kept[links.parent[row]] > 0 && kept[links.child[row]] > 0,
      row => kept[links.parent[row]],
    ),
  }
}

/** By series, the share of its spans that is still there when those of `isIn` are not: what these would have caused is missing too. */
function keptOf({ cells, links, series }: FeatureWindow, isIn: Uint8Array): Float64Array {
  const spans = new Float64Array(series.length)
  for (let row = 0; row < cells.length; row++) spans[cells.series[row]] += cells.spans[row]
  let kept = Float64Array.from(isIn, one => 1 - one)
  for (let step = 0; step < MOST_STEPS; step++) {
    const next = Float64Array.from(isIn, one => 1 - one)
    for (let row = 0; row < links.length; row++) {
      const child = links.child[row]
      if (spans[child] > 0)
        next[child] -= (links.children[row] * (1 - kept[links.parent[row]])) / spans[child]
    }
    let moved = 0
    for (let at = 0; at < next.length; at++) {
      next[at] = Math.max(0, next[at])
      moved = Math.max(moved, Math.abs(next[at] - kept[at]))
    }
    kept = next
    if (moved === 0) break
  }
  return kept
}

/** The cells that still have spans, and their bins without the ways of calls that got no answer. */
function withoutEmpty(
  { cells, bins }: FeatureWindow,
  kept: Float64Array,
  isCaller: Uint8Array,
): Pick<FeatureWindow, 'cells' | 'bins'> {
  const rows: number[] = []
  const becomes = new Int32Array(cells.length).fill(-1)
  for (let row = 0; row < cells.length; row++)
    if (cells.spans[row] >= LEAST_SPANS) becomes[row] = rows.push(row) - 1
  const doubles = (column: Float64Array) => Float64Array.from(rows, row => column[row])
  const ints = (column: Int32Array) => Int32Array.from(rows, row => column[row])
  const { measure, row: rowOf } = bins
  const seriesOf = (bin: number) => cells.series[rowOf[bin]]
  const left: number[] = []
  for (let bin = 0; bin < bins.length; bin++)
    if (becomes[rowOf[bin]] >= 0 && !(isCaller[seriesOf(bin)] === 1 && measure[bin] === MEASURE.gap))
      left.push(bin)
  const others: Bins = {
    length: left.length,
    row: Int32Array.from(left, bin => becomes[rowOf[bin]]),
    measure: Uint8Array.from(left, bin => measure[bin]),
    bucket: Int16Array.from(left, bin => bins.bucket[bin]),
    weight: Float64Array.from(left, bin => bins.weight[bin] * kept[seriesOf(bin)]),
  }
  return {
    cells: {
      length: rows.length,
      series: ints(cells.series),
      pod: ints(cells.pod),
      spans: doubles(cells.spans),
      roots: doubles(cells.roots),
      traces: doubles(cells.traces),
      origins: doubles(cells.origins),
      away: doubles(cells.away),
      timed: doubles(cells.timed),
      timedSquares: doubles(cells.timedSquares),
      answered: doubles(cells.answered),
      answeredSquares: doubles(cells.answeredSquares),
      slowTrace: new Uint8Array(16 * rows.length),
      slowNs: doubles(cells.slowNs),
    },
    bins: others,
  }
}

function linksWhere(links: Links, isLeft: (row: number) => boolean, share: (row: number) => number): Links {
  const left: number[] = []
  for (let row = 0; row < links.length; row++) if (isLeft(row)) left.push(row)
  return {
    length: left.length,
    parent: Int32Array.from(left, row => links.parent[row]),
    child: Int32Array.from(left, row => links.child[row]),
    parents: Float64Array.from(left, row => links.parents[row] * share(row)),
    children: Float64Array.from(left, row => links.children[row] * share(row)),
    most: Int32Array.from(left, row => links.most[row]),
  }
}
