//! One request through the simulated world: every span of its trace with its moment, its time and its fate, in columns that are reused.
import type { Climate } from './climate.ts'
import { gauss, mix, pareto, under, unit } from './draws.ts'
import { failing, slower } from './effects.ts'
import type { Fault } from './faults.ts'
import { type Pod, paused } from './pods.ts'
import type { Call, Operation, Peer, Topology } from './topology.ts'

export const FAILED = 1
/** The failure began here: nobody that it called had failed. */
export const ORIGIN = 2
/** A fault made this span slower or made it fail, here or below. */
export const TOUCHED = 4
/** Its service has lost its telemetry: nobody will see it. */
export const MUTE = 8
/** Its parent did not wait for it. */
export const APART = 16

/** A trace has no more spans than this; what would be more is not called. */
export const MOST_SPANS = 4_000
const LONGEST_MS = 60_000

export class Trace {
  length = 0
  /** One row for each span, parents before their children, siblings in order of their start. */
  readonly series = new Int32Array(MOST_SPANS)
  readonly parent = new Int32Array(MOST_SPANS)
  readonly startMs = new Float64Array(MOST_SPANS)
  readonly endMs = new Float64Array(MOST_SPANS)
  readonly flags = new Uint8Array(MOST_SPANS)
  /** Where its draws come from; makes its id. */
  readonly address = new Uint32Array(MOST_SPANS)
  readonly pod: Pod[] = new Array(MOST_SPANS)
  /** The call that a client or producer span stands for, else -1. */
  readonly call = new Int32Array(MOST_SPANS)

  private readonly climate: Climate
  private readonly atService: (Fault[] | undefined)[]
  private readonly atCall: (Fault[] | undefined)[]

  constructor(topology: Topology, climate: Climate, faults: readonly Fault[]) {
    this.climate = climate
    this.atService = new Array(topology.services.length)
    this.atCall = new Array(topology.calls.length)
    for (const fault of faults) {
      if (fault.kind !== 'packet delay' && fault.kind !== 'missing child')
        (this.atService[fault.service.id] ??= []).push(fault)
      for (const { id } of fault.calls) (this.atCall[id] ??= []).push(fault)
      // A starved service is slow to take up the answers of all whom it calls.
      if (fault.kind === 'cpu contention')
        for (const { calls } of fault.service.operations)
          for (const { id } of calls) (this.atCall[id] ??= []).push(fault)
    }
  }

  /** The trace of one request. It stands in the columns until the next. */
  run(entry: Operation, atMs: number, address: number) {
    this.length = 0
    this.serve(entry, atMs, -1, address, 0)
  }

  private add(
    series: number,
    parent: number,
    startMs: number,
    pod: Pod,
    address: number,
    call: number,
    flags: number,
  ) {
    const row = this.length++
    this.series[row] = series
    this.parent[row] = parent
    this.startMs[row] = startMs
    this.endMs[row] = startMs
    this.pod[row] = pod
    this.address[row] = address
    this.call[row] = call
    this.flags[row] = flags
    return row
  }

  private podOf(operation: Operation, address: number): Pod {
    const live = this.climate.pods.live[operation.service.id]
    return live[Math.floor(unit(under(address, 1)) * live.length)]
  }

  /** The service's side of a request. Gives its row. */
  private serve(operation: Operation, atMs: number, parent: number, address: number, flags: number): number {
    const pod = this.podOf(operation, address)
    const row = this.add(operation.series[pod.version], parent, atMs, pod, address, -1, flags)
    let work = operation.medianMs * Math.exp(operation.sigma * gauss(under(address, 2)))
    const hit = operation.hitShare > 0 && unit(under(address, 3)) < operation.hitShare
    if (hit) work *= operation.hitScale
    const tail = unit(under(address, 4)) / operation.tailShare
    if (tail < 1) work *= operation.tailScale * pareto(tail * 2 ** 32, operation.tailIndex)
    work *= this.climate.slow[operation.service.id] * pod.slow
    let errorShare = this.climate.errorShare[operation.id]
    const faults = this.atService[operation.service.id]
    if (faults !== undefined)
      for (const fault of faults) {
        if (atMs < fault.fromMs || atMs >= fault.toMs) continue
        const factor = slower(fault, pod, atMs, address)
        work *= factor
        if (factor > 1) this.flags[row] |= TOUCHED
        errorShare += failing(fault, pod)
        if (fault.mute) this.flags[row] |= MUTE
      }
    work = Math.min(LONGEST_MS, work)
    work += paused(pod, atMs, work)

    const chance = unit(under(address, 5))
    if (chance < errorShare) {
      this.flags[row] |= FAILED | ORIGIN
      if (chance >= this.climate.errorShare[operation.id]) this.flags[row] |= TOUCHED
    }
    // Half of those that fail do so before they have called anybody.
    const early = (this.flags[row] & FAILED) !== 0 && (address & 1) === 0
    const before = early ? work * 0.3 : hit ? work : work * (0.3 + 0.4 * unit(under(operation.id, 7)))
    const inner = operation.inner[pod.version]
    if (inner >= 0 && this.length < MOST_SPANS) {
      const wrapped = this.add(inner, row, atMs + before * 0.05, pod, mix(address ^ 0x51ab), -1, flags & MUTE)
      this.endMs[wrapped] = atMs + before * 0.95
      this.flags[wrapped] |= this.flags[row] & (MUTE | TOUCHED)
    }
    let now = atMs + before
    if (!hit && !early) now = this.callAll(operation, row, now, address) + work - before
    this.endMs[row] = now
    return row
  }

