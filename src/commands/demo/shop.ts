//! The shop of the demo at work: whole traces, drawn from a seed, with whatever is wrong at the moment.
import { seeded } from '../../base/chance.ts'
import type { Trouble } from './faults.ts'
import {
  ENTRIES,
  keyOf,
  OPERATIONS,
  type Operation,
  PEERS,
  type Peer,
  type Pod,
  podsOf,
  SERVICES,
} from './topology.ts'

export interface PlannedSpan {
  readonly pod: Pod
  readonly name: string
  readonly kind: 'server' | 'client'
  readonly parent: PlannedSpan | null
  /** Milliseconds since 1970, with fractions. */
  readonly startMs: number
  endMs: number
  failed: boolean
  readonly attributes: Readonly<Record<string, string | number>>
}

/** The spread of own times and of the way, as the standard deviation of their logarithm. */
const OWN_SPREAD = 0.35
const WAY_SPREAD = 0.3
/** There and back. */
const WAY_MS = 0.9
/** One request in so many waits for something: a lock, a collection of garbage. How much longer it takes has a heavy tail (Pareto). */
const SLOW_SHARE = 0.01
const TAIL_INDEX = 2
const MOST_TIMES = 50
/** One request in so many fails by itself. */
const FAILURE_SHARE = 0.001

export class Shop {
  readonly #random: () => number
  readonly #operations = new Map(OPERATIONS.map(each => [keyOf(each), each]))
  readonly #peers = new Map(PEERS.map(each => [each.name, each]))
  readonly #pods = new Map(SERVICES.map(service => [service, podsOf(service)]))
  readonly #perSecond: number

  /** @param perSecond requests from outside */
  constructor(seed: number, perSecond: number) {
    this.#random = seeded(seed)
    this.#perSecond = perSecond
  }

  /** Milliseconds to the next request from outside (a Poisson process). */
  pauseMs(): number {
    return (-Math.log(1 - this.#random()) * 1000) / this.#perSecond
  }

  /** 2n lower-case hexadecimal digits. */
  id(bytes: number): string {
    let text = ''
    while (text.length < 2 * bytes)
      text += Math.floor(this.#random() * 2 ** 32)
        .toString(16)
        .padStart(8, '0')
    return text
  }

  /** One request from outside and all that follows from it: parents before their children. */
  trace(startMs: number, trouble: Trouble): PlannedSpan[] {
    let part = this.#random()
    const [entry] = ENTRIES.find(([, share]) => (part -= share) < 0) ?? ENTRIES[0]
    const spans: PlannedSpan[] = []
    this.#serve(this.#operations.get(entry) as Operation, startMs, null, trouble, spans)
    return trouble.mute === undefined ? spans : spans.filter(({ pod }) => pod.service !== trouble.mute)
  }

  #serve(
    operation: Operation,
    startMs: number,
    parent: PlannedSpan | null,
    trouble: Trouble,
    into: PlannedSpan[],
  ): PlannedSpan {
    const { service, name, steps } = operation
    const pods = this.#pods.get(service) as readonly Pod[]
    const index = Math.floor(this.#random() * pods.length)
    const replaced = trouble.release?.service === service && index === 0 ? trouble.release : null
    const pod = replaced === null ? pods[index] : released(pods[index], replaced.version)
    const [method, route] = name.split(' ')
    const attributes = { 'http.request.method': method, 'http.route': route }
    const span: PlannedSpan = {
      pod,
      name,
      kind: 'server',
      parent,
      startMs,
      endMs: startMs,
      failed: false,
      attributes,
    }
    into.push(span)
    let ownMs = this.#takes(operation.ownMs)
    if (trouble.slow?.service === service) ownMs *= trouble.slow.times
    if (replaced !== null) ownMs *= replaced.times
    const failing = trouble.failing?.service === service ? trouble.failing.share : 0
    span.failed = this.#random() < FAILURE_SHARE + failing
    let nowMs = startMs
    for (const { to, chance } of steps) {
      nowMs += ownMs / (steps.length + 1)
      const isTaken = this.#random() < chance
      const isSkipped = trouble.skip?.service === service && trouble.skip.to === to
      if (!isTaken || isSkipped || span.failed) continue
      const call = this.#call(span, to, nowMs, trouble, into)
      nowMs = call.endMs
      span.failed ||= call.failed
    }
    span.endMs = nowMs + ownMs / (steps.length + 1)
    return span
  }

  #call(
    caller: PlannedSpan,
    to: string,
    startMs: number,
    trouble: Trouble,
    into: PlannedSpan[],
  ): PlannedSpan {
    const peer = this.#peers.get(to)
    const callee = this.#operations.get(to)
    const { pod } = caller
    const span: PlannedSpan = {
      pod,
      name: peer?.call ?? (callee as Operation).name,
      kind: 'client',
      parent: caller,
      startMs,
      endMs: startMs,
      failed: false,
      attributes: peer?.attributes ?? {
        'http.request.method': (callee as Operation).name.split(' ')[0],
        'url.template': (callee as Operation).name.split(' ')[1],
        'server.address': (callee as Operation).service,
      },
    }
    into.push(span)
    let wayMs = WAY_MS * Math.exp(WAY_SPREAD * this.#normal())
    if (callee === undefined) {
      span.endMs = startMs + wayMs + this.#takes((peer as Peer).takesMs)
      return span
    }
    const { way } = trouble
    if (way?.caller === pod.service && way.callee === callee.service) wayMs += way.addMs
    const server = this.#serve(callee, startMs + wayMs / 2, span, trouble, into)
    span.endMs = server.endMs + wayMs / 2
    span.failed = server.failed
    return span
  }

  /** Log-normal about the median, and now and then much longer. */
  #takes(medianMs: number): number {
    const ms = medianMs * Math.exp(OWN_SPREAD * this.#normal())
    const isSlow = this.#random() < SLOW_SHARE
    const times = (1 - this.#random()) ** (-1 / TAIL_INDEX)
    return isSlow ? ms * (1 + Math.min(MOST_TIMES, times)) : ms
  }

  /** Box and Muller's. */
  #normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.#random())) * Math.cos(2 * Math.PI * this.#random())
  }
}

const released = (pod: Pod, version: string): Pod => ({
  ...pod,
  name: `${pod.service}-9f1a-x`,
  version,
})
