//! Connections have an age: they end so that load balancers can spread senders anew, and no call fails for it.
import { Agent } from 'node:http'
import * as http2 from 'node:http2'
import { Client, credentials, Metadata } from '@grpc/grpc-js'
import type { TracerProvider as Api } from '@opentelemetry/api'
import { OTLPTraceExporter as GrpcTraces } from '@opentelemetry/exporter-trace-otlp-grpc'
import { OTLPTraceExporter as ProtoTraces } from '@opentelemetry/exporter-trace-otlp-proto'
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import { describe, expect, onTestFinished, test } from 'vitest'
import { realWorld, type World } from '../../../src/base/world.ts'
import { ACCEPTED, type Outcome } from '../../../src/flow/sink.ts'
import { httpCall, METHODS, PROTOBUF } from '../../kit/client.ts'
import { grpcClient, startReceiver } from '../../kit/receivers.ts'
import { recordingSink } from '../../kit/sinks.ts'
import { simulatedWorld } from '../../kit/world.ts'

const EMPTY = new Uint8Array(0)
const MINUTE_MS = 60_000

/** Connections live a tenth of a second here; how many have begun is what `world.random` was asked. */
function hurried(transport: 'grpc' | 'http') {
  let connections = 0
  const world: World = {
    ...realWorld,
    random() {
      connections++
      return Math.random()
    },
  }
  // Answers take a moment, so that calls are always under way when the end comes.
  const sink = recordingSink(async () => {
    await realWorld.sleep(5)
    return ACCEPTED
  })
  const receiver = startReceiver(transport, sink, { world, maxConnectionAgeMs: 100 })
  return { receiver, sink, connections: () => connections }
}

const CONNECTIONS = 15

test.each([
  ['grpc', GrpcTraces],
  ['http', ProtoTraces],
] as const)(
  'G13 the SDK over %s: no export fails while connections end all the time',
  async (transport, Exporter) => {
    const { receiver, sink, connections } = hurried(transport)
    const { port } = await receiver
    const exporter = new Exporter({
      url: transport === 'grpc' ? `http://127.0.0.1:${port}` : `http://127.0.0.1:${port}/v1/traces`,
      concurrencyLimit: 100,
    })
    const codes: number[] = []
    const send = exporter.export.bind(exporter)
    exporter.export = (spans, done) =>
      send(spans, result => {
        codes.push(result.code)
        done(result)
      })
    const tracing = new TracerProvider({ spanProcessors: [new BatchSpanProcessor({ exporter })] })
    const tracer = (tracing as Api).getTracer('shop')
    while (connections() < CONNECTIONS) {
      tracer.startSpan('GET /', { root: true }).end()
      await tracing.forceFlush()
    }
    await tracing.shutdown()
    // Each export arrived once: none was tried again behind the SDK's back.
    expect([new Set(codes), codes.length]).toEqual([new Set([0]), sink.batches.length])
  },
)

test('G13 grpc-js as it comes: of calls that go on at once none fails while connections end all the time', async () => {
  const { receiver, sink, connections } = hurried('grpc')
  const { port } = await receiver
  // What waits in the client while the end comes in is refused by the client itself, and sent anew by itself.
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure())
  onTestFinished(() => client.close())
  const asIs = (bytes: Buffer) => bytes
  const codes: number[] = []
  const call = () =>
    new Promise<void>(resolve => {
      client.makeUnaryRequest(METHODS.traces, asIs, asIs, Buffer.alloc(50_000), new Metadata(), error => {
        codes.push(error?.code ?? 0)
        resolve()
      })
    })
  const loop = async () => {
    while (connections() < CONNECTIONS) await call()
  }
  await Promise.all(Array.from({ length: 20 }, loop))
  expect([new Set(codes), codes.length]).toEqual([new Set([0]), sink.batches.length])
})

test('D6 an agent of node:http: no request fails, and the answer says when the connection ends', async () => {
  const { receiver, connections } = hurried('http')
  const { port } = await receiver
  const agent = new Agent({ keepAlive: true })
  onTestFinished(() => agent.destroy())
  const statuses: number[] = []
  let last = 0
  const loop = async () => {
    while (connections() < CONNECTIONS) {
      const { status, headers } = await httpCall({ port, headers: PROTOBUF, body: EMPTY, agent })
      statuses.push(status)
      if (headers.connection === 'close') last++
    }
  }
  await Promise.all(Array.from({ length: 5 }, loop))
  expect(new Set(statuses)).toEqual(new Set([200]))
  expect(last).toBeGreaterThanOrEqual(CONNECTIONS - 5)
})

