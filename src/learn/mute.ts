//! Pods that say nothing while their siblings go on as before: their telemetry is lost, and not the traffic.
import type { Pod, ServiceNode } from './landscape.ts'

/** What is usual of a pod follows it within this, as of rates. */
const HALF_LIFE_MS = 15 * 60_000
/** Before so many windows nobody knows what is usual. */
const READY_WINDOWS = 30
/** So many spans are missed by chance in one of three thousand windows. */
const MISSED = 8
/** Who goes on in the place of a pod does so within so many windows. */
const TAKEN_OVER_WINDOWS = 6
/** Of so small a part of the traffic nothing is said of the whole. */
const LEAST_PART = 1 / 4
/** Siblings go on as before where at least so much of their part comes. */
const GO_ON = 1 / 2
/** A pod is not waited for longer than a level that stays. */
const GIVEN_UP_MS = 3_600_000

/** What a pod serves of what comes from outside. */
export interface PodEntries {
  /** This window's. */
  now: number
  usual: number
  windows: number
  /** Expected since the last of them. */
  missed: number
  /** Windows of the service since it is mute, and since when; 0 and NaN while it is not. */
  muteWindows: number
  muteMs: number
}

const newEntries = (): PodEntries => ({
  now: 0,
  usual: 0,
  windows: 0,
  missed: 0,
  muteWindows: 0,
  muteMs: Number.NaN,
})

/** What is left of a service's traffic without the pods that are mute. */
interface Living {
  /** Part of the usual traffic that the others serve: 1 where none is mute, or all are. */
  readonly part: number
  /** Nobody has taken over what is missing. */
  readonly isLost: boolean
  /** From now on that is all: nobody waits for them any longer. */
  readonly isGivenUp: boolean
}
const ALL: Living = { part: 1, isLost: false, isGivenUp: false }

/**
 * Ends a window of a service that is asked from outside.
 * @param seen part of the usual traffic that came in the last windows
 * @param unit what one span stands for
 */
export function livingOf(
  { pods }: ServiceNode,
  seen: number,
  unit: number,
  nowMs: number,
  windowMs: number,
): Living {
  let alive = 0
  let mute = 0
  let longest = 0
  let sinceMs = nowMs
  for (const { entries } of pods) {
    if (entries === null) continue
    if (endWindow(entries, unit, nowMs)) {
      mute += entries.usual
      longest = Math.max(longest, ++entries.muteWindows)
      sinceMs = Math.min(sinceMs, entries.muteMs)
    } else {
      follow(entries, windowMs)
      alive += entries.usual
    }
    entries.now = 0
  }
  if (mute === 0) return ALL
  const part = alive / (alive + mute)
  // Where hardly any is left, or what is left has less to do as well, it is the traffic.
  if (part < LEAST_PART || seen < GO_ON * part) return ALL
  const isKnown = longest >= TAKEN_OVER_WINDOWS
  // The others do what it did: it was taken away, and nothing is lost.
  const isTakenOver = isKnown && seen > (1 + part) / 2
  const isGivenUp = !isTakenOver && nowMs - sinceMs >= GIVEN_UP_MS
  if (isTakenOver || isGivenUp)
    for (const pod of pods) if (pod.entries !== null && pod.entries.muteWindows > 0) pod.entries = null
  return isTakenOver ? ALL : { part, isLost: isKnown, isGivenUp }
}

/** Ends a window of a pod. Returns whether it is mute. */
function endWindow(entries: PodEntries, unit: number, nowMs: number): boolean {
  if (entries.now > 0) {
    entries.missed = entries.muteWindows = 0
    entries.muteMs = Number.NaN
    return false
  }
  if (entries.windows < READY_WINDOWS) return false
  entries.missed += entries.usual
  if (entries.missed < MISSED * unit) return false
  if (Number.isNaN(entries.muteMs)) entries.muteMs = nowMs
  return true
}

function follow(entries: PodEntries, windowMs: number): void {
  entries.windows++
  const share = Math.max(1 / entries.windows, 1 - 0.5 ** (windowMs / HALF_LIFE_MS))
  entries.usual += share * (entries.now - entries.usual)
}

/** Notes what a pod served in this window. */
export function noteEntries(pod: Pod, roots: number): void {
  pod.entries ??= newEntries()
  pod.entries.now += roots
}
