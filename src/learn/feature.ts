//! A feature of a place: what one window says of it goes in, how unusual it is comes out.
import type { CountTrack } from '../detect/counts.ts'
import { DriftTrack } from '../detect/drift.ts'
import { BEYOND, Run } from '../detect/excess.ts'
import { Hours } from '../detect/hours.ts'
import { clearJudged, type Judged, type Judgement, newJudged } from '../detect/judged.ts'
import { LocationTrack } from '../detect/location.ts'
import { SCALES } from '../detect/scales.ts'
import { ShareTrack, type Usual } from '../detect/shares.ts'
import { WindowTrack } from '../detect/track-row.ts'
import type { ClassRecord } from '../detect/unusual.ts'
import { FeatureRow, FeatureSlots } from './feature-row.ts'
import type { Part } from './parts.ts'
import { CLASSES, type FeatureClass, type FeatureName, type Place, passesFloor } from './places.ts'

/** From this z on a departure is noted with its hour. */
const NOTED_Z = 3

/** What one half of the windows shows counts for so many times as much: by itself it has fewer samples than both. */
const HALF = Math.SQRT2

/** Of times and failures one half may show so many times as much as the other: what begins within a window does. More says that one window is odd, and not that it lasts. */
const MOST_UNEVEN = 2

/** What both halves of the windows show. */
function inBoth({ later, earlier }: Judgement, mostUneven: number): number {
  const less = Math.min(later, earlier)
  return less > 0 ? Math.sqrt(less * Math.min(mostUneven * less, Math.max(later, earlier))) : 0
}

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
const NOTHING: ReadonlySet<never> = new Set()
/** Used again for each judgement. */
const JUDGEMENTS = SCALES.map(newJudged)

/** How it stands with one feature of one place. */
export class Feature extends FeatureRow {
  readonly place: Place
  /** Departures by hour; made with the first. */
  hours: Hours | null = null
  #held: number[] | null = null
  /** What has been beyond the usual and is not over. */
  #run: Run | null = null
  #departure: Departure | null = null

  constructor(place: Place, featureClass: FeatureClass, slots: FeatureSlots = new FeatureSlots()) {
    super(featureClass, slots)
    this.place = place
    const { track } = this
    if (track instanceof WindowTrack) track.begin()
  }

  override release(slots: FeatureSlots): void {
    const { track } = this
    if (track instanceof WindowTrack) track.end()
    super.release(slots)
  }

  /** Most are views of the row, made when they are asked for. */
  get track(): LocationTrack | ShareTrack | CountTrack | DriftTrack {
    const { share } = CLASSES[this.class]
    if (this.form === 'location') return new LocationTrack(this.trackRow)
    if (share !== undefined) return new ShareTrack(share, this.usual, this.trackRow)
    return this.ownTrack as CountTrack | DriftTrack
  }

  /** What a pod is measured by: the failures of its service. Of all others each has a usual of its own. */
  protected get usual(): Usual | null {
    if (this.class !== 'pod failure') return null
    const { failures } = this.place.service
    return failures === null ? null : (failures.track as ShareTrack)
  }

  get name(): FeatureName {
    return CLASSES[this.class].name
  }

