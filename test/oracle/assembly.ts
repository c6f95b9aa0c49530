//! What whole traces say window by window, worked out slowly from all spans at once: objects, maps and whole numbers, nothing shared with src.

/** A span as the rules see it. Ids are hex, '' where there is none. */
export interface Fact {
  readonly traceId: string
  readonly spanId: string
  readonly parentId: string
  /** What the series and the pod are filed under. */
  readonly series: string
  readonly pod: string
  /** Spans of one machine have one clock. */
  readonly machine: string
  readonly kind: number
  readonly startNs: bigint
  readonly endNs: bigint
  readonly failed: boolean
  /** Of how many spans it is a sample. */
  readonly weight: number
}

export interface CellRow {
  series: string
  pod: string
  spans: number
  roots: number
  traces: number
  origins: number
  away: number
  timed: number
  timedSquares: number
  answered: number
  answeredSquares: number
  slowTrace: string
  slowNs: number
  /** The samples as histograms: measure (0 duration, 1 self, 2 gap), bucket, weight; in their order. */
  bins: [number, number, number][]
}

export interface LinkRow {
  parent: string
  child: string
  parents: number
  children: number
  /** Of one parent span. */
  most: number
}

export interface WindowRows {
  startMs: number
  cells: CellRow[]
  links: LinkRow[]
}

const SERVER = 2
const CLIENT = 3
const PRODUCER = 4
const CONSUMER = 5
const isNone = (id: string) => /^0*$/.test(id)

/** The windows to which groups of spans belong, in their order. */
export function featuresOf(facts: readonly Fact[], windowMs: number, waitMs: number): WindowRows[] {
  const windows = new Map<number, Tables>()
  for (const [startMs, group] of groupsOf(facts, windowMs, waitMs)) {
    let tables = windows.get(startMs)
    if (tables === undefined) windows.set(startMs, (tables = { cells: new Map(), links: new Map() }))
    countGroup(tables, group)
  }
  return [...windows]
    .sort(([a], [b]) => a - b)
    .map(([startMs, { cells, links }]) => ({
      startMs,
      cells: inOrder([...cells.values()], ({ series, pod }) => [series, pod]),
      links: inOrder([...links.values()], ({ parent, child }) => [parent, child]),
    }))
}

interface Tables {
  readonly cells: Map<string, CellRow>
  readonly links: Map<string, LinkRow>
}

function inOrder<T>(rows: T[], keysOf: (row: T) => [string, string]): T[] {
  const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
  return rows.sort((a, b) => {
    const [[a1, a2], [b1, b2]] = [keysOf(a), keysOf(b)]
    return compare(a1, b1) || compare(a2, b2)
  })
}

/** The groups, each with the start of its window. A span without a trace is a group where it ends. */
function groupsOf(facts: readonly Fact[], windowMs: number, waitMs: number): [number, Fact[]][] {
  const traces = Map.groupBy(
    facts.filter(({ traceId }) => !isNone(traceId)),
    ({ traceId }) => traceId,
  )
  const startOf = ({ endNs }: Fact) => Number(endNs / nsOfMs(windowMs)) * windowMs
  const alone = facts.filter(({ traceId }) => isNone(traceId))
  return [
    ...alone.map((fact): [number, Fact[]] => [startOf(fact), [fact]]),
    ...[...traces.values()].flatMap(spans => [...groupsOfTrace(spans, startOf, windowMs, waitMs)]),
  ]
}

const nsOfMs = (ms: number) => BigInt(ms * 1_000_000)

/** Window by window. No group is due before its first span ends, so the windows until then are left out. */
function* groupsOfTrace(
  spans: readonly Fact[],
  startOf: (span: Fact) => number,
  windowMs: number,
  waitMs: number,
): Generator<[number, Fact[]]> {
  let left = spans.toSorted((a, b) => Number(a.endNs - b.endNs))
  let startMs = 0
  while (left.length > 0) {
    startMs = Math.max(startMs, startOf(left[0] as Fact))
    const group = dueOf(left, nsOfMs(startMs + windowMs), waitMs)
    if (group === undefined) {
      startMs += windowMs
      continue
    }
    yield [startMs, group]
    left = left.filter(span => !group.includes(span))
  }
}

/**
 * The first group of what is left of a trace, in the order of the ends, if it is due in the window until
 * `untilNs`: what ends before or shortly after that if it is complete, else all until the first pause if that
 * was long ago.
 */
