//! The shop that is simulated: its services, operations, calls, peers without telemetry, and the series of spans that come of them.
import { logUniform, named, under, unit } from './draws.ts'
import { setRates } from './rates.ts'
import { peerNames, serviceName, verb } from './words.ts'

/** A service. Tier 0 is where requests come in; calls go to higher tiers only. */
export interface Service {
  readonly id: number
  readonly name: string
  readonly tier: number
  /** How many pods it has at its ordinary load. */
  readonly pods: number
  readonly operations: Operation[]
  /** Utilisation at its ordinary busy load. */
  readonly busy: number
  /** How strongly its latency answers to utilisation. */
  readonly strain: number
}

/** Something that calls nobody we hear of and sends no telemetry: a database, a cache, a third party. */
export interface Peer {
  readonly id: number
  readonly name: string
  readonly system: string
  readonly medianMs: number
}

/** One entry point of a service, the work it does there itself, and whom it calls. */
export interface Operation {
  readonly id: number
  readonly service: Service
  readonly name: string
  readonly kind: 'server' | 'consumer' | 'internal'
  /** Requests a second at ordinary busy load. */
  rate: number
  /** Own work of a request that misses the cache: median in ms, and sigma in natural logarithms. */
  readonly medianMs: number
  readonly sigma: number
  /** The share that the cache answers: without calls, and in `hitScale` of the time. */
  readonly hitShare: number
  readonly hitScale: number
  /** The share of requests that are heavy, and by what factor the lightest of these is slower. */
  readonly tailShare: number
  readonly tailScale: number
  /** Index of the Pareto tail. */
  readonly tailIndex: number
  readonly errorShare: number
  /** Whether a failed call fails the request too. */
  readonly passesErrorsOn: number
  readonly calls: Call[]
  /** How deep the calls below it go: 1 where it calls nobody. */
  depth: number
  /** The series of its spans, and of an internal span inside it (-1: none), by version of the service. */
  readonly series: number[]
  readonly inner: number[]
}

/** One way by which an operation calls another, or a peer. */
export interface Call {
  readonly id: number
  readonly from: Operation
  readonly to: Operation | Peer
  readonly remote: 'operation' | 'peer'
  /** Called `times` times at most, each with probability `share`. */
  readonly share: number
  readonly times: number
  /** Its calls run beside each other; else one after the other. */
  readonly fanOut: boolean
  /** Through a queue: a producer span here, and the consumer some time after. */
  readonly async: boolean
  readonly retries: number
  readonly timeoutMs: number
  /** What the network and the waiting for a connection take, both ways together. */
  readonly gapMs: number
  /** The series of the span on this side. */
  readonly series: number
}

/** What spans have in common that tell of the same thing. `http`: the span carries a status code. */
export interface Series {
  readonly id: number
  readonly service: Service
  readonly name: string
  readonly kind: 'internal' | 'server' | 'client' | 'producer' | 'consumer'
  readonly http: boolean
  readonly peer: string
  readonly operation: Operation
}

export interface Topology {
  readonly services: Service[]
  readonly operations: Operation[]
  readonly peers: Peer[]
  readonly calls: Call[]
  readonly series: Series[]
  /** Where requests come in, the nightly jobs among them. */
  readonly entries: Operation[]
}

/** Services per tier, in 40. */
const TIERS = [5, 6, 7, 6, 5, 4, 4, 3]
const NIGHTLY = 3

/** A shop of about `services` services and seven and a half times as many series. */
export function drawTopology(seed: number, count = 40): Topology {
  const root = named(seed, 'topology')
  const topology: Topology = { services: [], operations: [], peers: [], calls: [], series: [], entries: [] }
  drawPeers(topology, root, count)
  for (const [tier, inForty] of TIERS.entries()) {
    const here = Math.max(1, Math.round((inForty * count) / 40))
    // The nightly jobs live one tier down, and call what lies below.
    const jobs = tier === 1 ? Math.ceil((NIGHTLY * count) / 40) : 0
    for (let n = 0; n < here; n++) addService(topology, root, tier, n < jobs)
  }
  setRates(topology, root, count)
  for (const operation of [...topology.operations].reverse()) {
    const depths = operation.calls.map(({ to, remote }) =>
      remote === 'operation' ? (to as Operation).depth : 0,
    )
    operation.depth = 1 + Math.max(0, ...depths)
  }
  return topology
}

/** Adds a series and gives its number. */
export function addSeries(topology: Topology, one: Omit<Series, 'id'>): number {
  topology.series.push({ ...one, id: topology.series.length })
  return topology.series.length - 1
}

