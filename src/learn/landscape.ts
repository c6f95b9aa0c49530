//! What the learning plane has met: services, their series and pods, and who calls whom. Grows with what is seen, within bounds.
import type { Slots } from '../base/slots.ts'
import type { FeatureWindow, PodKey, SeriesKey } from '../bus/bus.ts'
import { Load } from '../detect/load.ts'
import { WarmUp, YOUTH_MS } from '../detect/warm-up.ts'
import { type Call, newCall } from './calls.ts'
import type { Feature } from './feature.ts'
import { levelSlots } from './lagged.ts'
import type { PodEntries } from './mute.ts'
import { Releases } from './releases.ts'
import { Series, type SeriesRows, seriesRows, type Vote } from './series.ts'
import { Usuals } from './usual.ts'

/** Operations, and services, that one series calls are told apart; further ones are left out, and counted. */
const MOST_CALLS = 256

export interface ServiceNode {
  /** Namespace, name and environment in one. */
  readonly id: string
  readonly name: string
  readonly namespace: string
  readonly environment: string
  readonly firstSeenMs: number
  /** The last window in which any of its pods was seen, and the one before. */
  lastSeenMs: number
  seenBeforeMs: number
  readonly pods: Set<Pod>
  readonly series: Series[]
  /** Services that call it, and that it calls, by what client spans with an answer on the other side have shown. */
  readonly callers: Set<ServiceNode>
  readonly callees: Set<ServiceNode>
  readonly load: Load
  /** Part of the usual traffic from outside that came in the last windows; NaN while nothing comes from there. */
  entrySeen: number
  readonly releases: Releases
  /** Its failures: those of its pods are measured by what is usual of them. Null until there is any. */
  failures: Feature | null
}

export interface Pod {
  readonly key: PodKey
  readonly service: ServiceNode
  /** When it was met, or came back from an absence that was not chance. */
  firstSeenMs: number
  lastSeenMs: number
  /** The usual time from one window with spans of it to the next; NaN while it has been in one alone. */
  everyMs: number
  idleHours: number
  /** It is young from then on for a while. */
  isYoungFrom: boolean
  /** What it serves of what comes from outside; null where that is nothing. */
  entries: PodEntries | null
}

/** Bounds of what is kept: beyond them nothing new is met, and it is counted. */
export interface Bounds {
  /** As many pods. Read each time: it may change. */
  readonly maxSeries: number
}

export class Landscape {
  readonly services = new Map<string, ServiceNode>()
  readonly series = new Map<string, Series>()
  readonly pods = new Map<string, Pod>()
  readonly levels: Slots<Float32Array> = levelSlots()
  readonly rows: SeriesRows = seriesRows()
  /** How pods are slower in their first minutes. */
  readonly warmUp = new WarmUp()
  readonly usuals = new Usuals()
  /** Rows that were left out for lack of room. */
  crowded = 0
  readonly #bounds: Bounds
  readonly #seriesOf = new WeakMap<readonly SeriesKey[], (Series | null)[]>()
  readonly #podsOf = new WeakMap<readonly PodKey[], (Pod | null)[]>()

  constructor(bounds: Bounds) {
    this.#bounds = bounds
  }

  /** The series of a row; null where there is no room for it, or where it is an overflow. */
  seriesAt(window: FeatureWindow, index: number): Series | null {
    let known = this.#seriesOf.get(window.series)
    if (known === undefined) this.#seriesOf.set(window.series, (known = []))
    const found = known[index]
    // One that was forgotten in between is met again, and there may be room by now.
    if (found != null && this.series.get(found.key.id) === found) {
      found.seenAt(window.endMs)
      return found
    }
    const key = window.series[index]
    return (known[index] = key.overflow ? null : this.meet(key, window.peers[index] ?? '', window.endMs))
  }

  podAt(window: FeatureWindow, index: number): Pod | null {
    let known = this.#podsOf.get(window.pods)
    if (known === undefined) this.#podsOf.set(window.pods, (known = []))
    const found = known[index]
    if (found != null && this.pods.get(found.key.id) === found) {
      seePod(found, window.endMs)
      return found
    }
    return (known[index] = this.#meetPod(window.pods[index], window.endMs))
  }

  serviceOf(name: string, namespace: string, environment: string, nowMs: number): ServiceNode {
    const id = JSON.stringify([namespace, name, environment])
    let service = this.services.get(id)
    if (service === undefined) {
      service = {
        id,
        name,
        namespace,
        environment,
        firstSeenMs: nowMs,
        lastSeenMs: nowMs,
        seenBeforeMs: nowMs,
        pods: new Set(),
        series: [],
        callers: new Set(),
        callees: new Set(),
        load: new Load(),
        entrySeen: Number.NaN,
        releases: new Releases(),
        failures: null,
      }
      this.services.set(id, service)
    }
    return service
  }

  /** `isNew`: whether one that is not known yet is new in the deployment too. */
  meet(key: SeriesKey, peer: string, nowMs: number, isNew = true): Series | null {
    const known = this.series.get(key.id)
    if (known !== undefined) {
      known.seenAt(nowMs)
      return known
    }
    if (this.series.size >= this.#bounds.maxSeries) {
      this.crowded++
      return null
    }
    const service = this.serviceOf(key.service, key.namespace, key.environment, nowMs)
    const series = new Series(key, service, peer, this)
    series.seenAt(nowMs)
    service.series.push(series)
    if (isNew && !series.isCall && nowMs - service.firstSeenMs >= YOUTH_MS)
      service.releases.operation(series, nowMs)
    this.series.set(key.id, series)
    return series
  }

  #meetPod(key: PodKey, nowMs: number): Pod | null {
    if (key.name === '') return null
    const known = this.pods.get(key.id)
    if (known !== undefined) {
      seePod(known, nowMs)
      return known
    }
    if (this.pods.size >= this.#bounds.maxSeries) {
      this.crowded++
      return null
    }
    const service = this.serviceOf(key.service, key.namespace, key.environment, nowMs)
    const pod: Pod = {
      key,
      service,
      firstSeenMs: nowMs,
      lastSeenMs: nowMs,
      everyMs: Number.NaN,
      idleHours: 0,
      isYoungFrom: nowMs - service.firstSeenMs >= YOUTH_MS,
      entries: null,
    }
    seeService(service, nowMs)
    service.pods.add(pod)
    if (pod.isYoungFrom) service.releases.pod(nowMs)
    this.pods.set(key.id, pod)
    return pod
  }

