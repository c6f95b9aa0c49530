//! Who may send, on sockets: those who show no valid token are answered before their body is read, whatever they declare.
import type * as http2 from 'node:http2'
import * as net from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { frame, type GrpcReply, httpCall, PROTOBUF, statusOf } from '../../kit/client.ts'
import { grpcClient, type StartOptions, startReceiver } from '../../kit/receivers.ts'
import { recordingSink } from '../../kit/sinks.ts'
import { connectHttp2, uploadHttp1, uploadHttp2 } from '../../kit/uploads.ts'
import { simulatedWorld } from '../../kit/world.ts'

const MIB = 2 ** 20
const AUTH = { bearerTokenFile: 'tokens', basicFile: null }
const GOOD = { authorization: 'Bearer s3cret' }
const EMPTY = new Uint8Array(0)

async function serve(transport: 'grpc' | 'http', options: StartOptions = {}) {
  const world = simulatedWorld(7)
  world.disk.files.set('tokens', Buffer.from('s3cret\n'))
  const sink = recordingSink()
  const receiver = await startReceiver(transport, sink, { auth: AUTH, world, ...options })
  return { port: receiver.port, admission: receiver.admission, world, sink, receiver }
}

const STRANGERS = [
  {},
  { authorization: '' },
  { authorization: 'Bearer s3cre' },
  { authorization: 'Bearer s3crets' },
  { authorization: 'Basic czNjcmV0' },
  { authorization: 's3cret' },
]

describe('over gRPC', () => {
  test('G9 without a valid token a call is UNAUTHENTICATED, with what is asked for', async () => {
    const { port, sink } = await serve('grpc')
    const client = grpcClient(port)
    for (const headers of STRANGERS) {
      const reply = await client.export('traces', Buffer.from('0a00', 'hex'), headers)
      expect([reply.code, reply.headers['www-authenticate'], reply.message]).toEqual([
        16,
        'Bearer realm="otlier"',
        'The request shows no token or password that is let in.',
      ])
    }
    expect((await client.export('traces', EMPTY, GOOD)).code).toBe(0)
    expect(sink.batches.length).toBe(1)
  })

  test('G9 a stranger learns nothing else: not what is served, and not what is wrong', async () => {
    const { port } = await serve('grpc', { signals: ['traces'] })
    const client = grpcClient(port)
    const path = '/opentelemetry.proto.collector.logs.v1.LogsService/Export'
    for (const call of [{ path }, { path: '/x/y' }, { headers: { 'grpc-encoding': 'x' } }])
      expect((await client.call({ ...call, body: [frame(EMPTY)] })).code).toBe(16)
    expect((await client.call({ path, headers: GOOD, body: [frame(EMPTY)] })).code).toBe(12)
  })
})

describe('over HTTP', () => {
  test('G9 without a valid token a request is 401, with a Status in its own form and what is asked for', async () => {
    const { port, sink } = await serve('http')
    for (const headers of STRANGERS) {
      for (const type of ['application/x-protobuf', 'application/json']) {
        const reply = await httpCall({ port, headers: { ...headers, 'content-type': type }, body: '{}' })
        expect([reply.status, reply.headers['www-authenticate'], reply.headers['content-type']]).toEqual([
          401,
          'Bearer realm="otlier"',
          type,
        ])
        expect(statusOf(reply).code).toBe(16)
      }
    }
    expect((await httpCall({ port, headers: { ...PROTOBUF, ...GOOD }, body: EMPTY })).status).toBe(200)
    expect(sink.batches.length).toBe(1)
  })

  test('a stranger learns nothing else, and a browser may ask first whether it may', async () => {
    const cors = { allowedOrigins: ['https://shop.example'], allowedHeaders: [], maxAgeSeconds: 0 }
    const { port } = await serve('http', { cors })
    for (const request of [{ path: '/nowhere' }, { method: 'GET' }, { headers: { 'content-type': 'x' } }])
      expect((await httpCall({ port, ...request })).status).toBe(401)
    const headers = { origin: 'https://shop.example', 'access-control-request-method': 'POST' }
    expect((await httpCall({ port, method: 'OPTIONS', headers })).status).toBe(204)
  })

  test('a client that asks with Expect: 100-continue is told before it sends', async () => {
    const { port } = await serve('http')
    const headers = { ...PROTOBUF, 'content-length': 60 * MIB, expect: '100-continue' }
    expect((await httpCall({ port, headers, open: true })).status).toBe(401)
  })
})

