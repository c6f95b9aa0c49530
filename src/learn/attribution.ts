//! What the hurt spans of a place have in common: keeps the drawn spans of the last minutes and what was usual before, and compares on demand.
import { clip } from '../base/words.ts'
import type { FeatureWindow, Samples } from '../bus/bus.ts'
import { contributors } from '../detect/contributors.ts'
import { LAG_WINDOWS, WINDOWS_KEPT } from '../detect/scales.ts'
import type { Evidence } from './evidence.ts'
import type { Feature } from './feature.ts'
import type { Landscape, ServiceNode } from './landscape.ts'
import { percent } from './phrases.ts'
import { CLASSES, idAt } from './places.ts'
import type { Series } from './series.ts'
import { Usual, Usuals } from './usual.ts'

const SERVER = 2
const CONSUMER = 5

/** Spans that are compared at most, the latest. */
const MOST_SPANS = 3000
/** Comparisons in one window: one takes some milliseconds, and the plane is not to be held up by a hundred departures at once. */
const MOST_A_WINDOW = 8
/** Attributes of which is known what is usual, for each side of a service. */
const MOST_ATTRIBUTES = 96
/** What is usual is of the last so many spans or so: beyond, everything weighs half. */
const KEPT_SPANS = 1000
/** A series' usual duration must rest on so many spans before others are compared with it. */
const LEAST_KNOWN = 10
const MOST_CHARACTERS = 200

/** What is usual of the spans that a service serves, or of those by which it calls others. */
export class Side {
  readonly all = new Usual()
  readonly byKey = new Map<string, Map<string, Usual>>()
  #attributes = 0

  of(key: string, value: string): Usual | null {
    const known = this.byKey.get(key)?.get(value)
    if (known !== undefined) return known
    if (this.#attributes >= MOST_ATTRIBUTES) this.#drop(2)
    if (this.#attributes >= MOST_ATTRIBUTES) return null
    this.#attributes++
    // Only now: what is dropped takes keys with it.
    let values = this.byKey.get(key)
    if (values === undefined) this.byKey.set(key, (values = new Map()))
    const usual = new Usual()
    values.set(value, usual)
    return usual
  }

  age(): void {
    if (this.all.n < KEPT_SPANS) return
    this.all.halve()
    for (const values of this.byKey.values()) for (const usual of values.values()) usual.halve()
    this.#drop(0.5)
  }

  /** Those of fewer spans: identifiers, and what is no longer seen. */
  #drop(least: number): void {
    for (const [key, values] of this.byKey) {
      for (const [value, { n }] of values) {
        if (n >= least) continue
        values.delete(value)
        this.#attributes--
      }
      if (values.size === 0) this.byKey.delete(key)
    }
  }
}

interface Kept {
  readonly startMs: number
  readonly endMs: number
  readonly samples: Samples
  /** By row; null where the series had not been met. */
  readonly series: readonly (Series | null)[]
  learned: boolean
}

/** Rows by series, in the order of their first. */
function rowsOf({ series }: Kept): ReadonlyMap<Series, readonly number[]> {
  const rows = new Map<Series, number[]>()
  for (const [row, known] of series.entries()) {
    if (known === null) continue
    const list = rows.get(known)
    if (list === undefined) rows.set(known, [row])
    else list.push(row)
  }
  return rows
}

/** While something of a service departs, its spans do not say what is usual. */
interface Hurt {
  sinceMs: number
  untilMs: number
}

export class Attribution {
  readonly #kept: Kept[] = []
  /** Of each series the logarithm of its durations. */
  #levels = new Usuals()
  readonly #sides = new Map<string, Side>()
  readonly #hurt = new Map<ServiceNode, Hurt>()
  readonly #made = new Map<string, readonly string[]>()
  #left = MOST_A_WINDOW

