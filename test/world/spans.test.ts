//! The exports of the simulated world: real OTLP, in order of arrival, the same from the same seed, within bounded memory, lost and late as meant.
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { attributesOf, decodeRequest } from '../kit/messages.ts'
import { seeded } from '../kit/random.ts'
import { tracesRequest } from '../oracle/plain.ts'
import { STEP_MS } from './climate.ts'
import { arrivalMs, EXPORT_MS, exportOf, isExportLost, isLost, lateMs } from './fate.ts'
import { request, resource, template, writeTime } from './otlp.ts'
import { type ExportRequest, Post, spans } from './spans.ts'
import { windows } from './windows.ts'
import { BEGINNING_MS, Life, makeWorld, type Span } from './world.ts'

const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000
const world = makeWorld(3, { days: 3 })
const stretch: Span = { fromMs: 10 * HOUR_MS, toMs: 10 * HOUR_MS + MINUTE_MS }

function digest(requests: Iterable<ExportRequest>): string {
  const hash = createHash('sha256')
  for (const { timeMs, pod, bytes } of requests) hash.update(`${timeMs} ${pod} `).update(bytes)
  return hash.digest('hex')
}

describe('bytes', () => {
  test('are those that the plain maker writes', () => {
    const server = world.topology.series.find(({ kind, http }) => kind === 'server' && http)
    if (server === undefined) throw new Error('no HTTP server')
    const [method, route] = server.name.split(' ')
    const status = { 'http.response.status_code': 200 }
    const plain = tracesRequest([
      {
        service: server.service.name,
        namespace: 'shop',
        environment: 'production',
        resource: podAttributes(),
        scope: { name: 'shop-instrumentation', version: '2.1.0' },
        spans: [
          {
            name: server.name,
            kind: 'server',
            traceId: '00'.repeat(16),
            spanId: '00'.repeat(8),
            parentSpanId: '00'.repeat(8),
            flags: 3,
            startNs: 0n,
            durationNs: 0,
            attributes: { 'http.request.method': method, 'http.route': route, ...status },
          },
        ],
      },
    ])
    const pod = new Life(world, stretch).climate.pods.live[server.service.id][0]
    const own = request(resource(pod, 3), template(server, false, true, false).bytes)
    expect(decodeRequest('traces', own)).toEqual(decodeRequest('traces', plain))
    function podAttributes() {
      const { name, label, node } = new Life(world, stretch).climate.pods.live[server?.service.id ?? 0][0]
      return {
        'service.version': label,
        'service.instance.id': name,
        'k8s.pod.name': name,
        'k8s.node.name': `node-${node}`,
        'cloud.availability_zone': `zone-${'abc'[node % 3]}`,
      }
    }
  })

  test('carry times to the nanosecond', () => {
    const random = seeded(5)
    const view = new DataView(new ArrayBuffer(8))
    for (let n = 0; n < 2_000; n++) {
      const [ms, nanos] = [Math.floor(random() * 3e9) - 3_000, Math.floor(random() * 1e6)]
      writeTime(view, 0, BEGINNING_MS, ms + nanos / 1e6)
      const exact = BigInt(BEGINNING_MS + ms) * 1_000_000n + BigInt(nanos)
      const off = view.getBigUint64(0, true) - exact
      // A double of so many ms knows half a nanosecond.
      expect(off >= -1n && off <= 1n).toBe(true)
    }
  })
})

