//! The simulated world as windows of features, summed up from its traces directly: what the data plane would publish, without the bytes between.
import { type FeatureWindow, MEASURE, NO_SAMPLES } from '../../src/bus/bus.ts'
import { STEP_MS } from '../world/climate.ts'
import { APART, FAILED, MOST_SPANS, type Trace } from '../world/trace.ts'
import { Reading } from '../world/windows.ts'
import { BEGINNING_MS, Life, type Request, type SimulatedWorld, type Span } from '../world/world.ts'
import { Samples } from './bins.ts'
import { Catalogue, wider } from './catalogue.ts'

/** One in so many: `ot=th:e666` says 9.9994, and weights are multiples of 1/16. */
const SAMPLED_WEIGHT = 10

/** Windows of a stretch of the world, in order of time; empty ones too. What ends after the stretch is left out. */
export function* features(world: SimulatedWorld, stretch: Span, windowMs = 10_000): Generator<FeatureWindow> {
  const life = new Life(world, stretch)
  const sums = new Sums(world, windowMs, stretch.sampled ? SAMPLED_WEIGHT : 1)
  const visit = (trace: Trace, request: Request) => sums.take(trace, request.id)
  let next = Math.floor(stretch.fromMs / windowMs)
  while (life.climate.atMs + STEP_MS < stretch.toMs) {
    life.step(visit)
    // A trace that begins later ends later.
    for (; (next + 1) * windowMs <= life.climate.atMs + STEP_MS; next++) yield sums.close(next)
  }
}

// One cell's numbers lie together while they are summed, so that a span costs one wait for memory; columns are made when a window closes.
const SPANS = 0
const ROOTS = 1
const TRACES = 2
const ORIGINS = 3
const AWAY = 4
const TIMED = 5
const TIMED_SQUARES = 6
const ANSWERED = 7
const ANSWERED_SQUARES = 8
const SLOW_NS = 9
const COLUMNS = 10

// And what the trace in hand has left in a cell: its number, the rows of the spans that speak for it (-1: none), where it failed first.
const TRACE = 0
const CHOSEN = 1
const CHOSEN_GAP = 2
const BEGAN = 3
const LEFT = 4
const BEGAN_HERE = 1
const BEGAN_AWAY = 2

const CHILD_FAILED = 1
const OTHER_SIDE = 2

/** One window while it is open. */
class Open {
  /** By cell (a series and a pod) of the whole run: its place in this window and 1; 0 where it has none. */
  places = new Uint16Array(4_096)
  cells = new Int32Array(1_024)
  length = 0
  sums = new Float64Array(1_024 * COLUMNS)
  left = new Int32Array(1_024 * LEFT)
  /** Ids of the slowest traces, four words each. */
  ids = new Uint32Array(1_024 * 4)
  readonly samples = new Samples()
  /** By link (a pair of series) of the whole run. `used` names those that occur. */
  links = new Float64Array(4_096 * LINK)
  used = new Int32Array(4_096)
  linked = 0

  placeOf(cell: number): number {
    if (cell >= this.places.length) this.places = wider(this.places, new Uint16Array(2 * cell))
    const known = this.places[cell]
    if (known !== 0) return known - 1
    const place = this.length++
    if (place >= this.cells.length) {
      this.cells = wider(this.cells, new Int32Array(2 * place))
      this.sums = wider(this.sums, new Float64Array(2 * place * COLUMNS))
      this.left = wider(this.left, new Int32Array(2 * place * LEFT))
      this.ids = wider(this.ids, new Uint32Array(2 * place * 4))
    }
    this.places[cell] = place + 1
    this.cells[place] = cell
    this.sums.fill(0, place * COLUMNS, (place + 1) * COLUMNS)
    this.sums[place * COLUMNS + SLOW_NS] = -1
    this.left[place * LEFT + TRACE] = 0
    this.ids.fill(2 ** 32 - 1, place * 4, place * 4 + 4)
    return place
  }

  clear() {
    for (let place = 0; place < this.length; place++) this.places[this.cells[place]] = 0
    this.length = 0
    for (let at = 0; at < this.linked; at++)
      this.links.fill(0, this.used[at] * LINK, (this.used[at] + 1) * LINK)
    this.linked = 0
    this.samples.clear()
  }
}

// The numbers of a link: sums, then the trace and the row of the parent that was counted last, its children, and the most of any.
const PARENTS = 0
const CHILDREN = 1
const LINK_TRACE = 2
const LINK_PARENT = 3
const OF_PARENT = 4
const MOST = 5
const LINK = 6

/** Adds up traces. */
class Sums {
  private readonly windowMs: number
  private readonly weight: number
  private readonly reading: Reading
  private readonly open = new Map<number, Open>()
  private readonly spare: Open[] = []
  private readonly below = new Uint8Array(MOST_SPANS)
  private readonly touched = new Int32Array(MOST_SPANS)
  private traces = 0

