//! The places that are watched, each with its features: what one window says of a place goes in, how unusual it is comes out.
import { doubles } from '../base/doubles.ts'
import { CountTrack } from '../detect/counts.ts'
import { DriftTrack } from '../detect/drift.ts'
import { Hours } from '../detect/hours.ts'
import { type Judged, newJudged } from '../detect/judged.ts'
import { LocationTrack } from '../detect/location.ts'
import { SCALES } from '../detect/scales.ts'
import { type ShareOptions, ShareTrack, type Usual } from '../detect/shares.ts'
import type { PeakRecord } from '../detect/tail.ts'
import { surpriseOf } from '../detect/unusual.ts'
import type { Pod, Series, ServiceNode } from './landscape.ts'

/** What users read in `otlier.anomaly.feature`. */
export type FeatureName = 'duration' | 'self' | 'gap' | 'failure' | 'rate' | 'structure'

/** What is pooled in calibration: alike in kind, whatever the place. */
export type FeatureClass =
  | 'service self'
  | 'operation self'
  | 'service drift'
  | 'pod self'
  | 'young pod self'
  | 'edge gap'
  | 'peer duration'
  | 'service failure'
  | 'operation failure'
  | 'pod failure'
  | 'edge failure'
  | 'service unseen'
  | 'call missing'
  | 'step missing'
  | 'entry rate'

/** Where something can be wrong. `service` is whom it points at. */
export interface Place {
  readonly id: string
  readonly service: ServiceNode
  /** The side that noticed: of an edge its caller. */
  readonly caller: ServiceNode | null
  readonly series: Series | null
  readonly pod: Pod | null
  /** The callee or peer of a call by name. */
  readonly target: string
  readonly targetService: ServiceNode | null
  /** What tells it apart beside all that. */
  readonly detail: string
}

type Kind = 'location' | 'share' | 'count'

interface ClassRow {
  readonly name: FeatureName
  readonly kind: Kind
  readonly share?: ShareOptions
  /** What z reaches once an hour somewhere in a deployment of average size, by scale, and how fast its tail falls: what is believed beforehand. */
  readonly hourly: readonly number[]
  readonly scale: number
  /** How many places of the class such a deployment has: with fewer it comes less often. */
  readonly places: number
  /** The least effect that counts: durations as a ratio, shares as a difference, counts as a ratio. */
  readonly floor: number
}

/** From this z on a departure is noted with its hour. */
const NOTED_Z = 3

/** What one half of the windows shows counts for so many times as much: by itself it has fewer samples than both. */
const HALF = Math.SQRT2

/** A duration must rise by at least this, whatever the ratio. */
export const FLOOR_NS = 0.3e6

const FAILURE: ShareOptions = { worse: 'more', leastSpread: 0.005 }

