//! What holds for both receivers beside OTLP: admission by bytes, deadlines, headers that travel, and what is counted.
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import type { Failure } from '../../../src/base/errors.ts'
import { Admission } from '../../../src/edge/admission.ts'
import { ACCEPTED, NO_HEADERS, type Signal } from '../../../src/flow/sink.ts'
import { frame, httpCall, PROTOBUF, rawCall, statusOf } from '../../kit/client.ts'
import { grpcClient, startReceiver } from '../../kit/receivers.ts'
import { recordingSink } from '../../kit/sinks.ts'
import { simulatedWorld } from '../../kit/world.ts'

const MIB = 2 ** 20
const head = (length: number) =>
  `POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-protobuf\r\ncontent-length: ${length}\r\n\r\n`

/** Settles when `done` says so: for what another connection causes a moment later. */
async function eventually(done: () => boolean): Promise<void> {
  while (!done()) await new Promise(resolve => setTimeout(resolve, 2))
}

describe('admission', () => {
  test('of twenty half-sent messages on one connection as many are admitted as its budget holds', async () => {
    const sink = recordingSink()
    const options = { maxRecvBytes: 3 * MIB, connectionBudgetBytes: 7 * MIB }
    const { port, admission } = await startReceiver('grpc', sink, options)
    const client = grpcClient(port)
    const half = frame(new Uint8Array(1000), 0, 3 * MIB)
    const held: { close(code?: number): void }[] = []
    const calls = Array.from({ length: 20 }, () =>
      client.call({ body: [half], open: true, onWritten: stream => held.push(stream) }),
    )
    const refused: number[] = []
    for (const call of calls)
      void call.then(({ code, details, reset }) => refused.push(code, details?.retryMs ?? -1, reset))
    await eventually(() => refused.length === 18 * 3)
    expect(refused).toEqual(new Array(18).fill([14, 1000, 0]).flat())
    expect(admission.usedBytes).toBe(6 * MIB)
    // Another connection has its own budget, and what was held comes back when the client goes.
    expect((await grpcClient(port).export('traces', new Uint8Array(2 * MIB))).code).toBe(0)
    for (const stream of held) stream.close(8)
    await eventually(() => admission.usedBytes === 0)
    expect((await client.export('traces', new Uint8Array(3 * MIB))).code).toBe(0)
    expect(sink.batches.length).toBe(2)
  })

  test('G6 and H11 the global budget holds over all receivers and connections: beyond it UNAVAILABLE, and 503 with Retry-After', async () => {
    const admission = new Admission(4 * MIB)
    const sink = recordingSink()
    const grpc = await startReceiver('grpc', sink, { admission })
    const http = await startReceiver('http', sink, { admission })
    const client = grpcClient(grpc.port)
    let stream: { close(code?: number): void } | null = null
    void client.call({
      body: [frame(Buffer.of(1), 0, 3 * MIB)],
      open: true,
      onWritten: open => (stream = open),
    })
    await eventually(() => admission.usedBytes === 3 * MIB)
    const body = new Uint8Array(2 * MIB)
    const reply = await httpCall({ port: http.port, headers: PROTOBUF, body })
    expect([reply.status, reply.headers['retry-after'], statusOf(reply).code]).toEqual([503, '1', 14])
    expect((await grpcClient(grpc.port).export('traces', body)).code).toBe(14)
    // Without a Content-Length it is noticed on the way, and what unfolds counts too.
    const chunked = { ...PROTOBUF, 'transfer-encoding': 'chunked' }
    expect((await httpCall({ port: http.port, headers: chunked, body })).status).toBe(503)
    const headers = { ...PROTOBUF, 'content-encoding': 'gzip' }
    expect((await httpCall({ port: http.port, headers, body: gzipSync(body) })).status).toBe(503)
    ;(stream as { close(code?: number): void } | null)?.close(8)
    await eventually(() => admission.usedBytes === 0)
    expect((await httpCall({ port: http.port, headers, body: gzipSync(body) })).status).toBe(200)
    expect([sink.batches.length, admission.usedBytes]).toEqual([1, 0])
  })

  test.each(['grpc', 'http'] as const)(
    'over %s, what can never be admitted is too large for good',
    async transport => {
      const { port } = await startReceiver(transport, recordingSink(), { admission: new Admission(MIB) })
      const body = new Uint8Array(MIB + 1)
      if (transport === 'grpc') expect((await grpcClient(port).export('traces', body)).code).toBe(8)
      else expect((await httpCall({ port, headers: PROTOBUF, body })).status).toBe(413)
    },
  )

  test('a declared length takes no memory before its bytes come', async () => {
    const { port } = await startReceiver('grpc', recordingSink(), { connectionBudgetBytes: 4096 * MIB })
    const client = grpcClient(port)
    const before = process.memoryUsage()
    const held: unknown[] = []
    for (let i = 0; i < 15; i++) {
      const body = [frame(Buffer.of(1), 0, 64 * MIB)]
      void client.call({ body, open: true, onWritten: stream => held.push(stream) })
    }
    await eventually(() => held.length === 15)
    await client.export('traces', Buffer.of(1))
    const after = process.memoryUsage()
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(40 * MIB)
  })
})

