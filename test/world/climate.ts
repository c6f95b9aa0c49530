//! The state of the simulated world from one 5 s step to the next: load, utilisation, noisy nodes, hiccups, and who records what.
import { type Almanac, DAY_MS, type Episode, type Hiccup, type Stretch } from './almanac.ts'
import { named, under, unit, wander } from './draws.ts'
import type { Fault } from './faults.ts'
import { Pods, youth } from './pods.ts'
import type { Operation, Topology } from './topology.ts'

/** The grain of everything that changes slowly. */
export const STEP_MS = 5_000

/** The almanac's stretches that touch the step; asked in order of time. */
class Current<T extends Stretch> {
  now: T[] = []
  private next = 0
  private readonly list: readonly T[]
  constructor(list: readonly T[]) {
    this.list = list
  }
  step(atMs: number) {
    while (this.next < this.list.length && this.list[this.next].fromMs < atMs + STEP_MS)
      this.now.push(this.list[this.next++])
    if (this.now.some(({ toMs }) => toMs <= atMs)) this.now = this.now.filter(({ toMs }) => toMs > atMs)
    return this.now
  }
}

export class Climate {
  /** By entry operation's id: requests a second, and the share of them that is recorded at all. */
  readonly arrivals: Float64Array
  readonly recorded: Float64Array
  /** By service, by peer: a factor on the time that its work takes. */
  readonly slow: Float64Array
  readonly peerSlow: Float64Array
  /** By operation: the share of requests that fail of themselves. */
  readonly errorShare: Float64Array
  /** By node: what its clock shows too much, in ms. */
  readonly clockMs: Float64Array
  readonly pods: Pods
  hiccups: readonly Hiccup[] = []
  atMs: number
  private readonly root: number
  private readonly topology: Topology
  private readonly almanac: Almanac
  private readonly rates: Float64Array
  private readonly demand: Float64Array
  private readonly usual: Float64Array
  private readonly nodeSlow: Float64Array
  private readonly current

  constructor(seed: number, topology: Topology, almanac: Almanac, faults: readonly Fault[], fromMs: number) {
    const { services, operations, peers } = topology
    this.root = named(seed, 'climate')
    this.topology = topology
    this.almanac = almanac
    this.arrivals = new Float64Array(operations.length)
    this.recorded = new Float64Array(operations.length)
    this.slow = new Float64Array(services.length)
    this.peerSlow = new Float64Array(peers.length)
    this.errorShare = new Float64Array(operations.length)
    this.clockMs = new Float64Array(almanac.nodes)
    this.nodeSlow = new Float64Array(almanac.nodes)
    this.rates = new Float64Array(operations.length)
    this.demand = new Float64Array(services.length)
    this.usual = new Float64Array(services.length)
    for (const { service, rate, medianMs } of operations) this.usual[service.id] += rate * medianMs
    this.pods = new Pods(seed, topology, almanac, faults)
    this.current = {
      promotions: new Current(almanac.promotions),
      jobs: new Current(almanac.jobs),
      noisyNodes: new Current(almanac.noisyNodes),
      hiccups: new Current(almanac.hiccups),
      errorBursts: new Current(almanac.errorBursts),
      deadExporters: new Current(almanac.deadExporters),
      samplings: new Current(almanac.samplings),
      clockJumps: new Current(almanac.clockJumps),
    }
    // A quarter of an hour before, so that scaling has settled.
    const start = Math.floor(fromMs / STEP_MS) * STEP_MS
    this.atMs = Math.max(0, start - 180 * STEP_MS) - STEP_MS
    while (this.atMs < start - STEP_MS) this.step()
  }

  /** Goes on to the next 5 s: `atMs` is their beginning. */
  step() {
    this.atMs += STEP_MS
    this.load()
    this.pods.step(this.atMs, STEP_MS, this.topology.services, this.demand)
    this.noise()
    this.records()
  }

