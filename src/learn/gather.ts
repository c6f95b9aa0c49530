//! What belongs together: whether a departure is a part of an incident, by the call graph and by time.

import type { Feature } from './feature.ts'
import type { Incident } from './incident.ts'
import type { ServiceNode } from './landscape.ts'

/** A departure next to an incident belongs to it if it began so shortly after it; what begins later may become an incident of its own. */
const GATHER_MS = 90_000
/** Callers up to so many steps away wait for whom they call. */
const STEPS = 3

/**
 * Whether a departure is a part of an incident: at a service where it departs already, or on a way from the one that is suspected first;
 * and, where it began with it, at any that it knows, at one that calls there, or at one next to it.
 */
export function belongs(incident: Incident, feature: Feature): boolean {
  const { place } = feature
  if (place.caller !== null && place.caller.name === incident.suspects[0]?.name) return true
  const early = feature.sinceMs - incident.sinceMs <= GATHER_MS
  for (const { feature: member } of incident.members.values()) {
    const { service, caller, targetService } = member.place
    if (place.service === service) return true
    if (!early) continue
    // Two that no longer call the same third have one reason.
    if (targetService !== null && targetService === place.targetService) return true
    for (const known of caller === null ? [service] : [service, caller])
      for (const own of place.caller === null ? [place.service] : [place.service, place.caller])
        if (own === known || own.callees.has(known) || known.callees.has(own)) return true
    if (reaches(place.service, service, STEPS)) return true
  }
  return false
}

function reaches(from: ServiceNode, to: ServiceNode, steps: number): boolean {
  if (from === to) return true
  if (steps === 0) return false
  for (const callee of from.callees) if (reaches(callee, to, steps - 1)) return true
  return false
}

/** Ids of all series of the services, and of the calls, that an incident is about. */
export function seriesOf(incident: Incident): string[] {
  const ids = new Set<string>()
  for (const { feature } of incident.members.values()) {
    const { service, caller } = feature.place
    if (caller === null) for (const { key } of service.series) ids.add(key.id)
    else for (const { key, callee } of caller.series) if (callee === service) ids.add(key.id)
  }
  return [...ids]
}
