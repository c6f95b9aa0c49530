//! How large a fault is by what it does: the shift of the minute's most affected feature against a twin without it, in its spreads.
import type { Fault } from './faults.ts'
import type { Service } from './topology.ts'
import { FAILED, TOUCHED } from './trace.ts'
import { type WindowSummary, windows } from './windows.ts'
import { BEGINNING_MS, type SimulatedWorld } from './world.ts'

const MINUTE_MS = 60_000

export type Size = 'clear' | 'subtle' | 'faint'

export interface Measured {
  readonly fault: Fault
  readonly size: Size
  /** In spreads of the feature. */
  readonly shift: number
  /** Spans a minute of that feature that the fault hurts; for silence, lost traffic and missing children those expected. */
  readonly affected: number
  /** The feature, for people. */
  readonly feature: string
  /** When a minute's shift first reached the least of its class; where it never did, the fault's beginning. Ms since the world began. */
  readonly exceedsMs: number
}

/** A feature's value in one minute; how many items it rests on; how many of them a fault has hurt. */
interface Value {
  readonly value: number
  readonly items: number
  readonly hurt: number
}

/** The features of one minute by name: `series/what`. */
type Minute = Map<string, Value>

/** Classes from this on. */
const CLEAR = 6
const SUBTLE = 2.5
const CLEAR_SPANS = 10

/** The spread of what is seen too seldom for anybody to say what is unusual. */
const NEVER = (_items: number) => Number.POSITIVE_INFINITY

/** Sizes all faults of a plan. Lives through the stretch twice: with all faults, and without; those that overlap once more each. */
export function measureFaults(world: SimulatedWorld, faults: readonly Fault[], sampled = false): Measured[] {
  const around = faults.map(fault => {
    const middle = (fault.fromMs + fault.toMs) / 2
    return { fromMs: Math.max(0, middle - 30 * MINUTE_MS), toMs: middle + 30 * MINUTE_MS }
  })
  const fromMs = minuteOf(
    Math.min(...around.map(one => one.fromMs), Math.min(...faults.map(one => one.fromMs))),
  )
  const toMs = Math.max(...around.map(one => one.toMs), ...faults.map(one => one.toMs)) + MINUTE_MS
  // Of a bad release the pod is the place: there the siblings are told apart.
  const apart = new Set(faults.filter(({ kind }) => kind === 'bad release').map(({ service }) => service))
  const live = (present: readonly Fault[], at: readonly { fromMs: number; toMs: number }[]) => {
    const wanted = (beginMs: number) =>
      at.some(one => beginMs >= one.fromMs - MINUTE_MS && beginMs < one.toMs)
    const minutes = new Map<number, Minute>()
    for (const window of windows(world, {
      fromMs,
      toMs,
      faults: present,
      sampled,
      widthMs: MINUTE_MS,
      wanted,
    }))
      minutes.set(window.fromMs - BEGINNING_MS, features(world, window, apart))
    return minutes
  }
  const twin = live([], around)
  const whole = live(faults, faults)
  return faults.map((fault, n) => {
    const others = faults.filter(one => one !== fault && one.fromMs < fault.toMs && one.toMs > fault.fromMs)
    const without = others.length === 0 ? twin : live(others, [fault])
    return measure(world, fault, whole, without, twin, around[n])
  })
}

const minuteOf = (ms: number) => Math.floor(ms / MINUTE_MS) * MINUTE_MS

function measure(
  world: SimulatedWorld,
  fault: Fault,
  whole: Map<number, Minute>,
  without: Map<number, Minute>,
  twin: Map<number, Minute>,
  around: { fromMs: number; toMs: number },
): Measured {
  const hour = [...twin]
    .filter(([at]) => at >= around.fromMs - MINUTE_MS && at < around.toMs)
    .map(([, minute]) => minute)
  const during: number[] = []
  for (
    let at = Math.ceil(fault.fromMs / MINUTE_MS) * MINUTE_MS;
    at + MINUTE_MS <= fault.toMs;
    at += MINUTE_MS
  )
    during.push(at)
  // A drift is as large as it becomes.
  const judged = fault.kind === 'slow drift' ? during.slice(-Math.ceil(during.length / 5)) : during
  const names = new Set<string>()
  for (const at of judged)
    for (const from of [whole, without]) for (const name of from.get(at)?.keys() ?? []) names.add(name)
  let best = { shift: 0, affected: 0, feature: '', spread: NEVER }
  let bestClear = best
  for (const name of names) {
    const spread = spreadOf(name, hour)
    const shifts = judged.map(at => shiftAt(name, whole.get(at), without.get(at), spread))
    const shift = median(shifts.map(Math.abs))
    if (!(shift > best.shift || shift > bestClear.shift)) continue
    const expected =
      fault.kind === 'silence' || fault.kind === 'traffic drop' || fault.kind === 'missing child'
    const affected = median(
      judged.map(at =>
        expected ? (without.get(at)?.get(name)?.items ?? 0) : (whole.get(at)?.get(name)?.hurt ?? 0),
      ),
    )
    const found = { shift, affected, feature: name, spread }
    if (shift > best.shift) best = found
    if (affected >= CLEAR_SPANS && shift > bestClear.shift) bestClear = found
  }
  const clear = bestClear.shift >= CLEAR
  const { shift, affected, feature, spread } = clear ? bestClear : best
  const size = clear ? 'clear' : shift >= SUBTLE ? 'subtle' : 'faint'
  const least = clear ? CLEAR : SUBTLE
  const first = during.find(at => Math.abs(shiftAt(feature, whole.get(at), without.get(at), spread)) >= least)
  const [series, what] = feature.split('/')
  const said = series === '' ? 'nothing' : `${what} of ${describe(world, series)}`
  const exceedsMs = Math.max(fault.fromMs, first ?? fault.fromMs)
  return { fault, size, shift, affected, feature: said, exceedsMs }
}

