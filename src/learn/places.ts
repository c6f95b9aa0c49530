//! The places that are watched, and of what class: what is believed beforehand of each class, and which effects count.
import type { Judged } from '../detect/judged.ts'
import type { ShareOptions } from '../detect/shares.ts'
import type { ClassRecord, TailLaw } from '../detect/unusual.ts'
import type { Pod, ServiceNode } from './landscape.ts'
import type { At } from './reading.ts'
import type { Series } from './series.ts'

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

/** Where something can be wrong, in one or several respects. `service` is whom it points at. */
export interface Place {
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

/** One within a service: it has no other end. */
class Within implements Place {
  readonly service: ServiceNode
  readonly series: Series | null
  readonly pod: Pod | null

  constructor(service: ServiceNode, { series = null, pod = null }: At) {
    this.service = service
    this.series = series
    this.pod = pod
  }

  get caller(): null {
    return null
  }

  get target(): string {
    return ''
  }

  get targetService(): null {
    return null
  }

  get detail(): string {
    return ''
  }
}

/** The place of a feature. */
export const placeOf = (service: ServiceNode, at: At): Place => {
  const { caller = null, series = null, pod = null, target = '', targetService = null, detail = '' } = at
  return caller || target || targetService || detail
    ? { service, caller, series, pod, target, targetService, detail }
    : new Within(service, at)
}

export const idOf = (
  name: FeatureClass,
  service: ServiceNode,
  { caller, series, pod, target = '', detail = '' }: At,
): string =>
  `${name}|${service.id}|${caller?.id ?? ''}|${series?.key.id ?? ''}|${pod?.key.id ?? ''}|${target}|${detail}`

/** The id of a feature. Made when it is asked for: of thousands few are ever named. */
export const idAt = ({
  class: name,
  place,
}: {
  readonly class: FeatureClass
  readonly place: Place
}): string => idOf(name, place.service, place)

type Kind = 'location' | 'share' | 'count'

interface ClassRow {
  readonly name: FeatureName
  readonly kind: Kind
  readonly share?: ShareOptions
  /** What z reaches once an hour somewhere in a deployment of average size, by scale, and how fast its tail falls: what is believed beforehand. */
  readonly hourly: readonly number[]
  readonly scale: number
  /** The same once the deployment is known, where its first hours are not like the later ones. */
  readonly settled?: { readonly hourly: readonly number[]; readonly scale: number }
  /** How many places of the class such a deployment has: with fewer it comes less often. */
  readonly places: number
  /** The least effect that counts: durations as a ratio, shares as a difference, counts as a ratio. */
  readonly floor: number
}

/** A duration must rise by at least this, whatever the ratio. */
export const FLOOR_NS = 0.3e6

/** The mean excess of z over 1.5 in most places, by kind. */
export const USUAL_EXCESS: Readonly<Record<Kind, number>> = { location: 0.46, share: 0.3, count: 0.45 }
/** How z of a class falls off far out, by kind. */
export const TAIL_LAW: Readonly<Record<Kind, TailLaw>> = {
  location: 'stretched',
  share: 'power',
  count: 'power',
}

const FAILURE: ShareOptions = { worse: 'more', leastSpread: 0.007 }

export const CLASSES: Readonly<Record<FeatureClass, ClassRow>> = {
  'service self': {
    name: 'self',
    kind: 'location',
    hourly: [4.1, 4.2, 3.7, 3.4],
    scale: 0.16,
    settled: { hourly: [4.7, 4.3, 3.6, 3.4], scale: 0.11 },
    places: 40,
    floor: 1.3,
  },
  'operation self': {
    name: 'self',
    kind: 'location',
    hourly: [4.9, 4.6, 4.1, 3.7],
    scale: 0.135,
    settled: { hourly: [5, 4.6, 4.1, 3.7], scale: 0.1 },
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
    settled: { hourly: [4.2, 4.1, 4.2, 4], scale: 0.18 },
    places: 300,
    floor: 1.4,
  },
  'young pod self': {
    name: 'self',
    kind: 'location',
    hourly: [4.7, 4.3, 3.5, 3.4],
    scale: 0.13,
    settled: { hourly: [2.5, 2.3, 1.9, 1.4], scale: 0.14 },
    places: 250,
    floor: 1.4,
  },
  'edge gap': {
    name: 'gap',
    kind: 'location',
    hourly: [3.9, 3.8, 3.4, 3.1],
    scale: 0.18,
    places: 95,
    floor: 1.3,
  },
  'peer duration': {
    name: 'duration',
    kind: 'location',
    hourly: [3.75, 3.75, 3.45, 3.2],
    scale: 0.15,
    places: 50,
    floor: 1.3,
  },
  'service failure': {
    name: 'failure',
    kind: 'share',
    share: FAILURE,
    hourly: [2, 2, 2, 2],
    scale: 0.28,
    settled: { hourly: [1.9, 1.8, 1.5, 1.2], scale: 0.24 },
    places: 40,
    floor: 0.015,
  },
  'operation failure': {
    name: 'failure',
    kind: 'share',
    share: FAILURE,
    hourly: [1.8, 2.2, 2.2, 2],
    scale: 0.28,
    settled: { hourly: [1.8, 2.1, 1.9, 1.5], scale: 0.22 },
    places: 125,
    floor: 0.015,
  },
  'pod failure': {
    name: 'failure',
    kind: 'share',
    share: FAILURE,
    hourly: [2.1, 2.2, 2, 1.9],
    scale: 0.25,
    settled: { hourly: [2.1, 2.1, 1.8, 1.4], scale: 0.2 },
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
    hourly: [1.8, 1.5, 1.5, 1.5],
    scale: 0.25,
    places: 35,
    floor: 0.6,
  },
  'call missing': {
    name: 'structure',
    kind: 'share',
    share: { worse: 'less', leastSpread: 0.01 },
    hourly: [3.2, 3, 2.4, 2.2],
    scale: 0.14,
    settled: { hourly: [2.9, 2.9, 2.6, 2.3], scale: 0.09 },
    places: 180,
    floor: 0.02,
  },
  'step missing': {
    name: 'structure',
    kind: 'share',
    share: { worse: 'less', leastSpread: 0.01 },
    hourly: [2.2, 2.3, 2.2, 2],
    scale: 0.14,
    settled: { hourly: [1.9, 1.8, 1.8, 1.7], scale: 0.1 },
    places: 30,
    floor: 0.05,
  },
  'entry rate': {
    name: 'rate',
    kind: 'count',
    hourly: [3.5, 3, 2, 1.5],
    scale: 0.12,
    settled: { hourly: [3.4, 2.8, 2.4, 1.3], scale: 0.1 },
    places: 5,
    floor: 1.25,
  },
}
export const FEATURE_CLASSES = Object.keys(CLASSES) as FeatureClass[]

/** Where the largest z of a class is noted, by scale. */
export type Tails = Readonly<Record<FeatureClass, readonly ClassRecord[]>>

/** Whether the effect is large enough to matter to anybody. `rush`: how much of it is explained, of durations. */
export function passesFloor(name: FeatureClass, { shift, level, n }: Judged, rush = 0): boolean {
  const { floor, kind } = CLASSES[name]
  if (kind === 'share') return shift >= floor && (!name.endsWith(' missing') || shift >= 0.25 * level)
  if (kind === 'count') return n >= 5 && shift >= Math.log(floor)
  return shift - rush >= Math.log(floor) && Math.exp(level) * (Math.exp(shift) - 1) >= FLOOR_NS
}
