//! What is forgotten of the landscape: what nobody has seen for too long, and what is left of nothing else.
import { KEPT_HOURS } from '../bus/idle.ts'
import type { Landscape, ServiceNode } from './landscape.ts'
import type { Place } from './places.ts'
import type { Series } from './series.ts'

/** An hour is over. */
export function fade(landscape: Landscape): void {
  for (const [id, pod] of landscape.pods) {
    if (++pod.idleHours <= KEPT_HOURS.pods) continue
    landscape.pods.delete(id)
    pod.service.pods.delete(pod)
  }
  const gone = new Set<Series>()
  for (const series of landscape.series.values()) {
    if (++series.idleHours <= KEPT_HOURS.series) continue
    gone.add(series)
  }
  for (const series of gone) landscape.forget(series)
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
function fadeCalls(series: Series, gone: ReadonlySet<Series>, lost: ReadonlySet<ServiceNode>): boolean {
  const { calls, votes } = series
  series.calls = left(calls, ({ child }) => gone.has(child))
  series.votes = left(votes, ({ service }) => lost.has(service))
  return series.votes.length < votes.length
}

/** An hour later. */
function left<T extends { idleHours: number }>(all: readonly T[], isGone: (one: T) => boolean): readonly T[] {
  for (const one of all) one.idleHours++
  return all.some(one => one.idleHours > KEPT_HOURS.series || isGone(one))
    ? all.filter(one => one.idleHours <= KEPT_HOURS.series && !isGone(one))
    : all
}

/** What calls whom is known by the series that are left. */
function drawEdges({ services, series: all }: Landscape): void {
  for (const { callers, callees } of services.values()) {
    callers.clear()
    callees.clear()
  }
  for (const series of all.values()) {
    // Whoever is called still, and is seen no more, is a peer; unless another answers.
    const { callee: asked, votes } = series
    if (asked !== null && !votes.some(({ service }) => service === asked)) series.callee = favourite(series)
    for (const { service: callee } of votes) {
      series.service.callees.add(callee)
      callee.callers.add(series.service)
    }
  }
}

function favourite({ votes }: Series): ServiceNode | null {
  let best: ServiceNode | null = null
  let most = 0
  for (const { service, times } of votes) {
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
