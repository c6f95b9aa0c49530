//! What the learning plane knows, on disk: levels, what is usual, the record of calm times, and the incidents that are open.
import { join } from 'node:path'
import type { Log } from '../base/log.ts'
import type { World } from '../base/world.ts'
import type { PodKey, SeriesKey } from '../bus/bus.ts'
import { Hours } from '../detect/hours.ts'
import type { PeakRecord } from '../detect/tail.ts'
import type { Evidence } from './evidence.ts'
import type { Feature } from './feature.ts'
import type { Hindsight } from './hindsight.ts'
import type { StoredIncident } from './incident.ts'
import type { LaggedLevel } from './lagged.ts'
import { FEATURE_CLASSES, type FeatureClass } from './places.ts'
import type { LearningPlane } from './plane.ts'
import { Repeats } from './repeats.ts'
import { seal, unseal } from './snapshot.ts'

const FILE = 'learning.otlier'
const MAGIC = 'OTLPLN04'
/** Older than this, what was normal then says little. */
const MAX_AGE_MS = 14 * 24 * 3600_000
/** Pods that were seen so lately are known after a restart; others are met again. */
const POD_MS = 3600_000

type StoredLevel = readonly [samples: number, mean: number, variance: number]
type StoredRecord = ReturnType<PeakRecord['store']>

/** The first line of the file. */
interface Stored {
  readonly savedMs: number
  readonly nowMs: number
  readonly services: readonly (readonly [
    name: string,
    namespace: string,
    environment: string,
    firstSeenMs: number,
    load: readonly number[],
  ])[]
  readonly pods: readonly (readonly [
    key: PodKey,
    firstSeenMs: number,
    lastSeenMs: number,
    isYoungFrom: boolean,
  ])[]
  readonly series: readonly {
    readonly key: SeriesKey
    readonly peer: string
    /** Whom it calls, by the id of the service. */
    readonly callee: string | null
    readonly self: StoredLevel
    readonly gap: StoredLevel
    readonly duration: StoredLevel
    /** Where the level of own times was at the end of the last full hour. */
    readonly hourly: number | null
    readonly usualPerTrace: number
    /** Not where no request has made it twice. */
    readonly repeats?: number | null
    readonly lastSeenMs: number
    readonly idleHours: number
  }[]
  readonly together: readonly number[]
  readonly record: StoredRecord
  /** Not in what earlier releases wrote. */
  readonly hindsight?: ReturnType<Hindsight['store']>
  readonly tails: Readonly<Record<string, readonly StoredRecord[]>>
  /** Not in what earlier releases wrote. */
  readonly warmUp?: readonly number[]
  readonly incidents: readonly StoredIncident[]
}

/** A feature by what its place is made of: ids of services, series and pods. */
export interface StoredFeature {
  readonly class: FeatureClass
  readonly service: string
  readonly caller: string | null
  readonly series: string | null
  readonly pod: string | null
  readonly target: string
  readonly targetService: string | null
  readonly detail: string
  readonly track: readonly (number | null)[]
  readonly excess: readonly number[]
  /** Not in what earlier releases wrote. */
  readonly calmDepartures?: number
  readonly hours: readonly number[] | null
  readonly frozenMs: number | null
  readonly sinceMs: number | null
  readonly peak: number | null
  readonly peakMs: number
  readonly idleHours: number
}

const levelOf = ({ samples, mean, variance }: LaggedLevel): StoredLevel => [samples, mean, variance]

/** So many features are stored or restored at once: that takes a few milliseconds. */
const FEATURES_A_PART = 500

export const storePlane = (plane: LearningPlane, savedMs: number): string =>
  [...storeParts(plane, savedMs)].join('\n')

