//! The faults of the simulated world: ten kinds, drawn with their place, moment and size, and the right first suspect of each.
import { logUniform, named, shuffledBy, under, unit } from './draws.ts'
import type { Call, Operation, Service, Topology } from './topology.ts'

export const KINDS = [
  'slow dependency',
  'cpu contention',
  'packet delay',
  'error burst',
  'bad release',
  'traffic drop',
  'silence',
  'missing child',
  'slow drift',
  'retry storm',
] as const
export type Kind = (typeof KINDS)[number]

export interface Fault {
  readonly kind: Kind
  /** In ms since the world began. */
  readonly fromMs: number
  readonly toMs: number
  /** Latency: a factor. Errors and lost traffic: a share. Silence: 1. */
  readonly size: number
  /** Where it is: the callee of an edge, the parent that calls no more, the service at fault. */
  readonly service: Service
  /** Bad release: which of the service's pods, by its place; and whether it fails (else it is slow). */
  readonly pod: number
  readonly fails: boolean
  /** Silence: the service still answers, and only its telemetry is lost. */
  readonly mute: boolean
  /** Packet delay, missing child and retry storm: the calls concerned. */
  readonly calls: readonly Call[]
  readonly answer: Answer
}

/** What the first suspect must be. */
export interface Answer {
  readonly service: string
  /** Bad release: the pod or the version must be named with the service. */
  readonly pod?: number
  readonly version?: string
  /** Must be among the first three: the caller that keeps retrying. */
  readonly among?: string
}

/** The version that a bad release carries. */
export const BAD_VERSION = '9.9.0'

const MINUTE_MS = 60_000

export interface FaultPlan {
  /** Faults begin after this. In ms since the world began. */
  readonly fromMs: number
  readonly count: number
  /** Stands apart plans of the same seed. */
  readonly part?: number
}

/** Faults one after the other, each kind once in every ten, 12 to 25 minutes apart; one in ten begins while another lasts. */
export function drawFaults(seed: number, topology: Topology, plan: FaultPlan): Fault[] {
  const root = under(named(seed, 'faults'), plan.part ?? 0)
  const faults: Fault[] = []
  let kinds: Kind[] = []
  let freeMs = plan.fromMs
  for (let n = 0; n < plan.count; n++) {
    const at = under(root, n)
    if (kinds.length === 0) kinds = shuffledBy(under(at, 0), KINDS)
    const kind = kinds.pop() as Kind
    const last = faults.at(-1)
    const overlaps = last !== undefined && unit(under(at, 1)) < 0.1
    const fromMs = overlaps
      ? last.fromMs + (last.toMs - last.fromMs) * (0.1 + 0.8 * unit(under(at, 2)))
      : freeMs + (12 + 13 * unit(under(at, 3))) * MINUTE_MS
    const lengthMs = (3 + 12 * unit(under(at, 4))) * MINUTE_MS
    const fault = drawFault(topology, kind, fromMs, lengthMs, under(at, 5))
    faults.push(fault)
    freeMs = Math.max(freeMs, fault.toMs)
  }
  return faults
}

/** One fault of a kind at a random place, with a size drawn unless it is given. */
export function drawFault(
  topology: Topology,
  kind: Kind,
  fromMs: number,
  lengthMs: number,
  bits: number,
  given?: number,
): Fault {
  const latency = logUniform(under(bits, 1), 1.5, 10)
  const errors = logUniform(under(bits, 2), 0.02, 0.5)
  const traffic = logUniform(under(bits, 3), 0.3, 1)
  const choose = <T>(list: readonly T[]) => list[Math.floor(unit(under(bits, 4)) * list.length)]
  const inner = topology.services.filter(one => one.tier > 0 && one.operations.some(({ rate }) => rate > 0))
  const make = (service: Service, size: number, more: Partial<Fault> = {}): Fault => ({
    kind,
    fromMs,
    toMs: fromMs + lengthMs,
    size: given ?? size,
    service,
    pod: 0,
    fails: false,
    mute: false,
    calls: [],
    answer: { service: service.name },
    ...more,
  })
  switch (kind) {
    case 'slow dependency':
    case 'slow drift':
      return make(choose(inner), latency)
    case 'cpu contention':
      return make(choose(topology.services), latency)
    case 'error burst':
      return make(choose(inner), errors)
    case 'silence':
      return make(choose(inner), 1, { mute: unit(under(bits, 5)) < 0.4 })
    case 'packet delay': {
      const edge = choose(edges(topology))
      return make((edge.to as Operation).service, latency, { calls: between(topology, edge) })
    }
    case 'bad release': {
      const several = inner.filter(({ pods }) => pods >= 3)
      const service = choose(several.length === 0 ? inner : several)
      const fails = unit(under(bits, 6)) < 0.5
      const pod = Math.floor(unit(under(bits, 7)) * service.pods)
      const answer = { service: service.name, pod, version: BAD_VERSION }
      return make(service, fails ? errors : latency, { pod, fails, answer })
    }
    case 'traffic drop':
      return make(choose(topology.services.filter(({ tier }) => tier === 0)), traffic)
    case 'missing child': {
      const call = choose(edges(topology))
      return make(call.from.service, traffic, { calls: [call] })
    }
    case 'retry storm': {
      const edge = choose(edges(topology).filter(({ async }) => !async))
      const callee = (edge.to as Operation).service
      const answer = { service: callee.name, among: edge.from.service.name }
      return make(callee, latency, { calls: between(topology, edge), answer })
    }
  }
}

// Not those of the nightly jobs: by day nobody calls there.
const edges = ({ calls }: Topology) =>
  calls.filter(({ remote, from }) => remote === 'operation' && from.kind !== 'internal')

/** All calls from the one's service to the other's. */
function between({ calls }: Topology, edge: Call): Call[] {
  const callee = (edge.to as Operation).service
  return calls.filter(
    ({ from, to, remote }) =>
      remote === 'operation' && from.service === edge.from.service && (to as Operation).service === callee,
  )
}
