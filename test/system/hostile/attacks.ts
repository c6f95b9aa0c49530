//! What a hostile client can do to a receiver with requests that are answered, and the list of all attacks.
import * as http2 from 'node:http2'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { frame, GrpcClient, httpCall, JSON_TYPE, METHODS, PROTOBUF } from '../../kit/client.ts'
import { bytes, int, seeded } from '../../kit/random.ts'
import { concat, delimited, varint } from '../../oracle/bytes.ts'
import { type Attack, again, MIB, note, type Seen } from './attack.ts'
import { garbage, idle, resets, slowReaders } from './connections.ts'

const noteGrpc = (seen: Seen, code: number) => note(seen, code === -1 ? 'none' : `grpc ${code}`)
const noteHttp = (seen: Seen, status: number) => note(seen, status === 0 ? 'none' : `http ${status}`)

/** Small when it travels, beyond the limit when it is unfolded. */
const BOMB_BYTES = 80 * MIB

function bombs(encoding: 'gzip' | 'zstd'): Attack {
  return {
    name: `${encoding} bombs, on twelve connections at once`,
    allowed: ['grpc 8', 'grpc 14', 'http 413', 'http 503'],
    needed: { 'grpc 14': 1, 'http 503': 1 },
    async run({ grpcPort, httpPort }, untilMs, seen) {
      const plain = Buffer.alloc(BOMB_BYTES)
      const bomb = encoding === 'gzip' ? gzipSync(plain) : zstdCompressSync(plain)
      await again(12, untilMs, async lane => {
        if (lane % 2 === 0) {
          const client = new GrpcClient(grpcPort)
          const headers = { 'grpc-encoding': encoding }
          noteGrpc(seen, (await client.call({ headers, body: [frame(bomb, 1)] })).code)
          await client.close()
        } else {
          const headers = { ...PROTOBUF, 'content-encoding': encoding }
          noteHttp(seen, (await httpCall({ port: httpPort, headers, body: bomb })).status)
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
  function upload(session: http2.ClientHttp2Session, seen: Seen): Promise<void> {
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
        noteGrpc(seen, code)
        resolve()
      }),
    )
  }
  return {
    name: `20 half-sent messages of 59 MiB on ${connections === 1 ? 'one connection' : `each of ${connections} connections`}`,
    // 4: what was let in and does not go on is ended by the receive deadline, where the attack lasts for so long.
    allowed: ['grpc 14', 'grpc 4', 'none'],
    // Where bombs still unfold, not even one of them is admitted.
    needed: { 'grpc 14': 1 },
    async run({ grpcPort }, untilMs, seen) {
      const sessions = Array.from({ length: connections }, () =>
        http2.connect(`http://127.0.0.1:${grpcPort}`),
      )
      const uploads = sessions.flatMap(session => {
        session.on('error', () => {})
        return Array.from({ length: 20 }, () => upload(session, seen))
      })
      await sleep(Math.max(2000, untilMs - performance.now()))
      for (const session of sessions) session.destroy()
      await Promise.all(uploads)
    },
  }
}

const malformed: Attack = {
  name: 'malformed gzip and zstd',
  allowed: ['grpc 3', 'grpc 14', 'http 400', 'http 503'],
  needed: { 'grpc 3': 1, 'http 400': 1 },
  async run({ grpcPort, httpPort }, untilMs, seen) {
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
        noteGrpc(seen, (await client.call({ headers, body: [frame(broken, 1)] })).code)
        await client.close()
      } else {
        const headers = { ...PROTOBUF, 'content-encoding': encoding }
        noteHttp(seen, (await httpCall({ port: httpPort, headers, body: broken })).status)
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
  needed: { 'grpc 3': 1, 'http 400': 1 },
  async run({ grpcPort, httpPort }, untilMs, seen) {
    const protobuf = deepProtobuf()
    const json = [
      `{"resourceSpans":${'['.repeat(DEPTH)}`,
      `{"resourceSpans":[{"unknown":${'{"a":'.repeat(DEPTH)}1${'}'.repeat(DEPTH)}}]}`,
      `{"resourceSpans":[{"resource":{"attributes":[{"key":"k","value":${'{"arrayValue":{"values":['.repeat(DEPTH)}`,
    ]
    await again(8, untilMs, async lane => {
      if (lane % 2 === 0) {
        const client = new GrpcClient(grpcPort)
        noteGrpc(seen, (await client.export('traces', protobuf)).code)
        await client.close()
      } else {
        const body = json[(lane >> 1) % json.length]
        noteHttp(seen, (await httpCall({ port: httpPort, headers: JSON_TYPE, body })).status)
      }
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
