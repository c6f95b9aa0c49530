//! A stretch of the simulated world span by span, to be sent in any order, in requests of any size, and by any number of workers.
import { Registry } from '../../src/base/counters.ts'
import type { World } from '../../src/base/world.ts'
import type { Bus, EventRecord } from '../../src/bus/bus.ts'
import { memoryBus } from '../../src/bus/memory.ts'
import { Assembler } from '../../src/flow/assemble.ts'
import { guards } from '../../src/flow/guard.ts'
import { type Inspector, inspect } from '../../src/flow/inspect.ts'
import { NO_HEADERS } from '../../src/flow/sink.ts'
import { Learner } from '../../src/learn/learner.ts'
import { LearningPlane } from '../../src/learn/plane.ts'
import { concat } from '../oracle/bytes.ts'
import { STEP_MS } from '../world/climate.ts'
import { EXPORT_MS } from '../world/fate.ts'
import { request, resource, type Template, template, writeTime } from '../world/otlp.ts'
import type { Pod } from '../world/pods.ts'
import { ZONES } from '../world/spans.ts'
import { FAILED, MUTE } from '../world/trace.ts'
import { BEGINNING_MS, Life, type SimulatedWorld, type Span } from '../world/world.ts'
import { LOUD_LOG } from './log.ts'
import { DETECTING } from './planes.ts'
import { NOWHERE } from './sinks.ts'
import { simulatedWorld } from './world.ts'

/** One span on its way. */
export interface Sent {
  /** In ms since 1970. */
  readonly endMs: number
  /** When its pod exports it, at most 5 s later. */
  readonly exportMs: number
  readonly pod: string
  readonly resource: Uint8Array
  /** An entry of ScopeSpans. */
  readonly bytes: Uint8Array
  /** A hash of its trace id. */
  readonly trace: number
}

/** The spans of a stretch whose clocks are right and whose exports all arrive, in order of their exports. `keep` is asked by a hash of the trace id. */
export function spansOf(
  world: SimulatedWorld,
  stretch: Span,
  keep: (trace: number) => boolean = () => true,
): Sent[] {
  const life = new Life(world, stretch)
  const resources = new Map<Pod, Uint8Array>()
  const templates: Template[] = []
  const sent: Sent[] = []
  while (life.climate.atMs + STEP_MS < stretch.toMs) {
    life.step((trace, { id }) => {
      const { parent, pod, flags, address, endMs, series, startMs } = trace
      const hash = id[2] ^ id[3]
      if (!keep(hash)) return
      for (let row = 0; row < trace.length; row++) {
        if ((flags[row] & MUTE) !== 0 || endMs[row] >= stretch.toMs) continue
        const failed = (flags[row] & FAILED) !== 0
        const above = parent[row]
        const place = series[row] * 4 + (failed ? 2 : 0) + (above >= 0 ? 1 : 0)
        const form = (templates[place] ??= template(
          world.topology.series[series[row]],
          failed,
          above >= 0,
          stretch.sampled ?? false,
        ))
        const bytes = form.bytes.slice()
        const view = new DataView(bytes.buffer)
        for (let word = 0; word < 4; word++) view.setUint32(form.traceIdAt + 4 * word, id[word])
        view.setUint32(form.spanIdAt, address[row])
        view.setUint32(form.spanIdAt + 4, 1)
        if (above >= 0) {
          view.setUint32(form.parentAt, address[above])
          view.setUint32(form.parentAt + 4, 1)
        }
        writeTime(view, form.startAt, BEGINNING_MS, startMs[row])
        writeTime(view, form.endAt, BEGINNING_MS, endMs[row])
        const own = pod[row]
        const known = resources.get(own) ?? resource(own, ZONES)
        resources.set(own, known)
        const slot = Math.ceil((endMs[row] - own.phaseMs) / EXPORT_MS)
        sent.push({
          endMs: BEGINNING_MS + endMs[row],
          exportMs: BEGINNING_MS + slot * EXPORT_MS + own.phaseMs,
          pod: own.name,
          resource: known,
          bytes,
          trace: hash,
        })
      }
    })
  }
  return sent.sort((a, b) => a.exportMs - b.exportMs || (a.pod < b.pod ? -1 : a.pod > b.pod ? 1 : 0))
}