  private callAll(operation: Operation, row: number, atMs: number, address: number): number {
    let now = atMs
    for (const call of operation.calls) {
      let last = now
      for (let n = 0; n < call.times; n++) {
        const own = under(address, 1_000 + call.id * 8 + n)
        if (unit(own) >= call.share || this.length >= MOST_SPANS - 8) continue
        if (this.isMissing(call, now, own)) continue
        if (call.async) {
          now = this.send(call, row, now, own)
          continue
        }
        const from = call.fanOut ? now : last
        const end = this.ask(call, row, from, own)
        if (end > last) last = end
      }
      if (!call.async) now = last
    }
    return now
  }

  private isMissing(call: Call, atMs: number, address: number): boolean {
    const faults = this.atCall[call.id]
    if (faults === undefined) return false
    for (const { kind, fromMs, toMs, size } of faults)
      if (kind === 'missing child' && atMs >= fromMs && atMs < toMs && unit(under(address, 11)) < size)
        return true
    return false
  }

  /** A message through a queue. The sender goes on at once. */
  private send(call: Call, row: number, atMs: number, address: number): number {
    const pod = this.pod[row]
    const sent = this.add(call.series, row, atMs, pod, address, call.id, this.flags[row] & MUTE)
    const end = atMs + call.gapMs * Math.exp(0.4 * gauss(under(address, 12)))
    this.endMs[sent] = end
    const waitMs = 40 * Math.exp(1.3 * gauss(under(address, 13))) * this.climate.slow[call.from.service.id]
    const to = call.to as Operation
    if (!this.isSilent(to, end + waitMs)) this.serve(to, end + waitMs, sent, under(address, 14), APART)
    return end
  }

  /** A call and its retries, until an answer or the last failure. Gives the time of that. */
  private ask(call: Call, row: number, atMs: number, address: number): number {
    let now = atMs
    const faults = this.atCall[call.id]
    let retries = call.retries
    if (faults !== undefined)
      for (const { kind, fromMs, toMs } of faults)
        if (kind === 'retry storm' && atMs >= fromMs && atMs < toMs) retries = 4
    for (let attempt = 0; ; attempt++) {
      const client = this.attempt(call, row, now, under(address, 20 + attempt), faults)
      now = this.endMs[client]
      const flags = this.flags[client]
      if ((flags & TOUCHED) !== 0) this.flags[row] |= TOUCHED
      if ((flags & FAILED) === 0) return now
      if (attempt >= retries || this.length >= MOST_SPANS - 8) {
        if (unit(under(address, 19)) < call.from.passesErrorsOn) this.flags[row] |= FAILED
        return now
      }
      now += 20 * 2 ** attempt * (0.5 + unit(under(address, 30 + attempt)))
    }
  }

  private attempt(
    call: Call,
    parent: number,
    atMs: number,
    address: number,
    faults: Fault[] | undefined,
  ): number {
    const pod = this.pod[parent]
    const row = this.add(call.series, parent, atMs, pod, address, call.id, this.flags[parent] & MUTE)
    let gap = call.gapMs * Math.exp(0.35 * gauss(under(address, 2)))
    if (unit(under(address, 3)) < 0.04) gap *= 3 * pareto(under(address, 4), 1.5)
    if (faults !== undefined)
      for (const fault of faults) {
        if (atMs < fault.fromMs || atMs >= fault.toMs) continue
        if (fault.kind !== 'packet delay' && fault.kind !== 'cpu contention') continue
        gap *= fault.kind === 'packet delay' ? fault.size : fault.size ** 0.7
        this.flags[row] |= TOUCHED
      }
    const zone = pod.node % 3
    if (call.remote === 'peer') {
      const to = call.to as Peer
      gap += this.hiccup(zone, to.id % 3, atMs, address)
      const median = to.medianMs * this.climate.peerSlow[to.id]
      let work = median * Math.exp(0.5 * gauss(under(address, 5)))
      if (unit(under(address, 6)) < 0.05) work *= 3 * pareto(under(address, 7), 1.8)
      if (unit(under(address, 8)) < 0.0005) this.flags[row] |= FAILED | ORIGIN
      this.close(row, gap + work, call.timeoutMs)
      return row
    }
    const to = call.to as Operation
    if (this.isSilent(to, atMs)) {
      this.flags[row] |= FAILED | ORIGIN | TOUCHED
      this.close(row, gap, call.timeoutMs)
      return row
    }
    const inside = under(address, 9)
    gap += this.hiccup(zone, this.podOf(to, inside).node % 3, atMs, address)
    const served = this.serve(to, atMs + gap / 2, row, inside, 0)
    this.flags[row] |= this.flags[served] & (FAILED | TOUCHED)
    this.close(row, gap + this.endMs[served] - this.startMs[served], call.timeoutMs)
    return row
  }

  private close(row: number, tookMs: number, timeoutMs: number) {
    this.endMs[row] = this.startMs[row] + Math.min(tookMs, timeoutMs)
    if (tookMs > timeoutMs) this.flags[row] |= (this.flags[row] & FAILED) === 0 ? FAILED | ORIGIN : FAILED
  }

  private isSilent({ service }: Operation, atMs: number): boolean {
    const faults = this.atService[service.id]
    if (faults === undefined) return false
    for (const { kind, mute, fromMs, toMs } of faults)
      if (kind === 'silence' && !mute && atMs >= fromMs && atMs < toMs) return true
    return false
  }

  private hiccup(one: number, other: number, atMs: number, address: number): number {
    let held = 0
    for (const { fromMs, toMs, zones, share, delayMs } of this.climate.hiccups) {
      if (atMs < fromMs || atMs >= toMs) continue
      const hits = (zones[0] === one && zones[1] === other) || (zones[1] === one && zones[0] === other)
      if (hits && unit(under(address, 10)) < share) held += delayMs * (0.5 + unit(under(address, 11)))
    }
    return held
  }
}