describe('exports', () => {
  const requests = [...spans(world, stretch)]

  test('are the same again from the same seed, and others from another', () => {
    expect(digest(spans(world, stretch))).toBe(digest(requests))
    expect(digest(spans(makeWorld(3, { days: 3 }), stretch))).toBe(digest(requests))
    expect(digest(spans(makeWorld(4, { days: 3 }), stretch))).not.toBe(digest(requests))
  })

  test('arrive in order, one every 5 s from each pod at its own phase', () => {
    expect(requests.every((one, n) => n === 0 || one.timeMs >= requests[n - 1].timeMs)).toBe(true)
    const phases = new Map<string, number[]>()
    for (const { pod, timeMs } of requests) phases.set(pod, [...(phases.get(pod) ?? []), timeMs % EXPORT_MS])
    const steady = [...phases.values()].filter(list => {
      const sorted = list.sort((a, b) => a - b)
      return sorted[Math.floor(sorted.length * 0.9)] - sorted[0] <= 40
    })
    expect(steady.length / phases.size).toBeGreaterThan(0.8)
    expect(new Set([...phases.values()].map(([first]) => Math.floor(first / 500))).size).toBe(10)
  })

  test('hold whole traces: every id once, children under parents, with the names of the catalogue', () => {
    const known = new Map<string, string>()
    const parents: string[] = []
    let [inTime, all] = [0, 0]
    const names = new Set(world.topology.series.map(({ service, name }) => `${service.name} ${name}`))
    for (const { timeMs, pod, bytes, spans: count } of requests) {
      const [{ resource: from, scope_spans }] = decodeRequest('traces', bytes).resource_spans
      const attributes = attributesOf(from.attributes)
      expect(attributes['k8s.pod.name']).toBe(pod)
      expect(scope_spans[0].spans).toHaveLength(count)
      for (const span of scope_spans[0].spans) {
        const id = `${span.trace_id} ${span.span_id}`
        expect(known.has(id)).toBe(false)
        known.set(id, span.name)
        if (!names.has(`${attributes['service.name']} ${span.name}`))
          throw new Error(`${span.name} is in no catalogue`)
        if (span.parent_span_id !== undefined) parents.push(`${span.trace_id} ${span.parent_span_id}`)
        // Clocks are up to 2 s off, and more where they jump.
        const agoMs = timeMs - Number(BigInt(span.end_time_unix_nano) / 1_000_000n)
        if (agoMs > -2_000 && agoMs < 7_100) inTime++
        all++
      }
    }
    expect(all).toBeGreaterThan(20_000)
    expect(inTime / all).toBeGreaterThan(0.96)
    // A parent that ends after the stretch is not there, nor one that is lost or late.
    expect(parents.filter(id => known.has(id)).length / parents.length).toBeGreaterThan(0.95)
  })

  test('of a sampled world hold one trace in ten, whole, and say so', () => {
    const whole = requests.reduce((sum, one) => sum + one.spans, 0)
    const traces = new Set<string>()
    let part = 0
    for (const { bytes } of spans(world, { ...stretch, sampled: true }))
      for (const { scope_spans } of decodeRequest('traces', bytes).resource_spans)
        for (const { trace_id, trace_state } of scope_spans[0].spans) {
          part++
          traces.add(trace_id)
          expect(trace_state).toBe('ot=th:e666')
        }
    for (const id of traces) expect(Number.parseInt(id.slice(18, 22), 16)).toBeGreaterThanOrEqual(0xe666)
    expect(part / whole).toBeGreaterThan(0.07)
    expect(part / whole).toBeLessThan(0.13)
  })

  test('are half a per cent lost and two per cent late', () => {
    const life = new Life(world, stretch)
    let [all, lost, late] = [0, 0, 0]
    for (let n = 0; n < 12; n++)
      life.step(trace => {
        for (let row = 0; row < trace.length; row++) {
          const [pod, own] = [trace.pod[row], trace.address[row]]
          if (pod.exporterDead) continue
          const slot = exportOf(pod, trace.endMs[row])
          all++
          if (isLost(own) || isExportLost(pod, slot)) lost++
          else if (lateMs(own) > 0 || arrivalMs(pod, slot) > slot * EXPORT_MS + pod.phaseMs + 1_000) late++
        }
      })
    expect(lost / all).toBeCloseTo(0.005, 2)
    expect(lost / all).toBeGreaterThan(0.003)
    expect(late / all).toBeGreaterThan(0.014)
    expect(late / all).toBeLessThan(0.027)
  })

  test('wait in memory that does not grow with the length of the stretch', () => {
    const life = new Life(world, { fromMs: 10 * HOUR_MS, toMs: 11 * HOUR_MS })
    const post = new Post(world, life, false)
    const held: number[] = []
    for (let n = 0; n < 60; n++) {
      life.step((trace, asked) => post.take(trace, asked))
      post.due(life.climate.atMs + STEP_MS)
      held.push(post.held)
    }
    const [early, end] = [Math.max(...held.slice(12, 24)), Math.max(...held.slice(48))]
    expect(end).toBeLessThan(1.7 * early)
    expect(end).toBeLessThan(32 * 2 ** 20)
  })

  test('hold what the windows count', () => {
    const sums = new Map<string, number>()
    for (const { count } of windows(world, stretch))
      count.forEach((number, series) => {
        const { service, name } = world.topology.series[series]
        sums.set(`${service.name} ${name}`, (sums.get(`${service.name} ${name}`) ?? 0) + number)
      })
    const all = [...sums.values()].reduce((a, b) => a + b)
    // Whatever has ended in the last 5 s, or is late, is not exported yet.
    const exported = requests.reduce((sum, one) => sum + one.spans, 0)
    expect(exported / all).toBeGreaterThan(0.94)
    expect(exported / all).toBeLessThanOrEqual(1)
  })
})
