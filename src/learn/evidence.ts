//! What every place shows, window by window: levels are learned, departures judged and compared with calm times. Knows no incidents.
import { Hashed } from '../base/hashed.ts'
import type { FeatureWindow } from '../bus/bus.ts'
import { KEPT_HOURS } from '../bus/idle.ts'
import { CountTrack } from '../detect/counts.ts'
import { DriftTrack } from '../detect/drift.ts'
import { LocationTrack } from '../detect/location.ts'
import { SCALES } from '../detect/scales.ts'
import type { PeakRecord } from '../detect/tail.ts'
import { BEYOND_DOUBT, ClassRecord, recordOfAll, levelFor as valueFor } from '../detect/unusual.ts'
import { Corroboration } from './corroboration.ts'
import { Doubt } from './doubt.ts'
import { Episodes } from './episodes.ts'
import { fade, isKnown } from './fading.ts'
import { Feature } from './feature.ts'
import { FeatureSlots } from './feature-row.ts'
import { Hindsight } from './hindsight.ts'
import type { LaggedLevel } from './lagged.ts'
import { Landscape, type ServiceNode } from './landscape.ts'
import { beforeAfter, levelsOf, sharesLevels, wholeOf } from './levels.ts'
import type { Part } from './parts.ts'
import {
  CLASSES,
  FEATURE_CLASSES,
  type FeatureClass,
  idAt,
  idOf,
  type Place,
  passesFloor,
  placeOf,
  TAIL_LAW,
  type Tails,
} from './places.ts'
import { takeCensus } from './population.ts'
import { type At, Reading } from './reading.ts'
import { NO_SUMS } from './series.ts'
import { isWay, Ways } from './ways.ts'

export interface EvidenceOptions {
  readonly windowMs: number
  readonly maxSeries: number
  /** A departure that stays for so long becomes the new level. */
  readonly rebaselineMs: number
  readonly ablate?: readonly Part[]
}

/** A departure has ended after so many calm windows. */
const CALM_WINDOWS = 6
/** Or after so many of which nothing was seen: of what is seldom asked a minute without anything says nothing. */
const NO_DATA_WINDOWS = 18
/** Learning stops where the deciding statistic passes what calm times exceed so often a day, whatever the budget. */
const FREEZE_PER_DAY = 5
/** So many features are watched for each series that there may be; of an ordinary deployment there are three to six. */
const MOST_FEATURES = 16
const HOUR_MS = 3_600_000
/** How often levels are read off the record again. */
const LEVEL_EVERY_MS = 10 * 60_000
const LONG_SILENCE_WINDOWS = 18
/** After a silence of everybody so many windows are passed over: their traces began in it, and are not whole. */
const PAUSE = 1

/** From here on warming up is known. */
const WARM_UP_KNOWN = 0.8

/** Between windows, levels are believed to change by so much beyond what sampling explains: standard deviation of the logarithm. */
const LEVEL_SPREAD = 0.1

/** A new level that was adopted. */
export interface Adopted {
  readonly feature: Feature
  readonly sinceMs: number
  /** In nanoseconds, as a share, or as a count of one window. */
  readonly before: number
  readonly after: number
  /** All that measure by the same levels: their departures are over. */
  readonly same: readonly Feature[]
}

