//! Laws of the whole running service: detection live, accounts, signals that nobody takes, loops, restarts and stops.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { type BackendOptions, startBackend } from '../kit/backend.ts'
import { GrpcClient, httpCall, PROTOBUF } from '../kit/client.ts'
import { recordingLog } from '../kit/log.ts'
import { attributesOf, decodeRequest } from '../kit/messages.ts'
import { logsRequest, metricsRequest, type PlainSpan, tracesRequest } from '../kit/odd.ts'
import { startService, toGrpc } from '../kit/otlier.ts'
import { logNormal, seeded } from '../kit/random.ts'
import { removeMarks } from '../oracle/marks.ts'

const stops: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

async function backend(options: BackendOptions = {}) {
  const started = await startBackend(options)
  stops.push(() => started.stop())
  return started
}

async function service(settings: readonly string[], parts: Parameters<typeof startService>[1] = {}) {
  const started = await startService(settings, parts)
  const client = new GrpcClient(started.grpcPort)
  let lost: Promise<number> | null = null
  const stop = () => {
    client.session.close()
    lost ??= started.stop()
    return lost
  }
  stops.push(stop)
  return { ...started, client, stop }
}

async function until(what: string, done: () => boolean | Promise<boolean>) {
  for (let tries = 0; tries < 2000; tries++) {
    if (await done()) return
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  throw new Error(`waited in vain until ${what}`)
}

const spanBetween = (startMs: number, durationMs: number, more: Partial<PlainSpan> = {}): PlainSpan => ({
  name: 'GET /basket',
  kind: 'server',
  startNs: BigInt(Math.round(startMs * 1000)) * 1000n,
  durationNs: Math.round(durationMs * 1e6),
  ...more,
})
const traces = (spans: readonly PlainSpan[]) => tracesRequest([{ service: 'shop', spans }])
const NOW = () => Date.now()
const point = metricsRequest([
  { service: 'shop', metrics: [{ name: 'm', kind: 'sum', points: [{ timeNs: 1n, value: 1 }] }] },
] as never)
const record = logsRequest([{ service: 'shop', records: [{ timeNs: 1n, body: 'hello' }] }])

describe('detection, live', () => {
  test('of 40 minutes of history sent at once, every 200th span of the second half slow: all slow ones are marked, hardly any other', async () => {
    const peer = await backend()
    const otlier = await service(toGrpc(peer.grpc))
    const random = seeded(4)
    const spanMs = (40 * 60_000) / 40_000
    const startMs = NOW() - 40 * 60_000
    for (let from = 0; from < 40_000; from += 1000) {
      const spans: PlainSpan[] = []
      for (let n = from; n < from + 1000; n++) {
        const at = startMs + n * spanMs
        const duration = n >= 20_000 && n % 200 === 0 ? 1000 : logNormal(random, 10, 0.3)
        spans.push(spanBetween(at - duration, duration))
        if (n % 20 === 0)
          spans.push(spanBetween(at - 1100, 1000 * logNormal(random, 1, 0.1), { name: 'GET /report' }))
      }
      expect((await otlier.client.export('traces', traces(spans))).code).toBe(0)
    }
    const arrived = () => peer.requests.filter(request => request.signal === 'traces')
    await until(
      'everything has arrived',
      async () =>
        (await otlier.metrics()).get('otlier_exporter_sent_spans_total{exporter="otlp"}') === 42_000,
    )
    const marks = arrived().flatMap(request => removeMarks(request.bytes).marks)
    const slow = marks.filter(mark => mark.attributes['otlier.anomaly.value'] === 1)
    expect(slow).toHaveLength(100)
    expect(marks.length - slow.length).toBeLessThanOrEqual(40)
    // The event of a mark arrives too, with the ids of its span.
    await until('the events have arrived', () => peer.requests.some(request => request.signal === 'logs'))
    const [event] = decodeRequest(
      'logs',
      peer.requests.find(request => request.signal === 'logs')?.bytes as Uint8Array,
    ).resource_logs[0].scope_logs[0].log_records
    expect(event.event_name).toBe('otlier.span.outlier')
    expect(slow.map(mark => mark.traceId)).toContain(event.trace_id)
    expect(attributesOf(event.attributes)['otlier.anomaly.detected']).toBe(true)
  })
})

describe('the accounts', () => {
  test('balance at every scrape while a destination fails, comes back and rejects', async () => {
    let calls = 0
    const peer = await backend({
      script: () => {
        calls++
        if (calls % 7 === 3) return { kind: 'status', code: 14 }
        if (calls % 11 === 5) return { kind: 'partial', rejected: 1, message: 'one too many' }
        if (calls % 13 === 7) return { kind: 'status', code: 3 }
        return { kind: 'ok' }
      },
    })
    const otlier = await service([
      ...toGrpc(peer.grpc),
      'exporters.otlp.retry_on_failure.initial_interval=5ms',
    ])
    const balance = async () => {
      const metrics = await otlier.metrics()
      const sum = (name: string) =>
        [...metrics].reduce((all, [key, value]) => (key.startsWith(name) ? all + value : all), 0)
      for (const items of ['spans', 'metric_points', 'log_records']) {
        const exporter = (what: string) => sum(`otlier_exporter_${what}_${items}`)
        expect(exporter('enqueued') + exporter('recovered')).toBe(
          exporter('sent') +
            exporter('rejected') +
            exporter('dropped') +
            exporter('queued') +
            exporter('in_flight'),
        )
        expect(sum(`otlier_receiver_accepted_${items}`) + sum(`otlier_generated_${items}`)).toBe(
          exporter('enqueued') + exporter('enqueue_failed'),
        )
      }
      return metrics
    }
    // An outlier, so that Otlier has something of its own to send.
    const history = Array.from({ length: 300 }, (_, n) => spanBetween(NOW() - 60_000 + n * 100, 10 + (n % 5)))
    await otlier.client.export('traces', traces([...history, spanBetween(NOW() - 5000, 3000)]))
    for (let n = 0; n < 60; n++) {
      await otlier.client.export('traces', traces([spanBetween(NOW(), 5), spanBetween(NOW(), 6)]))
      await otlier.client.export('metrics', point)
      await otlier.client.export('logs', record)
      if (n % 5 === 0) await balance()
    }
    await until('all is settled', async () => {
      const metrics = await balance()
      return (
        metrics.get('otlier_exporter_queued_spans{exporter="otlp"}') === 0 &&
        metrics.get('otlier_exporter_in_flight_spans{exporter="otlp"}') === 0 &&
        // Its event waits for half a second.
        (metrics.get('otlier_exporter_enqueued_log_records_total{exporter="otlp"}') ?? 0) > 60
      )
    })
    const metrics = await balance()
    expect(metrics.get('otlier_receiver_accepted_spans_total')).toBe(421)
    expect(metrics.get('otlier_exporter_enqueued_log_records_total{exporter="otlp"}')).toBeGreaterThan(60)
    expect(metrics.get('otlier_exporter_rejected_spans_total{exporter="otlp"}')).toBeGreaterThan(0)
  })

  test('a malformed request is refused, counted, and changes no account', async () => {
    const otlier = await service([])
    const reply = await otlier.client.export('traces', Buffer.from([0x0a, 0x7f, 0x01]))
    expect(reply.code).toBe(3)
    const metrics = await otlier.metrics()
    const refused = [...metrics].filter(([name]) => name.startsWith('otlier_receiver_refused_requests_total'))
    expect(refused).toEqual([[expect.stringContaining('OTLIER_MALFORMED'), 1]])
    expect(metrics.get('otlier_receiver_accepted_spans_total')).toBe(0)
  })
})

describe('destinations', () => {
  test('with none, all three signals are accepted and let go, and outliers are told in the log', async () => {
    const { log, lines } = recordingLog()
    const otlier = await service([], { log })
    const history = Array.from({ length: 300 }, (_, n) => spanBetween(NOW() - 60_000 + n * 100, 10 + (n % 5)))
    expect((await otlier.client.export('traces', traces(history))).code).toBe(0)
    expect((await otlier.client.export('traces', traces([spanBetween(NOW() - 5000, 3000)]))).code).toBe(0)
    expect((await otlier.client.export('metrics', point)).code).toBe(0)
    expect((await otlier.client.export('logs', record)).code).toBe(0)
    await until('the outlier is told', () =>
      lines.some(line => line.message.startsWith('shop: 3 s, normally ')),
    )
  })

  test('one that takes traces alone gets spans and marks; one line says what it does not take, and senders are told', async () => {
    const { log, lines } = recordingLog()
    const peer = await backend({
      script: request => (request.signal === 'traces' ? { kind: 'ok' } : { kind: 'status', code: 12 }),
    })
    const otlier = await service(toGrpc(peer.grpc), { log })
    expect((await otlier.client.export('metrics', point)).code).toBe(0)
    await until('it is found out', () => lines.some(line => line.message.includes('does not take metrics')))
    expect((await otlier.client.export('metrics', point)).code).toBe(12)
    expect(
      (await httpCall({ port: otlier.httpPort, path: '/v1/metrics', headers: PROTOBUF, body: point })).status,
    ).toBe(404)
    const history = Array.from({ length: 300 }, (_, n) => spanBetween(NOW() - 60_000 + n * 100, 10 + (n % 5)))
    await otlier.client.export('traces', traces(history))
    await otlier.client.export('traces', traces([spanBetween(NOW() - 5000, 3000)]))
    await until('the event is told in the log', () =>
      lines.some(line => line.message.startsWith('shop: 3 s')),
    )
    await until(
      'the marked span has arrived',
      () =>
        peer.requests
          .filter(request => request.signal === 'traces')
          .flatMap(request => removeMarks(request.bytes).marks).length === 1,
    )
    expect(lines.filter(line => line.message.includes('does not take metrics'))).toHaveLength(1)
    const metrics = await otlier.metrics()
    expect(
      metrics.get('otlier_exporter_dropped_metric_points_total{exporter="otlp",reason="unsupported"}'),
    ).toBe(1)
    expect(await otlier.stop()).toBe(0)
  })

  test("one that is Otlier's own listener is explained and not used", async () => {
    const otlier = await service([])
    const { log, lines } = recordingLog()
    const free = otlier.grpcPort
    await otlier.stop()
    const again = await service(
      [
        `exporters.otlp.endpoint=http://localhost:${free}`,
        `receivers.otlp.protocols.grpc.endpoint=127.0.0.1:${free}`,
      ],
      { log },
    )
    expect(again.notes['otlp'] ?? '').toMatch(
      /leads back to Otlier's own receivers\.otlp\.protocols\.grpc\.endpoint/,
    )
    expect(lines.some(line => line.level === 'warn' && line.message.includes('leads back'))).toBe(true)
    expect((await again.client.export('traces', traces([spanBetween(NOW(), 5)]))).code).toBe(0)
    expect([...(await again.metrics()).keys()].filter(name => name.includes('exporter="otlp"'))).toEqual([])
  })

  test('two that point at each other end a loop after one round: what comes back is refused', async () => {
    const free = await service([])
    const port = free.grpcPort
    await free.stop()
    const first = await service(toGrpc(`127.0.0.1:${port}`))
    const second = await service([
      ...toGrpc(`127.0.0.1:${first.grpcPort}`),
      `receivers.otlp.protocols.grpc.endpoint=127.0.0.1:${port}`,
    ])
    expect((await first.client.export('traces', traces([spanBetween(NOW(), 5)]))).code).toBe(0)
    const value = async (of: typeof first, name: string) =>
      [...(await of.metrics())]
        .filter(([key]) => key.startsWith(name))
        .reduce((sum, [, count]) => sum + count, 0)
    await until(
      'it has come back and been refused',
      async () => (await value(first, 'otlier_receiver_refused_requests')) === 1,
    )
    await until(
      'the second has given it up',
      async () => (await value(second, 'otlier_exporter_rejected_spans')) === 1,
    )
    expect(await value(first, 'otlier_receiver_accepted_spans')).toBe(1)
    expect(await value(second, 'otlier_receiver_accepted_spans')).toBe(1)
  })
})

describe('stopping and starting', () => {
  test('what is queued when the stop begins is delivered, and nothing is lost', async () => {
    const peer = await backend({
      async script() {
        await new Promise(resolve => setTimeout(resolve, 30))
        return { kind: 'ok' }
      },
    })
    const otlier = await service(toGrpc(peer.grpc))
    for (let n = 0; n < 20; n++) await otlier.client.export('traces', traces([spanBetween(NOW(), n)]))
    expect(await otlier.stop()).toBe(0)
    const spans = peer.requests.flatMap(request => decodeRequest('traces', request.bytes).resource_spans)
    expect(spans).toHaveLength(20)
  })

  test('a hung destination costs exactly what it was given, at the deadline', async () => {
    const peer = await backend({ script: () => ({ kind: 'hang' }) })
    const otlier = await service([...toGrpc(peer.grpc), 'shutdown_timeout=1s'])
    for (let n = 0; n < 7; n++)
      await otlier.client.export('traces', traces([spanBetween(NOW(), n), spanBetween(NOW(), n)]))
    expect(await otlier.stop()).toBe(14)
  })

  test('models outlive a restart: a slow span is marked at once', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'otlier-models-'))
    stops.push(() => rmSync(directory, { recursive: true, force: true }))
    const peer = await backend()
    const first = await service(toGrpc(peer.grpc), { directory })
    const history = Array.from({ length: 300 }, (_, n) => spanBetween(NOW() - 60_000 + n * 100, 10 + (n % 5)))
    await first.client.export('traces', traces(history))
    await first.stop()
    const second = await service(toGrpc(peer.grpc), { directory })
    await second.client.export('traces', traces([spanBetween(NOW() - 5000, 3000)]))
    await until(
      'the mark has arrived',
      () =>
        peer.requests
          .filter(request => request.signal === 'traces')
          .flatMap(request => removeMarks(request.bytes).marks).length === 1,
    )
  })

  test('health says starting to stopping, and degraded with the reason while a queue is full', async () => {
    const peer = await backend({ script: () => ({ kind: 'hang' }) })
    const otlier = await service([
      ...toGrpc(peer.grpc),
      'exporters.otlp.sending_queue.size_mib=1',
      'shutdown_timeout=100ms',
    ])
    expect(await otlier.health()).toMatchObject({ status: 200 })
    const big = traces([spanBetween(NOW(), 5, { attributes: { filler: 'x'.repeat(300_000) } })])
    let refused = 0
    for (let n = 0; n < 6; n++) if ((await otlier.client.export('traces', big)).code === 14) refused++
    expect(refused).toBeGreaterThan(0)
    const degraded = await otlier.health()
    expect(degraded.status).toBe(200)
    expect(degraded.body).toMatch(/degraded/)
    expect(degraded.body).toMatch(/queue of otlp is full/)
  })
})
