//! For whom an incident is: looks now and then for what sets the hurt spans of its first suspect apart, pods first.
import type { Attribution } from './attribution.ts'
import type { Evidence } from './evidence.ts'
import type { Incident } from './incident.ts'
import { contributors } from './phrases.ts'
import { idAt } from './places.ts'

/** How often it is looked for, unless who is suspected first changes. */
const LOOK_MS = 60_000
/** Features of the first suspect whose spans are compared until something is found. */
const MOST_LOOKED_AT = 3

/** z on the shortest scale from which on it is going on beyond doubt. */
const LIVE_Z = 2

/** What sets the hurt spans of the first suspect apart, as it was found last; of whom, and when it was looked for. */
export interface Contributed {
  contributors: readonly string[]
  contributorsOf: string
  lookedMs: number
}

export const NOTHING_FOUND: Contributed = {
  contributors: [],
  contributorsOf: '',
  lookedMs: Number.NEGATIVE_INFINITY,
}

/**
 * After each window in which the incident goes on.
 * @returns whether something is found of a suspect that was told without
 */
export function contribute(incident: Incident, evidence: Evidence, attribution: Attribution): boolean {
  const { suspects, members } = incident
  const { nowMs, podsOf } = evidence
  const [first] = suspects
  if (first === undefined) return false
  const isOther = first.name !== incident.contributorsOf
  if (!isOther && nowMs - incident.lookedMs < LOOK_MS) return false
  if (isOther) incident.contributors = []
  incident.contributorsOf = first.name
  // When it is over, what lingers in the last windows says nothing of whom it hits: what was found before is better.
  const least = incident.contributors.length === 0 ? Number.NEGATIVE_INFINITY : LIVE_Z
  const live = first.features
    .slice(0, MOST_LOOKED_AT)
    .flatMap(feature => members.get(idAt(feature)) ?? [])
    .filter(({ over, calm, feature }) => !over && calm === 0 && feature.judged[0].z >= least)
  if (live.length === 0) return false
  incident.lookedMs = nowMs
  const { texts, values } = contributors(podsOf.get(first.name) ?? [], nowMs)
  const said = new Set(texts.map(keyOf))
  for (const member of live) {
    const found = attribution.of(member.feature, values)
    if (found.length === 0) continue
    member.contributors = found
    for (const text of found) if (!said.has(keyOf(text))) texts.push(text)
    break
  }
  if (texts.length === 0) return false
  const isNews = !isOther && incident.contributors.length === 0
  incident.contributors = texts
  return isNews
}

/** Of `key=value (...)`. */
const keyOf = (text: string) => text.slice(0, text.indexOf('='))
