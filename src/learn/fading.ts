//! What is forgotten of the landscape: what nobody has seen for too long, and what is left of nothing else.
import { KEPT_HOURS } from '../bus/idle.ts'
import type { Landscape, Series, ServiceNode } from './landscape.ts'
import type { Place } from './places.ts'

/** An hour is over. */
export function fade(landscape: Landscape): void {
  for (const [id, pod] of landscape.pods) {
    if (++pod.idleHours <= KEPT_HOURS.pods) continue
    landscape.pods.delete(id)
    pod.service.pods.delete(pod)
  }
  const gone = new Set<Series>()
  for (const [id, series] of landscape.series) {
    if (++series.idleHours <= KEPT_HOURS.series) continue
    landscape.series.delete(id)
    gone.add(series)
  }
  for (const service of new Set([...gone].map(series => series.service))) {
    const left = service.series.filter(series => !gone.has(series))
    service.series.length = 0
    for (const series of left) service.series.push(series)
  }
  const lost = new Set<ServiceNode>()
  for (const [id, service] of landscape.services) {
    if (service.series.length > 0 || service.pods.size > 0) continue
    landscape.services.delete(id)
    lost.add(service)
  }
  let isCut = gone.size > 0 || lost.size > 0
  for (const series of landscape.series.values()) if (fadeCalls(series, gone, lost)) isCut = true
  if (isCut) drawEdges(landscape)
}

/** Forgets whom a series calls no more; whether there was any service among them. */
function fadeCalls(
  { calls, votes }: Series,
  gone: ReadonlySet<Series>,
  lost: ReadonlySet<ServiceNode>,
): boolean {
  for (const [child, call] of calls)
    if (++call.idleHours > KEPT_HOURS.series || gone.has(child)) calls.delete(child)
  const before = votes.size
  for (const [service, vote] of votes)
    if (++vote.idleHours > KEPT_HOURS.series || lost.has(service)) votes.delete(service)
  return votes.size < before
}

/** What calls whom is known by the series that are left. */
function drawEdges({ services, series: all }: Landscape): void {
  for (const { callers, callees } of services.values()) {
    callers.clear()
    callees.clear()
  }
  for (const series of all.values()) {
    // Whoever is called still, and is seen no more, is a peer; unless another answers.
    if (series.callee !== null && !series.votes.has(series.callee)) series.callee = favourite(series)
    for (const callee of series.votes.keys()) {
      series.service.callees.add(callee)
      callee.callers.add(series.service)
    }
  }
}

function favourite({ votes }: Series): ServiceNode | null {
  let best: ServiceNode | null = null
  let most = 0
  for (const [service, { times }] of votes) {
    if (times <= most) continue
    best = service
    most = times
  }
  return best
}

/** Whether all that a place is made of is still known. */
export function isKnown(
  { services, series: all, pods }: Landscape,
  { service, caller, series, pod, targetService }: Place,
): boolean {
  const isThere = (one: ServiceNode | null) => one === null || services.get(one.id) === one
  return (
    isThere(service) &&
    isThere(caller) &&
    isThere(targetService) &&
    (series === null || all.get(series.key.id) === series) &&
    (pod === null || pods.get(pod.key.id) === pod)
  )
}
