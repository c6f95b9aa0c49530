//! A large deployment for the bench of the learning plane: 25 series a service, of which every one has spans in every window.
import { Registry } from '../../src/base/counters.ts'
import { Items } from '../../src/base/item.ts'
import { silentLog } from '../../src/base/log.ts'
import { realWorld } from '../../src/base/world.ts'
import type { FeatureWindow, SeriesSummary } from '../../src/bus/bus.ts'
import { memoryBus } from '../../src/bus/memory.ts'
import { Assembler, MAX_SPANS } from '../../src/flow/assemble.ts'
import { guards } from '../../src/flow/guard.ts'
import { inspect } from '../../src/flow/inspect.ts'
import { ACCEPTED, type CheckedBatch, NO_HEADERS } from '../../src/flow/sink.ts'
import { Learner } from '../../src/learn/learner.ts'
import { LearningPlane } from '../../src/learn/plane.ts'
import { scanTraces } from '../../src/wire/scan.ts'
import { between, bytes, int, logNormal, type Random, seeded } from '../kit/random.ts'
import { type PlainSpan, tracesRequest } from '../oracle/plain.ts'

const WINDOW_MS = 10_000
/** Of each service. An operation has one step inside and calls one operation of a neighbour; one of them asks a database as well. */
const OPERATIONS = 8
export const SERIES_A_SERVICE: number = 3 * OPERATIONS + 1
const PODS = 2
const MACHINES = 50
/** Services that a trace passes. */
const DEPTH = 4
/** Spans a request, about. */
const REQUEST_SPANS = 500

interface Made {
  readonly bytes: Uint8Array
  readonly view: DataView
  /** Where the end of each span stands, and its trace id; its start stands nine bytes before its end. */
  readonly ends: Int32Array
  readonly traces: Int32Array
  readonly durationNs: Float64Array
}

/** One window's traffic, made once and sent again with other times, trace ids and durations. */
export interface Traffic {
  readonly requests: readonly Made[]
  readonly spans: number
}

/** A trace from each operation of each service, so that every series has a few spans; all of it `times` times. */
export function traffic(services: number, times = 1): Traffic {
  const random = seeded(7)
  let groups = new Map<string, Group>()
  const requests: Made[] = []
  let waiting = 0
  let spans = 0
  const flush = () => {
    requests.push(made([...groups.values()]))
    spans += waiting
    waiting = 0
    groups = new Map()
  }
  const add = (service: number, pod: number, span: PlainSpan) => {
    const key = `${service}/${pod}`
    const group = groups.get(key) ?? { service, pod, spans: [] }
    group.spans.push(span)
    groups.set(key, group)
    waiting++
  }
  for (let turn = 0; turn < OPERATIONS * times; turn++) {
    for (let entry = 0; entry < services; entry++) {
      trace(random, entry, turn % OPERATIONS, services, add)
      if (waiting >= REQUEST_SPANS) flush()
    }
  }
  if (waiting > 0) flush()
  return { requests, spans }
}

interface Group {
  readonly service: number
  readonly pod: number
  readonly spans: PlainSpan[]
}

function trace(
  random: Random,
  entry: number,
  asked: number,
  services: number,
  add: (service: number, pod: number, span: PlainSpan) => void,
) {
  const traceId = Buffer.from(bytes(random, 16)).toString('hex')
  let service = entry
  let operation = asked
  let parentSpanId = ''
  for (let depth = 0; depth < DEPTH; depth++) {
    const pod = int(random, PODS)
    const own = (
      name: string,
      kind: 'server' | 'internal' | 'client',
      parent: string,
      medianNs: number,
      more: Partial<PlainSpan> = {},
    ) => {
      const spanId = Buffer.from(bytes(random, 8)).toString('hex')
      const durationNs = Math.round(logNormal(random, medianNs, 0.5))
      add(service, pod, {
        name,
        kind,
        traceId,
        spanId,
        parentSpanId: parent,
        startNs: 1n,
        durationNs,
        ...more,
      })
      return spanId
    }
    const served = own(`GET /${operation}`, 'server', parentSpanId, 40e6 / 2 ** depth)
    own(`step ${operation}`, 'internal', served, 2e6)
    if (operation === 0) {
      const attributes = { 'db.system.name': 'postgresql', 'server.address': `db-${service % 20}` }
      own('SELECT', 'client', served, 3e6, { attributes })
    }
    if (depth === DEPTH - 1) break
    parentSpanId = own(`call ${operation}`, 'client', served, 25e6 / 2 ** depth)
    service = (service + 1 + 7 * (operation % 4)) % services
    operation = (operation + 3) % OPERATIONS
  }
}

