//! Who would explain what is seen: the features that depart point at services, and what follows from another is explained away.
import type { Evidence } from './evidence.ts'
import type { Sighting as Feature } from './feature.ts'
import type { Member } from './incident.ts'
import type { ServiceNode } from './landscape.ts'
import { idAt } from './places.ts'

/** A service, or a peer that sends no telemetry, with what speaks for it. */
export interface Suspect {
  readonly name: string
  readonly score: number
  /** Strongest first. */
  readonly features: readonly Feature[]
  readonly sinceMs: number
  /** Features that would point elsewhere, and the reason why they do not. */
  readonly notes: readonly string[]
}

/** A caller's own time must lie so far out before it is blamed for the gaps to those it calls. */
const SELF_Z = 2.5
/** A gap that counts as risen. */
const GAP_Z = 2
/** A second kind of evidence adds this part of itself, up to this much. */
const FURTHER = 0.25
const FURTHER_MOST = 5
/** What follows from what another does counts for so much. */
const EXPLAINED = 0.4
/** A caller that asks far more often than usual is named, behind whom it overloads. */
const CALLER_BEHIND = 0.3
/** More often means: so many times as many calls as the same traces usually have, where a few calls more prove nothing. */
const RETRIES = 1.05
const FEW_CALLS = 2

/** What one service has in this window, found by place. */
export interface Scene {
  /** Features of a service by class, of all services that have one. */
  selfOf(service: string): Feature | undefined
  /** The gaps from a service to all that it calls. */
  gapsFrom(service: string): readonly Feature[]
  /** By caller, how many more windows than not of the same incident spoke for its being slow itself. Changed by ranking. */
  readonly starved: Map<string, number>
}

/** What is seen now. */
export function sceneOf(evidence: Evidence): Omit<Scene, 'starved'> {
  return {
    selfOf: id => evidence.find(`service self|${id}|||||`),
    gapsFrom: id => evidence.gapsFrom.get(id) ?? [],
  }
}

/** z of the last minute, or of the shortest scale where that says more. */
export const zOf = ({ judged: [shortest, minute] }: Feature): number => Math.max(shortest.z, minute.z)

/** Ranks who would explain the features, likeliest first. `weightOf`: how unusual each is. */
export function rankSuspects(
  features: readonly Feature[],
  scene: Scene,
  weightOf: (feature: Feature) => number,
): Suspect[] {
  const failing = new Set<string>()
  for (const { name, place, class: kind } of features)
    if (name === 'failure' || kind === 'service unseen')
      failing.add(kind === 'edge failure' && place.targetService === null ? place.target : place.service.name)
  const votes = new Map<string, { feature: Feature; weight: number; note: string }[]>()
  const vote = (name: string, feature: Feature, weight: number, note = '') => {
    const list = votes.get(name)
    if (list === undefined) votes.set(name, [{ feature, weight, note }])
    else list.push({ feature, weight, note })
  }
  const { starved } = scene
  for (const caller of new Set(
    features.map(({ class: kind, place }) => (kind === 'edge gap' ? place.caller : null)),
  ))
    if (caller !== null)
      starved.set(caller.id, (starved.get(caller.id) ?? 0) + (isStarved(caller, scene) ? 1 : -1))
  for (const feature of features) {
    const weight = weightOf(feature)
    if (!(weight > 0)) continue
    const { place, class: kind } = feature
    const { service, caller } = place
    if (kind === 'edge gap' && caller !== null) {
      if ((starved.get(caller.id) as number) > 0)
        vote(
          caller.name,
          feature,
          weight,
          `${caller.name} is slow itself, so the time to ${service.name} is its own`,
        )
      else vote(service.name, feature, weight)
    } else if (kind === 'peer duration' && caller !== null) {
      const self = scene.selfOf(caller.id)
      if (self !== undefined && zOf(self) >= SELF_Z)
        vote(
          caller.name,
          feature,
          weight,
          `${caller.name} is slow itself, so the time to ${place.target} is its own`,
        )
      else vote(place.target, feature, weight)
    } else if (kind === 'entry rate' && features.some(other => other.class !== kind && weightOf(other) > 0))
      vote(service.name, feature, weight * EXPLAINED, 'who waits longer for answers asks less often')
    else if (kind === 'edge failure' && place.targetService === null) vote(place.target, feature, weight)
    else if (kind === 'service self' || kind === 'operation self' || kind.endsWith(' missing')) {
      // Waiting before the next try, and giving up early, look like work of one's own.
      const cause = [...service.callees].find(callee => failing.has(callee.name))
      if (cause !== undefined && !failing.has(service.name))
        vote(service.name, feature, weight * EXPLAINED, `${cause.name}, which it calls, fails`)
      else vote(service.name, feature, weight)
    } else vote(service.name, feature, weight)
  }
  for (const [name, list] of [...votes]) {
    const { feature, weight } = list.reduce((best, one) => (one.weight > best.weight ? one : best))
    if (feature.place.service.name !== name || !failing.has(name)) continue
    for (const again of retrying(feature.place.service))
      vote(again.name, feature, weight * CALLER_BEHIND, `it asks ${name} more often than usual`)
  }
  const suspects = [...votes].map(([name, list]): Suspect => {
    list.sort((a, b) => b.weight - a.weight || (idAt(a.feature) < idAt(b.feature) ? -1 : 1))
    let further = 0
    for (const { weight } of list.slice(1)) further += weight * FURTHER
    return {
      name,
      score: list[0].weight + Math.min(FURTHER_MOST, further),
      features: list.map(({ feature }) => feature),
      sinceMs: Math.min(...list.map(({ feature }) => feature.sinceMs)),
      notes: [...new Set(list.map(({ note }) => note).filter(note => note !== ''))],
    }
  })
  return suspects.sort((a, b) => b.score - a.score || a.sinceMs - b.sinceMs || (a.name < b.name ? -1 : 1))
}

