//! Spans for the laws of assembly: as requests for the planes and as facts for the oracle, and messages in a form to compare.
import { expect } from 'vitest'
import { Registry } from '../../src/base/counters.ts'
import { BINS_PER_E, type Bins, type FeatureWindow, MEASURE, NO_SAMPLES } from '../../src/bus/bus.ts'
import { memoryBus } from '../../src/bus/memory.ts'
import { type AssembleOptions, Assembler } from '../../src/flow/assemble.ts'
import { guards } from '../../src/flow/guard.ts'
import { type Inspector, inspect } from '../../src/flow/inspect.ts'
import { ACCEPTED, type Batch } from '../../src/flow/sink.ts'
import type { Detecting } from '../../src/otlier.ts'
import type { CellRow, Fact, WindowRows } from '../oracle/assembly.ts'
import { recordingLog } from './log.ts'
import { type PlainSpan, tracesRequest } from './odd.ts'
import { batchOf, DETECTING, START_MS } from './planes.ts'
import { simulatedWorld } from './world.ts'

/** A span and who sent it. */
export interface Sent {
  readonly service: string
  readonly pod: string
  readonly machine: string
  readonly span: PlainSpan & { readonly traceId: string; readonly spanId: string }
  /** Of how many spans it is a sample, as its tracestate says. */
  readonly weight: number
}

const KINDS = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 } as const

export function factOf({ service, pod, machine, span, weight }: Sent): Fact {
  const kind = typeof span.kind === 'string' ? KINDS[span.kind] : (span.kind ?? 0)
  return {
    traceId: span.traceId,
    spanId: span.spanId,
    parentId: span.parentSpanId ?? '',
    series: JSON.stringify(['', service, '', kind, span.name]),
    pod: JSON.stringify(['', service, '', pod, machine === '' ? {} : { 'k8s.node.name': machine }]),
    machine: machine === '' ? `${service}/${pod}` : machine,
    kind,
    startNs: span.startNs,
    endNs: span.startNs + BigInt(span.durationNs),
    failed: span.status === 'error',
    weight,
  }
}

/** One request. Spans of the same pod that follow each other share a resource. */
export function requestOf(sent: readonly Sent[]): Uint8Array {
  const groups: { service: string; resource: Record<string, string>; spans: PlainSpan[] }[] = []
  let last: Sent | null = null
  for (const one of sent) {
    const { service, pod, machine, span } = one
    if (last === null || last.service !== service || last.pod !== pod || last.machine !== machine) {
      const resource: Record<string, string> = {
        ...(pod === '' ? {} : { 'k8s.pod.name': pod }),
        ...(machine === '' ? {} : { 'k8s.node.name': machine }),
      }
      groups.push({ service, resource, spans: [] })
    }
    groups.at(-1)?.spans.push(span)
    last = one
  }
  return tracesRequest(groups)
}

/** Inspectors that feed one assembler, with all that it publishes. `all` may be changed meanwhile. */
export function assembling(
  options: Partial<AssembleOptions> = {},
  workers = 1,
  all: Detecting = { ...DETECTING, ...options },
) {
  const world = simulatedWorld(1)
  const registry = new Registry()
  const { log, lines } = recordingLog()
  const messages: FeatureWindow[] = []
  const bus = memoryBus(error => {
    throw error
  })
  bus.listen('features', message => messages.push(message))
  const limit = { ms: Number.POSITIVE_INFINITY }
  const assembler = new Assembler(bus, world, log, registry, guards(world, log, registry), all)
  const next = {
    async send() {
      return ACCEPTED
    },
    async close() {},
  }
  const inspectors: Inspector[] = Array.from({ length: workers }, () => {
    const own = new Registry()
    const guarding = guards(world, log, own)
    return inspect(next, world, bus, guarding, own, assembler, { ...all, latestMs: () => limit.ms })
  })
  async function sendBatch(batch: Batch, worker = 0) {
    const { kind } = await inspectors[worker].send(batch)
    if (kind !== 'accepted') throw new Error(`the request was ${kind}`)
  }
  return {
    world,
    bus,
    registry,
    lines,
    messages,
    /** Spans that end later are not taken, and silence does not lead beyond. */
    limit,
    send: (sent: readonly Sent[], worker = 0) => sendBatch(batchOf(requestOf(sent)), worker),
    sendBatch,
    passTime: () => inspectors[0].passTime(),
    flush: () => inspectors[0].flush(),
    late: (reason: string) => registry.read('otlier.assembly.spans.late', { reason }),
    evicted: (reason: string) => registry.read('otlier.assembly.traces.evicted', { reason }),
  }
}