  private readonly catalogue: Catalogue
  private readonly isCall: Uint8Array

  constructor(world: SimulatedWorld, windowMs: number, weight: number) {
    const { series } = world.topology
    this.windowMs = windowMs
    this.weight = weight
    this.reading = new Reading(series)
    this.catalogue = new Catalogue(world)
    this.isCall = Uint8Array.from(series, ({ kind }) => (kind === 'client' || kind === 'producer' ? 1 : 0))
  }

  take(trace: Trace, id: Uint32Array) {
    const { length, series, parent, pod, endMs, startMs, flags, address } = trace
    const { reading, below, weight, touched, catalogue } = this
    const { alike } = catalogue
    const { seen, gap } = reading
    reading.read(trace)
    const number = ++this.traces
    let lastMs = Number.NEGATIVE_INFINITY
    for (let row = 0; row < length; row++) {
      below[row] = 0
      if (seen[row] === 0) continue
      if (endMs[row] > lastMs) lastMs = endMs[row]
      const above = parent[row]
      if (above < 0) continue
      below[above] |=
        (flags[row] & FAILED) !== 0 && (flags[row] & APART) === 0 ? CHILD_FAILED | OTHER_SIDE : OTHER_SIDE
    }
    if (lastMs === Number.NEGATIVE_INFINITY) return
    const open = this.window(Math.floor(lastMs / this.windowMs))
    let cells = 0
    for (let row = 0; row < length; row++) {
      if (seen[row] === 0) continue
      const kind = alike[series[row]]
      const place = open.placeOf(catalogue.cell(pod[row], kind))
      const at = place * COLUMNS
      const own = place * LEFT
      const { sums, left } = open
      sums[at + SPANS] += weight
      if (left[own + TRACE] !== number) {
        left[own + TRACE] = number
        sums[at + TRACES] += weight
        left[own + CHOSEN] = row
        left[own + CHOSEN_GAP] = -1
        left[own + BEGAN] = 0
        touched[cells++] = place
      } else if (address[row] < address[left[own + CHOSEN]]) left[own + CHOSEN] = row
      if (!Number.isNaN(gap[row])) {
        const other = left[own + CHOSEN_GAP]
        if (other < 0 || address[row] < address[other]) left[own + CHOSEN_GAP] = row
      }
      if ((flags[row] & FAILED) !== 0 && (below[row] & CHILD_FAILED) === 0) {
        const isAway = this.isCall[kind] === 1 && (below[row] & OTHER_SIDE) === 0
        left[own + BEGAN] |= isAway ? BEGAN_HERE | BEGAN_AWAY : BEGAN_HERE
      }
      const durationNs = Math.round((endMs[row] - startMs[row]) * 1e6)
      if (durationNs > sums[at + SLOW_NS]) {
        sums[at + SLOW_NS] = durationNs
        for (let word = 0; word < 4; word++) open.ids[place * 4 + word] = id[word]
      } else if (durationNs === sums[at + SLOW_NS]) smaller(open.ids, place * 4, id)
      const above = parent[row]
      if (above < 0) sums[at + ROOTS] += weight
      else if (seen[above] === 1) this.link(open, alike[series[above]], kind, number, above)
    }
    for (let n = 0; n < cells; n++) this.sample(open, touched[n], trace)
  }

  /** What the trace says of one cell: one span for all. */
  private sample({ sums, left, samples }: Open, place: number, { startMs, endMs, series }: Trace) {
    const { weight, reading } = this
    const at = place * COLUMNS
    const row = left[place * LEFT + CHOSEN]
    const durationMs = endMs[row] - startMs[row]
    sums[at + TIMED] += weight
    sums[at + TIMED_SQUARES] += weight * weight
    const gapRow = left[place * LEFT + CHOSEN_GAP]
    if (this.isCall[series[row]] === 0)
      samples.add(place, MEASURE.self, lnNs(durationMs - reading.covered[row]))
    else if (gapRow >= 0) {
      sums[at + ANSWERED] += weight
      sums[at + ANSWERED_SQUARES] += weight * weight
      samples.add(place, MEASURE.gap, lnNs(reading.gap[gapRow]))
    } else samples.add(place, MEASURE.duration, lnNs(durationMs))
    const began = left[place * LEFT + BEGAN]
    if ((began & BEGAN_HERE) !== 0) sums[at + ORIGINS] += weight
    if ((began & BEGAN_AWAY) !== 0) sums[at + AWAY] += weight
  }

