//! Holds incidents against the faults that were there: detected, after how long, located, resolved; and what is left over.
import type { Kind } from '../world/faults.ts'
import type { Size } from '../world/measure.ts'
import { type Incident, isOverAt, openings, stateAt } from './incidents.ts'

/** A fault as it was, and what must be said of it. Fixed before anything is detected. Times in ms since 1970. */
export interface Truth {
  readonly kind: Kind
  readonly size: Size
  /** In spreads of the most affected feature. */
  readonly shift: number
  readonly affected: number
  readonly fromMs: number
  readonly toMs: number
  /** From when the delay counts: silence, drift and deploys from when they exceed the size. */
  readonly timedMs: number
  readonly service: string
  /** One of these contributors must be named with the service (a bad release: its version or its pods). Empty: none need be. */
  readonly named: readonly string[]
  /** Must be among the first three suspects; '' where nobody need be. */
  readonly among: string
}

export interface FaultScore {
  readonly detected: boolean
  /** Infinity where it was not detected. Never negative. */
  readonly delayMs: number
  readonly located: boolean
  /** The first suspect was right, whatever else had to be named. */
  readonly first: boolean
  /** The place of the right service among the suspects, from 1; 0 where it is not. */
  readonly rank: number
  readonly suspects: readonly string[]
  /** Openings of all incidents about this fault, late ones too. */
  readonly openings: number
  /** The incident that detected it was over 3 minutes after the end. */
  readonly resolved: boolean
  /** It opened again, or another one with the same first suspect did, after it had been resolved. */
  readonly reopened: boolean
  /** The incident that detected it; '' where none did. */
  readonly incident: string
}

/** A window is closed 12.5 s after its end, and two must agree: what opens until then has seen the fault. */
export const DETECTED_AFTER_MS = 60_000
/** What opens later, until then, is still about the fault, but does not detect it. It counts among its incidents. */
export const LATE_AFTER_MS = 300_000
/** An incident's suspects are those that it names so long after it opened. */
const LOCATED_AFTER_MS = 60_000
const RESOLVED_AFTER_MS = 180_000

const MISSED: FaultScore = {
  detected: false,
  delayMs: Number.POSITIVE_INFINITY,
  located: false,
  first: false,
  rank: 0,
  suspects: [],
  openings: 0,
  resolved: false,
  reopened: false,
  incident: '',
}

/**
 * An incident counts for one fault at most. Among those that lasted when it opened, that is the one whose culprit it names first, else the
 * one that began last; where none lasted, the one that ended last, if that is not long ago. What is about none is a stray.
 */
export function score(truths: readonly Truth[], incidents: readonly Incident[]) {
  const about = truths.map((): Incident[] => [])
  const strays: Incident[] = []
  for (const incident of incidents) {
    const fault = faultOf(truths, incident)
    if (fault < 0) strays.push(incident)
    else about[fault].push(incident)
  }
  return { faults: truths.map((truth, n) => scoreOne(truth, about[n])), strays }
}

function faultOf(truths: readonly Truth[], incident: Incident): number {
  const at = incident.openedMs
  const [first] = saidOf(incident)
  let best = -1
  let bestWorth = Number.NEGATIVE_INFINITY
  for (const [n, { fromMs, toMs, service }] of truths.entries()) {
    if (at < fromMs || at > toMs + LATE_AFTER_MS) continue
    const lasts = at <= toMs + DETECTED_AFTER_MS
    // Beginnings and ends lie within days; a right name is worth more than any nearness, and lasting more than both.
    const worth = (lasts ? 4e14 : 0) + (lasts && first === service ? 2e14 : 0) + (lasts ? fromMs : toMs)
    if (worth > bestWorth) [best, bestWorth] = [n, worth]
  }
  return best
}

const saidOf = (incident: Incident) => stateAt(incident, incident.openedMs + LOCATED_AFTER_MS).suspects

function scoreOne(truth: Truth, incidents: readonly Incident[]): FaultScore {
  const { fromMs, toMs, timedMs, service, named, among } = truth
  const all = incidents.reduce((sum, one) => sum + openings(one), 0)
  const found = incidents.find(({ openedMs }) => openedMs <= toMs + DETECTED_AFTER_MS)
  if (found === undefined) return { ...MISSED, openings: all }
  const byMs = Math.max(found.openedMs, fromMs) + LOCATED_AFTER_MS
  const suspects = saidOf(found)
  const first = suspects[0] === service
  const isNamed =
    named.length === 0 ||
    found.contributors.some(
      ({ atMs, text }) => atMs <= byMs && named.some(one => text === one || text.startsWith(`${one} `)),
    )
  const over = found.turns.find(({ open }) => !open)?.atMs ?? Number.POSITIVE_INFINITY
  return {
    detected: true,
    delayMs: Math.max(0, found.openedMs - timedMs),
    located: first && isNamed && (among === '' || suspects.slice(0, 3).includes(among)),
    first,
    rank: suspects.indexOf(service) + 1,
    suspects: suspects.slice(0, 4),
    openings: all,
    resolved: isOverAt(found, toMs + RESOLVED_AFTER_MS),
    reopened:
      openings(found) > 1 ||
      incidents.some(one => one !== found && one.openedMs > over && saidOf(one)[0] === suspects[0]),
    incident: found.id,
  }
}
