//! What a hostile client can do to a receiver, each for as long as it is told, and what it was answered.
import * as http2 from 'node:http2'
import * as net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { frame, GrpcClient, httpCall, JSON_TYPE, METHODS, PROTOBUF } from '../../kit/client.ts'
import { bytes, int, pick, seeded } from '../../kit/random.ts'
import { concat, delimited, varint } from '../../oracle/bytes.ts'

export interface Where {
  readonly grpcPort: number
  readonly httpPort: number
  readonly metricsPort: number
}

/** How often each answer came: `grpc 14`, `http 503`; `none` where the connection ended without one. */
export type Answers = Map<string, number>

export interface Attack {
  readonly name: string
  /** What may be answered; anything else is a fault. */
  readonly allowed: readonly string[]
  /** What must have been answered at least once: the attack has then reached what it is aimed at. */
  readonly needed: readonly string[]
  /** Begins no more after `untilMs` on the clock of performance.now(), and takes everything down that it has opened. */
  run(where: Where, untilMs: number, answers: Answers): Promise<void>
}

const MIB = 2 ** 20
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
const EMPTY_SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])
const HEAD = 'host: a\r\ncontent-type: application/x-protobuf\r\n'

const note = (answers: Answers, answer: string) => answers.set(answer, (answers.get(answer) ?? 0) + 1)
const noteGrpc = (answers: Answers, code: number) => note(answers, code === -1 ? 'none' : `grpc ${code}`)
const noteHttp = (answers: Answers, status: number) => note(answers, status === 0 ? 'none' : `http ${status}`)
const isOver = (untilMs: number) => performance.now() >= untilMs

/** `lanes` at once, each again and again until the time is over. */
const again = (lanes: number, untilMs: number, act: (lane: number) => Promise<void>) =>
  Promise.all(
    Array.from({ length: lanes }, async (_, lane) => {
      do await act(lane)
      while (!isOver(untilMs))
    }),
  )

/** A connection that never fails loudly; what comes back is read, unless `deaf`. */
function open(port: number, first: string | Uint8Array, deaf = false): net.Socket {
  const socket = net.connect(port, '127.0.0.1')
  socket.on('error', () => {})
  if (!deaf) socket.resume()
  if (first.length > 0) socket.write(first)
  return socket
}

async function closeAll(sockets: readonly net.Socket[]) {
  for (const socket of sockets) socket.destroy()
  await sleep(50)
}

/** Small when it travels, beyond the limit when it is unfolded. */
const BOMB_BYTES = 80 * MIB

function bombs(encoding: 'gzip' | 'zstd'): Attack {
  return {
    name: `${encoding} bombs, on twelve connections at once`,
    allowed: ['grpc 8', 'grpc 14', 'http 413', 'http 503'],
    needed: ['grpc 14', 'http 503'],
    async run({ grpcPort, httpPort }, untilMs, answers) {
      const plain = Buffer.alloc(BOMB_BYTES)
      const bomb = encoding === 'gzip' ? gzipSync(plain) : zstdCompressSync(plain)
      await again(12, untilMs, async lane => {
        if (lane % 2 === 0) {
          const client = new GrpcClient(grpcPort)
          const headers = { 'grpc-encoding': encoding }
          noteGrpc(answers, (await client.call({ headers, body: [frame(bomb, 1)] })).code)
          await client.close()
        } else {
          const headers = { ...PROTOBUF, 'content-encoding': encoding }
          noteHttp(answers, (await httpCall({ port: httpPort, headers, body: bomb })).status)
        }
      })
    },
  }
}

/** `connections` of them at once, each with 20 messages of 59 MiB that stop a byte before their end. */
function halfSent(connections: number): Attack {
  const declared = 59 * MIB
  const piece = Buffer.alloc(MIB / 4)
  const pieces = (4 * declared) / MIB
  /** Writes as fast as it is taken. What is admitted stays open until the connection ends, without an answer. */
  function upload(session: http2.ClientHttp2Session, answers: Answers): Promise<void> {
    const path = { ':method': 'POST', ':path': METHODS.traces, 'content-type': 'application/grpc' }
    const stream = session.request(path)
    let code = -1
    let written = 0
    const more = () => {
      while (!stream.destroyed && !stream.closed && ++written < pieces)
        if (!stream.write(piece)) return void stream.once('drain', more)
    }
    stream.on('error', () => {})
    stream.on('response', headers => {
      code = Number(headers['grpc-status'] ?? -1)
      stream.close()
    })
    stream.write(frame(piece.subarray(6), 0, declared))
    more()
    return new Promise(resolve =>
      stream.on('close', () => {
        noteGrpc(answers, code)
        resolve()
      }),
    )
  }
  return {
    name: `20 half-sent messages of 59 MiB on ${connections === 1 ? 'one connection' : `each of ${connections} connections`}`,
    // 4: what was let in and does not go on is ended by the receive deadline, where the attack lasts for so long.
    allowed: ['grpc 14', 'grpc 4', 'none'],
    // Where bombs still unfold, not even one of them is admitted.
    needed: ['grpc 14'],
    async run({ grpcPort }, untilMs, answers) {
      const sessions = Array.from({ length: connections }, () =>
        http2.connect(`http://127.0.0.1:${grpcPort}`),
      )
      const uploads = sessions.flatMap(session => {
        session.on('error', () => {})
        return Array.from({ length: 20 }, () => upload(session, answers))
      })
      await sleep(Math.max(2000, untilMs - performance.now()))
      for (const session of sessions) session.destroy()
      await Promise.all(uploads)
    },
  }
}