  private link(open: Open, above: number, kind: number, trace: number, parent: number) {
    const link = this.catalogue.link(above, kind)
    const at = link * LINK
    if (at >= open.links.length) {
      open.links = wider(open.links, new Float64Array(2 * at))
      open.used = wider(open.used, new Int32Array(2 * link))
    }
    const { links } = open
    if (links[at + CHILDREN] === 0) open.used[open.linked++] = link
    links[at + CHILDREN] += this.weight
    // Rows come with all that is below a span before its sibling, and no series is below itself: one look back is enough.
    if (links[at + LINK_TRACE] !== trace || links[at + LINK_PARENT] !== parent) {
      links[at + LINK_TRACE] = trace
      links[at + LINK_PARENT] = parent
      links[at + PARENTS] += this.weight
      links[at + OF_PARENT] = 0
    }
    const ofParent = ++links[at + OF_PARENT]
    if (ofParent > links[at + MOST]) links[at + MOST] = ofParent
  }

  private window(number: number): Open {
    let open = this.open.get(number)
    if (open === undefined) this.open.set(number, (open = this.spare.pop() ?? new Open()))
    return open
  }

  close(number: number): FeatureWindow {
    const open = this.window(number)
    const { catalogue } = this
    const { length, cells, sums, ids } = open
    const column = new Columns(length, COLUMNS)
    const [series, pod] = [new Int32Array(length), new Int32Array(length)]
    const slowTrace = new Uint8Array(16 * length)
    const slow = new DataView(slowTrace.buffer)
    for (let place = 0; place < length; place++) {
      series[place] = catalogue.cellSeries[cells[place]]
      pod[place] = catalogue.cellPod[cells[place]]
      for (let word = 0; word < 4; word++) slow.setUint32(16 * place + 4 * word, ids[place * 4 + word])
      for (let one = 0; one < COLUMNS; one++) column.all[one * length + place] = sums[place * COLUMNS + one]
    }
    const startMs = BEGINNING_MS + number * this.windowMs
    const window: FeatureWindow = {
      startMs,
      endMs: startMs + this.windowMs,
      series: catalogue.keys,
      peers: catalogue.peers,
      pods: catalogue.pods,
      cells: {
        length,
        series,
        pod,
        spans: column.at(SPANS),
        roots: column.at(ROOTS),
        traces: column.at(TRACES),
        origins: column.at(ORIGINS),
        away: column.at(AWAY),
        timed: column.at(TIMED),
        timedSquares: column.at(TIMED_SQUARES),
        answered: column.at(ANSWERED),
        answeredSquares: column.at(ANSWERED_SQUARES),
        slowTrace,
        slowNs: column.at(SLOW_NS),
      },
      bins: open.samples.bins(length, this.weight),
      links: this.linksOf(open),
      samples: NO_SAMPLES,
    }
    this.open.delete(number)
    open.clear()
    this.spare.push(open)
    return window
  }

  private linksOf({ links, used, linked }: Open): FeatureWindow['links'] {
    const [parent, child] = [new Int32Array(linked), new Int32Array(linked)]
    const [parents, children] = [new Float64Array(linked), new Float64Array(linked)]
    const most = new Int32Array(linked)
    for (let at = 0; at < linked; at++) {
      parent[at] = this.catalogue.linkParent[used[at]]
      child[at] = this.catalogue.linkChild[used[at]]
      parents[at] = links[used[at] * LINK + PARENTS]
      children[at] = links[used[at] * LINK + CHILDREN]
      most[at] = links[used[at] * LINK + MOST]
    }
    return { length: linked, parent, child, parents, children, most }
  }
}

/** Columns of equal length in one piece of memory. */
class Columns {
  readonly all: Float64Array
  private readonly length: number
  constructor(length: number, count: number) {
    this.length = length
    this.all = new Float64Array(length * count)
  }
  at(column: number): Float64Array {
    return this.all.subarray(column * this.length, (column + 1) * this.length)
  }
}

const real = new Float64Array(1)
const bits = new Uint32Array(real.buffer)
const MANTISSAS = Float64Array.from({ length: 4_096 }, (_, at) => Math.log(1 + (at + 0.5) / 4_096))

/** The logarithm of nanoseconds, by exponent and table: off by 1/8,000 at most where 1/8 counts, and several times as fast. */
function lnNs(ms: number): number {
  real[0] = Math.max(1, ms * 1e6)
  return ((bits[1] >>> 20) - 1_023) * Math.LN2 + MANTISSAS[(bits[1] >>> 8) & 4_095]
}

/** Keeps the smaller of two trace ids. */
function smaller(ids: Uint32Array, at: number, id: Uint32Array) {
  for (let word = 0; word < 4; word++) {
    if (id[word] > ids[at + word]) return
    if (id[word] === ids[at + word]) continue
    for (let one = word; one < 4; one++) ids[at + one] = id[one]
    return
  }
}
