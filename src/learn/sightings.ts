//! What was seen in the last hour, window by window: the strongest evidence of each, whether or not it opened anything, and why not.

import { clip, duration, number } from '../base/words.ts'
import type { EvidenceRecord } from '../bus/accounts.ts'
import { judgedCopy } from '../detect/judged.ts'
import { SCALES } from '../detect/scales.ts'
import type { Evidence } from './evidence.ts'
import type { Feature, Sighting } from './feature.ts'
import { phrase } from './phrases.ts'
import { CLASSES, type FeatureClass, FLOOR_NS, idAt, passesFloor } from './places.ts'
import { zOf } from './suspects.ts'

/** So long a moment can be asked about. */
const KEPT_MS = 3600_000
/** Of each window so many sightings are kept, the strongest. */
const MOST_A_WINDOW = 64
/** Less than so many standard deviations is not worth keeping. */
const LEAST_Z = 1.5
/** More windows than this are never kept, however short they are. */
const MOST_WINDOWS = 720
const MOST_CHARACTERS = 300

/** Why evidence opened nothing. */
export type Aside = 'none' | 'level' | 'floor' | 'once' | 'shared' | 'rush' | 'hours'

/** What one feature showed in one window. */
export interface Seen extends Sighting {
  readonly feature: Feature
  readonly atMs: number
  /** Before floors and persistence: what its most unusual scale alone would say. */
  readonly strength: number
  readonly aside: Aside
}

interface Kept {
  readonly atMs: number
  /** Nobody's trace ended in it. */
  readonly silent: boolean
  /** The strength from which on incidents opened. */
  readonly level: number
  readonly seen: readonly Seen[]
  /** Something was left out for want of room. */
  readonly cut: boolean
}

/** What is missing says nothing in a window that was closed before all of it had come. */
const NEEDS_WHOLE_WINDOWS: ReadonlySet<FeatureClass> = new Set([
  'entry rate',
  'call missing',
  'step missing',
  'service unseen',
] as const)

export class Sightings {
  readonly #windowMs: number
  readonly #kept: Kept[] = []

  constructor(windowMs: number) {
    this.#windowMs = windowMs
  }

  /**
   * After each window.
   * @param atMs until when it had been seen
   * @param whole false where the window was closed early
   */
  note(evidence: Evidence, level: number, atMs: number, whole: boolean): void {
    const kept = this.#kept
    while (kept.length > 0 && (kept[0].atMs <= atMs - KEPT_MS || kept.length >= MOST_WINDOWS)) kept.shift()
    const silent = evidence.silentWindows > 0
    const seen: Seen[] = []
    if (!silent) {
      for (const feature of evidence.features) {
        if (!whole && NEEDS_WHOLE_WINDOWS.has(feature.class)) continue
        if (feature.highestZ >= LEAST_Z) seen.push(see(feature, evidence, level, atMs))
      }
      seen.sort(strongestFirst)
    }
    const cut = seen.length > MOST_A_WINDOW
    seen.length = Math.min(seen.length, MOST_A_WINDOW)
    kept.push({ atMs, silent, level, seen, cut })
  }

  /** The windows that are kept, of those that ended after `fromMs` and by `untilMs`. */
  between(fromMs: number, untilMs: number): readonly Kept[] {
    return this.#kept.filter(({ atMs }) => atMs > fromMs && atMs <= untilMs)
  }

  /** Of each feature its strongest sighting in the windows that ended after `fromMs` and by `untilMs`. Strongest first. */
  strongest(fromMs: number, untilMs: number): Seen[] {
    const best = new Map<Feature, Seen>()
    for (const { seen } of this.between(fromMs, untilMs)) {
      for (const one of seen) {
        const known = best.get(one.feature)
        if (known === undefined || counts(one) > counts(known)) best.set(one.feature, one)
      }
    }
    return [...best.values()].sort(strongestFirst)
  }

  /** Of each feature the sighting with the largest z, whatever became of it. */
  highest(fromMs: number, untilMs: number): Map<Feature, Seen> {
    const best = new Map<Feature, Seen>()
    for (const { seen } of this.between(fromMs, untilMs)) {
      for (const one of seen) {
        const known = best.get(one.feature)
        if (known === undefined || zOf(one) > zOf(known)) best.set(one.feature, one)
      }
    }
    return best
  }

