//! Interns the places in which services run: from the bytes of a resource to a small number, read once for each resource.
import type { Items } from '../base/item.ts'
import type { PodKey } from '../bus/bus.ts'
import { texts } from '../wire/key-value.ts'
import { IdleHours, Numbers } from './numbers.ts'
import type { Group } from './series.ts'

/** Places that are told apart; the rest share one for each service. */
const MAX_PODS = 2 ** 15
/** The name of that one. */
export const OTHER_POD = 'otlier.other'
/** Longer values are cut: the table's memory is bounded by it. */
const MAX_VALUE_BYTES = 128
/** Resources whose bytes are remembered, two numbers each. What it forgets is read again. */
const REMEMBERED = 2 ** 13

/** The first of these that a resource has names the pod. */
const NAMES = ['k8s.pod.name', 'service.instance.id', 'host.name']
/** A machine has one clock, whatever runs on it. */
const MACHINES = ['k8s.node.name', 'host.name', 'host.id']
/** What may set a pod apart from its siblings. */
const KEPT = [
  'service.version',
  'k8s.node.name',
  'host.name',
  'cloud.availability_zone',
  'cloud.region',
  'deployment.environment.name',
  'k8s.cluster.name',
  'k8s.namespace.name',
  'k8s.deployment.name',
  'container.image.name',
  'container.image.tag',
  'container.image.tags',
  'host.type',
  'process.runtime.version',
  'telemetry.sdk.version',
]
const WANTED = [...new Set([...NAMES, ...MACHINES, ...KEPT])]
const encoder = new TextEncoder()
const WANTED_BYTES = WANTED.map(key => encoder.encode(key))

// message Resource { repeated KeyValue attributes = 1; ... }
const ATTRIBUTES_TAG = 0x0a

/** Stands where no pod has the number. */
const NOBODY: PodKey = { id: '', service: '', namespace: '', environment: '', name: '', attributes: {} }

export class PodTable {
  /** Replaced when numbers are given back: what was published before names its pods by the one before. */
  keys: PodKey[] = []
  /** How often a pod has come or gone. */
  changes = 0
  /** By pod: a number for whatever has a clock of its own, the machine where the resource names it. */
  readonly clockOf: number[] = []
  /** By clock: what it is called. */
  readonly clockNames: string[] = []
  readonly #maxPods: number
  readonly #byId = new Map<string, number>()
  readonly #numbers = new Numbers()
  readonly #idle = new IdleHours()
  readonly #clockNumbers = new Numbers()
  readonly #clocks = new Map<string, number>()
  /** By hash: the rest of the hash, and the pod. A resource that comes again costs one pass over its bytes. */
  readonly #checks = new Int32Array(REMEMBERED)
  readonly #remembered = new Int32Array(REMEMBERED).fill(-1)
  readonly #seed: number

  /** @param chance in [0, 1): nobody can choose resources that are taken for each other */
  constructor(chance: number, maxPods: number = MAX_PODS) {
    this.#maxPods = maxPods
    this.#seed = Math.floor(chance * 2 ** 32) | 0
  }

  /** The pod of a scanned resource of this service. Another inspector's numbers of services are told apart by `salt`. */
  intern(
    view: DataView,
    bytes: Uint8Array,
    items: Items,
    resource: number,
    group: Group,
    salt: number,
  ): number {
    const at = items.resourceMessageAt[resource]
    const end = items.resourceMessageEnd[resource]
    let low = this.#seed ^ Math.imul(group.number + 1, 0x9e3779b1)
    let high = Math.imul(end - at + 1, 0x85ebca6b) ^ Math.imul(salt + 1, 0xc2b2ae35)
    let i = at
    for (; i + 4 <= end; i += 4) {
      const word = view.getInt32(i, true)
      low = Math.imul(low ^ word, 0x01000193)
      low ^= low >>> 15
      high = Math.imul((high << 5) ^ (high >>> 27) ^ word, 0x9e3779b1)
    }
    for (; i < end; i++) {
      low = Math.imul(low ^ bytes[i], 0x01000193)
      low ^= low >>> 15
      high = Math.imul((high << 5) ^ (high >>> 27) ^ bytes[i], 0x9e3779b1)
    }
    const place = ((low ^ (low >>> 15)) >>> 0) % REMEMBERED
    const check = high ^ (low >>> 7)
    if (this.#remembered[place] >= 0 && this.#checks[place] === check) {
      this.#idle.seen(this.#remembered[place])
      return this.#remembered[place]
    }
    const pod = this.#read(bytes, at, end, group)
    this.#idle.seen(pod)
    this.#checks[place] = check
    this.#remembered[place] = pod
    return pod
  }

  /**
   * An hour is over: gives back the numbers of pods that have been idle for more than `kept`, and of clocks that nobody reads any more.
   * @param isInUse whether something that is not published yet names the pod
   * @param release tells whoever follows the clock; false where it cannot be done without
   */
  forget(kept: number, isInUse: (pod: number) => boolean, release: (clock: number) => boolean): void {
    this.#idle.pass(this.#numbers.end)
    const gone = [...this.#byId].filter(([, pod]) => this.#idle.of(pod) > kept && !isInUse(pod))
    if (gone.length === 0) return
    this.changes++
    this.keys = [...this.keys]
    for (const [id, pod] of gone) {
      this.#byId.delete(id)
      this.keys[pod] = NOBODY
      this.#numbers.giveBack(pod)
    }
    this.#remembered.fill(-1)
    const read = new Set([...this.#byId.values()].map(pod => this.clockOf[pod]))
    for (const [key, clock] of this.#clocks) {
      if (read.has(clock) || !release(clock)) continue
      this.#clocks.delete(key)
      this.#clockNumbers.giveBack(clock)
    }
  }

  #read(bytes: Uint8Array, at: number, end: number, group: Group): number {
    const found = texts(bytes, at, end, ATTRIBUTES_TAG, WANTED_BYTES, MAX_VALUE_BYTES)
    const of = (key: string) => found[WANTED.indexOf(key)]
    const name = NAMES.map(of).find(value => value !== '') ?? ''
    const machine = MACHINES.map(of).find(value => value !== '') ?? ''
    const attributes: Record<string, string> = {}
    for (const key of KEPT) if (of(key) !== '') attributes[key] = of(key)
    return this.#register(group, name, attributes, machine)
  }

  #register(
    group: Group,
    name: string,
    attributes: Readonly<Record<string, string>>,
    machine: string,
  ): number {
    const { service, namespace, environment } = group
    // A pod that keeps its name over a release, as those of a StatefulSet do, is another place: what sets it apart has changed.
    const id = JSON.stringify([namespace, service, environment, name, attributes])
    const known = this.#byId.get(id)
    if (known !== undefined) return known
    // The one that holds what no longer fits is always there to be found: there are no more of them than services.
    if (this.#numbers.size >= this.#maxPods && name !== OTHER_POD)
      return this.#register(group, OTHER_POD, {}, '')
    const pod = this.#numbers.take()
    this.keys[pod] = { id, service, namespace, environment, name, attributes }
    this.#byId.set(id, pod)
    this.changes++
    this.clockOf[pod] = this.#clock(machine === '' ? id : machine, machine === '' ? name || service : machine)
    return pod
  }

  #clock(key: string, name: string): number {
    let clock = this.#clocks.get(key)
    if (clock === undefined) {
      clock = this.#clockNumbers.take()
      this.clockNames[clock] = name
      this.#clocks.set(key, clock)
    }
    return clock
  }
}
