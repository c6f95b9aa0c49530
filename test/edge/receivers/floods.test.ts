//! Clients that are slow, silent, or too many at once: each is cut or bounded, and everybody else is served meanwhile.
import * as net from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { certificateAuthority } from '../../kit/certificates.ts'
import { frame, httpCall, PROTOBUF } from '../../kit/client.ts'
import {
  END_HEADERS,
  END_STREAM,
  EXPORT_HEADERS,
  FRAME,
  type Frame,
  headerBlock,
  http2Frame,
  PREFACE,
  type RawHttp2,
  rawHttp2,
} from '../../kit/frames.ts'
import { grpcClient, type StartOptions, startReceiver } from '../../kit/receivers.ts'
import { recordingSink } from '../../kit/sinks.ts'
import { simulatedWorld } from '../../kit/world.ts'

const EMPTY = new Uint8Array(0)
const BLOCK = headerBlock(EXPORT_HEADERS)
const KIB = 1024

/** What begins a request over HTTP. */
const POST = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':authority', 'a'],
  [':path', '/v1/traces'],
  ['content-type', 'application/x-protobuf'],
] as const

type Transport = 'grpc' | 'http'

async function serve(transport: Transport, options: StartOptions = {}) {
  const sink = recordingSink()
  const { port, admission } = await startReceiver(transport, sink, options)
  const once = async () =>
    transport === 'grpc'
      ? (await grpcClient(port).export('traces', EMPTY)).code === 0
      : (await httpCall({ port, headers: PROTOBUF, body: EMPTY })).status === 200
  /** Whether somebody else is served. Where a request is given a moment only, a busy machine may need more than one. */
  const isServed = async () => {
    for (let tries = 0; tries < 5; tries++) if (await once()) return true
    return false
  }
  return { port, admission, sink, isServed }
}

/** Writes a byte every few milliseconds until the other side ends the connection. */
function drip(port: number, text: string | Uint8Array, repeat: string): Promise<string> {
  return new Promise(resolve => {
    const socket = net.connect(port, '127.0.0.1')
    let said = ''
    socket.on('data', chunk => (said += chunk.toString('latin1')))
    socket.on('error', () => {})
    socket.write(text)
    const timer = setInterval(() => socket.write(repeat), 10)
    socket.on('close', () => {
      clearInterval(timer)
      resolve(said)
    })
  })
}

const REQUEST =
  'POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n'

const SHORT = { receiveTimeoutMs: 150 } as const