/** The same line by line, for those who must not hold up others. The plane must hear nothing in between. */
export function* storeParts(plane: LearningPlane, savedMs: number): Generator<string> {
  const { landscape, features, ways, record, hindsight, tails, nowMs } = plane.evidence
  const stored: Stored = {
    savedMs,
    nowMs,
    services: [...landscape.services.values()].map(({ name, namespace, environment, firstSeenMs, load }) => [
      name,
      namespace,
      environment,
      firstSeenMs,
      load.store(),
    ]),
    pods: [...landscape.pods.values()]
      .filter(({ lastSeenMs }) => lastSeenMs >= nowMs - POD_MS)
      .map(({ key, firstSeenMs, lastSeenMs, isYoungFrom }) => [key, firstSeenMs, lastSeenMs, isYoungFrom]),
    series: [...landscape.series.values()].map(series => ({
      key: series.key,
      peer: series.peer,
      callee: series.callee?.id ?? null,
      self: levelOf(series.self),
      gap: levelOf(series.gap),
      duration: levelOf(series.duration),
      hourly: orNull(series.self.hourly),
      usualPerTrace: series.usualPerTrace,
      repeats: series.repeats?.usual ?? null,
      lastSeenMs: series.lastSeenMs,
      idleHours: series.idleHours,
    })),
    together: ways.together.store(),
    record: record.store(),
    hindsight: hindsight.store(),
    tails: Object.fromEntries(FEATURE_CLASSES.map(name => [name, tails[name].map(tail => tail.store())])),
    warmUp: landscape.warmUp.store(),
    incidents: plane.deciders[0].store(),
  }
  yield JSON.stringify(stored)
  const kept = features.filter(({ place }) => place.pod === null || place.pod.lastSeenMs >= nowMs - POD_MS)
  for (let at = 0; at < kept.length; at += FEATURES_A_PART)
    yield JSON.stringify(kept.slice(at, at + FEATURES_A_PART).map(storeFeature))
}

const storeFeature = (feature: Feature): StoredFeature => ({
  class: feature.class,
  service: feature.place.service.id,
  caller: feature.place.caller?.id ?? null,
  series: feature.place.series?.key.id ?? null,
  pod: feature.place.pod?.key.id ?? null,
  target: feature.place.target,
  targetService: feature.place.targetService?.id ?? null,
  detail: feature.place.detail,
  track: feature.track.store(),
  excess: feature.excess.store(),
  calmDepartures: feature.calmDepartures,
  hours: feature.hours?.store() ?? null,
  frozenMs: orNull(feature.frozenMs),
  sinceMs: orNull(feature.sinceMs),
  peak: orNull(feature.peak),
  peakMs: feature.peakMs,
  idleHours: feature.idleHours,
})

const orNull = (value: number) => (Number.isFinite(value) ? value : null)

/** Takes back what `storePlane` wrote. Throws on what it cannot understand; the plane must then be made to forget. */
export function loadPlane(plane: LearningPlane, text: string): void {
  for (const _ of loadParts(plane, text.split('\n')));
}

