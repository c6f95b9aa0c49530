//! A feature of a place: what one window says of it goes in, how unusual it is comes out.
import { CountSlots, doubleSlots, type Slots } from '../base/slots.ts'
import { CountTrack } from '../detect/counts.ts'
import { DriftTrack } from '../detect/drift.ts'
import { Hours } from '../detect/hours.ts'
import { JUDGED_WIDTH, type Judged, JudgedAt, type Judgement, newJudged } from '../detect/judged.ts'
import { LocationTrack } from '../detect/location.ts'
import { SCALES } from '../detect/scales.ts'
import { type ShareOptions, ShareTrack, type Usual } from '../detect/shares.ts'
import type { PeakRecord } from '../detect/tail.ts'
import { surpriseOf } from '../detect/unusual.ts'
import { CLASSES, type FeatureClass, type FeatureName, type Place, passesFloor } from './places.ts'

/** From this z on a departure is noted with its hour. */
const NOTED_Z = 3

/** What one half of the windows shows counts for so many times as much: by itself it has fewer samples than both. */
const HALF = Math.SQRT2

/** Where in the row of a feature its numbers stand: how unusual it is, what was judged on each scale, this window's sums, and its track. */
const JUDGED = 1
const SUMS = JUDGED + SCALES.length * JUDGED_WIDTH
const MOST_SUMS = 5

type Form = 'location' | 'share' | 'other'
const SUMS_OF: Readonly<Record<Form, number>> = { location: MOST_SUMS, share: 2, other: MOST_SUMS }
const TRACK_WIDTHS: Readonly<Record<Form, number>> = {
  location: LocationTrack.WIDTH,
  share: ShareTrack.WIDTH,
  other: Math.max(CountTrack.WIDTH, DriftTrack.WIDTH),
}
const formOf = (name: FeatureClass): Form =>
  name === 'service drift' || CLASSES[name].kind === 'count' ? 'other' : (CLASSES[name].kind as Form)

/** The rows of all features. */
export class FeatureSlots {
  readonly numbers: Readonly<Record<Form, Slots>> = {
    location: slotsOf('location'),
    share: slotsOf('share'),
    other: slotsOf('other'),
  }
  readonly counts = {
    location: new CountSlots(LocationTrack.COUNTS),
    share: new CountSlots(ShareTrack.COUNTS),
  } as const

  /** Rows that are in use. */
  get size(): number {
    const { location, share, other } = this.numbers
    return location.size + share.size + other.size
  }
}

const slotsOf = (form: Form) => doubleSlots(SUMS + SUMS_OF[form] + TRACK_WIDTHS[form])

/** What one feature shows at one moment: it itself, or what was kept of it. */
export type Sighting = Pick<Feature, 'place' | 'class' | 'name' | 'judged' | 'scale' | 'surprise' | 'sinceMs'>

/** What is known of a departure as long as it goes on. */
interface Departure {
  sinceMs: number
  /** The largest value since then, and when it was. */
  peak: number
  peakMs: number
  /** The largest z by scale since then. */
  readonly peakZ: number[]
  calm: number
  /** What it teaches is held back: since when, else NaN. */
  frozenMs: number
}

const newDeparture = (): Departure => ({
  sinceMs: Number.NaN,
  peak: Number.NEGATIVE_INFINITY,
  peakMs: 0,
  peakZ: SCALES.map(() => 0),
  calm: 0,
  frozenMs: Number.NaN,
})

const NOT_DEPARTING: Readonly<Departure> = Object.freeze(newDeparture())
const NOTHING_HELD: readonly number[] = SCALES.map(() => 0)
/** Used again for each judgement. */
const JUDGEMENTS = SCALES.map(newJudged)

/** How it stands with one feature of one place. */
export class Feature {
  readonly place: Place
  readonly class: FeatureClass
  readonly track: LocationTrack | ShareTrack | CountTrack | DriftTrack
  /** Departures by hour; made with the first. */
  hours: Hours | null = null
  /** A bit by scale: set aside because others that have nothing to do with it depart at the same time. */
  shared = 0
  /** The scale that decides. */
  scale = 0
  /** Hours since a window had anything of it. */
  idleHours = 0
  #held: number[] | null = null
  #departure: Departure | null = null
  #numbers: Float64Array
  #from: number
  readonly #slot: number

