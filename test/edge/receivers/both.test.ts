//! The rows of A1, which hold for OTLP over gRPC and over HTTP alike, on sockets.
import { deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { ACCEPTED, type Outcome, SIGNALS, type Signal } from '../../../src/flow/sink.ts'
import { frame, httpCall, PROTOBUF } from '../../kit/client.ts'
import { logsRequest, metricsRequest, oddRequest, tracesRequest } from '../../kit/odd.ts'
import { forSeedsAsync } from '../../kit/random.ts'
import { grpcClient, type StartOptions, startReceiver } from '../../kit/receivers.ts'
import { decodeResponse, decodeStatus } from '../../kit/replies.ts'
import { checkingSink, recordingSink } from '../../kit/sinks.ts'
import { simulatedWorld } from '../../kit/world.ts'
import { delimited } from '../../oracle/bytes.ts'

const MIB = 2 ** 20
type Encoding = 'none' | 'gzip' | 'deflate' | 'zstd'

/** What a sender learns, whatever the transport. */
interface Told {
  readonly verdict: 'ok' | 'too large' | 'malformed' | 'later' | number
  readonly retryMs: number | null
  /** The Export response, or what there was instead. */
  readonly reply: Buffer
}

interface Way {
  readonly transport: 'grpc' | 'http'
  send(port: number, signal: Signal, bytes: Uint8Array, encoding?: Encoding): Promise<Told>
}

const COMPRESS = {
  none: (bytes: Uint8Array) => bytes,
  gzip: (bytes: Uint8Array) => gzipSync(bytes),
  deflate: (bytes: Uint8Array) => deflateSync(bytes),
  zstd: (bytes: Uint8Array) => zstdCompressSync(bytes),
}

const CODES: Readonly<Record<number, Told['verdict']>> = {
  0: 'ok',
  3: 'malformed',
  8: 'too large',
  14: 'later',
}
const STATUSES: Readonly<Record<number, Told['verdict']>> = {
  200: 'ok',
  400: 'malformed',
  413: 'too large',
  503: 'later',
}

const WAYS: readonly Way[] = [
  {
    transport: 'grpc',
    async send(port, signal, bytes, encoding = 'none') {
      const headers = encoding === 'none' ? {} : { 'grpc-encoding': encoding }
      const body = [frame(COMPRESS[encoding](bytes), encoding === 'none' ? 0 : 1)]
      const { code, details, reply } = await grpcClient(port).call({ signal, headers, body })
      return {
        verdict: CODES[code] ?? code,
        retryMs: details?.retryMs ?? null,
        reply: reply ?? Buffer.alloc(0),
      }
    },
  },
  {
    transport: 'http',
    async send(port, signal, bytes, encoding = 'none') {
      const coding = encoding === 'none' ? {} : { 'content-encoding': encoding }
      const body = COMPRESS[encoding](bytes)
      const reply = await httpCall({ port, path: `/v1/${signal}`, headers: { ...PROTOBUF, ...coding }, body })
      const retryMs = reply.status === 200 ? null : decodeStatus(reply.body).retryMs
      return { verdict: STATUSES[reply.status] ?? reply.status, retryMs, reply: reply.body }
    },
  },
]

const REQUESTS = {
  traces: tracesRequest([{ service: 'shop', spans: [{ name: 'GET /', startNs: 5n, durationNs: 7 }] }]),
  metrics: metricsRequest([
    { service: 'shop', metrics: [{ name: 'orders', kind: 'sum', points: [{ timeNs: 5n, value: 3 }] }] },
  ]),
  logs: logsRequest([{ service: 'shop', records: [{ timeNs: 5n, body: 'sold' }] }]),
}

/** A decompression bomb: 512 MiB of zeros in half a megabyte. */
const bomb = () => Buffer.concat(new Array<Buffer>(64).fill(gzipSync(Buffer.alloc(8 * MIB), { level: 9 })))

describe.each(WAYS)('over $transport', ({ transport, send }) => {
  const serve = async (answer?: Outcome, options?: StartOptions) => {
    const sink = recordingSink(() => answer ?? ACCEPTED)
    const receiver = await startReceiver(transport, checkingSink(sink), options)
    return { receiver, port: receiver.port, batches: sink.batches }
  }

  test('S1 a request reaches the sink as the same bytes, whichever compression it came in', async () => {
    const { port, batches } = await serve()
    for (const signal of SIGNALS) {
      for (const encoding of ['none', 'gzip', 'deflate', 'zstd'] as const) {
        const { verdict } = await send(port, signal, REQUESTS[signal], encoding)
        expect([signal, encoding, verdict]).toEqual([signal, encoding, 'ok'])
        const batch = batches.pop()
        expect(batch?.signal).toBe(signal)
        expect(Buffer.compare(batch?.bytes ?? Buffer.alloc(0), REQUESTS[signal])).toBe(0)
      }
    }
    expect(batches).toEqual([])
  })

  test('S2 64 MiB are taken without any setting, one byte more is too large for good', async () => {
    const { port, receiver, batches } = await serve()
    const most = Buffer.concat([Buffer.from([0x7a, 0xfb, 0xff, 0xff, 0x1f]), new Uint8Array(64 * MIB - 5)])
    expect(most.length).toBe(64 * MIB)
    expect((await send(port, 'traces', most)).verdict).toBe('ok')
    expect(batches.pop()?.bytes.length).toBe(64 * MIB)
    const more = await send(port, 'traces', new Uint8Array(64 * MIB + 1))
    expect([more.verdict, more.retryMs, batches.length]).toEqual(['too large', null, 0])
    expect(receiver.admission.usedBytes).toBe(0)
  })

  test.each(['gzip', 'deflate', 'zstd'] as const)(
    'S2 the limit holds after %s, and can be set',
    async encoding => {
      const { port, receiver, batches } = await serve(undefined, { maxRecvBytes: 100_000 })
      const most = delimited(15, new Uint8Array(99_996))
      expect(most.length).toBe(100_000)
      expect((await send(port, 'logs', most, encoding)).verdict).toBe('ok')
      const more = await send(port, 'logs', delimited(15, new Uint8Array(99_997)), encoding)
      expect([more.verdict, more.retryMs, batches.length]).toEqual(['too large', null, 1])
      expect(receiver.admission.usedBytes).toBe(0)
    },
  )

  test('S2 a bomb of 512 MiB is stopped at the limit, and its memory with it', async () => {
    const { port, receiver } = await serve(undefined, { maxRecvBytes: 8 * MIB })
    const bytes = bomb()
    const before = process.memoryUsage().rss
    const replies =
      transport === 'grpc'
        ? await grpcClient(port).call({ headers: { 'grpc-encoding': 'gzip' }, body: [frame(bytes, 1)] })
        : await httpCall({ port, headers: { ...PROTOBUF, 'content-encoding': 'gzip' }, body: bytes })
    expect('code' in replies ? replies.code : replies.status).toBe(transport === 'grpc' ? 8 : 413)
    expect(process.memoryUsage().rss - before).toBeLessThan(160 * MIB)
    expect(receiver.admission.usedBytes).toBe(0)
  })

  test.each(SIGNALS)(
    'S3 a sentence of 5 MiB about rejected %s is cut to a reply of at most 4 MiB',
    async signal => {
      // Two and three bytes a character, so that a cut by characters or in the middle of one would show.
      const message = 'é€'.repeat(MIB)
      const { port } = await serve({ kind: 'accepted', rejectedItems: 3, message })
      const { verdict, reply } = await send(port, signal, REQUESTS[signal])
      expect(verdict).toBe('ok')
      expect(reply.length).toBeLessThanOrEqual(4 * MIB)
      const { partial } = decodeResponse(signal, reply)
      expect(partial?.rejected).toBe(3)
      expect(partial?.message.length).toBeGreaterThan(MIB)
      expect(message.startsWith(partial?.message ?? '-')).toBe(true)
    },
  )

  test('S4 empty requests succeed: no bytes, an empty resource, an empty scope', async () => {
    const { port, batches } = await serve()
    const empty = new Uint8Array(0)
    for (const signal of SIGNALS) {
      for (const bytes of [empty, delimited(1, empty), delimited(1, delimited(2, empty))]) {
        expect((await send(port, signal, bytes)).verdict).toBe('ok')
        expect(batches.pop()?.bytes).toEqual(bytes)
      }
    }
  })

  test('S5 on full success partial_success is unset: the reply has no byte', async () => {
    const { port } = await serve()
    for (const signal of SIGNALS) expect((await send(port, signal, REQUESTS[signal])).reply.length).toBe(0)
  })

  test('S6 a part rejected is success with the exact count', async () => {
    for (const rejectedItems of [1, 127, 128, 300_000, 2 ** 40]) {
      const { port } = await serve({ kind: 'accepted', rejectedItems, message: 'Too old.' })
      for (const signal of SIGNALS) {
        const { verdict, reply } = await send(port, signal, REQUESTS[signal])
        expect(verdict).toBe('ok')
        expect(decodeResponse(signal, reply)).toEqual({
          partial: { rejected: rejectedItems, message: 'Too old.' },
        })
      }
    }
  })

  test('S7 where items are rejected and the sink gives no reason, the reply still has a sentence', async () => {
    const { port } = await serve({ kind: 'accepted', rejectedItems: 2 })
    const said = []
    for (const signal of SIGNALS) {
      said.push(decodeResponse(signal, (await send(port, signal, REQUESTS[signal])).reply).partial?.message)
    }
    expect(said).toEqual([
      '2 spans were rejected.',
      '2 metric points were rejected.',
      '2 log records were rejected.',
    ])
  })

  test('S8 a warning is a sentence with nothing rejected', async () => {
    const { port } = await serve({ kind: 'accepted', rejectedItems: 0, message: 'Use shorter names.' })
    const { reply } = await send(port, 'traces', REQUESTS.traces)
    expect(decodeResponse('traces', reply)).toEqual({
      partial: { rejected: 0, message: 'Use shorter names.' },
    })
  })

  test('S9 unknown fields at every level, and whatever else the wire allows, reach the sink as the same bytes', async () => {
    const { port, batches } = await serve()
    await forSeedsAsync(8, async random => {
      for (const signal of SIGNALS) {
        const bytes = oddRequest(random, signal, 20, { wildness: 0.4 })
        expect((await send(port, signal, bytes)).verdict).toBe('ok')
        expect(Buffer.compare(batches.pop()?.bytes ?? Buffer.alloc(0), bytes)).toBe(0)
      }
    })
  })

  test('S10 every AnyValue is taken on every attribute, and reaches the sink as the same bytes', async () => {
    const { port, batches } = await serve()
    const flat = { none: null, text: 'é', int: -1n, double: 0.5, yes: true, bytes: Uint8Array.of(0, 255) }
    const attributes = {
      ...flat,
      empty: [],
      mixed: Object.values(flat),
      list: flat,
      deep: [[{ a: [{ b: [null] }] }]],
    }
    const origin = { service: 'shop', resource: attributes, scope: { name: 's', attributes } }
    const event = { name: 'e', timeNs: 1n, attributes }
    const link = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), attributes }
    const span = { name: 'n', startNs: 1n, durationNs: 1, attributes, events: [event], links: [link] }
    const point = { timeNs: 1n, value: 1, attributes }
    const requests = {
      traces: tracesRequest([{ ...origin, spans: [span] }]),
      metrics: metricsRequest([{ ...origin, metrics: [{ name: 'm', kind: 'gauge', points: [point] }] }]),
      logs: logsRequest([{ ...origin, records: [{ timeNs: 1n, body: attributes, attributes }] }]),
    }
    for (const signal of SIGNALS) {
      expect((await send(port, signal, requests[signal])).verdict).toBe('ok')
      expect(Buffer.compare(batches.pop()?.bytes ?? Buffer.alloc(0), requests[signal])).toBe(0)
    }
  })

  test('S11 empty envelopes are passed on as they came, between full ones', async () => {
    const { port, batches } = await serve()
    const empty = delimited(1, new Uint8Array(0))
    for (const signal of SIGNALS) {
      const bytes = Buffer.concat([
        empty,
        REQUESTS[signal],
        empty,
        delimited(1, delimited(2, new Uint8Array(0))),
      ])
      expect((await send(port, signal, bytes)).verdict).toBe('ok')
      expect(Buffer.compare(batches.pop()?.bytes ?? Buffer.alloc(0), bytes)).toBe(0)
    }
  })

  test('S12 where the sink hangs, the sender is told within nine seconds to come again', async () => {
    const world = simulatedWorld(12)
    let settle = (_: Outcome) => {}
    const sink = recordingSink(() => new Promise<Outcome>(resolve => (settle = resolve)))
    const { port, admission } = await startReceiver(transport, sink, { world })
    const call = send(port, 'traces', REQUESTS.traces)
    await sink.received(1)
    await world.advance(9000)
    expect((await call).verdict).toBe('later')
    // The sink still holds the bytes, so they still count.
    expect(admission.usedBytes).toBe(REQUESTS.traces.length)
    settle(ACCEPTED)
    await world.settle()
    // What is left is the age of the connection, which over HTTP/1 is looked at with each answer.
    expect([admission.usedBytes, world.timers()]).toEqual([0, transport === 'grpc' ? 1 : 0])
  })
})
