//! What the learning plane has met: services, their series and pods, and who calls whom. Grows with what is seen, within bounds.
import type { Slots } from '../base/slots.ts'
import type { FeatureWindow, PodKey, SeriesKey } from '../bus/bus.ts'
import { Load } from '../detect/load.ts'
import { type Call, newCall } from './calls.ts'
import type { Feature } from './feature.ts'
import { LaggedLevel, levelSlots } from './lagged.ts'
import { Releases } from './releases.ts'
import type { Repeats } from './repeats.ts'
import { NO_ROW, Usuals } from './usual.ts'

const CLIENT = 3
const PRODUCER = 4
const CONSUMER = 5

/** A pod that appears when its service has been known for so long is young for as long: caches are cold and code is not compiled. */
const YOUTH_MS = 5 * 60_000
/** Operations, and services, that one series calls are told apart; further ones are left out, and counted. */
const MOST_CALLS = 256

export interface ServiceNode {
  /** Namespace, name and environment in one. */
  readonly id: string
  readonly name: string
  readonly namespace: string
  readonly environment: string
  readonly firstSeenMs: number
  readonly pods: Set<Pod>
  readonly series: Series[]
  /** Services that call it, and that it calls, by what client spans with an answer on the other side have shown. */
  readonly callers: Set<ServiceNode>
  readonly callees: Set<ServiceNode>
  readonly load: Load
  readonly releases: Releases
  /** Its failures: those of its pods are measured by what is usual of them. Null until there is any. */
  failures: Feature | null
}

export interface Pod {
  readonly key: PodKey
  readonly service: ServiceNode
  readonly firstSeenMs: number
  lastSeenMs: number
  idleHours: number
  readonly isYoungFrom: boolean
}

/** A service that a client's spans have been answered by. */
interface Vote {
  readonly service: ServiceNode
  times: number
  idleHours: number
}

/** What one window has of a series. */
interface Sums {
  spans: number
  traces: number
  roots: number
  origins: number
  away: number
  /** Of the weights of its samples, one for each trace, and of their squares. */
  weights: number
  squares: number
  /** Effective number of calls, and of those of which the other side was seen. */
  clients: number
  answered: number
}

/** Of a series that is not in the window. */
export const NO_SUMS: Readonly<Sums> = Object.freeze(newSums())
/** Shared, so that who calls nobody has none of its own. */
const NONE: readonly never[] = []

export function newSums(): Sums {
  return {
    spans: 0,
    traces: 0,
    roots: 0,
    origins: 0,
    away: 0,
    weights: 0,
    squares: 0,
    clients: 0,
    answered: 0,
  }
}

/** Calls have no self time that is looked at, and others neither way nor peer. */
const NO_LEVEL = new LaggedLevel(null)

export interface Series {
  readonly key: SeriesKey
  readonly service: ServiceNode
  /** Client or producer. */
  readonly isCall: boolean
  readonly isAsync: boolean
  readonly peer: string
  /** Whom a client calls, where the other side has been seen. */
  callee: ServiceNode | null
  votes: readonly Vote[]
  /** Of calls `gap` and `duration`, of all others `self`. */
  readonly self: LaggedLevel
  readonly gap: LaggedLevel
  readonly duration: LaggedLevel
  /** The end of the last window in which it had a row, and hours since then. */
  lastSeenMs: number
  idleHours: number
  /** This window's. */
  sums: Sums
  /** The first of its rows in this window, -1 where there is none. */
  row: number
  /** How many of its spans a trace has, usually and in the last minute or so, and how many such traces a window has. Retries raise it. */
  usualPerTrace: number
  nowPerTrace: number
  nowTraces: number
  /** How often one request makes this call; null as long as none has made it twice. */
  repeats: Repeats | null
  /** What is usual of its spans that were drawn. */
  usualRow: number
  slowNs: number
  slowTrace: string
  /** By child. */
  calls: readonly Call[]
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
      found.lastSeenMs = window.endMs
      found.idleHours = 0
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
      found.lastSeenMs = window.endMs
      found.idleHours = 0
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
        pods: new Set(),
        series: [],
        callers: new Set(),
        callees: new Set(),
        load: new Load(),
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
      known.lastSeenMs = nowMs
      known.idleHours = 0
      return known
    }
    if (this.series.size >= this.#bounds.maxSeries) {
      this.crowded++
      return null
    }
    const service = this.serviceOf(key.service, key.namespace, key.environment, nowMs)
    const isCall = key.kind === CLIENT || key.kind === PRODUCER
    const series: Series = {
      key,
      service,
      isCall,
      isAsync: key.kind === PRODUCER || key.kind === CONSUMER,
      peer,
      callee: null,
      votes: NONE,
      self: isCall ? NO_LEVEL : new LaggedLevel(this.levels),
      gap: isCall ? new LaggedLevel(this.levels) : NO_LEVEL,
      duration: isCall ? new LaggedLevel(this.levels) : NO_LEVEL,
      lastSeenMs: nowMs,
      idleHours: 0,
      sums: NO_SUMS,
      row: -1,
      usualPerTrace: 0,
      nowPerTrace: 0,
      nowTraces: 0,
      repeats: null,
      usualRow: NO_ROW,
      slowNs: 0,
      slowTrace: '',
      calls: NONE,
    }
    service.series.push(series)
    if (isNew && !isCall && nowMs - service.firstSeenMs >= YOUTH_MS) service.releases.operation(series, nowMs)
    this.series.set(key.id, series)
    return series
  }

  #meetPod(key: PodKey, nowMs: number): Pod | null {
    if (key.name === '') return null
    const known = this.pods.get(key.id)
    if (known !== undefined) {
      known.lastSeenMs = nowMs
      known.idleHours = 0
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
      idleHours: 0,
      isYoungFrom: nowMs - service.firstSeenMs >= YOUTH_MS,
    }
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
    for (const lagged of [series.self, series.gap, series.duration]) lagged.release()
    this.usuals.forget(series)
  }

  restorePod(key: PodKey, firstSeenMs: number, lastSeenMs: number, isYoungFrom: boolean): void {
    const service = this.serviceOf(key.service, key.namespace, key.environment, lastSeenMs)
    const pod: Pod = { key, service, firstSeenMs, lastSeenMs, idleHours: 0, isYoungFrom }
    service.pods.add(pod)
    this.pods.set(key.id, pod)
  }
}

const voteOf = ({ votes }: Series, of: ServiceNode): Vote | undefined =>
  votes.find(({ service }) => service === of)

export const isYoung = (pod: Pod, nowMs: number): boolean =>
  pod.isYoungFrom && nowMs - pod.firstSeenMs < YOUTH_MS

/** Per window with traces: about an hour, and about a minute. */
const USUALLY = 1 / 360
const LATELY = 1 / 5

/** At the end of a window in which a call was seen: how many of its spans a trace has. */
export function followPerTrace(series: Series): void {
  const now = series.sums.spans / series.sums.traces
  if (series.usualPerTrace === 0) series.usualPerTrace = series.nowPerTrace = now
  series.nowPerTrace += LATELY * (now - series.nowPerTrace)
  series.nowTraces += LATELY * (series.sums.traces - series.nowTraces)
  series.usualPerTrace += USUALLY * (Math.min(now, 1.1 * series.usualPerTrace) - series.usualPerTrace)
}