  /** The call of one operation by another in this window; null where there is no room for it. */
  callOf(parent: Series, child: Series): Call | null {
    const known = parent.calls.find(call => call.child === child)
    if (known !== undefined) {
      known.idleHours = 0
      return known
    }
    if (parent.calls.length >= MOST_CALLS) {
      this.crowded++
      return null
    }
    const call = newCall(child)
    parent.calls = parent.calls.concat(call)
    return call
  }

  /** A client and what answered it. */
  saw(caller: Series, callee: Series, times: number): void {
    if (caller.service === callee.service) return
    let votes = voteOf(caller, callee.service)
    if (votes === undefined) {
      if (caller.votes.length >= MOST_CALLS) {
        this.crowded++
        return
      }
      votes = { service: callee.service, times: 0, idleHours: 0 }
      caller.votes = caller.votes.concat(votes)
    }
    votes.times += times
    votes.idleHours = 0
    if (caller.callee === callee.service) return
    if (caller.callee === null || votes.times > (voteOf(caller, caller.callee)?.times ?? 0))
      caller.callee = callee.service
    caller.service.callees.add(callee.service)
    callee.service.callers.add(caller.service)
  }

  /** The same, as it was known before a restart. */
  calls(caller: Series, callee: ServiceNode): void {
    caller.callee = callee
    caller.votes = [
      ...caller.votes.filter(({ service }) => service !== callee),
      { service: callee, times: 1, idleHours: 0 },
    ]
    caller.service.callees.add(callee)
    callee.callers.add(caller.service)
  }

  /** It is known no more. */
  forget(series: Series): void {
    this.series.delete(series.key.id)
    series.release(this.rows)
    this.usuals.forget(series)
  }

  restorePod(key: PodKey, firstSeenMs: number, lastSeenMs: number, isYoungFrom: boolean): void {
    const service = this.serviceOf(key.service, key.namespace, key.environment, lastSeenMs)
    const everyMs = Number.NaN
    const pod: Pod = {
      key,
      service,
      firstSeenMs,
      lastSeenMs,
      everyMs,
      idleHours: 0,
      isYoungFrom,
      entries: null,
    }
    service.lastSeenMs = Math.max(service.lastSeenMs, lastSeenMs)
    service.pods.add(pod)
    this.pods.set(key.id, pod)
  }
}

const voteOf = ({ votes }: Series, of: ServiceNode): Vote | undefined =>
  votes.find(({ service }) => service === of)

/** A pod has been away that was not seen for more than so many times its usual time from one window to the next. */
const ABSENCES = 10
/** That time follows by this part from each to the next. */
const EVERY_FOLLOWS = 0.1

/** A window has spans of a pod. One that was away while its service went on has been started again, and is cold. */
function seePod(pod: Pod, nowMs: number): void {
  const { service } = pod
  seeService(service, nowMs)
  const awayMs = nowMs - pod.lastSeenMs
  const wentOn = service.seenBeforeMs - pod.lastSeenMs
  if (wentOn > ABSENCES * pod.everyMs) {
    pod.firstSeenMs = nowMs
    pod.isYoungFrom = true
  } else if (awayMs > 0)
    pod.everyMs = Number.isNaN(pod.everyMs) ? awayMs : pod.everyMs + EVERY_FOLLOWS * (awayMs - pod.everyMs)
  pod.lastSeenMs = nowMs
  pod.idleHours = 0
}

function seeService(service: ServiceNode, nowMs: number): void {
  if (nowMs === service.lastSeenMs) return
  service.seenBeforeMs = service.lastSeenMs
  service.lastSeenMs = nowMs
}

/** A pod that appears when its service has been known for so long is young for as long. */
export const isYoung = (pod: Pod, nowMs: number): boolean =>
  pod.isYoungFrom && nowMs - pod.firstSeenMs < YOUTH_MS