/** Messages with names for numbers, as the oracle puts them. */
export const rowsOf = (messages: readonly FeatureWindow[]): WindowRows[] =>
  messages.map(({ startMs, series, pods, cells, bins, links }) => ({
    startMs,
    cells: Array.from(
      { length: cells.length },
      (_, row): CellRow => ({
        series: series[cells.series[row]].id,
        pod: pods[cells.pod[row]].id,
        spans: cells.spans[row],
        roots: cells.roots[row],
        traces: cells.traces[row],
        origins: cells.origins[row],
        away: cells.away[row],
        timed: cells.timed[row],
        timedSquares: cells.timedSquares[row],
        answered: cells.answered[row],
        answeredSquares: cells.answeredSquares[row],
        slowTrace: idAt(cells.slowTrace, row),
        slowNs: cells.slowNs[row],
        bins: binsAt(bins, row),
      }),
    ),
    links: Array.from({ length: links.length }, (_, row) => ({
      parent: series[links.parent[row]].id,
      child: series[links.child[row]].id,
      parents: links.parents[row],
      children: links.children[row],
      most: links.most[row],
    })),
  }))

/** In the order of the message, which is a part of the law. */
const binsAt = ({ length, row, measure, bucket, weight }: Bins, of: number): CellRow['bins'] =>
  Array.from({ length }, (_, at) => at)
    .filter(at => row[at] === of)
    .map(at => [measure[at], bucket[at], weight[at]])

function idAt(bytes: Uint8Array, row: number): string {
  const id = Buffer.from(bytes.subarray(16 * row, 16 * row + 16)).toString('hex')
  return /^0+$/.test(id) ? '' : id
}

export type Assembling = ReturnType<typeof assembling>

/** The windows in which something stands. */
export const filled = (to: Pick<Assembling, 'messages'>): WindowRows[] =>
  rowsOf(to.messages).filter(({ cells }) => cells.length > 0)

let ids = 0
/** A span that begins `atMs` after the start of the recording. */
export function sent(
  atMs: number,
  durationMs: number,
  more: Partial<Sent['span']> = {},
  at: Partial<Omit<Sent, 'span'>> = {},
): Sent {
  const span = {
    name: 'op',
    kind: 'server' as const,
    traceId: (++ids).toString(16).padStart(32, '0'),
    spanId: (++ids).toString(16).padStart(16, '0'),
    startNs: BigInt(Math.round((START_MS + atMs) * 1000)) * 1000n,
    durationNs: Math.round(durationMs * 1e6),
    ...more,
  }
  return { service: 's', pod: 's-1', machine: 'm-1', weight: 1, ...at, span }
}
export const TRACE_ID: string = 'ab'.repeat(16)
/** A span id. */
export const id = (n: number): string => n.toString(16).padStart(16, '0')
/** The bucket of so many milliseconds. */
export const bucketOf = (ms: number): number => Math.round(BINS_PER_E * Math.log(ms * 1e6))
/** The buckets of what a cell has of one measure. */
export const bucketsOf = ({ bins }: CellRow, measure: keyof typeof MEASURE): number[] =>
  bins.filter(([of]) => of === MEASURE[measure]).map(([, bucket]) => bucket)
/** The only cell of a series; `name` is its operation. */
export const cellOf = (to: Assembling, name: string): CellRow => {
  const cells = filled(to).flatMap(window =>
    window.cells.filter(({ series }) => JSON.parse(series)[4] === name),
  )
  expect(cells).toHaveLength(1)
  return cells[0]
}
/** Spans of one trace, all at once, and all that is open afterwards. */
export async function whole(spans: readonly Sent[]) {
  const to = assembling()
  await to.send(spans)
  to.flush()
  return to
}

/** What was drawn of each window, with names for numbers. */
export const drawn = (messages: readonly FeatureWindow[]) =>
  messages.map(({ startMs, series, samples: { length, from, ...of } }) => ({
    startMs,
    rows: Array.from({ length }, (_, row) => ({
      series: series[of.series[row]].operation,
      failed: of.failed[row],
      durationNs: of.durationNs[row],
      weight: of.weight[row],
      said: Array.from(of.attribute.subarray(from[row], from[row + 1]), number =>
        of.attributes[number].join('='),
      ),
    })),
  }))

/** What a worker says of a window in which nothing ended; windows are counted from 1970. */
export const emptyWindow = (worker: string, number: number): FeatureWindow => {
  const none = new Float64Array(0)
  const rows = new Int32Array(0)
  return {
    worker,
    startMs: number * DETECTING.windowMs,
    endMs: (number + 1) * DETECTING.windowMs,
    series: [],
    peers: [],
    pods: [],
    cells: {
      length: 0,
      series: rows,
      pod: rows,
      spans: none,
      roots: none,
      traces: none,
      origins: none,
      away: none,
      timed: none,
      timedSquares: none,
      answered: none,
      answeredSquares: none,
      slowTrace: new Uint8Array(0),
      slowNs: none,
    },
    bins: {
      length: 0,
      row: rows,
      measure: new Uint8Array(0),
      bucket: new Int16Array(0),
      weight: none,
    },
    links: { length: 0, parent: rows, child: rows, parents: none, children: none, most: rows },
    samples: NO_SAMPLES,
  }
}
