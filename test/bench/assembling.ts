//! What assembly costs on top of the scan: whole traces of ten spans over four services, at 5,000 spans a second of event time.
import { Registry } from '../../src/base/counters.ts'
import { Items } from '../../src/base/item.ts'
import { silentLog } from '../../src/base/log.ts'
import { realWorld } from '../../src/base/world.ts'
import { memoryBus } from '../../src/bus/memory.ts'
import { Assembler, MAX_SPANS } from '../../src/flow/assemble.ts'
import { guards } from '../../src/flow/guard.ts'
import { SeriesTable } from '../../src/flow/series.ts'
import { scanTraces } from '../../src/wire/scan.ts'
import { bytes, int, logNormal, type Random, seeded } from '../kit/random.ts'
import { type PlainSpan, tracesRequest } from '../oracle/plain.ts'

const TRACES = 50
const SERVICES = 40
const OPERATIONS = 12
/** Who calls whom: four services in a row, each with an inner step and a call to the next. */
const DEPTH = 4
const SPANS_PER_S = 5000
const REQUESTS = 64

interface Made {
  readonly bytes: Uint8Array
  readonly items: Items
  readonly spans: number
}

export interface Assembling {
  /** Spans a request. */
  readonly spans: number
  /** CPU microseconds for so many requests; scanning and stamping them is not measured. */
  assemble(count: number): number
  /** Spans in the windows published so far. */
  seen(): number
  /** Spans that wait for the rest of their trace. */
  waiting(): number
}

/** An assembler with its own tables, on requests that are scanned beforehand and given new ids and times each turn. */
export function assembling(): Assembling {
  const random = seeded(3)
  const bus = memoryBus(error => {
    throw error
  })
  let seen = 0
  bus.listen('features', ({ cells }) => {
    for (let row = 0; row < cells.length; row++) seen += cells.spans[row]
  })
  const registry = new Registry()
  const table = new SeriesTable({ maxSeries: 20_000 }, () => {})
  const assembler = new Assembler(
    bus,
    realWorld,
    silentLog,
    registry,
    guards(realWorld, silentLog, registry),
    {
      windowMs: 10_000,
      latenessMs: 10_000,
      traceWaitMs: 10_000,
      maxSpans: MAX_SPANS,
    },
  )
  const feed = assembler.feed(table)
  const made = Array.from({ length: REQUESTS }, (_, n) => request(random, n))
  for (const { bytes, items } of made) table.intern(bytes, items)
  const { spans } = made[0]
  let eventMs = Date.UTC(2026, 0, 5, 9)
  let turn = 0
  return {
    spans,
    seen: () => seen,
    waiting: () => registry.read('otlier.assembly.spans'),
    assemble(count) {
      let us = 0
      for (let done = 0; done < count; done++) {
        const { bytes, items } = made[turn % REQUESTS]
        stamp(bytes, items, (eventMs += (spans / SPANS_PER_S) * 1000), turn++)
        const before = process.cpuUsage()
        assembler.take(feed, bytes, items, Number.POSITIVE_INFINITY, eventMs)
        const { user, system } = process.cpuUsage(before)
        us += user + system
      }
      return us
    },
  }
}

/** All spans end within the last second, and their traces have never been seen. */
function stamp(bytes: Uint8Array, items: Items, endMs: number, turn: number) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let item = 0; item < items.count; item++) {
    const ms = endMs - (item % 1000)
    items.endMs[item] = ms
    const ns = BigInt(Math.floor(ms)) * 1_000_000n
    view.setBigUint64(items.endTimeAt[item], ns, true)
    view.setInt32(items.traceIdAt[item], turn)
  }
}

function request(random: Random, n: number): Made {
  const groups = new Map<number, PlainSpan[]>()
  for (let trace = 0; trace < TRACES; trace++) {
    const traceId = Buffer.from(bytes(random, 16)).toString('hex')
    let parentSpanId = ''
    for (let depth = 0; depth < DEPTH; depth++) {
      const service = (n + depth * 7 + int(random, 3)) % SERVICES
      const own = (name: string, kind: 'server' | 'internal' | 'client', parent: string) => {
        const spanId = Buffer.from(bytes(random, 8)).toString('hex')
        const durationNs = Math.round(logNormal(random, 20e6 / (depth + 1), 0.5))
        const span = {
          name,
          kind,
          traceId,
          spanId,
          parentSpanId: parent,
          startNs: 1_790_000_000_000_000_000n,
          durationNs,
        }
        groups.set(service, [...(groups.get(service) ?? []), span])
        return spanId
      }
      const operation = int(random, OPERATIONS)
      const served = own(`GET /${operation}`, 'server', parentSpanId)
      if (depth < DEPTH - 1) {
        if (depth > 0) own(`step ${operation}`, 'internal', served)
        parentSpanId = own(`call ${operation}`, 'client', served)
      }
    }
  }
  const resource = (service: number) => ({
    'service.version': '3.14.15',
    'k8s.pod.name': `shop-${service}-7f9c6d5b8-x2x4z`,
    'k8s.node.name': `node-${service % 5}`,
    'telemetry.sdk.language': 'java',
    'telemetry.sdk.version': '1.61.0',
  })
  const request = tracesRequest(
    [...groups].map(([service, spans]) => ({
      service: `shop-${service}`,
      namespace: 'shop',
      environment: 'production',
      resource: resource(service),
      spans,
    })),
  )
  const items = new Items()
  const spans = scanTraces(request, items)
  if (spans <= 0) throw new Error('the request is broken')
  return { bytes: request, items, spans }
}