describe('deadlines', () => {
  test('a message that does not arrive in time is DEADLINE_EXCEEDED, and its stream is reset', async () => {
    const world = simulatedWorld(1)
    const sink = recordingSink()
    const { port, admission } = await startReceiver('grpc', sink, { world })
    const call = grpcClient(port).call({ body: [frame(Buffer.of(1), 0, 1000)], open: true })
    await eventually(() => admission.usedBytes === 1000)
    await world.advance(9_999)
    expect(admission.usedBytes).toBe(1000)
    await world.advance(1)
    expect(await call).toMatchObject({ code: 4, reset: 0 })
    // What is left is the age of the connection.
    expect([sink.batches.length, admission.usedBytes, world.timers()]).toEqual([0, 0, 1])
  })

  test('a grpc-timeout that is shorter holds instead', async () => {
    const world = simulatedWorld(2)
    const sink = recordingSink(() => new Promise(() => {}))
    const { port } = await startReceiver('grpc', sink, { world, receiveTimeoutMs: 10_000 })
    const headers = { 'grpc-timeout': '2S' }
    const call = grpcClient(port).call({ headers, body: [frame(Buffer.of(1))] })
    await sink.received(1)
    await world.advance(2000)
    expect((await call).code).toBe(14)
  })

  test('a body that does not arrive in time is 503 with a Status, which senders may retry, and the connection ends', async () => {
    const world = simulatedWorld(3)
    const { port, admission } = await startReceiver('http', recordingSink(), { world })
    const answer = rawCall(port, [head(1000), 'x'])
    await eventually(() => admission.usedBytes === 1000)
    await world.advance(10_000)
    await world.advance(1000)
    expect(await answer).toMatch(/^HTTP\/1.1 503 /)
    expect(admission.usedBytes).toBe(0)
  })
})

describe.each(['grpc', 'http'] as const)('over %s', transport => {
  const send = async (port: number, headers: Record<string, string>, signal: Signal = 'traces') =>
    transport === 'grpc'
      ? (await grpcClient(port).export(signal, new Uint8Array(0), headers)).code
      : (await httpCall({ port, path: `/v1/${signal}`, headers: { ...PROTOBUF, ...headers }, body: '' }))
          .status
  const ok = transport === 'grpc' ? 0 : 200

  test('the headers that are allowed travel with the batch, and no others', async () => {
    const sink = recordingSink()
    const { port } = await startReceiver(transport, sink, { forwardHeaders: ['x-scope-orgid', 'x-team'] })
    expect(await send(port, { 'X-Scope-OrgID': 'one', 'x-other': 'two', authorization: 'secret' })).toBe(ok)
    expect(await send(port, { 'x-other': 'two' })).toBe(ok)
    expect(await send(port, { 'x-team': 'a', 'otlier-via': 'first, second' })).toBe(ok)
    expect(sink.batches.map(batch => batch.headers)).toEqual([
      { 'x-scope-orgid': 'one' },
      {},
      { 'x-team': 'a', 'otlier-via': 'first, second' },
    ])
    expect(sink.batches[1].headers).toBe(NO_HEADERS)
  })

  test('otlier-via travels without being allowed, and a request that has been here before is refused', async () => {
    const sink = recordingSink()
    const { port } = await startReceiver(transport, sink, { instanceId: 'b7' })
    expect(await send(port, { 'otlier-via': 'a1,b77' })).toBe(ok)
    expect(await send(port, { 'otlier-via': 'a1, b7 ,c2' })).toBe(transport === 'grpc' ? 9 : 400)
    expect(sink.batches.map(batch => batch.headers)).toEqual([{ 'otlier-via': 'a1,b77' }])
  })

  test('what never reaches the sink is told with its signal and its cause', async () => {
    const refused: unknown[] = []
    const onRefused = (signal: Signal | null, cause: Failure) => void refused.push([signal, cause.code])
    const options = { onRefused, maxRecvBytes: 100, signals: ['traces', 'logs'] as const }
    const { port } = await startReceiver(
      transport,
      recordingSink(() => ACCEPTED),
      options,
    )
    const coding = transport === 'grpc' ? 'grpc-encoding' : 'content-encoding'
    await send(port, { [coding]: 'snappy' }, 'logs')
    await send(port, { 'content-type': 'text/plain' })
    await send(port, { 'otlier-via': 'self' })
    await send(port, {}, 'logs')
    await send(port, {}, 'metrics')
    if (transport === 'grpc') {
      await grpcClient(port).export('traces', new Uint8Array(101))
      await grpcClient(port).call({ path: '/x/y', body: [] })
    } else {
      await httpCall({ port, headers: PROTOBUF, body: new Uint8Array(101) })
      await httpCall({ port, path: '/nowhere', headers: PROTOBUF })
    }
    expect(refused).toEqual([
      ['logs', 'OTLIER_ENCODING'],
      ['traces', 'OTLIER_CONTENT_TYPE'],
      ['traces', 'OTLIER_LOOP'],
      ['metrics', 'OTLIER_NOT_FOUND'],
      ['traces', 'OTLIER_TOO_LARGE'],
      [null, 'OTLIER_NOT_FOUND'],
    ])
  })
})