/** What the other side of every connection to `port` has read so far, in bytes. */
function readBytes(port: number): number[] {
  const { _getActiveHandles: handles } = process as unknown as { _getActiveHandles(): unknown[] }
  return handles
    .call(process)
    .filter((one): one is net.Socket => one instanceof net.Socket && one.localPort === port)
    .map(socket => socket.bytesRead)
}

describe('G9 100 requests of 60 MiB with a bad token', () => {
  test.each([
    ['grpc', 1],
    ['grpc', 100],
    ['http', 1],
    ['http', 100],
  ] as const)(
    'G9 over HTTP/2 to %s, on %i connections: at most 256 KiB of each are read',
    async (transport, count) => {
      const { port, sink, admission } = await serve(transport)
      const sessions = Array.from({ length: count }, () => connectHttp2(port))
      onTestFinished(() => sessions.forEach(session => void session.destroy()))
      const calls = Array.from({ length: 100 }, (_, n) => uploadHttp2(sessions[n % count], transport))
      const told = transport === 'grpc' ? { status: 200, grpc: '16' } : { status: 401, grpc: undefined }
      expect(await Promise.all(calls)).toEqual(new Array(100).fill({ ...told, reset: 0 }))
      const read = readBytes(port)
      expect(read.length).toBe(count)
      for (const bytes of read) expect(bytes).toBeLessThan((256 * 1024 * 100) / count)
      expect([sink.batches.length, admission.usedBytes]).toEqual([0, 0])
    },
  )

  test('G9 over HTTP/1.1: at most 256 KiB of each are read, each is answered, and its connection ends', async () => {
    const { port, sink, world, admission } = await serve('http')
    let ended = 0
    const answers = Array.from({ length: 100 }, () => {
      const { socket, answer } = uploadHttp1(port)
      onTestFinished(() => void socket.destroy())
      socket.on('close', () => ended++)
      return answer
    })
    for (const answer of await Promise.all(answers)) {
      expect(answer).toMatch(/^HTTP\/1.1 401 /)
      expect(answer).toMatch(/\r\nconnection: close\r\n/i)
    }
    const read = readBytes(port)
    expect(read.length).toBe(100)
    for (const bytes of read) expect(bytes).toBeLessThan(256 * 1024)
    expect(ended).toBe(0)
    await world.advance(1000)
    while (ended < 100) await new Promise(resolve => setTimeout(resolve, 2))
    expect([sink.batches.length, admission.usedBytes]).toEqual([0, 0])
  })
})

describe('the window', () => {
  const settingsOf = (session: http2.ClientHttp2Session) =>
    new Promise<number>(resolve =>
      session.once('remoteSettings', ({ initialWindowSize = 0 }) => resolve(initialWindowSize)),
    )

  test('is 64 KiB until a connection has shown a valid token, and wide from then on', async () => {
    const { port } = await serve('grpc')
    const client = grpcClient(port)
    expect(await settingsOf(client.session)).toBe(65_535)
    await client.export('traces', EMPTY, { authorization: 'Bearer no' })
    expect(client.session.state.remoteWindowSize).toBeLessThan(2 ** 16)
    const raised = settingsOf(client.session)
    const calls: Promise<GrpcReply>[] = [client.export('traces', new Uint8Array(8 * MIB), GOOD)]
    expect(await raised).toBe(MIB)
    calls.push(client.export('traces', new Uint8Array(8 * MIB), GOOD))
    for (const call of calls) expect((await call).code).toBe(0)
    expect(client.session.state.remoteWindowSize).toBeGreaterThan(8 * MIB)
  })

  test('is wide from the beginning where everybody may send', async () => {
    const { port } = await startReceiver('grpc', recordingSink())
    expect(await settingsOf(grpcClient(port).session)).toBe(MIB)
  })
})

test('a token that is taken from the file no longer opens anything, on the same connection', async () => {
  const { port, world } = await serve('grpc')
  const client = grpcClient(port)
  expect((await client.export('traces', EMPTY, GOOD)).code).toBe(0)
  world.disk.files.set('tokens', Buffer.from('another'))
  await world.advance(10_000)
  expect((await client.export('traces', EMPTY, GOOD)).code).toBe(16)
  expect((await client.export('traces', EMPTY, { authorization: 'Bearer another' })).code).toBe(0)
})
