//! Both planes on a simulated world, with everything that they forward and say recorded.
import { Registry } from '../../src/base/counters.ts'
import type { EventRecord, SeriesModel } from '../../src/bus/bus.ts'
import { ACCEPTED, type Batch, type CheckedBatch, NO_HEADERS } from '../../src/flow/sink.ts'
import { type Detecting, planes } from '../../src/otlier.ts'
import { recordingLog } from './log.ts'
import { type PlainSpan, tracesRequest } from './odd.ts'
import { simulatedWorld } from './world.ts'

export const DETECTING: Detecting = {
  detect: true,
  windowMs: 10_000,
  latenessMs: 10_000,
  traceWaitMs: 10_000,
  maxSpans: 2 ** 18,
  maxSeries: 20_000,
  rebaselineMs: 3_600_000,
  budgets: [1],
  isolationForest: false,
  jaegerWarnings: false,
}

export const START_MS = Date.UTC(2026, 0, 5, 12)

export const batchOf = (bytes: Uint8Array, signal: Batch['signal'] = 'traces'): Batch => ({
  signal,
  bytes,
  receivedMs: START_MS,
  headers: NO_HEADERS,
})

/** `latestMs` is as in a replay: any time will do. */
export function recordedPlanes(options: Partial<Detecting> = {}, latestMs = () => Number.POSITIVE_INFINITY) {
  const world = simulatedWorld(1, START_MS)
  const registry = new Registry()
  const { log, lines } = recordingLog()
  const forwarded: CheckedBatch[] = []
  const events: EventRecord[] = []
  const models = new Map<string, SeriesModel>()
  const next = {
    async send(batch: CheckedBatch) {
      forwarded.push(batch)
      return ACCEPTED
    },
    async close() {},
  }
  const both = planes(next, world, log, registry, { ...DETECTING, ...options }, latestMs)
  both.bus.listen('event', event => events.push(event))
  both.bus.listen('model', model => models.set(model.series.operation, model))
  return {
    ...both,
    world,
    registry,
    lines,
    forwarded,
    events,
    models,
    /** Sends spans of one service as one request; returns what was forwarded. */
    async send(spans: readonly PlainSpan[], service = 'shop') {
      await both.inspector.send(batchOf(tracesRequest([{ service, spans }])))
      return forwarded.at(-1) as CheckedBatch
    },
  }
}

/** A span that ends `atMs` after the start of the recording. */
export const spanAt = (atMs: number, durationMs: number, more: Partial<PlainSpan> = {}): PlainSpan => ({
  name: 'POST /pay',
  kind: 'server',
  startNs: BigInt(Math.round((START_MS + atMs - durationMs) * 1000)) * 1000n,
  durationNs: Math.round(durationMs * 1e6),
  ...more,
})