function addService(topology: Topology, root: number, tier: number, hasJob: boolean) {
  const id = topology.services.length
  const at = under(named(root, 'service'), id)
  const service: Service = {
    id,
    name: serviceName(id),
    tier,
    pods: 1 + Math.floor(unit(under(at, 0)) * 5),
    operations: [],
    busy: 0.35 + 0.3 * unit(under(at, 1)),
    strain: 0.2 + 0.4 * unit(under(at, 2)),
  }
  topology.services.push(service)
  const operations = tier === 0 ? 3 : 2 + Math.floor(unit(under(at, 3)) * 2.3)
  for (let n = 0; n < operations; n++) {
    const queue = tier > 1 && n === 0 && unit(under(at, 4)) < 0.25
    addOperation(topology, service, under(at, 10 + n), queue ? 'consumer' : 'server')
  }
  if (hasJob) addOperation(topology, service, under(at, 99), 'internal')
}

function addOperation(topology: Topology, service: Service, at: number, kind: Operation['kind']) {
  const id = topology.operations.length
  const http = service.id % 3 !== 2
  const operation: Operation = {
    id,
    service,
    name: verb(kind, service.name, service.operations.length, http, under(at, 0)),
    kind,
    rate: 0,
    medianMs: logUniform(under(at, 1), 1, kind === 'internal' ? 60 : 25),
    sigma: 0.35 + 0.65 * unit(under(at, 2)),
    hitShare: unit(under(at, 3)) < 0.4 ? 0.2 + 0.6 * unit(under(at, 4)) : 0,
    hitScale: logUniform(under(at, 5), 0.05, 0.3),
    tailShare: logUniform(under(at, 6), 0.02, 0.18),
    tailScale: logUniform(under(at, 13), 1.2, 20),
    tailIndex: 1.5 + 1.5 * unit(under(at, 7)) ** 2,
    errorShare: logUniform(under(at, 8), 0.0001, 0.005),
    passesErrorsOn: 0.5 + 0.5 * unit(under(at, 9)),
    calls: [],
    depth: 1,
    series: [],
    inner: [],
  }
  service.operations.push(operation)
  topology.operations.push(operation)
  const peer = ''
  operation.series.push(
    addSeries(topology, {
      service,
      name: operation.name,
      kind,
      http: http && kind === 'server',
      peer,
      operation,
    }),
  )
  const inner = unit(under(at, 10)) < 0.18
  const name = `${operation.name.replace(/^\W*/, '')} work`
  operation.inner.push(
    inner ? addSeries(topology, { service, name, kind: 'internal', http: false, peer, operation }) : -1,
  )
  const peers = unit(under(at, 11)) < [0.1, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1][service.tier] ? 1 : 0
  for (let n = 0; n < peers; n++) {
    const to = topology.peers[Math.floor(unit(under(at, 12 + n)) * topology.peers.length)]
    addCall(topology, operation, to, under(at, 20 + n), logUniform(under(at, 14 + n), 0.2, 2))
  }
}

function drawPeers(topology: Topology, root: number, count: number) {
  for (const [id, { name, system }] of peerNames(Math.round(count / 4)).entries()) {
    const medianMs = logUniform(
      under(named(root, 'peer'), id),
      system === 'redis' ? 0.3 : 1,
      system === '' ? 120 : 12,
    )
    topology.peers.push({ id, name, system, medianMs })
  }
}

/** `mean`: how often a request that misses the cache calls, on average. */
export function addCall(topology: Topology, from: Operation, to: Operation | Peer, at: number, mean: number) {
  const callee = 'calls' in to ? to : null
  const times = mean > 0.95 ? Math.ceil(mean / (0.75 + 0.25 * unit(under(at, 0)))) : 1
  const async = callee?.kind === 'consumer'
  const name = callee === null ? `${to.name}` : `${async ? 'send ' : ''}${callee.name}`
  const known = from.service.operations.flatMap(({ calls }) => calls).find(call => call.to === to)
  const peer = callee === null ? to.name : ''
  const kind = async ? 'producer' : 'client'
  const http = kind === 'client' && (callee?.service.id ?? 2) % 3 !== 2
  const call: Call = {
    id: topology.calls.length,
    from,
    to,
    remote: callee === null ? 'peer' : 'operation',
    share: Math.min(1, mean / times),
    times,
    fanOut: times > 1 && unit(under(at, 1)) < 0.6,
    async,
    retries: async || unit(under(at, 2)) < 0.5 ? 0 : 1 + Math.floor(unit(under(at, 3)) * 2),
    timeoutMs: [2_000, 5_000, 10_000, 30_000][Math.floor(unit(under(at, 4)) * 4)],
    gapMs: logUniform(under(at, 5), 0.3, 5),
    series:
      known?.series ??
      addSeries(topology, { service: from.service, name, kind, http, peer, operation: from }),
  }
  from.calls.push(call)
  topology.calls.push(call)
}