  /** From the end of the first window that is kept to that of the last; null before there is one. */
  get span(): { readonly fromMs: number; readonly untilMs: number } | null {
    const [first] = this.#kept
    return first === undefined
      ? null
      : { fromMs: first.atMs - this.#windowMs, untilMs: (this.#kept.at(-1) as Kept).atMs }
  }

  memory(): { readonly windows: number; readonly most: number } {
    return { windows: this.#kept.length, most: Math.max(0, ...this.#kept.map(({ seen }) => seen.length)) }
  }

  record(one: Seen, level: number): EvidenceRecord {
    const { place, judged, scale, atMs, strength } = one
    const { z, shift, n } = judged[scale]
    return {
      atMs,
      service: place.service.name,
      operation: place.series?.key.operation ?? '',
      caller: place.caller?.name ?? '',
      pod: place.pod?.key.name ?? '',
      feature: one.name,
      detector: one.class,
      phrase: clip(phrase(one), MOST_CHARACTERS),
      strength: round(strength),
      z: round(z),
      shift: round(shift),
      normal: round(judged[scale].level),
      samples: round(n),
      overMs: SCALES[scale] * this.#windowMs,
      aside: clip(asideInWords(one, level), MOST_CHARACTERS),
    }
  }
}

/** What sets it apart from what merely looks strange: evidence that passed everything comes before any that did not. */
const counts = (seen: Seen): number => (seen.surprise > Number.NEGATIVE_INFINITY ? 1e6 : 0) + seen.strength
const strongestFirst = (a: Seen, b: Seen): number => counts(b) - counts(a) || (idAt(a) < idAt(b) ? -1 : 1)

/** What a feature shows now. */
export function see(feature: Feature, { tails, nowMs }: Evidence, level: number, atMs: number): Seen {
  const { surprise } = feature
  let { scale } = feature
  let strength = surprise
  // What has only begun shows in one half of its windows, and hardly counts yet: by itself it may say more.
  if (!(surprise > 0)) {
    for (let at = 0; at < SCALES.length; at++) {
      const alone = feature.surpriseAt(at, tails[feature.class])
      if (alone <= strength) continue
      strength = alone
      scale = at
    }
  }
  const { place, class: of, name, sinceMs, judged } = feature
  return {
    feature,
    place,
    class: of,
    name,
    sinceMs,
    surprise,
    scale,
    strength,
    atMs,
    judged: judged.map(judgedCopy),
    aside: asideOf(feature, scale, level, nowMs),
  }
}

function asideOf(feature: Feature, scale: number, level: number, nowMs: number): Aside {
  if (feature.decisive >= level) return 'none'
  if (feature.surprise > 0) return 'level'
  if ((feature.shared & (1 << scale)) !== 0) return 'shared'
  if (!passesFloor(feature.class, feature.judged[scale])) return 'floor'
  if (feature.rush(scale) > 0) return 'rush'
  return (feature.hours?.usual(nowMs) ?? 0) > 0 ? 'hours' : 'once'
}

function asideInWords(one: Seen, level: number): string {
  switch (one.aside) {
    case 'none':
      return ''
    case 'level':
      return `below the level of ${number(level)}: calm times show the like ${often(one.strength)}`
    case 'floor':
      return floorInWords(one)
    case 'once':
      return 'only one half of these windows shows it'
    case 'shared':
      return 'ways between other services were slow at the same time: that is the network, and no service'
    case 'rush':
      return 'many more requests than usual came in, and explain it'
    case 'hours':
      return 'it was the same at these hours of the days before'
  }
}

/** Which least effect was not reached. */
function floorInWords({ class: of, judged, scale }: Seen): string {
  const { floor, kind } = CLASSES[of]
  const { shift, level, n } = judged[scale]
  if (kind === 'share') {
    return shift >= floor
      ? 'too small to count: less than a quarter of what is normal'
      : `too small to count: a change of ${number(100 * shift)} percentage points, and the floor is ${number(100 * floor)}`
  }
  if (kind === 'count' && n < 5) return 'too few to count: fewer than five were expected'
  if (shift < Math.log(floor))
    return `too small to count: ${number(Math.exp(shift))} times, and the floor is ${number(floor)} times`
  return `too small to count: ${duration(Math.max(0, Math.exp(level) * (Math.exp(shift) - 1)))} more, and the floor is ${duration(FLOOR_NS)}`
}

/** How often calm times show a sign of its kind that is so strong: `once in 8 hours`. */
function often(strength: number): string {
  if (!Number.isFinite(strength)) return strength > 0 ? 'never' : 'all the time'
  const perHour = Math.exp(-strength)
  if (perHour >= 1.5) return `${number(perHour)} times an hour`
  const hours = 1 / perHour
  if (hours < 36) return `once in ${number(hours)} ${hours < 1.05 ? 'hour' : 'hours'}`
  return hours < 24 * 365 ? `once in ${number(hours / 24)} days` : 'hardly once in a year'
}

const round = (value: number): number => (Number.isFinite(value) ? Number(value.toPrecision(6)) : 0)