describe('without settings', () => {
  test('G13 a connection is asked to go after five minutes, a tenth more or less', async () => {
    const world = simulatedWorld(4)
    const { port } = await startReceiver('grpc', recordingSink(), { world })
    const ages: number[] = []
    const clients = Array.from({ length: 30 }, () => grpcClient(port))
    for (const client of clients) {
      client.session.on('goaway', () => ages.push(world.monotonic()))
      await client.export('traces', EMPTY)
    }
    for (let second = 0; second < 340; second++) await world.advance(1000)
    while (ages.length < 30) await new Promise(resolve => setTimeout(resolve, 2))
    expect(Math.min(...ages)).toBeGreaterThanOrEqual(4.5 * MINUTE_MS)
    expect(Math.max(...ages)).toBeLessThanOrEqual(5.5 * MINUTE_MS + 1000)
    // Not all at once.
    expect(Math.max(...ages) - Math.min(...ages)).toBeGreaterThan(0.5 * MINUTE_MS)
  })

  test('D6 over HTTP/1.1 an answer after five minutes is the last of its connection', async () => {
    const world = simulatedWorld(4)
    const { port } = await startReceiver('http', recordingSink(), { world })
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    onTestFinished(() => agent.destroy())
    const connection = async () =>
      (await httpCall({ port, headers: PROTOBUF, body: EMPTY, agent })).headers.connection
    expect(await connection()).toBe('keep-alive')
    await world.advance(4.4 * MINUTE_MS)
    expect(await connection()).toBe('keep-alive')
    await world.advance(1.2 * MINUTE_MS)
    expect([await connection(), await connection()]).toEqual(['close', 'keep-alive'])
  })
})

describe('G13 a call that is under way when its connection has grown old', () => {
  const scene = async (transport: 'grpc' | 'http') => {
    const world = simulatedWorld(5)
    let settle = (_: Outcome) => {}
    const sink = recordingSink(() => new Promise<Outcome>(resolve => (settle = resolve)))
    const receiveTimeoutMs = 3_600_000
    const { port } = await startReceiver(transport, sink, { world, receiveTimeoutMs })
    return { world, sink, port, settle: () => settle(ACCEPTED) }
  }

  test('G13 is answered within the minute of grace', async () => {
    const { world, sink, port, settle } = await scene('grpc')
    const client = grpcClient(port)
    const gone = new Promise(resolve => client.session.on('goaway', resolve))
    const call = client.export('traces', EMPTY)
    await sink.received(1)
    await world.advance(5.5 * MINUTE_MS)
    await gone
    settle()
    expect((await call).code).toBe(0)
    if (!client.session.closed) await new Promise(resolve => client.session.on('close', resolve))
  })

  test('G13 is cut after it, so that no connection lives for ever', async () => {
    const { world, sink, port } = await scene('grpc')
    const client = grpcClient(port)
    const gone = new Promise(resolve => client.session.on('goaway', resolve))
    const call = client.export('traces', EMPTY)
    await sink.received(1)
    await world.advance(5.5 * MINUTE_MS)
    await gone
    await world.advance(MINUTE_MS)
    expect((await call).code).toBe(-1)
  })

  test('G13 that was sent before its client had heard of the end is served too', async () => {
    const { world, sink, port, settle } = await scene('grpc')
    const session = http2.connect(`http://127.0.0.1:${port}`)
    onTestFinished(() => session.destroy())
    await new Promise(resolve => session.on('remoteSettings', resolve))
    // Written in the same turn in which the server says so: they cross on the way.
    const moved = world.advance(5.5 * MINUTE_MS)
    const stream = session.request({
      ':method': 'POST',
      ':path': METHODS.traces,
      'content-type': 'application/grpc',
    })
    const status = new Promise(resolve => {
      stream.on('trailers', trailers => resolve(trailers['grpc-status']))
      stream.on('error', resolve)
      stream.on('close', () => resolve(`reset ${stream.rstCode}`))
    })
    stream.resume()
    stream.end(Buffer.alloc(5))
    await moved
    await sink.received(1)
    settle()
    expect(await status).toBe('0')
  })
})