/**
 * The caller that tries again more often in a row than it ever did, or else multiplies its calls the most; and the one that adds most calls
 * to the service beyond those that its traces usually have.
 */
function retrying(service: ServiceNode): ReadonlySet<ServiceNode> {
  const more = [...service.callers].flatMap(caller => {
    let [usual, now, beyond] = [0, 0, 0]
    for (const { callee, usualPerTrace, nowPerTrace, nowTraces, repeats } of caller.series) {
      if (callee !== service) continue
      beyond = Math.max(beyond, repeats?.beyond ?? 0)
      usual += nowTraces * usualPerTrace
      now += nowTraces * nowPerTrace
    }
    const often = (now + FEW_CALLS) / (usual + FEW_CALLS)
    // Who only tries again more often in a row does not add calls.
    const added = often > RETRIES ? now - usual : 0
    return added > 0 || beyond > 0 ? [{ caller, added, often, beyond }] : []
  })
  const most = (of: 'added' | 'often' | 'beyond') =>
    more.reduce<(typeof more)[number] | null>((best, one) => (one[of] > (best?.[of] ?? 0) ? one : best), null)
  const named = [most('added'), most('beyond') ?? most('often')]
  return new Set(named.flatMap(one => (one === null ? [] : [one.caller])))
}

/**
 * CPU contention in a caller stretches the gaps to all that it calls. Where its own time has risen with them, it is the cause, and not
 * the one whose answer it was late to take up.
 */
function isStarved(caller: ServiceNode, scene: Scene): boolean {
  const gaps = scene.gapsFrom(caller.id).filter(gap => gap.judged[1].n > 0)
  const risen = gaps.filter(gap => zOf(gap) >= GAP_Z).length
  const self = scene.selfOf(caller.id)
  if (self !== undefined && zOf(self) >= SELF_Z) return risen >= 2 || gaps.length === 1
  if (gaps.length === 2) return gaps.every(gap => zOf(gap) >= SELF_Z)
  return risen >= 3 && risen >= 0.7 * gaps.length
}

/** By the service at which each departure is, and nothing else: what explaining away is measured against. */
export function rankPlainly(members: readonly Member[]): Suspect[] {
  const best = new Map<string, Member>()
  for (const member of members) {
    const name = member.feature.place.service.name
    if ((best.get(name)?.peak ?? 0) < member.peak) best.set(name, member)
  }
  return [...best]
    .map(([name, { feature, peak, sinceMs }]) => ({
      name,
      score: peak,
      features: [feature],
      sinceMs,
      notes: [],
    }))
    .sort((a, b) => b.score - a.score || (a.name < b.name ? -1 : 1))
}