  /** z as far as it lasts, by scale; between judging and holding, as far as it would. */
  get held(): readonly number[] {
    return this.#held ?? NOTHING_HELD
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

  /** It departs no more. `isCalm`: what it did belongs to calm times, and teaches how far beyond the usual it goes in them. */
  settle(isCalm: boolean): void {
    this.#departure = null
    if (isCalm && this.#run !== null) this.excess.learn(this.#run)
    this.#run = null
  }

  /** Whether a window has anything of it: what is counted, or missing, is there when it comes; a share when there is something to take it of. */
  protected get isSeen(): boolean {
    const { kind } = CLASSES[this.class]
    if (kind === 'location') return this.d > 0
    return (kind === 'count' || this.class.endsWith(' missing') ? this.a : this.b) > 0
  }

  /** Ends the window: what it holds is judged. */
  judge(windowMs: number): void {
    const { track } = this
    const learn = !this.isFrozen
    if (this.isSeen) this.idleHours = 0
    if (track instanceof LocationTrack) track.push(this.a, this.b, this.c, this.d, this.e)
    else if (track instanceof DriftTrack) track.push(this.a, this.d > 0 ? this.b : Number.NaN, this.e)
    else if (track instanceof ShareTrack) track.push(this.a, this.b, learn, windowMs)
    else track.push(this.a, this.b, learn, windowMs)
    this.clearSums()
    const judged = JUDGEMENTS
    this.load(judged)
    if (this.isQuiet) judged.forEach(clearJudged)
    // What departs says nothing about what is usual from window to window.
    else track.judge(judged, learn && Number.isNaN(this.sinceMs))
    this.store(judged)
    let lasting: number[] | null = null
    let isBeyond = false
    // What is missing, or comes less often, is mostly a consequence: whom it follows from is to be told first.
    const mostUneven = this.name === 'structure' || this.name === 'rate' ? 1 : MOST_UNEVEN
    for (let scale = 0; scale < SCALES.length; scale++) {
      const both = HALF * inBoth(judged[scale], mostUneven)
      if (both <= 0) continue
      lasting ??= SCALES.map(() => 0)
      lasting[scale] = both
      const z = Math.min(judged[scale].z, both)
      // A drift is judged once an hour, and stands in between.
      if (z > BEYOND && !(track instanceof DriftTrack)) {
        this.#run ??= new Run()
        this.#run.note(scale, z)
        isBeyond = true
      }
    }
    this.#held = lasting
    if (!isBeyond && this.#run !== null && Number.isNaN(this.sinceMs)) this.settle(true)
  }

  /**
   * How unusual that is, after persistence.
   * @param nowMs end of the window
   * @param shared by scale, whether others that have nothing to do with it depart at the same time
   * @param without parts that are switched off
   */
  hold(
    tails: readonly ClassRecord[],
    shared: readonly boolean[],
    nowMs: number,
    without: ReadonlySet<Part> = NOTHING,
  ): void {
    this.surprise = this.decisive = Number.NEGATIVE_INFINITY
    this.shared = 0
    if (this.isQuiet) {
      this.#held = null
      return
    }
    const lasting = this.#held
    // Most places, most of the time.
    if (lasting === null && this.highestZ < NOTED_Z && !shared.includes(true)) return
    const { judged } = this
    let held: number[] | null = null
    for (let scale = 0; scale < SCALES.length; scale++) {
      const one = judged[scale]
      if (shared[scale]) this.shared |= 1 << scale
      const rush = this.rush(scale)
      const passes = !shared[scale] && (without.has('floors') || passesFloor(this.class, one, rush))
      const z = passes ? this.beyondUsual(one, nowMs, rush, without.has('hours')) : 0
      if (lasting === null || !(z > 0) || !(lasting[scale] > 0)) continue
      const lasts = this.excess.measured(scale, Math.min(z, lasting[scale]))
      held ??= SCALES.map(() => 0)
      held[scale] = lasts
      const surprise = tails[scale].surprise(lasts, this.calmDepartures)
      if (surprise > this.surprise) {
        this.surprise = surprise
        this.scale = scale
      }
    }
    this.#held = held
  }

  /** How unusual what is judged on one scale is here, whether or not it lasts. */
  surpriseAt(scale: number, tails: readonly ClassRecord[]): number {
    return tails[scale].surprise(this.excess.measured(scale, this.judged[scale].z), this.calmDepartures)
  }

  /** How much of a departure a rush of requests explains: as a logarithm, 0 where there is none. */
  rush(scale: number): number {
    const isWork = this.class === 'service self' || this.class === 'operation self'
    return isWork ? this.place.service.load.more[scale] : 0
  }

  /** What of it the same hours of the days before did not have, and a rush does not explain. */
  protected beyondUsual({ z, shift }: Judged, nowMs: number, rush: number, withoutHours: boolean): number {
    if (z >= NOTED_Z && !withoutHours) (this.hours ??= new Hours()).note(nowMs, shift)
    const usual = Math.max(rush, this.hours?.usual(nowMs) ?? 0)
    return usual === 0 ? z : z * Math.max(0, 1 - usual / shift)
  }

  /** Forgets all that is usual too. */
  restart(): void {
    const { track } = this
    if (track instanceof WindowTrack) {
      track.end()
      track.begin()
    }
    this.clear()
  }

  /** Forgets the last windows, and with them any departure. */
  clear(): void {
    this.track.clear()
    this.#held = null
    this.surprise = this.decisive = Number.NEGATIVE_INFINITY
    this.settle(false)
  }
}