function describe({ topology }: SimulatedWorld, place: string): string {
  return place
    .split('>')
    .map(one => {
      const [id, pod] = one.split('@')
      const { service, name } = topology.series[Number(id)]
      return `${service.name}${pod === undefined ? '' : `, pod ${pod},`} ${name}`
    })
    .join(' > ')
}

function shiftAt(
  name: string,
  whole: Minute | undefined,
  without: Minute | undefined,
  spread: (items: number) => number,
) {
  const one = whole?.get(name)
  const other = without?.get(name)
  const isCount = name.endsWith('/count')
  if (!isCount && (one === undefined || other === undefined)) return 0
  return ((one?.value ?? 0) - (other?.value ?? 0)) / spread(other?.items ?? 0)
}

/** Half the distance from the 16th to the 84th percentile; of shares and counts not less than one item. */
function spreadOf(name: string, hour: readonly Minute[]): (items: number) => number {
  const kind = name.slice(name.indexOf('/') + 1)
  const values = hour.map(minute => minute.get(name)?.value ?? (kind === 'count' ? 0 : Number.NaN))
  const sorted = values.filter(value => !Number.isNaN(value)).sort((a, b) => a - b)
  if (sorted.length < 10) return NEVER
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))]
  const half = (at(0.84) - at(0.16)) / 2
  if (kind === 'count') return () => Math.max(1, half)
  if (kind === 'failures' || kind === 'children') return items => Math.max(1 / Math.max(1, items), half)
  return () => Math.max(1e-3, half)
}

/** What one minute can say of a series: medians and the ninth tenth of durations as logarithms, shares and counts. */
function features({ topology }: SimulatedWorld, window: WindowSummary, apart: ReadonlySet<Service>): Minute {
  const minute: Minute = new Map()
  const { count, failures, offsets, touched, durationMs, selfMs, gapMs } = window
  for (let series = 0; series < count.length; series++) {
    const items = count[series]
    if (items === 0) continue
    const [from, to] = [offsets[series], offsets[series + 1]]
    const hurt = touched[series]
    const put = (what: string, value: number) => minute.set(`${series}/${what}`, { value, items, hurt })
    const duration = durationMs.slice(from, to).sort()
    put('count', items)
    put('failures', failures[series] / items)
    put('duration', logOf(duration, 0.5))
    put('slowest duration', logOf(duration, 0.9))
    put('self', logOf(selfMs.slice(from, to).sort(), 0.5))
    const gaps = gapMs.slice(from, to).filter(gap => !Number.isNaN(gap))
    if (gaps.length > 0) put('gap', logOf(gaps.sort(), 0.5))
    if (apart.has(topology.series[series].service)) putPods(minute, window, series)
  }
  for (const { parent, child, count: times } of window.children) {
    const items = count[parent]
    if (items === 0) continue
    minute.set(`${parent}>${child}/children`, { value: times / items, items, hurt: touched[parent] })
  }
  return minute
}

/** Each pod's own part of a series, by the pod's place among its siblings. */
function putPods(minute: Minute, window: WindowSummary, series: number) {
  const rows = new Map<number, number[]>()
  for (let row = window.offsets[series]; row < window.offsets[series + 1]; row++) {
    const { place } = window.pods[window.pod[row]]
    const own = rows.get(place)
    if (own === undefined) rows.set(place, [row])
    else own.push(row)
  }
  for (const [place, own] of rows) {
    const items = own.length
    const having = (flag: number) => own.filter(row => (window.flags[row] & flag) !== 0).length
    const hurt = having(TOUCHED)
    const put = (what: string, value: number) =>
      minute.set(`${series}@${place}/${what}`, { value, items, hurt })
    put('failures', having(FAILED) / items)
    put('duration', logOf(Float64Array.from(own, row => window.durationMs[row]).sort(), 0.5))
    put('self', logOf(Float64Array.from(own, row => window.selfMs[row]).sort(), 0.5))
  }
}

/** Of sorted durations in ms; none shorter than a microsecond counts as shorter. */
const logOf = (sorted: Float64Array, share: number) =>
  Math.log(Math.max(1e-3, sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]))

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted.length === 0 ? 0 : sorted[Math.floor(sorted.length / 2)]
}