export class Evidence {
  readonly landscape: Landscape
  readonly tails: Tails
  readonly slots = new FeatureSlots()
  /** Peaks of the deciding statistic in calm times. */
  readonly record: PeakRecord
  readonly #episodes = new Episodes((peakMs, peak) => this.record.note(peakMs, peak))
  /** What was beyond doubt, to be noted later. What would have been one incident is one peak. */
  readonly hindsight = new Hindsight((peakMs, peak) => this.record.note(peakMs, peak))
  readonly #doubtless = new Episodes((peakMs, peak) => this.hindsight.add(peakMs, peak))
  freezeLevel = Number.POSITIVE_INFINITY
  /** Windows of nobody's traces in a row. */
  silentWindows = 0
  nowMs = Number.NEGATIVE_INFINITY
  /** The gaps from a service to whom it calls, by the caller's id. */
  readonly gapsFrom = new Map<string, Feature[]>()
  /** The features of pods, by the name of their service. */
  readonly podsOf = new Map<string, Feature[]>()
  readonly #options: EvidenceOptions
  readonly #without: ReadonlySet<Part>
  readonly #byId = new Hashed<Feature>()
  /** Take what there is no room for. */
  readonly #spare = new Map<FeatureClass, Feature>()
  #levelMs = Number.NEGATIVE_INFINITY
  #pause = 0
  readonly #doubt = new Doubt()
  readonly #corroboration = new Corroboration()
  readonly ways = new Ways()
  readonly #reading: Reading

  constructor(options: EvidenceOptions) {
    this.#options = options
    this.#without = new Set(options.ablate)
    const learns = !this.#without.has('calibration')
    const frail = !this.#without.has('frailty')
    this.record = recordOfAll(learns)
    this.landscape = new Landscape(options)
    this.#reading = new Reading(this.landscape, (name, service, at) => this.feature(name, service, at))
    this.tails = Object.fromEntries(
      FEATURE_CLASSES.map(name => {
        const { hourly, scale, settled, kind } = CLASSES[name]
        const law = TAIL_LAW[kind]
        return [
          name,
          hourly.map((z, at) => {
            const later = settled && { hourly: settled.hourly[at], scale: settled.scale }
            return new ClassRecord({ hourly: z, scale, law, settled: later }, learns, frail)
          }),
        ]
      }),
    ) as unknown as Tails
  }

  get features(): Feature[] {
    return this.#byId.things
  }

  /** One window of the whole deployment. Returns the levels that were adopted in it. */
  window(window: FeatureWindow): readonly Adopted[] {
    this.nowMs = window.endMs
    if (window.cells.length === 0) {
      this.silentWindows++
      if (this.silentWindows === 1) this.#excuseRates(1)
      // What was seen before a long silence says nothing of the time after it.
      if (this.silentWindows === LONG_SILENCE_WINDOWS) for (const feature of this.features) feature.clear()
      return []
    }
    if (this.silentWindows > 0) {
      this.silentWindows = 0
      this.#pause = PAUSE
    }
    if (this.#pause > 0) {
      this.#pause--
      return []
    }
    this.#reading.read(window)
    this.#turn()
    return this.#account(window)
  }

  /** The feature of a place, made where there is none. */
  feature(name: FeatureClass, service: ServiceNode, at: At = {}): Feature {
    const id = idOf(name, service, at)
    const known = this.#byId.find(id, isAt)
    if (known !== undefined) return known
    if (this.features.length >= MOST_FEATURES * this.#options.maxSeries)
      return this.#crowdedOut(name, service)
    // What a pod is measured by is there before it.
    if (name === 'pod failure' && service.failures === null) this.feature('service failure', service)
    const feature = new Feature(this.#placeOf(name, service, at), name, this.slots)
    if (name === 'service failure') service.failures = feature
    this.#byId.add(id, feature)
    if (name === 'edge gap' && at.caller) file(this.gapsFrom, at.caller.id, feature)
    if (at.pod) file(this.podsOf, service.name, feature)
    return feature
  }

  /** That of other features of it, where there are any. */
  #placeOf(name: FeatureClass, service: ServiceNode, at: At): Place {
    for (const other of FEATURE_CLASSES) {
      const known = other === name ? undefined : this.find(idOf(other, service, at))
      if (known !== undefined) return known.place
    }
    return placeOf(service, at)
  }

  /** Takes what there is no room for, of all places alike. Nobody looks at it. */
  #crowdedOut(name: FeatureClass, service: ServiceNode): Feature {
    this.landscape.crowded++
    let spare = this.#spare.get(name)
    if (spare === undefined) {
      spare = new Feature(placeOf(service, {}), name, this.slots)
      this.#spare.set(name, spare)
    }
    return spare
  }