const idle: Attack = {
  name: '5,000 idle connections',
  allowed: [],
  needed: [],
  async run({ grpcPort, httpPort }, untilMs) {
    const kinds: [number, string | Uint8Array][] = [
      [grpcPort, ''],
      [grpcPort, Buffer.concat([Buffer.from(PREFACE), EMPTY_SETTINGS])],
      [httpPort, ''],
      [httpPort, `POST /v1/traces HTTP/1.1\r\n${HEAD}content-length: 100\r\n\r\nx`],
      [httpPort, Buffer.concat([Buffer.from(PREFACE), EMPTY_SETTINGS])],
    ]
    const sockets: net.Socket[] = []
    for (let n = 0; n < 5000; n++) {
      const [port, first] = kinds[n % kinds.length]
      sockets.push(open(port, first))
      // Else the queue of the listener overflows, and the system makes the rest wait.
      if (n % 100 === 99) await sleep(20)
    }
    await sleep(Math.max(1000, untilMs - performance.now()))
    await closeAll(sockets)
  },
}

const slowReaders: Attack = {
  name: 'slow readers: connections that ask without end and read nothing',
  allowed: [],
  needed: [],
  async run({ grpcPort, httpPort, metricsPort }, untilMs) {
    const post = `POST /v1/traces HTTP/1.1\r\n${HEAD}content-length: 0\r\n\r\n`
    const get = 'GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n'
    const pipelined = Array.from({ length: 4 }, () => [open(httpPort, '', true), open(metricsPort, '', true)])
    const sessions: http2.ClientHttp2Session[] = []
    // More answers than the buffers of the system and of Node hold, at a pace that leaves the others their turn.
    for (let n = 0; n < 100; n++) {
      for (const [receiver, metrics] of pipelined) {
        receiver.write(post.repeat(20))
        metrics.write(get)
      }
      // Streams whose answers have no window to go out by.
      const session = http2.connect(`http://127.0.0.1:${grpcPort}`, { settings: { initialWindowSize: 0 } })
      session.on('error', () => {})
      sessions.push(session)
      for (let stream = 0; stream < 20; stream++) {
        const path = { ':method': 'POST', ':path': METHODS.traces, 'content-type': 'application/grpc' }
        const call = session.request(path)
        call.on('error', () => {})
        call.end(frame(new Uint8Array(0)))
      }
      await sleep(20)
    }
    await sleep(Math.max(1000, untilMs - performance.now()))
    for (const session of sessions) session.destroy()
    await closeAll(pipelined.flat())
  },
}

const garbage: Attack = {
  name: 'garbage frames',
  allowed: [],
  needed: [],
  async run({ grpcPort, httpPort }, untilMs) {
    let seed = 0
    await again(16, untilMs, async () => {
      const random = seeded(++seed)
      const parts: Uint8Array[] = [Buffer.from(PREFACE), EMPTY_SETTINGS]
      for (let n = 0; n < 50; n++) {
        const body = bytes(random, int(random, 3000))
        const header = Buffer.alloc(9)
        // Sometimes a length that lies.
        header.writeUIntBE(random() < 0.9 ? body.length : int(random, 2 ** 24), 0, 3)
        header[3] = int(random, 12)
        header[4] = int(random, 256)
        header.writeUInt32BE(int(random, 40), 5)
        parts.push(header, body)
      }
      const whole = random() < 0.2 ? Buffer.from(bytes(random, 50_000)) : Buffer.concat(parts)
      const socket = open(pick(random, [grpcPort, httpPort]), whole)
      await sleep(20)
      socket.destroy()
    })
  },
}