describe('H15 a slow client is cut', () => {
  test.each([
    ['says nothing', ''],
    ['begins HTTP/2, and no more', 'PRI * HT'],
    ['sends the preface without settings', PREFACE],
  ])('H15 over gRPC: one that %s', async (_, text) => {
    const { port, isServed } = await serve('grpc', SHORT)
    await drip(port, text, '')
    expect(await isServed()).toBe(true)
  })

  test.each([
    ['says nothing', '', ''],
    ['drips the beginning of HTTP/2', '', 'PRI * HTTP/2.0'[0]],
    ['drips headers', 'POST /v1/traces HTTP/1.1\r\nhost: a\r\n', 'x'],
    ['begins HTTP/2, and no more', PREFACE, ''],
  ])('H15 over HTTP: one that %s', async (_, text, repeat) => {
    const { port, isServed } = await serve('http', SHORT)
    await drip(port, text, repeat)
    expect(await isServed()).toBe(true)
  })

  test('H15 over HTTP: one that drips a body is answered, and cut', async () => {
    const { port, admission, isServed } = await serve('http', SHORT)
    const head = 'POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-protobuf\r\n'
    expect(await drip(port, `${head}content-length: 1000000\r\n\r\n`, 'x')).toMatch(/^HTTP\/1.1 503 /)
    expect(await drip(port, `${head}transfer-encoding: chunked\r\n\r\n`, '1\r\nx\r\n')).toMatch(/ 503 /)
    expect(admission.usedBytes).toBe(0)
    expect(await isServed()).toBe(true)
  })

  test('H15 over gRPC: one that drips a body is answered, and its stream reset', async () => {
    const { port, admission } = await serve('grpc', SHORT)
    const raw = rawHttp2(port)
    await raw.send(
      http2Frame(FRAME.HEADERS, END_HEADERS, 1, BLOCK),
      http2Frame(FRAME.DATA, 0, 1, frame(EMPTY, 0, 1000)),
    )
    const timer = setInterval(() => void raw.send(http2Frame(FRAME.DATA, 0, 1, Buffer.of(1))), 10)
    onTestFinished(() => clearInterval(timer))
    await raw.frame(({ type, stream }) => type === FRAME.RST_STREAM && stream === 1)
    expect(admission.usedBytes).toBe(0)
  })

  test.each(['grpc', 'http'] as const)(
    'H15 over TLS to %s: one that never ends its handshake',
    async transport => {
      const world = simulatedWorld(1)
      const { cert, key } = certificateAuthority().issue('127.0.0.1')
      world.disk.files.set('c', Buffer.from(cert))
      world.disk.files.set('k', Buffer.from(key))
      const { port } = await serve(transport, { ...SHORT, tls: { certFile: 'c', keyFile: 'k' }, world })
      await drip(port, '', '')
      await drip(port, Buffer.from([22, 3, 1, 2, 0, 1]), '')
    },
  )

  test('H15 ten seconds are given for a request, and five seconds of silence are nobody’s fault', async () => {
    const world = simulatedWorld(2)
    const { port, admission, sink } = await serve('grpc', { world })
    const raw = rawHttp2(port)
    await raw.send(
      http2Frame(FRAME.HEADERS, END_HEADERS, 1, BLOCK),
      http2Frame(FRAME.DATA, 0, 1, frame(EMPTY, 0, 2)),
    )
    while (admission.usedBytes === 0) await new Promise(resolve => setTimeout(resolve, 2))
    await world.advance(5000)
    await raw.send(http2Frame(FRAME.DATA, END_STREAM, 1, Buffer.of(0x0a, 0)))
    await sink.received(1)
  })

  test('H15 over HTTP/1.1 one that asks on and on, and reads no answer, is bounded and cut', async () => {
    const { port, sink, isServed } = await serve('http', SHORT)
    const socket = net.connect(port, '127.0.0.1')
    onTestFinished(() => void socket.destroy())
    socket.pause()
    socket.on('error', () => {})
    const closed = new Promise<void>(resolve => socket.on('close', () => resolve()))
    const many = Buffer.from(REQUEST.repeat(1000))
    while (!socket.destroyed) await Promise.race([new Promise(done => socket.write(many, done)), closed])
    // What is answered fits the buffers of the system; the rest is not even taken.
    expect(sink.batches.length).toBeLessThan(100_000)
    expect(await isServed()).toBe(true)
  })

  test('H15 over HTTP/1.1 a connection is kept while it is used, and ends when it is idle', async () => {
    const { port } = await serve('http', { idleTimeoutMs: 100 })
    const socket = net.connect(port, '127.0.0.1')
    const closed = new Promise(resolve => socket.on('close', resolve))
    for (let n = 0; n < 5; n++) {
      socket.write(REQUEST)
      expect(String(await new Promise(resolve => socket.once('data', resolve)))).toMatch(
        /^HTTP\/1.1 200 OK\r\n(?!.*connection: close)/is,
      )
    }
    await closed
  })
})