  find(id: string): Feature | undefined {
    return this.#byId.find(id, isAt)
  }

  #turn(): void {
    const { windowMs } = this.#options
    for (const feature of this.features) feature.judge(windowMs)
    for (const { load } of this.landscape.services.values()) load.turn(windowMs)
    this.ways.turn(this.features)
    for (const feature of this.features)
      feature.hold(this.tails[feature.class], this.ways.sharedBy(feature), this.nowMs, this.#without)
    this.#corroboration.turn(this.features, this.#without.has('corroboration') ? 0 : this.record.days)
    const frozen = new Set<LaggedLevel>()
    for (const feature of this.features)
      if (feature.isFrozen) for (const { lagged } of levelsOf(feature)) frozen.add(lagged)
    // Every series turns, and not only those that were seen: what waits is learned in time.
    for (const series of this.landscape.series.values()) {
      for (const lagged of [series.self, series.gap, series.duration])
        lagged.turn(frozen.has(lagged), LEVEL_SPREAD, windowMs)
      if (series.isCall && series.sums.traces > 0) series.followPerTrace()
      series.followTraces()
      series.sums = NO_SUMS
    }
  }

  #excuseRates(windows: number): void {
    for (const { track } of this.features) if (track instanceof CountTrack) track.excuse(windows)
  }

  /** Peaks into the record, freezing, and the adoption of what stays. */
  #account(window: FeatureWindow): readonly Adopted[] {
    const { windowMs, rebaselineMs } = this.#options
    const nowMs = window.endMs
    if (this.features.some(feature => feature.isFrozen && this.#isBeyondDoubt(feature)))
      this.#doubt.begin(nowMs)
    if (this.#doubt.isOver(nowMs)) {
      this.#doubt.settle(this.record)
      this.record.pass(windowMs)
      for (const scales of Object.values(this.tails)) for (const tail of scales) tail.pass(windowMs)
    }
    if (nowMs - this.#levelMs >= LEVEL_EVERY_MS) {
      this.#levelMs = nowMs
      this.record.size = takeCensus(this.features, this.tails, this.record.days, LEVEL_EVERY_MS)
      this.record.forget(nowMs)
      for (const tail of this.tails['young pod self'])
        tail.settles = Math.min(1, this.landscape.warmUp.known / WARM_UP_KNOWN)
      for (const scales of Object.values(this.tails)) for (const tail of scales) tail.forget(nowMs)
      this.freezeLevel = valueFor(this.record, FREEZE_PER_DAY)
    }
    this.#episodes.turn(nowMs)
    this.#doubtless.turn(nowMs)
    this.hindsight.turn(nowMs)
    const adopted: Adopted[] = []
    for (const feature of this.features) {
      if (feature.surprise > 0) {
        if (feature.track instanceof DriftTrack) feature.sinceMs = nowMs - feature.judged[0].n * HOUR_MS
        else if (Number.isNaN(feature.sinceMs)) feature.sinceMs = window.startMs - windowMs
        feature.calm = 0
        if (feature.decisive > feature.peak) {
          feature.peak = feature.decisive
          feature.peakMs = nowMs
        }
        for (let scale = 0; scale < SCALES.length; scale++)
          if (feature.held[scale] > feature.peakZ[scale]) feature.peakZ[scale] = feature.held[scale]
        if (feature.decisive >= this.freezeLevel && !feature.isFrozen && !this.#without.has('freeze')) {
          feature.frozenMs = nowMs
          for (const { lagged } of levelsOf(feature)) lagged.forgetWaiting()
        }
      } else if (!Number.isNaN(feature.sinceMs)) {
        const [shortest, minute] = feature.judged
        const limit = shortest.n > 0 || minute.n > 0 ? CALM_WINDOWS : NO_DATA_WINDOWS
        if (++feature.calm >= limit) this.#end(feature)
      }
      if (!feature.isFrozen || nowMs - feature.frozenMs < rebaselineMs) continue
      // What comes and goes is no new level: none is adopted that the longest scale does not show.
      if (passesFloor(feature.class, feature.judged[SCALES.length - 1])) {
        const whole = wholeOf(feature, id => this.find(id))
        const { sinceMs } = whole
        const told = beforeAfter(whole)
        adopted.push({ feature: whole, sinceMs, ...told, same: this.#adopt(whole) })
      } else if (!(feature.surprise > 0)) this.#end(feature)
    }
    return adopted
  }

  /** An hour is over: what has been idle for too long is watched no longer, and neither is what belongs to it. */
  passHour(): void {
    const { landscape } = this
    fade(landscape)
    const gone = new Set<Feature>()
    for (const feature of this.features)
      if (++feature.idleHours > KEPT_HOURS.series || !isKnown(landscape, feature.place)) gone.add(feature)
    if (gone.size === 0) return
    this.#byId.refill(
      this.features.filter(feature => !gone.has(feature)),
      idAt,
    )
    for (const feature of gone) feature.release(this.slots)
    for (const series of landscape.series.values()) series.forgetFeatures()
    for (const lists of [this.podsOf, this.gapsFrom]) {
      for (const [id, features] of lists) {
        const left = features.filter(feature => !gone.has(feature))
        if (left.length === 0) lists.delete(id)
        else lists.set(id, left)
      }
    }
  }

  /** A departure is over. What was within doubt belongs to calm times. */
  #end(feature: Feature): void {
    const isCalm = !this.#doubt.isBeside(feature.sinceMs, feature.peakMs) && !this.#isBeyondDoubt(feature)
    if (isCalm) this.#episodes.add(feature, this.nowMs)
    else if (this.#isBeyondDoubt(feature)) this.#doubtless.add(feature, this.nowMs)
    const { peakMs, peakZ } = feature
    for (let scale = 0; scale < SCALES.length; scale++) {
      if (!(peakZ[scale] > 0)) continue
      const tail = this.tails[feature.class][scale]
      if (isCalm) tail.noteZ(peakMs, peakZ[scale], feature.calmDepartures)
      else if (isWay(feature)) this.#doubt.keep(tail, peakMs, peakZ[scale])
    }
    if (isCalm) feature.calmDepartures++
    feature.settle(isCalm)
  }

  #isBeyondDoubt(feature: Feature): boolean {
    return feature.peak >= this.freezeLevel + BEYOND_DOUBT
  }

  /** What has stayed becomes what is usual, for all that measure by the same levels. Returns these. */
  #adopt(feature: Feature): readonly Feature[] {
    const same = this.features.filter(each => sharesLevels(feature, each))
    if (feature.track instanceof LocationTrack) {
      const { shift } = feature.judged[SCALES.length - 1]
      // Pods are measured by their siblings, and not by these levels.
      for (const { place, track, judged, isFrozen } of same)
        if (place.pod !== null && isFrozen && track instanceof LocationTrack)
          track.adopt(judged[SCALES.length - 1].shift)
      for (const { series, lagged } of levelsOf(feature)) {
        const own = same.find(each => each.place.series === series && !Number.isNaN(each.sinceMs))
        lagged.adopt(own?.judged[SCALES.length - 1].shift ?? shift)
      }
    } else feature.track.adopt()
    for (const each of same) each.clear()
    return same
  }
}

const isAt = (feature: Feature, id: string): boolean => idAt(feature) === id

function file(into: Map<string, Feature[]>, key: string, feature: Feature): void {
  const list = into.get(key)
  if (list === undefined) into.set(key, [feature])
  else list.push(feature)
}