  /** After each window has been judged. */
  note({ startMs, endMs, samples, series }: FeatureWindow, { landscape, features }: Evidence): void {
    this.#levels = landscape.usuals
    this.#made.clear()
    this.#left = MOST_A_WINDOW
    // What has not been met yet is not met here: its trace is still under way.
    const known = Array.from(samples.series, one => landscape.series.get(series[one].id) ?? null)
    this.#kept.push({ startMs, endMs, samples, series: known, learned: false })
    if (this.#kept.length > WINDOWS_KEPT) this.#kept.shift()
    for (const { isFrozen, sinceMs, place } of features) {
      if (!isFrozen) continue
      this.#note(place.service, sinceMs, endMs)
      if (place.caller !== null) this.#note(place.caller, sinceMs, endMs)
    }
    const old = this.#kept.at(-1 - LAG_WINDOWS)
    if (old !== undefined && !old.learned) this.#learn(old)
  }

  /**
   * What sets the hurt spans of a place apart, strongest first: `cloud.region=eu (88 % of slow, 13 % of normal)`. Empty where nothing does,
   * where too little is known, or where the place is of a kind that attributes say nothing about.
   * @param known values that are named already: what they explain is not named again
   */
  of(feature: Feature, known: readonly string[] = []): readonly string[] {
    const { kind, name } = CLASSES[feature.class]
    if (kind === 'count' || name === 'structure' || Number.isNaN(feature.sinceMs)) return []
    const key = JSON.stringify([idAt(feature), feature.sinceMs, known])
    let made = this.#made.get(key)
    if (made === undefined) {
      if (this.#left === 0) return []
      this.#left--
      made = this.#compare(feature, kind === 'location' ? 'slow' : 'failed', known)
      this.#made.set(key, made)
    }
    return made
  }

  /** What belongs to services that are forgotten, once an hour. */
  passHour({ services }: Landscape): void {
    for (const service of this.#hurt.keys())
      if (services.get(service.id) !== service) this.#hurt.delete(service)
    for (const id of this.#sides.keys())
      if (!services.has(id.slice(id.indexOf(' ') + 1))) this.#sides.delete(id)
  }

  #note(service: ServiceNode, sinceMs: number, nowMs: number): void {
    const hurt = this.#hurt.get(service)
    const oldestMs = this.#kept[0].startMs
    if (hurt === undefined || hurt.untilMs < oldestMs) this.#hurt.set(service, { sinceMs, untilMs: nowMs })
    else {
      hurt.sinceMs = Math.min(hurt.sinceMs, sinceMs)
      hurt.untilMs = nowMs
    }
  }

  #learn(kept: Kept): void {
    kept.learned = true
    const { samples, startMs, endMs } = kept
    const touched = new Set<Side>()
    for (const [series, list] of rowsOf(kept)) {
      const hurt = this.#hurt.get(series.service)
      if (hurt !== undefined && hurt.sinceMs < endMs && startMs < hurt.untilMs) continue
      const level = this.#levels.of(series) ?? this.#levels.begin(series)
      const side = this.#sideOf(series)
      touched.add(side)
      for (const row of list) {
        const y = Math.log(Math.max(1, samples.durationNs[row]))
        const weight = samples.weight[row]
        const failed = samples.failed[row] === 1
        const off = y - level.mean
        const isKnown = level.n >= LEAST_KNOWN
        level.add(weight, y, failed)
        if (!isKnown) continue
        side.all.add(weight, off, failed)
        for (let at = samples.from[row]; at < samples.from[row + 1]; at++) {
          const [key, value] = samples.attributes[samples.attribute[at]]
          side.of(key, value)?.add(weight, off, failed)
        }
      }
      if (level.n > KEPT_SPANS) level.halve()
    }
    for (const side of touched) side.age()
  }

  #sideOf({ service, isCall }: Series): Side {
    const id = `${isCall ? 'calls' : 'serves'} ${service.id}`
    let side = this.#sides.get(id)
    if (side === undefined) this.#sides.set(id, (side = new Side()))
    return side
  }

  #compare(feature: Feature, hurt: 'slow' | 'failed', known: readonly string[]): readonly string[] {
    const of = seriesOf(feature).filter(series => (this.#levels.of(series)?.n ?? 0) >= LEAST_KNOWN)
    if (of.length === 0) return []
    const side = this.#sideOf(of[0])
    const y: number[] = []
    const weight: number[] = []
    const said: number[][] = []
    const numbers = new Numbers()
    for (const kept of this.#kept.toReversed()) {
      const { startMs, samples } = kept
      if (startMs < feature.sinceMs || y.length >= MOST_SPANS) break
      const rows = rowsOf(kept)
      for (const series of of) {
        const { mean } = this.#levels.of(series) as Usual
        for (const row of rows.get(series) ?? []) {
          const failed = samples.failed[row] === 1
          y.push(hurt === 'failed' ? Number(failed) : Math.log(Math.max(1, samples.durationNs[row])) - mean)
          weight.push(samples.weight[row])
          const own: number[] = []
          for (let at = samples.from[row]; at < samples.from[row + 1]; at++)
            own.push(numbers.of(...samples.attributes[samples.attribute[at]]))
          said.push(own)
        }
      }
    }
    for (const [key, values] of side.byKey) for (const value of values.keys()) numbers.of(key, value)
    const nothing = new Usual().before(hurt)
    const found = contributors({
      hurt,
      y,
      weight,
      said,
      keyOf: numbers.keyOf,
      before: numbers.all.map(([key, value]) => side.byKey.get(key)?.get(value)?.before(hurt) ?? nothing),
      beforeAll: side.all.before(hurt),
      known: [...numbers.all.keys()].filter(number => known.includes(numbers.all[number][1])),
    })
    return found.map(({ attribute, ofHurt, ofNormal }) => {
      const [key, value] = numbers.all[attribute]
      const shares = `(${whole(ofHurt)} of ${hurt}, ${whole(ofNormal)} of normal)`
      return `${clip(`${key}=${value}`, MOST_CHARACTERS - shares.length - 1)} ${shares}`
    })
  }
}

/** Shares of samples: no more digits than they are worth. */
const whole = (share: number): string => percent(Math.round(100 * share) / 100)

/** Attributes by number, in the order in which they are met. */
class Numbers {
  readonly all: (readonly [key: string, value: string])[] = []
  readonly keyOf: number[] = []
  readonly #keys = new Map<string, { readonly number: number; readonly values: Map<string, number> }>()

  of(key: string, value: string): number {
    let known = this.#keys.get(key)
    if (known === undefined) this.#keys.set(key, (known = { number: this.#keys.size, values: new Map() }))
    let number = known.values.get(value)
    if (number === undefined) {
      number = this.all.length
      known.values.set(value, number)
      this.all.push([key, value])
      this.keyOf.push(known.number)
    }
    return number
  }
}

/** The series whose spans show what departs at a place: where something is called those of the caller, else those that take requests. */
function seriesOf({ place }: Feature): Series[] {
  const { service, caller, series, target, targetService } = place
  if (series !== null) return [series]
  if (caller !== null)
    return caller.series.filter(
      each =>
        each.isCall &&
        (targetService === null
          ? each.callee === null && (each.peer || each.key.operation) === target
          : each.callee === targetService),
    )
  const serves = service.series.filter(({ key }) => key.kind === SERVER || key.kind === CONSUMER)
  return serves.length > 0 ? serves : service.series.filter(({ isCall }) => !isCall)
}