function made(groups: readonly Group[]): Made {
  const bytes = tracesRequest(
    groups.map(({ service, pod, spans }) => ({
      service: `shop-${service}`,
      namespace: 'shop',
      environment: 'production',
      resource: {
        'service.version': '3.14.15',
        'k8s.pod.name': `shop-${service}-7f9c6d5b8-${pod}`,
        'k8s.node.name': `node-${(service * PODS + pod) % MACHINES}`,
      },
      spans,
    })),
  )
  const items = new Items()
  if (scanTraces(bytes, items) <= 0) throw new Error('the request is broken')
  return {
    bytes,
    view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
    ends: items.endTimeAt.slice(0, items.count),
    traces: items.traceIdAt.slice(0, items.count),
    durationNs: items.durationNs.slice(0, items.count),
  }
}

export interface Deployment {
  /** The spans of the next window, as they are sent. Nothing of it is learned until `learn`. */
  send(traffic: Traffic): Promise<void>
  /** The learning plane hears what has been published. Returns the windows of features among it. */
  learn(): number
  readonly registry: Registry
  /** Places that are watched, each by one feature. */
  features(): number
}

/** Both planes with all parts of the service, and between them a bus that keeps what goes up until it is asked for, so that each plane can be measured alone. */
export function deployment(): Deployment {
  const registry = new Registry()
  const throwing = (error: unknown) => {
    throw error
  }
  const [low, high] = [memoryBus(throwing), memoryBus(throwing)]
  let summaries: SeriesSummary[] = []
  let windows: FeatureWindow[] = []
  low.listen('summary', summary => summaries.push(summary))
  low.listen('features', window => windows.push(window))
  high.listen('model', model => low.publish('model', model.series.id, model))
  high.listen('incident', state => low.publish('incident', state.id, state))
  const options = {
    detect: true,
    windowMs: WINDOW_MS,
    latenessMs: WINDOW_MS,
    traceWaitMs: WINDOW_MS,
    rebaselineMs: 3_600_000,
    maxSpans: MAX_SPANS,
    maxSeries: 20_000,
    budgets: [1],
    isolationForest: false,
    jaegerWarnings: false,
    latestMs: () => Number.POSITIVE_INFINITY,
  }
  new Learner(high, registry, options)
  const plane = new LearningPlane(high, registry, options)
  const guarding = guards({ ...realWorld, cpu: () => 0 }, silentLog, registry)
  const assembler = new Assembler(low, realWorld, silentLog, registry, guarding, options)
  const next = {
    async send(_: CheckedBatch) {
      return ACCEPTED
    },
    async close() {},
  }
  const inspector = inspect(next, realWorld, low, guarding, registry, assembler, options)
  let atMs = Date.UTC(2026, 0, 5, 9)
  let turn = 0
  const random = seeded(11)
  return {
    registry,
    features: () => plane.evidence.features.length,
    async send({ requests }) {
      turn++
      for (const [nth, request] of requests.entries()) {
        stamp(request, atMs + ((nth + 1) * WINDOW_MS) / requests.length, turn, random)
        const { bytes } = request
        await inspector.send({ signal: 'traces', bytes, receivedMs: atMs, headers: NO_HEADERS })
      }
      atMs += WINDOW_MS
    },
    learn() {
      const heard = windows
      const said = summaries
      windows = []
      summaries = []
      for (const summary of said) high.publish('summary', summary.series.id, summary)
      for (const window of heard) high.publish('features', '', window)
      return heard.length
    },
  }
}

/** All spans end within the half second before `endMs`; their traces have never been seen; all durations are other ones. */
function stamp({ view, ends, traces, durationNs }: Made, endMs: number, turn: number, random: Random) {
  for (let span = 0; span < ends.length; span++) {
    const endNs = BigInt(Math.floor(endMs) - between(random, 1, 500)) * 1_000_000n
    const tookNs = BigInt(Math.round(durationNs[span] * (0.7 + 0.6 * random())))
    view.setBigUint64(ends[span], endNs, true)
    view.setBigUint64(ends[span] - 9, endNs - tookNs, true)
    view.setInt32(traces[span], turn)
  }
}