export const CLASSES: Readonly<Record<FeatureClass, ClassRow>> = {
  'service self': {
    name: 'self',
    kind: 'location',
    hourly: [5.2, 4.5, 4, 3.8],
    scale: 0.16,
    places: 40,
    floor: 1.3,
  },
  'operation self': {
    name: 'self',
    kind: 'location',
    hourly: [5.8, 5, 4.3, 4.1],
    scale: 0.14,
    places: 125,
    floor: 1.4,
  },
  'service drift': {
    name: 'self',
    kind: 'location',
    hourly: [1.8, 1.8, 1.8, 1.8],
    scale: 0.15,
    places: 40,
    floor: 1.25,
  },
  'pod self': {
    name: 'self',
    kind: 'location',
    hourly: [8, 9, 9, 8.5],
    scale: 0.15,
    places: 300,
    floor: 1.4,
  },
  'young pod self': {
    name: 'self',
    kind: 'location',
    hourly: [5.2, 4.8, 3.9, 3.8],
    scale: 0.14,
    places: 250,
    floor: 1.4,
  },
  'edge gap': {
    name: 'gap',
    kind: 'location',
    hourly: [3.9, 3.9, 3.1, 3.1],
    scale: 0.2,
    places: 95,
    floor: 1.3,
  },
  'peer duration': {
    name: 'duration',
    kind: 'location',
    hourly: [3.7, 3.7, 3.3, 3.2],
    scale: 0.2,
    places: 50,
    floor: 1.3,
  },
  'service failure': {
    name: 'failure',
    kind: 'share',
    share: FAILURE,
    hourly: [2, 2, 2, 2],
    scale: 0.28,
    places: 40,
    floor: 0.015,
  },
  'operation failure': {
    name: 'failure',
    kind: 'share',
    share: FAILURE,
    hourly: [1.8, 2.2, 2.2, 2],
    scale: 0.28,
    places: 125,
    floor: 0.015,
  },
  'pod failure': {
    name: 'failure',
    kind: 'share',
    share: FAILURE,
    hourly: [2.1, 2.2, 2, 1.9],
    scale: 0.25,
    places: 300,
    floor: 0.015,
  },
  'edge failure': {
    name: 'failure',
    kind: 'share',
    share: FAILURE,
    hourly: [2.4, 2.4, 2.4, 2.4],
    scale: 0.18,
    places: 150,
    floor: 0.015,
  },
  'service unseen': {
    name: 'structure',
    kind: 'share',
    share: { worse: 'more', leastSpread: 0.05 },
    hourly: [1.5, 1.5, 1.5, 1.5],
    scale: 0.37,
    places: 35,
    floor: 0.6,
  },
  'call missing': {
    name: 'structure',
    kind: 'share',
    share: { worse: 'less', leastSpread: 0.01 },
    hourly: [3.2, 3, 2.4, 2.2],
    scale: 0.14,
    places: 180,
    floor: 0.02,
  },
  'step missing': {
    name: 'structure',
    kind: 'share',
    share: { worse: 'less', leastSpread: 0.01 },
    hourly: [2.2, 2.3, 2.2, 2],
    scale: 0.14,
    places: 30,
    floor: 0.05,
  },
  'entry rate': {
    name: 'rate',
    kind: 'count',
    hourly: [3.5, 3, 2, 1.5],
    scale: 0.12,
    places: 5,
    floor: 1.25,
  },
}
export const FEATURE_CLASSES = Object.keys(CLASSES) as FeatureClass[]

/** Where the largest z of a class is noted, by scale. */
export type Tails = Readonly<Record<FeatureClass, readonly PeakRecord[]>>

/** What one feature shows at one moment: it itself, or what was kept of it. */
export type Sighting = Pick<Feature, 'place' | 'class' | 'name' | 'judged' | 'scale' | 'surprise' | 'sinceMs'>

/** How it stands with one feature of one place. */
export class Feature {
  readonly place: Place
  readonly class: FeatureClass
  readonly track: LocationTrack | ShareTrack | CountTrack | DriftTrack
  readonly judged: Judged[] = SCALES.map(newJudged)
  #quiet = true
  /** Departures by hour; made with the first. */
  hours: Hours | null = null
  /** A bit by scale: set aside because others that have nothing to do with it depart at the same time. */
  shared = 0
  /** z as far as it lasts, by scale. */
  readonly held = doubles(SCALES.length)
  /** The deciding statistic: how unusual the most unusual scale is, after persistence. */
  surprise = Number.NEGATIVE_INFINITY
  /** The scale that decides. */
  scale = 0
  /** This window's sums, in the form that the track takes. */
  a = 0
  b = 0
  c = 0
  d = 0
  e = 0
  /** Since when it has been departing; NaN while it is not. */
  sinceMs = Number.NaN
  /** The largest value since then, and when it was. */
  peak = Number.NEGATIVE_INFINITY
  peakMs = 0
  /** The largest z by scale since then. */
  readonly peakZ = doubles(SCALES.length)
  calm = 0
  /** What it teaches is held back: since when, else NaN. */
  frozenMs = Number.NaN
  /** Hours since a window had anything of it. */
  idleHours = 0
  /** The sum that says whether a window has. */
  readonly #sign: 'a' | 'b' | 'd'

  constructor(place: Place, featureClass: FeatureClass, usual: Usual | null = null) {
    const row = CLASSES[featureClass]
    this.place = place
    this.class = featureClass
    // What is counted, or missing, is there when it comes; a share when there is something to take it of.
    this.#sign =
      row.kind === 'location' ? 'd' : row.kind === 'count' || featureClass.endsWith(' missing') ? 'a' : 'b'
    this.track =
      featureClass === 'service drift'
        ? new DriftTrack()
        : row.kind === 'location'
          ? new LocationTrack()
          : row.kind === 'count'
            ? new CountTrack()
            : new ShareTrack(row.share as ShareOptions, usual)
  }