function dueOf(left: readonly Fact[], untilNs: bigint, waitMs: number): Fact[] | undefined {
  const settleNs = nsOfMs(waitMs / 4)
  const pause = left.findIndex(
    ({ endNs }, at) => at > 0 && endNs - (left[at - 1] as Fact).endNs > nsOfMs(waitMs),
  )
  const near = left.slice(0, pause < 0 ? left.length : pause)
  const seen = near.filter(({ endNs }) => endNs < untilNs + settleNs)
  if (seen.length > 0 && isComplete(seen, untilNs)) return seen
  const last = near.at(-1) as Fact
  const isOver = seen.length === near.length && last.endNs + nsOfMs(waitMs) - settleNs < untilNs
  return isOver ? near : undefined
}

/** Its roots ended in time, every parent is there, and whatever was sent was received. */
function isComplete(seen: readonly Fact[], untilNs: bigint): boolean {
  const ids = new Set(seen.map(({ spanId }) => spanId))
  const roots = seen.filter(({ parentId }) => isNone(parentId))
  const hasChild = ({ spanId }: Fact) =>
    !isNone(spanId) && seen.some(other => other.parentId === spanId && other.spanId !== spanId)
  return (
    roots.length > 0 &&
    roots.every(({ endNs }) => endNs < untilNs) &&
    seen.every(({ parentId }) => isNone(parentId) || ids.has(parentId)) &&
    seen.every(span => span.kind !== PRODUCER || hasChild(span))
  )
}

/** Of spans with one id the first by their content, compared field by field. */
function once(group: readonly Fact[]): Fact[] {
  const named = Map.groupBy(
    group.filter(({ spanId }) => !isNone(spanId)),
    ({ spanId }) => spanId,
  )
  const nameless = group.filter(({ spanId }) => isNone(spanId))
  return [...nameless, ...[...named.values()].map(same => same.toSorted(byContent)[0] as Fact)]
}

const timed = ({ startNs, endNs }: Fact) => endNs >= startNs
const durationOf = (fact: Fact) => (timed(fact) ? Number(fact.endNs - fact.startNs) : 0)

function byContent(a: Fact, b: Fact): number {
  const order = (x: Fact) =>
    [
      x.endNs,
      BigInt((timed(x) ? 0 : 32) + (x.failed ? 8 : 0) + x.kind),
      BigInt(x.weight * 16),
      BigInt(`0x0${x.parentId}`),
      BigInt(durationOf(x)),
    ] as const
  const [first, second] = [order(a), order(b)]
  for (let at = 0; at < first.length; at++) {
    if (first[at] !== second[at]) return (first[at] as bigint) < (second[at] as bigint) ? -1 : 1
  }
  if (a.series !== b.series) return a.series < b.series ? -1 : 1
  return a.pod < b.pod ? -1 : a.pod > b.pod ? 1 : 0
}

function countGroup({ cells, links }: Tables, group: readonly Fact[]) {
  const spans = once(group)
  const children = new Map<Fact, Fact[]>()
  for (const span of spans) {
    const parent = isNone(span.parentId)
      ? undefined
      : spans.find(other => other.spanId === span.parentId && other !== span)
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), span])
  }
  const cellOf = new Map<CellRow, Fact[]>()
  for (const span of spans) {
    const cell = cellRow(cells, span)
    cell.spans += span.weight
    if (isNone(span.parentId)) cell.roots += span.weight
    cellOf.set(cell, [...(cellOf.get(cell) ?? []), span])
  }
  for (const [parent, called] of children) {
    for (const [series, same] of Map.groupBy(called, child => child.series)) {
      const link = linkRow(links, parent.series, series)
      link.parents += parent.weight
      for (const { weight } of same) link.children += weight
      link.most = Math.max(link.most, same.length)
    }
  }
  for (const [cell, own] of cellOf) countTrace(cell, own, span => children.get(span) ?? [])
}

function countTrace(cell: CellRow, own: readonly Fact[], childrenOf: (span: Fact) => readonly Fact[]) {
  const { weight, traceId } = sample(own)
  cell.traces += weight
  const origins = own.filter(span => span.failed && !childrenOf(span).some(({ failed }) => failed))
  if (origins.length > 0) cell.origins += weight
  if (origins.some(span => isAway(span, childrenOf(span)))) cell.away += weight
  const measured = own.filter(timed)
  const working = measured.filter(({ kind }) => kind !== CLIENT && kind !== PRODUCER)
  const served = (span: Fact) => childrenOf(span).filter(child => child.kind === SERVER && timed(child))
  const calls = measured.filter(span => span.kind === CLIENT && served(span).length > 0)
  const selfNs = (span: Fact) => selfOf(span, childrenOf(span))
  const gapNs = (span: Fact) => Math.max(1000, durationOf(span) - Math.max(...served(span).map(durationOf)))
  const [timedWeight, answeredWeight] = [measured, calls].map(spans =>
    spans.length === 0 ? 0 : sample(spans).weight,
  )
  cell.timed += timedWeight
  cell.timedSquares += timedWeight ** 2
  cell.answered += answeredWeight
  cell.answeredSquares += answeredWeight ** 2
  if (working.length > 0) bin(cell, 1, working, selfNs)
  else if (calls.length > 0) bin(cell, 2, calls, gapNs)
  else if (measured.length > 0) bin(cell, 0, measured, durationOf)
  if (isNone(traceId)) return
  for (const span of measured) {
    const ns = durationOf(span)
    const isSlower = cell.slowTrace === '' || ns > cell.slowNs
    if (!isSlower && (ns < cell.slowNs || traceId >= cell.slowTrace)) continue
    cell.slowNs = ns
    cell.slowTrace = traceId
  }
}

