//! The data plane against a decoder, on one thread and the same bytes: check, scan, score and mark, and protobufjs's decode.
import { fileURLToPath } from 'node:url'
import protobuf from 'protobufjs'
import { Registry } from '../../src/base/counters.ts'
import { silentLog } from '../../src/base/log.ts'
import { realWorld } from '../../src/base/world.ts'
import { loadConfig, realSurroundings } from '../../src/commands/load-config.ts'
import { ACCEPTED, type CheckedBatch, NO_HEADERS } from '../../src/flow/sink.ts'
import { detecting, planes } from '../../src/otlier.ts'
import { type Request, SPANS } from './traffic.ts'

/** How fast event time passes, on whatever machine: windows are closed and learned as in a busy service. */
const SPANS_PER_MS = 200
/** Requests between two readings of the CPU clock; stamping them is not measured. */
const CHUNK = 8

export interface Scoring {
  /** Spans that left the data plane, and how many of them it has marked. */
  seen(): { spans: number; marked: number }
  /** CPU microseconds of the process for `count` requests. `slow` is as in `Request.stamp`. */
  score(count: number, slow: boolean): Promise<number>
  decode(count: number): Promise<number>
}

/** Both planes as the service wires them, with its default settings but without assembly, in front of a sink that lets everything go. */
export async function scoring(requests: readonly Request[]): Promise<Scoring> {
  const { config } = await loadConfig(
    { config: [], set: [], portOffset: null },
    { ...realSurroundings(), variables: {} },
  )
  const registry = new Registry()
  let spans = 0
  const sink = {
    async send({ items }: CheckedBatch) {
      spans += items
      return ACCEPTED
    },
    async close() {},
  }
  const always = () => Number.POSITIVE_INFINITY
  // Assembly is measured by itself, on traffic that has whole traces.
  const options = { ...detecting(config), maxSpans: 0 }
  const { inspector } = planes(sink, realWorld, silentLog, registry, options, always)
  const Type = requestType()
  let eventMs = Date.UTC(2026, 0, 5, 9)

  async function measure(count: number, slow: boolean, act: (bytes: Uint8Array) => unknown) {
    let us = 0
    for (let done = 0; done < count; done += CHUNK) {
      const chunk: Request[] = []
      for (let i = done; i < Math.min(count, done + CHUNK); i++) {
        const request = requests[i % requests.length]
        request.stamp((eventMs += SPANS / SPANS_PER_MS), slow)
        chunk.push(request)
      }
      const before = process.cpuUsage()
      for (const { bytes } of chunk) await act(bytes)
      const { user, system } = process.cpuUsage(before)
      us += user + system
    }
    return us
  }

  return {
    score: (count, slow) =>
      measure(count, slow, bytes =>
        inspector.send({ signal: 'traces', bytes, receivedMs: eventMs, headers: NO_HEADERS }),
      ),
    decode: count => measure(count, false, bytes => Type.decode(bytes)),
    seen() {
      let marked = 0
      for (const { name, cells } of registry.families()) {
        if (name === 'otlier.outliers') for (const { value } of cells()) marked += value
      }
      return { spans, marked }
    },
  }
}

/** protobufjs generates the decoder of a type at its first use. */
function requestType(): protobuf.Type {
  const proto = fileURLToPath(new URL('../../proto/', import.meta.url))
  const root = new protobuf.Root()
  root.resolvePath = (_, target) => `${proto}${target}`
  root.loadSync('opentelemetry/proto/collector/trace/v1/trace_service.proto')
  return root.lookupType('opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest')
}
