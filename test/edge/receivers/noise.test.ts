//! Whatever bytes a client writes to a port, from noise to HTTP/2 frames with wrong contents: nothing ends, and the next is served.
import * as net from 'node:net'
import { expect, test } from 'vitest'
import { frame, httpCall, METHODS, PROTOBUF } from '../../kit/client.ts'
import { FRAME, headerBlock, http2Frame, PREFACE } from '../../kit/frames.ts'
import { between, bytes, chance, forSeedsAsync, int, pick, type Random } from '../../kit/random.ts'
import { grpcClient, startReceiver } from '../../kit/receivers.ts'
import { recordingSink } from '../../kit/sinks.ts'

function request(random: Random): Buffer {
  const headers = [
    [':method', pick(random, ['POST', 'POST', 'GET', 'CONNECT', 'PRI'])],
    [':path', pick(random, [METHODS.traces, METHODS.traces, '/v1/traces', '*', ''])],
    [':scheme', 'http'],
    [':authority', 'a'],
    ['content-type', pick(random, ['application/grpc', 'application/x-protobuf', 'application/json'])],
    ['grpc-encoding', pick(random, ['gzip', 'zstd', 'identity', 'x'])],
    ['content-encoding', pick(random, ['gzip', 'deflate', 'identity', 'x'])],
    ['grpc-timeout', pick(random, ['1n', '5S', 'x'])],
  ] as const
  return headerBlock(headers.filter((_, i) => i < 5 || chance(random, 0.3)))
}

function frames(random: Random): Buffer {
  const parts: Buffer[] = [PREFACE, http2Frame(4, 0, 0, new Uint8Array(0))]
  for (let count = between(random, 1, 12); count > 0; count--) {
    const stream = 2 * int(random, 6) + (chance(random, 0.95) ? 1 : 0)
    const type = pick(random, [
      0,
      0,
      0,
      FRAME.HEADERS,
      FRAME.HEADERS,
      FRAME.HEADERS,
      2,
      3,
      4,
      6,
      7,
      8,
      9,
      int(random, 256),
    ])
    const flags = chance(random, 0.8) ? pick(random, [0, 4, 5]) : int(random, 256)
    const noise = bytes(random, int(random, 60))
    const message = frame(noise, pick(random, [0, 0, 1, 2]), pick(random, [noise.length, 5, 2 ** 32 - 1]))
    const fixed: Record<number, number> = { 2: 5, 3: 4, 6: 8, 8: 4 }
    const payload =
      type === FRAME.HEADERS
        ? request(random)
        : type === 0
          ? message
          : type in fixed && chance(random, 0.8)
            ? bytes(random, fixed[type])
            : noise
    parts.push(http2Frame(type, flags, chance(random, 0.1) ? 0 : stream, payload))
  }
  const all = Buffer.concat(parts)
  return chance(random, 0.2) ? all.subarray(0, int(random, all.length)) : all
}

function http1(random: Random): Buffer {
  const length = pick(random, ['5', '0', '-1', '99999999999', 'x', '5, 5'])
  const lines = [
    `${pick(random, ['POST', 'GET', 'P\u0000ST', 'OPTIONS'])} ${pick(random, ['/v1/traces', '/', '*'])} HTTP/1.${int(random, 3)}`,
    'host: a',
    'content-type: application/x-protobuf',
    ...(chance(random, 0.5) ? [`content-length: ${length}`] : []),
    ...(chance(random, 0.3)
      ? [pick(random, ['transfer-encoding: chunked', 'transfer-encoding: x, chunked'])]
      : []),
    ...(chance(random, 0.3) ? [`content-encoding: ${pick(random, ['gzip', 'zstd', 'x'])}`] : []),
    ...(chance(random, 0.2)
      ? [pick(random, ['expect: 100-continue', 'expect: x', 'upgrade: h2c', 'connection: upgrade'])]
      : []),
  ]
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), bytes(random, int(random, 40))])
}

const NOISES = [
  frames,
  frames,
  http1,
  (random: Random) => Buffer.from(bytes(random, between(random, 1, 200))),
]

/** Writes, sometimes in two parts, and goes: by closing, or by a reset. */
function disturb(port: number, random: Random): Promise<void> {
  const noise = pick(random, NOISES)(random)
  const cut = chance(random, 0.3) ? int(random, noise.length) : noise.length
  const isReset = chance(random, 0.3)
  return new Promise(resolve => {
    const socket = net.connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.on('close', () => resolve())
    socket.resume()
    socket.write(noise.subarray(0, cut), () => {
      setImmediate(() => {
        if (isReset) socket.resetAndDestroy()
        else socket.end(noise.subarray(cut))
      })
    })
  })
}

test.each(['grpc', 'http'] as const)(
  'over %s, noise ends nothing and leaves nothing behind',
  async transport => {
    const sink = recordingSink()
    const { port, admission } = await startReceiver(transport, sink, { receiveTimeoutMs: 200 })
    await forSeedsAsync(20, async random => {
      await Promise.all(Array.from({ length: 20 }, () => disturb(port, random)))
    })
    if (transport === 'grpc')
      expect((await grpcClient(port).export('traces', new Uint8Array(7))).code).toBe(0)
    else expect((await httpCall({ port, headers: PROTOBUF, body: new Uint8Array(7) })).status).toBe(200)
    expect(sink.batches.some(({ bytes: taken }) => taken.length === 7)).toBe(true)
    while (admission.usedBytes > 0) await new Promise(resolve => setTimeout(resolve, 5))
  },
)