/** Some spans as one request. Those of the same pod that follow each other share a resource. */
export function requestOf(sent: readonly Sent[]): Uint8Array {
  const parts: Uint8Array[] = []
  for (let from = 0; from < sent.length; ) {
    let to = from
    while (to < sent.length && sent[to].pod === sent[from].pod) to++
    parts.push(request(sent[from].resource, concat(sent.slice(from, to).map(({ bytes }) => bytes))))
    from = to
  }
  return concat(parts)
}

/** What comes at one moment, by the clock on the wall. */
export interface Arrival {
  readonly atMs: number
  readonly spans: readonly Sent[]
}

/** As the pods export: a request for each export. */
export function exportsOf(sent: readonly Sent[]): Arrival[] {
  const arrivals: Arrival[] = []
  for (let from = 0; from < sent.length; ) {
    let to = from
    const { pod, exportMs } = sent[from]
    while (to < sent.length && sent[to].pod === pod && sent[to].exportMs === exportMs) to++
    arrivals.push({ atMs: exportMs, spans: sent.slice(from, to) })
    from = to
  }
  return arrivals
}

export interface Receiving {
  readonly bus: Bus
  /** Incidents, anomalies and new levels in the order in which they were told, each as JSON; and all events, the same way. */
  readonly told: string[]
  readonly all: string[]
  readonly observedMs: number[]
  /** Spans that came too late for their window, or beyond what may come. */
  late(): number
  /** One request to each worker that has spans of it. `nowMs` is the time on the wall. */
  send(nowMs: number, parts: readonly (readonly Sent[])[]): Promise<void>
  /** As once a second in a live service. */
  tick(nowMs: number): void
  /** The end of a recording. */
  end(): void
}

export type Kind =
  /** One data plane. */
  | 'one'
  /** So many that receive, and one that assembles what all of them have. */
  | { readonly receivers: number }
  /** So many that receive and assemble, each for its own traces. */
  | { readonly planes: number }

/** Data planes of some kind over one learning plane. `live`: nothing is learned of what ends more than a window after the wall clock. */
export function receiving(kind: Kind, live: boolean): Receiving {
  let wallMs = 0
  const world: World = { ...simulatedWorld(1), now: () => wallMs, monotonic: () => wallMs }
  const bus = memoryBus(error => {
    throw error
  })
  const registries: Registry[] = []
  const registry = () => {
    registries.push(new Registry())
    return registries[registries.length - 1]
  }
  const planes = kind !== 'one' && 'planes' in kind ? kind.planes : 1
  const receivers = kind !== 'one' && 'receivers' in kind ? kind.receivers : planes
  const latestMs = () => (live ? wallMs + DETECTING.windowMs : Number.POSITIVE_INFINITY)
  const own = registry()
  new Learner(bus, own, DETECTING)
  const plane = new LearningPlane(bus, own, { ...DETECTING, workers: planes })
  const assemblers = Array.from({ length: planes }, (_, n) => {
    const counters = registry()
    const options = { ...DETECTING, worker: `worker-${n}` }
    return new Assembler(bus, world, LOUD_LOG, counters, guards(world, LOUD_LOG, counters), options)
  })
  const inspectors: Inspector[] = Array.from({ length: receivers }, (_, n) => {
    const counters = registry()
    const guarding = guards(world, LOUD_LOG, counters)
    return inspect(NOWHERE, world, bus, guarding, counters, assemblers[n % planes], {
      ...DETECTING,
      latestMs,
    })
  })
  const told: string[] = []
  const all: string[] = []
  const observedMs: number[] = []
  bus.listen('event', event => {
    const text = textOf(event)
    all.push(text)
    observedMs.push(event.observedMs)
    if (/^otlier\.(incident|anomaly|baseline)\./.test(event.name)) told.push(text)
  })
  return {
    bus,
    told,
    all,
    observedMs,
    late: () => registries.reduce((sum, each) => sum + each.total('otlier.assembly.spans.late'), 0),
    async send(nowMs, parts) {
      wallMs = nowMs
      for (const [worker, spans] of parts.entries()) {
        if (spans.length === 0) continue
        const bytes = requestOf(spans)
        await inspectors[worker].send({ signal: 'traces', bytes, receivedMs: nowMs, headers: NO_HEADERS })
      }
    },
    tick(nowMs) {
      wallMs = nowMs
      for (const inspector of inspectors) inspector.passTime()
    },
    end() {
      for (const inspector of inspectors) inspector.flush()
      plane.flush()
    },
  }
}

const textOf = (event: EventRecord): string =>
  JSON.stringify(event, (_, value) => (typeof value === 'bigint' ? String(value) : value))