  constructor(
    place: Place,
    featureClass: FeatureClass,
    usual: Usual | null = null,
    slots: FeatureSlots = new FeatureSlots(),
  ) {
    this.place = place
    this.class = featureClass
    const form = formOf(featureClass)
    const rows = slots.numbers[form]
    this.#slot = rows.take()
    this.#numbers = rows.pieceOf(this.#slot)
    this.#from = rows.fromOf(this.#slot)
    this.surprise = Number.NEGATIVE_INFINITY
    const numbers = this.#numbers
    const from = this.#track
    this.track =
      form === 'location'
        ? new LocationTrack(numbers, from, slots.counts.location)
        : form === 'share'
          ? new ShareTrack(
              CLASSES[featureClass].share as ShareOptions,
              usual,
              numbers,
              from,
              slots.counts.share,
            )
          : featureClass === 'service drift'
            ? new DriftTrack(numbers, from)
            : new CountTrack(numbers, from)
  }

  /** What it takes up is used by others from now on. What it showed last can still be read. */
  release(slots: FeatureSlots): void {
    const form = formOf(this.class)
    const width = SUMS + SUMS_OF[form] + TRACK_WIDTHS[form]
    this.#numbers = this.#numbers.slice(this.#from, this.#from + width)
    this.#from = 0
    this.track.release(this.#numbers, this.#track)
    slots.numbers[form].give(this.#slot)
  }

  /** Where the row of its track begins. */
  get #track(): number {
    return this.#from + SUMS + SUMS_OF[formOf(this.class)]
  }

  get name(): FeatureName {
    return CLASSES[this.class].name
  }

  /** The deciding statistic: how unusual the most unusual scale is, after persistence. */
  get surprise(): number {
    return this.#numbers[this.#from]
  }

  set surprise(value: number) {
    this.#numbers[this.#from] = value
  }

  /** By scale; they show what is judged then, and not only what is now. */
  get judged(): readonly Judged[] {
    return SCALES.map((_, scale) => new JudgedAt(this.#numbers, this.#judgedAt(scale)))
  }

  /** The largest z on any scale. */
  get highestZ(): number {
    let highest = Number.NEGATIVE_INFINITY
    for (let scale = 0; scale < SCALES.length; scale++) {
      const z = this.#numbers[this.#judgedAt(scale)]
      if (z > highest) highest = z
    }
    return highest
  }

  #judgedAt(scale: number): number {
    return this.#from + JUDGED + scale * JUDGED_WIDTH
  }

  /** z as far as it lasts, by scale; between judging and holding, as far as it would. */
  get held(): readonly number[] {
    return this.#held ?? NOTHING_HELD
  }

  /** This window's sums, in the form that the track takes; those of a share are `a` and `b` alone. */
  get a(): number {
    return this.#numbers[this.#from + SUMS]
  }

  set a(sum: number) {
    this.#numbers[this.#from + SUMS] = sum
  }

  get b(): number {
    return this.#numbers[this.#from + SUMS + 1]
  }

  set b(sum: number) {
    this.#numbers[this.#from + SUMS + 1] = sum
  }

  get c(): number {
    return this.#numbers[this.#from + SUMS + 2]
  }

  set c(sum: number) {
    this.#numbers[this.#from + SUMS + 2] = sum
  }

  get d(): number {
    return this.#numbers[this.#from + SUMS + 3]
  }

  set d(sum: number) {
    this.#numbers[this.#from + SUMS + 3] = sum
  }

  get e(): number {
    return this.#numbers[this.#from + SUMS + 4]
  }

  set e(sum: number) {
    this.#numbers[this.#from + SUMS + 4] = sum
  }

  /** Since when it has been departing; NaN while it is not. */
  get sinceMs(): number {
    return (this.#departure ?? NOT_DEPARTING).sinceMs
  }

  set sinceMs(value: number) {
    if (!Object.is(value, this.sinceMs)) (this.#departure ??= newDeparture()).sinceMs = value
  }

  /** The largest value since then, and when it was. */
  get peak(): number {
    return (this.#departure ?? NOT_DEPARTING).peak
  }

  set peak(value: number) {
    if (!Object.is(value, this.peak)) (this.#departure ??= newDeparture()).peak = value
  }

  /** In which window that was. */
  get peakMs(): number {
    return (this.#departure ?? NOT_DEPARTING).peakMs
  }

  set peakMs(value: number) {
    if (!Object.is(value, this.peakMs)) (this.#departure ??= newDeparture()).peakMs = value
  }

  /** So many windows in a row it has been within what is usual. */
  get calm(): number {
    return (this.#departure ?? NOT_DEPARTING).calm
  }

  set calm(value: number) {
    if (!Object.is(value, this.calm)) (this.#departure ??= newDeparture()).calm = value
  }

  /** What it teaches is held back: since when, else NaN. */
  get frozenMs(): number {
    return (this.#departure ?? NOT_DEPARTING).frozenMs
  }

  set frozenMs(value: number) {
    if (!Object.is(value, this.frozenMs)) (this.#departure ??= newDeparture()).frozenMs = value
  }

  /** The largest z by scale since it has been departing. To be written only while it is. */
  get peakZ(): number[] {
    return (this.#departure ?? NOT_DEPARTING).peakZ
  }

  get isFrozen(): boolean {
    return !Number.isNaN(this.frozenMs)
  }

  /** It departs no more. */
  settle(): void {
    this.#departure = null
  }

  /** Whether none of the last windows has anything of it. */
  get #isQuiet(): boolean {
    const { track } = this
    return (track instanceof LocationTrack || track instanceof ShareTrack) && track.isEmpty
  }

  /** Whether a window has anything of it: what is counted, or missing, is there when it comes; a share when there is something to take it of. */
  get #isSeen(): boolean {
    const { kind } = CLASSES[this.class]
    if (kind === 'location') return this.d > 0
    return (kind === 'count' || this.class.endsWith(' missing') ? this.a : this.b) > 0
  }

  /** Ends the window: what it holds is judged. */
  judge(windowMs: number): void {
    const { track } = this
    const learn = !this.isFrozen
    if (this.#isSeen) this.idleHours = 0
    if (track instanceof LocationTrack) track.push(this.a, this.b, this.c, this.d, this.e)
    else if (track instanceof DriftTrack) track.push(this.a, this.d > 0 ? this.b : Number.NaN, this.e)
    else if (track instanceof ShareTrack) track.push(this.a, this.b, learn, windowMs)
    else track.push(this.a, learn, windowMs)
    this.#numbers.fill(0, this.#from + SUMS, this.#track)
    const judged = JUDGEMENTS
    this.#load(judged)
    if (this.#isQuiet)
      for (const each of judged) each.z = each.shift = each.sd = each.n = each.later = each.earlier = 0
    // What departs says nothing about what is usual from window to window.
    else track.judge(judged, learn && Number.isNaN(this.sinceMs))
    this.#store(judged)
  }

  /** What was judged last: a track that judges once an hour leaves it as it is. */
  #load(judged: readonly Judgement[]): void {
    for (let scale = 0; scale < SCALES.length; scale++) {
      const at = this.#judgedAt(scale)
      const into = judged[scale]
      into.z = into.later = into.earlier = this.#numbers[at]
      into.shift = this.#numbers[at + 1]
      into.sd = this.#numbers[at + 2]
      into.level = this.#numbers[at + 3]
      into.n = this.#numbers[at + 4]
    }
  }

  #store(judged: readonly Judgement[]): void {
    let lasting: number[] | null = null
    for (let scale = 0; scale < SCALES.length; scale++) {
      const { z, shift, sd, level, n, later, earlier } = judged[scale]
      const at = this.#judgedAt(scale)
      this.#numbers[at] = z
      this.#numbers[at + 1] = shift
      this.#numbers[at + 2] = sd
      this.#numbers[at + 3] = level
      this.#numbers[at + 4] = n
      const both = HALF * Math.min(later, earlier)
      if (both <= 0) continue
      lasting ??= SCALES.map(() => 0)
      lasting[scale] = both
    }
    this.#held = lasting
  }

  /**
   * How unusual that is, after persistence.
   * @param nowMs end of the window
   * @param shared by scale, whether others that have nothing to do with it depart at the same time
   */
  hold(tails: readonly PeakRecord[], shared: readonly boolean[], nowMs: number): void {
    this.surprise = Number.NEGATIVE_INFINITY
    this.shared = 0
    if (this.#isQuiet) {
      this.#held = null
      return
    }
    const lasting = this.#held
    const { judged } = this
    let held: number[] | null = null
    for (let scale = 0; scale < SCALES.length; scale++) {
      const one = judged[scale]
      if (shared[scale]) this.shared |= 1 << scale
      const z = !shared[scale] && passesFloor(this.class, one) ? this.#beyondUsual(one, nowMs) : 0
      const lasts = lasting === null ? 0 : Math.max(0, Math.min(z, lasting[scale]))
      if (lasts === 0) continue
      held ??= SCALES.map(() => 0)
      held[scale] = lasts
      const surprise = surpriseOf(tails[scale], lasts)
      if (surprise > this.surprise) {
        this.surprise = surprise
        this.scale = scale
      }
    }
    this.#held = held
  }

  /** What of it the same hours of the days before did not have. */
  #beyondUsual({ z, shift }: Judged, nowMs: number): number {
    if (z >= NOTED_Z) (this.hours ??= new Hours()).note(nowMs, shift)
    const usual = this.hours?.usual(nowMs) ?? 0
    return usual === 0 ? z : z * Math.max(0, 1 - usual / shift)
  }

  /** Forgets the last windows, and with them any departure. */
  clear(): void {
    this.track.clear()
    this.#held = null
    this.surprise = Number.NEGATIVE_INFINITY
    this.settle()
  }
}