describe.each(['grpc', 'http'] as const)('HTTP/2 to %s', transport => {
  const block = headerBlock(transport === 'grpc' ? EXPORT_HEADERS : POST)
  const isSettings = ({ type, flags }: Frame) => type === FRAME.SETTINGS && flags === 0

  test('at most 256 streams of a connection are open: the others are refused, and a client that goes on is cut', async () => {
    const { port, isServed } = await serve(transport)
    const raw = rawHttp2(port)
    const settings = await raw.frame(isSettings)
    const entries = Array.from({ length: settings.payload.length / 6 }, (_, n) => [
      settings.payload.readUInt16BE(6 * n),
      settings.payload.readUInt32BE(6 * n + 2),
    ])
    expect(entries).toContainEqual([3, 256])
    const open = (n: number) => raw.send(http2Frame(FRAME.HEADERS, END_HEADERS, 2 * n + 1, block))
    for (let n = 0; n < 300; n++) await open(n)
    await raw.frame(({ type, stream }) => type === FRAME.RST_STREAM && stream === 599)
    const refused = raw.frames.filter(({ type }) => type === FRAME.RST_STREAM)
    expect(refused.map(({ stream }) => stream)).toEqual(Array.from({ length: 44 }, (_, n) => 513 + 2 * n))
    // REFUSED_STREAM: it was not looked at, and may come again.
    expect(new Set(refused.map(({ payload }) => payload.readUInt32BE(0)))).toEqual(new Set([7]))
    expect(await isServed()).toBe(true)
    // Who has read the settings, and says so, has no excuse.
    await raw.send(http2Frame(FRAME.SETTINGS, 1, 0, EMPTY))
    await open(300)
    await raw.closed
    expect(await isServed()).toBe(true)
  })

  /** Opens streams and resets them, a hundred at a time, so that no more are open than may be. */
  async function openAndReset(raw: RawHttp2, count: number) {
    for (let n = 0; n < count && !raw.socket.destroyed; n += 100) {
      const pair = (stream: number) => [
        http2Frame(FRAME.HEADERS, END_HEADERS, stream, block),
        http2Frame(FRAME.RST_STREAM, 0, stream, Buffer.from([0, 0, 0, 8])),
      ]
      const pairs = Array.from({ length: 100 }, (_, at) => pair(2 * (n + at) + 1)).flat()
      const ping = Buffer.alloc(8)
      ping.writeUInt32BE(n)
      await raw.send(Buffer.concat([...pairs, http2Frame(FRAME.PING, 0, 0, ping)]))
      await raw.frame(({ type, payload }) => type === FRAME.PING && payload.equals(ping)).catch(() => {})
    }
  }

  test('CVE-2023-44487 10,000 streams opened and reset: the connection ends, and nothing of it stays', async () => {
    const { port, admission, sink, isServed } = await serve(transport)
    const raw = rawHttp2(port)
    await openAndReset(raw, 10_000)
    await raw.closed
    expect([admission.usedBytes, sink.batches.length]).toEqual([0, 0])
    expect(await isServed()).toBe(true)
  })

  test('a sender that gives up on hundreds of requests keeps its connection', async () => {
    const { port } = await serve(transport)
    const raw = rawHttp2(port)
    await openAndReset(raw, 900)
    expect(raw.socket.destroyed).toBe(false)
  })

  test.each([
    ['pings', FRAME.PING, Buffer.alloc(8)],
    ['settings', FRAME.SETTINGS, EMPTY],
  ] as const)(
    'CVE-2019-9512 and CVE-2019-9515 %s whose answers are not read: the connection ends',
    async (_, type, payload) => {
      const { port, isServed } = await serve(transport)
      const raw = rawHttp2(port)
      raw.socket.pause()
      const many = Buffer.concat(new Array<Buffer>(1000).fill(http2Frame(type, 0, 0, payload)))
      // Answers fill the buffers of the system first.
      for (let n = 0; n < 2000 && !raw.socket.destroyed; n++) {
        await raw.send(many)
        if (n % 100 === 99) expect(await isServed()).toBe(true)
      }
      raw.socket.resume()
      await raw.closed
      expect(await isServed()).toBe(true)
    },
  )

  test('CVE-2024-27983 CONTINUATION frames without end: the connection ends after a few', async () => {
    const { port, isServed } = await serve(transport)
    const raw = rawHttp2(port)
    await raw.send(http2Frame(FRAME.HEADERS, 0, 1, BLOCK))
    const more = headerBlock(Array.from({ length: 20 }, (_, n) => [`x-${n}`, 'x'.repeat(40)] as const))
    for (let n = 0; n < 10_000 && !raw.socket.destroyed; n++)
      await raw.send(http2Frame(FRAME.CONTINUATION, 0, 1, more))
    await raw.closed
    expect(await isServed()).toBe(true)
  })

  test('a thousand headers are refused, and so is one entry of the table that is named ten thousand times', async () => {
    const { port, sink, isServed } = await serve(transport)
    const flood = Array.from({ length: 1000 }, (_, n) => [`x-${n}`, 'y'] as const)
    const first = rawHttp2(port)
    const headers = headerBlock([...EXPORT_HEADERS, ...flood])
    await first.send(http2Frame(FRAME.HEADERS, END_HEADERS | END_STREAM, 1, headers))
    await Promise.race([first.frame(({ type }) => type === FRAME.RST_STREAM), first.closed])
    // HPACK: a literal with indexing, then its number (62, behind the static table) over and over.
    const second = rawHttp2(port)
    const entry = Buffer.concat([Buffer.from([0x40, 1, 0x78, 0x7f, 0x81, 0x1e]), Buffer.alloc(4000, 'y')])
    const bomb = Buffer.concat([BLOCK, entry, Buffer.alloc(10_000, 0x80 | 62)])
    await second.send(http2Frame(FRAME.HEADERS, END_HEADERS | END_STREAM, 1, bomb))
    await Promise.race([second.frame(({ type }) => type === FRAME.RST_STREAM), second.closed])
    expect(sink.batches.length).toBe(0)
    expect(await isServed()).toBe(true)
  })

  test('CVE-2019-9518 empty frames without end are cut by the deadline', async () => {
    const { port, isServed } = await serve(transport, SHORT)
    const raw = rawHttp2(port)
    await raw.send(http2Frame(FRAME.HEADERS, END_HEADERS, 1, block))
    let isOver = false
    void raw
      .frame(({ type, stream }) => type === FRAME.RST_STREAM && stream === 1)
      .catch(() => {})
      .then(() => (isOver = true))
    const empty = Buffer.concat(new Array<Buffer>(100).fill(http2Frame(FRAME.DATA, 0, 1, EMPTY)))
    while (!isOver) {
      await raw.send(empty)
      await new Promise(resolve => setImmediate(resolve))
    }
    expect(await isServed()).toBe(true)
  })

  test('half-sent headers hold their connection no longer than its age', async () => {
    const world = simulatedWorld(3)
    const { port } = await serve(transport, { world })
    const raw = rawHttp2(port)
    await raw.send(http2Frame(FRAME.HEADERS, 0, 1, BLOCK))
    await raw.frame(({ type, flags }) => type === FRAME.SETTINGS && flags === 1)
    await world.advance(7 * 60_000)
    await raw.closed
    expect(world.timers()).toBe(0)
  })

  test('the number in GOAWAY is true: of what comes after it nothing is taken', async () => {
    const world = simulatedWorld(4)
    const { port, sink } = await serve(transport, { world, receiveTimeoutMs: 3_600_000 })
    const raw = rawHttp2(port)
    const call = (stream: number) =>
      raw.send(
        http2Frame(FRAME.HEADERS, END_HEADERS, stream, block),
        http2Frame(FRAME.DATA, END_STREAM, stream, transport === 'grpc' ? frame(EMPTY) : EMPTY),
      )
    await call(1)
    await sink.received(1)
    // One stays open, so that the connection lives on for its minute of grace.
    await raw.send(http2Frame(FRAME.HEADERS, END_HEADERS, 3, block))
    await raw.send(http2Frame(FRAME.PING, 0, 0, Buffer.alloc(8)))
    await raw.frame(({ type }) => type === FRAME.PING)
    await world.advance(5.5 * 60_000)
    const { payload } = await raw.frame(({ type }) => type === FRAME.GOAWAY)
    expect([payload.readUInt32BE(0), payload.readUInt32BE(4)]).toEqual([3, 0])
    await call(5)
    await raw.send(http2Frame(FRAME.PING, 0, 0, Buffer.alloc(8)))
    await world.advance(60_000)
    await raw.closed
    expect(sink.batches.length).toBe(1)
  })
})

test('headers of HTTP/1.1 beyond 16 KiB are 431, in one piece and in many', async () => {
  const { port, isServed } = await serve('http')
  const flood = Object.fromEntries(Array.from({ length: 1500 }, (_, n) => [`x-${n}`, 'yyyyyyyy']))
  for (const headers of [{ 'x-long': 'y'.repeat(17 * KIB) }, flood])
    expect((await httpCall({ port, headers: { ...PROTOBUF, ...headers }, body: EMPTY })).status).toBe(431)
  expect(await isServed()).toBe(true)
})