const malformed: Attack = {
  name: 'malformed gzip and zstd',
  allowed: ['grpc 3', 'grpc 14', 'http 400', 'http 503'],
  needed: ['grpc 3', 'http 400'],
  async run({ grpcPort, httpPort }, untilMs, answers) {
    let seed = 100
    await again(8, untilMs, async lane => {
      const random = seeded(++seed)
      const plain = Buffer.alloc(2 * MIB, bytes(random, 1000))
      const [encoding, packed] =
        lane % 4 < 2 ? (['gzip', gzipSync(plain)] as const) : (['zstd', zstdCompressSync(plain)] as const)
      // Truncated, or garbage from the middle on.
      const broken = Buffer.from(packed.subarray(0, packed.length - 1 - int(random, packed.length / 2)))
      if (random() < 0.5) broken.set(bytes(random, 16), Math.max(0, (broken.length >> 1) - 16))
      if (lane % 2 === 0) {
        const client = new GrpcClient(grpcPort)
        const headers = { 'grpc-encoding': encoding }
        noteGrpc(answers, (await client.call({ headers, body: [frame(broken, 1)] })).code)
        await client.close()
      } else {
        const headers = { ...PROTOBUF, 'content-encoding': encoding }
        noteHttp(answers, (await httpCall({ port: httpPort, headers, body: broken })).status)
      }
    })
  },
}

const DEPTH = 200_000

/** A span's attribute whose value is a list of a list, `DEPTH` deep: lengths first, as they depend on what is inside. */
function deepProtobuf(): Uint8Array {
  const parts: Uint8Array[] = []
  let length = 0
  for (let level = 0; level < DEPTH; level++) {
    // AnyValue: array_value = 5; ArrayValue: values = 1.
    const field = Buffer.concat([Buffer.from([level % 2 === 0 ? 0x0a : 0x2a]), varint(length)])
    parts.push(field)
    length += field.length
  }
  const value = concat(parts.toReversed())
  const keyValue = concat([delimited(1, 'k'), delimited(2, value)])
  return delimited(1, delimited(2, delimited(2, delimited(9, keyValue))))
}

const nesting: Attack = {
  name: `nesting ${DEPTH.toLocaleString('en-US')} deep, in protobuf and JSON`,
  allowed: ['grpc 3', 'grpc 14', 'http 400', 'http 503'],
  needed: ['grpc 3', 'http 400'],
  async run({ grpcPort, httpPort }, untilMs, answers) {
    const protobuf = deepProtobuf()
    const json = [
      `{"resourceSpans":${'['.repeat(DEPTH)}`,
      `{"resourceSpans":[{"unknown":${'{"a":'.repeat(DEPTH)}1${'}'.repeat(DEPTH)}}]}`,
      `{"resourceSpans":[{"resource":{"attributes":[{"key":"k","value":${'{"arrayValue":{"values":['.repeat(DEPTH)}`,
    ]
    await again(8, untilMs, async lane => {
      if (lane % 2 === 0) {
        const client = new GrpcClient(grpcPort)
        noteGrpc(answers, (await client.export('traces', protobuf)).code)
        await client.close()
      } else {
        const body = json[(lane >> 1) % json.length]
        noteHttp(answers, (await httpCall({ port: httpPort, headers: JSON_TYPE, body })).status)
      }
    })
  },
}

const STREAMS = 10_000
const STREAMS_A_CONNECTION = 250

const resets: Attack = {
  name: `${STREAMS.toLocaleString('en-US')} streams opened and reset`,
  allowed: [],
  needed: [],
  async run({ grpcPort, httpPort }, untilMs) {
    let opened = 0
    await again(4, untilMs, async lane => {
      do {
        const session = http2.connect(`http://127.0.0.1:${lane % 2 === 0 ? grpcPort : httpPort}`)
        session.on('error', () => {})
        const path = lane % 2 === 0 ? METHODS.traces : '/v1/traces'
        const type = lane % 2 === 0 ? 'application/grpc' : 'application/x-protobuf'
        for (let n = 0; n < STREAMS_A_CONNECTION && !session.destroyed; n++) {
          const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': type })
          stream.on('error', () => {})
          stream.write(frame(Buffer.alloc(500), 0, 60 * MIB))
          stream.close(http2.constants.NGHTTP2_CANCEL)
          opened++
          if (n % 50 === 49) await new Promise(setImmediate)
        }
        await sleep(20)
        session.destroy()
      } while (opened < STREAMS)
    })
  },
}

export const ATTACKS: readonly Attack[] = [
  bombs('gzip'),
  bombs('zstd'),
  halfSent(1),
  halfSent(8),
  idle,
  slowReaders,
  garbage,
  malformed,
  nesting,
  resets,
]