  get name(): FeatureName {
    return CLASSES[this.class].name
  }

  get isFrozen(): boolean {
    return !Number.isNaN(this.frozenMs)
  }

  /** Ends the window: what it holds is judged. */
  judge(windowMs: number): void {
    const { track, judged } = this
    const learn = !this.isFrozen
    if (this[this.#sign] > 0) this.idleHours = 0
    if (track instanceof LocationTrack) track.push(this.a, this.b, this.c, this.d, this.e)
    else if (track instanceof DriftTrack) track.push(this.a, this.d > 0 ? this.b : Number.NaN, this.e)
    else if (track instanceof ShareTrack) track.push(this.a, this.b, learn, windowMs)
    else track.push(this.a, this.b, learn, windowMs)
    this.a = this.b = this.c = this.d = this.e = 0
    this.#quiet = (track instanceof LocationTrack || track instanceof ShareTrack) && track.isEmpty
    if (this.#quiet)
      for (const each of judged) each.z = each.shift = each.sd = each.n = each.later = each.earlier = 0
    // What departs says nothing about what is usual from window to window.
    else track.judge(judged, learn && Number.isNaN(this.sinceMs))
  }

  /** How unusual that is, after persistence. `shared`: by scale, whether others that have nothing to do with it depart at the same time. */
  hold(tails: readonly PeakRecord[], shared: readonly boolean[], nowMs: number): void {
    this.surprise = Number.NEGATIVE_INFINITY
    this.shared = 0
    if (this.#quiet) {
      this.held.fill(0)
      return
    }
    for (let scale = 0; scale < SCALES.length; scale++) {
      const judged = this.judged[scale]
      if (shared[scale]) this.shared |= 1 << scale
      const rush = this.rush(scale)
      const passes = !shared[scale] && passesFloor(this.class, judged, rush)
      const z = passes ? this.#beyondUsual(judged, nowMs, rush) : 0
      const held = Math.max(0, Math.min(z, HALF * judged.later, HALF * judged.earlier))
      this.held[scale] = held
      if (held === 0) continue
      const surprise = surpriseOf(tails[scale], held)
      if (surprise > this.surprise) {
        this.surprise = surprise
        this.scale = scale
      }
    }
  }

  /** How much of a departure a rush of requests explains: as a logarithm, 0 where there is none. */
  rush(scale: number): number {
    const isWork = this.class === 'service self' || this.class === 'operation self'
    return isWork ? this.place.service.load.more[scale] : 0
  }

  /** What of it the same hours of the days before did not have, and a rush does not explain. */
  #beyondUsual({ z, shift }: Judged, nowMs: number, rush: number): number {
    if (z >= NOTED_Z) (this.hours ??= new Hours()).note(nowMs, shift)
    const usual = Math.max(rush, this.hours?.usual(nowMs) ?? 0)
    return usual === 0 ? z : z * Math.max(0, 1 - usual / shift)
  }

  /** Forgets the last windows, and with them any departure. */
  clear(): void {
    this.track.clear()
    this.held.fill(0)
    this.surprise = Number.NEGATIVE_INFINITY
    this.sinceMs = this.frozenMs = Number.NaN
    this.peak = Number.NEGATIVE_INFINITY
    this.peakZ.fill(0)
    this.calm = 0
  }
}

/** Whether the effect is large enough to matter to anybody. `rush`: how much of it is explained, of durations. */
export function passesFloor(name: FeatureClass, { shift, level, n }: Judged, rush = 0): boolean {
  const { floor, kind } = CLASSES[name]
  if (kind === 'share') return shift >= floor && (!name.endsWith(' missing') || shift >= 0.25 * level)
  if (kind === 'count') return n >= 5 && shift >= Math.log(floor)
  return shift - rush >= Math.log(floor) && Math.exp(level) * (Math.exp(shift) - 1) >= FLOOR_NS
}