/** The same line by line. */
export function* loadParts(plane: LearningPlane, parts: Iterable<string>): Generator<void> {
  const [head, ...lines] = parts
  const stored = JSON.parse(head) as Stored
  const { evidence } = plane
  const { landscape } = evidence
  evidence.nowMs = stored.nowMs
  for (const [name, namespace, environment, firstSeenMs, load] of stored.services)
    landscape.serviceOf(name, namespace, environment, firstSeenMs).load.restore(load)
  for (const [key, firstSeenMs, lastSeenMs, isYoungFrom] of stored.pods)
    landscape.restorePod(key, firstSeenMs, lastSeenMs, isYoungFrom)
  for (const { key, peer, self, gap, duration, ...kept } of stored.series) {
    const series = landscape.meet(key, peer, kept.lastSeenMs, false)
    if (series === null) continue
    series.idleHours = kept.idleHours
    series.self.restore(...self)
    series.self.hourly = kept.hourly ?? Number.NaN
    series.gap.restore(...gap)
    series.duration.restore(...duration)
    series.restorePerTrace(kept.usualPerTrace)
    if (typeof kept.repeats === 'number') series.repeats = new Repeats(kept.repeats, stored.nowMs)
    const called = kept.callee === null ? undefined : landscape.services.get(kept.callee)
    if (called !== undefined) landscape.calls(series, called)
  }
  for (const line of lines) {
    yield
    for (const each of JSON.parse(line) as StoredFeature[]) restoreFeature(evidence, each)
  }
  evidence.ways.together.restore(stored.together)
  evidence.record.restore(stored.record)
  if (stored.hindsight !== undefined) evidence.hindsight.restore(stored.hindsight)
  if (stored.warmUp !== undefined) landscape.warmUp.restore(stored.warmUp)
  for (const name of FEATURE_CLASSES)
    for (const [scale, tail] of evidence.tails[name].entries()) {
      const kept = stored.tails[name]?.[scale]
      if (kept !== undefined) tail.restore(kept)
    }
  for (const decider of plane.deciders) decider.restore(stored.incidents, id => evidence.find(id))
}

function restoreFeature(evidence: Evidence, stored: StoredFeature): void {
  const { services, series, pods } = evidence.landscape
  const service = services.get(stored.service)
  const find = <T>(from: ReadonlyMap<string, T>, id: string | null) => (id === null ? null : from.get(id))
  const caller = find(services, stored.caller)
  const one = find(series, stored.series)
  const pod = find(pods, stored.pod)
  const targetService = find(services, stored.targetService)
  if (service === undefined || caller === undefined || one === undefined || pod === undefined) return
  if (targetService === undefined || !FEATURE_CLASSES.includes(stored.class)) return
  const feature = evidence.feature(stored.class, service, {
    caller,
    series: one,
    pod,
    target: stored.target,
    targetService,
    detail: stored.detail,
  })
  feature.track.restore(stored.track as readonly number[])
  feature.excess.restore(stored.excess)
  feature.calmDepartures = stored.calmDepartures ?? 0
  if (stored.hours !== null) {
    feature.hours = new Hours()
    feature.hours.restore(stored.hours)
  }
  feature.frozenMs = stored.frozenMs ?? Number.NaN
  feature.sinceMs = stored.sinceMs ?? Number.NaN
  feature.peak = stored.peak ?? Number.NEGATIVE_INFINITY
  feature.peakMs = stored.peakMs
  feature.idleHours = stored.idleHours
}

/** Writes it; a disk that fails is told of and changes nothing else. */
export async function savePlane(
  directory: string,
  plane: LearningPlane,
  world: World,
  log: Log,
): Promise<void> {
  const path = join(directory, FILE)
  try {
    await world.disk.writeAtomic(path, await seal(MAGIC, storePlane(plane, world.now())))
  } catch (error) {
    log.warn({ path, error }, 'what was learned of traces could not be saved')
  }
}

/** Restores into a plane that has heard nothing yet. What cannot be used is renamed, said in the log, and never stops the start. */
export async function restorePlane(
  directory: string,
  plane: LearningPlane,
  world: World,
  log: Log,
): Promise<void> {
  const path = join(directory, FILE)
  try {
    const bytes = await world.disk.read(path)
    if (bytes === null) return
    const opened = unseal(MAGIC, bytes)
    if ('wrong' in opened) throw new Error(opened.wrong)
    const [head] = opened.text.split('\n', 1)
    if (world.now() - (JSON.parse(head) as Stored).savedMs <= MAX_AGE_MS) loadPlane(plane, opened.text)
    else log.warn({ path }, 'what was learned of traces is older than two weeks; learning starts anew')
  } catch (error) {
    plane.forget()
    const aside = `${path}.unreadable-${world.now()}`
    await world.disk.rename(path, aside).catch(() => {})
    log.warn({ path: aside, error }, 'what was learned of traces was set aside; learning starts anew')
  }
}