  private load() {
    const { atMs, topology, rates, demand, current } = this
    const promoted = current.promotions.step(atMs)
    const jobs = current.jobs.step(atMs)
    const fronts = topology.entries.filter(({ kind }) => kind !== 'internal')
    rates.fill(0)
    demand.fill(0)
    this.arrivals.fill(0)
    for (const [place, entry] of fronts.entries()) {
      const own = under(this.root, entry.id)
      const burst = Math.exp(0.22 * wander(own, atMs, STEP_MS, 12) - 0.03)
      let rate = entry.rate * shape(own, atMs) * weekly(own, atMs, this.almanac.days) * burst
      for (const { which, size } of promoted) if (which === place) rate *= size
      rates[entry.id] = this.arrivals[entry.id] = rate
    }
    for (const { which } of jobs) rates[which] = this.arrivals[which] = topology.operations[which].rate
    for (const { id, service, medianMs, calls, hitShare } of topology.operations) {
      demand[service.id] += (rates[id] * medianMs) / this.usual[service.id]
      if (rates[id] === 0) continue
      const missing = rates[id] * (1 - hitShare)
      for (const { to, remote, share, times } of calls)
        if (remote === 'operation') rates[(to as Operation).id] += missing * share * times
    }
  }

  private noise() {
    const { atMs, almanac, topology, current } = this
    for (let node = 0; node < almanac.nodes; node++) {
      const own = under(named(this.root, 'node'), node)
      this.nodeSlow[node] = Math.exp(0.1 * wander(own, atMs, 20_000, 10))
      this.clockMs[node] = 4_000 * unit(own) - 2_000
    }
    for (const { which, size } of current.noisyNodes.step(atMs)) this.nodeSlow[which] *= size
    for (const { which, size } of current.clockJumps.step(atMs)) this.clockMs[which] += size
    for (const { id } of topology.peers) {
      const own = under(named(this.root, 'peer'), id)
      this.peerSlow[id] = Math.exp(0.15 * wander(own, atMs, 10_000, 11))
    }
    for (const { which, size } of current.jobs.now)
      for (let n = 0; n < 2; n++) this.peerSlow[under(which, n) % topology.peers.length] *= size
    for (const { id, busy, strain, pods } of topology.services) {
      const live = this.pods.live[id]
      const used = Math.min(0.92, (busy * this.demand[id] * pods) / live.length)
      const own = under(named(this.root, 'service'), id)
      this.slow[id] = (1 + (strain * used ** 4) / (1 - used)) * Math.exp(0.16 * wander(own, atMs, 15_000, 10))
      for (const pod of live) pod.slow = youth(pod, atMs) * this.nodeSlow[pod.node]
    }
    this.hiccups = current.hiccups.step(atMs)
  }

  private records() {
    const { atMs, topology, current } = this
    for (const { id, errorShare } of topology.operations) this.errorShare[id] = errorShare
    for (const { which, size } of current.errorBursts.step(atMs)) this.errorShare[which] += size
    for (const live of this.pods.live) for (const pod of live) pod.exporterDead = false
    for (const { which, size } of current.deadExporters.step(atMs)) {
      const live = this.pods.live[which]
      // Of a service that has but one, all telemetry would be lost: that is a fault of its own kind.
      if (live.length > 1) live[Math.floor(size * live.length)].exporterDead = true
    }
    this.recorded.fill(1)
    const samplings: readonly Episode[] = current.samplings.step(atMs)
    for (const { which, size } of samplings)
      for (const { id } of topology.services[which].operations) this.recorded[id] *= size
  }
}

/** Load over the day: fewest before dawn, two humps by day, for each in its own way. */
function shape(own: number, atMs: number): number {
  const hours = (atMs / 3_600_000) % 24
  const peak = 13 + 4 * unit(under(own, 1))
  const depth = 0.4 + 0.5 * unit(under(own, 2))
  const day = Math.cos(((hours - peak) / 12) * Math.PI)
  const halfDay = Math.cos(((hours - peak + 1) / 6) * Math.PI)
  return Math.exp(depth * (day + 0.25 * halfDay - 0.7))
}

/** One day becomes the next while people sleep, and not at the stroke of midnight. */
const TURNING_MS = 4 * 3_600_000

/** And over the week: another level at the weekend, for each in its own way, and on holidays. `days`: a factor for each of these. */
function weekly(own: number, atMs: number, days: readonly number[]): number {
  const day = Math.floor(atMs / DAY_MS)
  const level = (of: number) => Math.log(days[of] * (of % 7 >= 5 ? 0.5 + 0.7 * unit(under(own, 3)) : 1))
  const turned = Math.min(1, (atMs - day * DAY_MS) / TURNING_MS)
  return Math.exp(level(day) * turned + level(Math.max(0, day - 1)) * (1 - turned))
}