function isAway({ kind }: Fact, children: readonly Fact[]): boolean {
  if (kind === CLIENT) return !children.some(child => child.kind === SERVER)
  return kind === PRODUCER && !children.some(child => child.kind === CONSUMER)
}

/** Its time less every nanosecond in which a child was at work, counted between the points where anything begins or ends. */
function selfOf(span: Fact, children: readonly Fact[]): number {
  const busy = children
    .filter(child => child.kind !== CONSUMER && timed(child))
    .map(child => placed(span, child))
  const points = [span.startNs, span.endNs, ...busy.flat()]
    .filter(point => point >= span.startNs && point <= span.endNs)
    .sort((a, b) => Number(a - b))
  let self = 0n
  for (let at = 1; at < points.length; at++) {
    const [from, to] = [points[at - 1] as bigint, points[at] as bigint]
    if (!busy.some(([start, end]) => start <= from && end >= to)) self += to - from
  }
  return Math.max(1000, Number(self))
}

/** A child of another machine lies within its parent, as near to where its own clock puts it as can be. */
function placed(parent: Fact, child: Fact): [bigint, bigint] {
  if (child.machine === parent.machine) return [child.startNs, child.endNs]
  const length = child.endNs - child.startNs
  if (length >= parent.endNs - parent.startNs) return [parent.startNs, parent.endNs]
  if (child.startNs < parent.startNs) return [parent.startNs, parent.startNs + length]
  if (child.endNs > parent.endNs) return [parent.endNs - length, parent.endNs]
  return [child.startNs, child.endNs]
}

function bin({ bins }: CellRow, measure: number, spans: readonly Fact[], nsOf: (span: Fact) => number) {
  const span = sample(spans)
  const bucket = Math.round(Math.log(Math.max(1, nsOf(span))) * 8)
  const known = bins.find(each => each[0] === measure && each[1] === bucket)
  if (known === undefined) bins.push([measure, bucket, span.weight])
  else known[2] += span.weight
  bins.sort((a, b) => a[0] - b[0] || a[1] - b[1])
}

/** The span with the smallest hash of its id; where ids are alike, the first by its content. */
function sample(spans: readonly Fact[]): Fact {
  return spans.toSorted((a, b) => {
    const [first, second] = [hash(a.spanId), hash(b.spanId)]
    if (first !== second) return first < second ? -1 : 1
    const ids = [a.spanId.padStart(16, '0'), b.spanId.padStart(16, '0')] as const
    return ids[0] < ids[1] ? -1 : ids[0] > ids[1] ? 1 : byContent(a, b)
  })[0] as Fact
}

/** Which hash it is matters to nobody, but it must be one: this one, as a number of 32 bits with its sign. */
function hash(id: string): bigint {
  const word = (from: number) => BigInt(`0x0${id.slice(from, from + 8)}`)
  const cut = (value: bigint) => BigInt.asUintN(32, value)
  const [high, low] = [word(0), word(8)]
  let mixed = cut((high ^ (high >> 16n)) * 0x85ebca6bn) ^ low
  mixed = cut((mixed ^ (mixed >> 13n)) * 0xc2b2ae35n)
  return BigInt.asIntN(32, mixed ^ (mixed >> 16n))
}

function cellRow(cells: Tables['cells'], { series, pod }: Fact): CellRow {
  const key = JSON.stringify([series, pod])
  let cell = cells.get(key)
  if (cell === undefined) {
    const counts = { spans: 0, roots: 0, traces: 0, origins: 0, away: 0 }
    const samples = { timed: 0, timedSquares: 0, answered: 0, answeredSquares: 0 }
    cell = { series, pod, ...counts, ...samples, slowTrace: '', slowNs: 0, bins: [] }
    cells.set(key, cell)
  }
  return cell
}

function linkRow(links: Tables['links'], parent: string, child: string): LinkRow {
  const key = JSON.stringify([parent, child])
  let link = links.get(key)
  if (link === undefined) links.set(key, (link = { parent, child, parents: 0, children: 0, most: 0 }))
  return link
}
