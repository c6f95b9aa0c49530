//! The simulated world as a whole: made from one seed, and lived through step by step, request by request.
import { type Almanac, DAY_MS, drawAlmanac } from './almanac.ts'
import { Climate, STEP_MS } from './climate.ts'
import { mix, named, poisson, under, unit } from './draws.ts'
import type { Fault } from './faults.ts'
import { drawTopology, type Operation, type Topology } from './topology.ts'
import { Trace } from './trace.ts'

/** When the world begins: Monday, 2 March 2026, midnight UTC. Times inside the world are ms since then. */
export const BEGINNING_MS = Date.UTC(2026, 2, 2)

export interface SimulatedWorld {
  readonly seed: number
  readonly topology: Topology
  /** What will happen that is no fault, for the whole length of the world. */
  readonly almanac: Almanac
  readonly days: number
}

/** A world of so many days. 40 services make about 300 series, 400 about 3,000. */
export function makeWorld(seed: number, { services = 40, days = 42 } = {}): SimulatedWorld {
  const topology = drawTopology(seed, services)
  return { seed, topology, almanac: drawAlmanac(seed, topology, days), days }
}

/** From when to when, in ms since the world began: whole steps of 5 s. */
export interface Span {
  readonly fromMs: number
  readonly toMs: number
  readonly faults?: readonly Fault[]
  /** Only about one trace in ten, chosen by its id, and `ot=th` says so. */
  readonly sampled?: boolean
}

/** The share of a sampled world: the rejection threshold e666, in 16 of its 56 bits. */
const THRESHOLD = 0xe666

/** The trace id of the request under way, as four words of 32 bits. */
export interface Request {
  readonly id: Uint32Array
  entry: Operation
  atMs: number
}

/** Lives through a stretch of the world. `step` runs all requests that begin in the next 5 s. */
export class Life {
  readonly climate: Climate
  readonly trace: Trace
  private readonly world: SimulatedWorld
  private readonly sampled: boolean
  private readonly drops: readonly Fault[]
  private readonly root: number
  private readonly request: Request

  constructor(world: SimulatedWorld, { fromMs, toMs, faults = [], sampled = false }: Span) {
    if (fromMs < 0 || toMs > world.days * DAY_MS) throw new RangeError('the world does not last as long')
    this.world = world
    this.sampled = sampled
    this.drops = faults.filter(({ kind }) => kind === 'traffic drop')
    this.climate = new Climate(world.seed, world.topology, world.almanac, faults, fromMs)
    this.trace = new Trace(world.topology, this.climate, faults)
    this.root = named(world.seed, 'requests')
    this.request = { id: new Uint32Array(4), entry: world.topology.entries[0], atMs: 0 }
  }

  step(visit: (trace: Trace, request: Request) => void) {
    const { climate, trace, request, root } = this
    climate.step()
    const step = Math.round(climate.atMs / STEP_MS)
    const first = mix(step ^ root)
    for (const entry of this.world.topology.entries) {
      const recorded = climate.recorded[entry.id]
      const own = under(first, entry.id)
      const count = poisson(own, (climate.arrivals[entry.id] * STEP_MS) / 1_000)
      for (let n = 0; n < count; n++) {
        // Two words that no other request has, and two of chance.
        const second = mix((entry.id * 2 ** 16 + n) ^ root)
        const address = under(first, second)
        const third = mix(address ^ second)
        if (this.sampled && (third >>> 8) % 2 ** 16 < THRESHOLD) continue
        const atMs = climate.atMs + STEP_MS * unit(under(address, 201))
        if (recorded < 1 && unit(under(address, 202)) >= recorded) continue
        if (this.drops.length > 0 && this.isDropped(entry, atMs, address)) continue
        request.id[0] = first
        request.id[1] = second
        request.id[2] = third
        request.id[3] = mix(third ^ first)
        request.entry = entry
        request.atMs = atMs
        trace.run(entry, atMs, address)
        visit(trace, request)
      }
    }
  }

  private isDropped(entry: Operation, atMs: number, address: number): boolean {
    for (const { service, fromMs, toMs, size } of this.drops)
      if (service === entry.service && atMs >= fromMs && atMs < toMs && unit(under(address, 203)) < size)
        return true
    return false
  }
}
