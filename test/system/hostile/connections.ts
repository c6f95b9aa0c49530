//! What a hostile client can do to a receiver with connections and streams that never become requests, and how far each of them came.
import { readFileSync } from 'node:fs'
import * as http2 from 'node:http2'
import * as net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { frame, METHODS } from '../../kit/client.ts'
import {
  END_HEADERS,
  EXPORT_HEADERS,
  FRAME,
  headerBlock,
  http2Frame,
  PREFACE,
  rawHttp2,
} from '../../kit/frames.ts'
import { bytes, int, pick, seeded } from '../../kit/random.ts'
import { type Attack, again, MIB, note, type Seen } from './attack.ts'

const HEAD = 'host: a\r\ncontent-type: application/x-protobuf\r\n'
const NOTHING = new Uint8Array(0)
const OPENING = Buffer.concat([PREFACE, http2Frame(FRAME.SETTINGS, 0, 0, NOTHING)])
/** What has said nothing for so long is cut. */
const RECEIVE_DEADLINE_MS = 10_000

/** A connection that never fails loudly: that it came about, did not, or was cut by the service is noted. What comes back is read, unless `deaf`. */
function open(port: number, first: string | Uint8Array, seen: Seen, deaf = false): net.Socket {
  const socket = net.connect(port, '127.0.0.1')
  let isConnected = false
  let isCut = false
  const cut = () => {
    if (!isCut) note(seen, 'cut')
    isCut = true
  }
  socket.on('connect', () => {
    isConnected = true
    note(seen, 'connected')
  })
  socket.on('error', ({ code }: NodeJS.ErrnoException) =>
    isConnected ? cut() : note(seen, `not connected: ${code}`),
  )
  socket.on('end', cut)
  if (!deaf) socket.resume()
  if (first.length > 0) socket.write(first)
  return socket
}

async function closeAll(sockets: readonly net.Socket[]) {
  for (const socket of sockets) socket.destroy()
  await sleep(50)
}

/** Waits until `what` has been seen so often, or time is over. */
async function untilSeen(seen: Seen, what: string, times: number, untilMs: number) {
  while ((seen.get(what) ?? 0) < times && performance.now() < untilMs) await sleep(50)
}

const IDLE = 5000
/** What a process has open beside them. */
const OTHER_FILES = 500

/** The service was started by this process, and has the same limit. */
function mayOpen(files: number) {
  const most = /^Max open files +(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
  if (Number(most) < files)
    throw new Error(
      `${files} open files are needed, and a process may have ${most} here: raise \`ulimit -n\``,
    )
}

/** Somebody who scrapes may have had a connection before, and have none now. */
const HELD = IDLE - 10
/** Three of the five kinds have not said what is due; those that speak HTTP/2 may be silent. */
const CUT = (IDLE * 3) / 5

export const idle: Attack = {
  name: `${IDLE.toLocaleString('en-US')} idle connections`,
  allowed: [],
  needed: { connected: IDLE, 'open in the service': HELD, cut: CUT },
  async run({ grpcPort, httpPort, openFiles }, untilMs, seen) {
    mayOpen(IDLE + OTHER_FILES)
    const kinds: [number, string | Uint8Array][] = [
      [grpcPort, ''],
      [grpcPort, OPENING],
      [httpPort, ''],
      [httpPort, `POST /v1/traces HTTP/1.1\r\n${HEAD}content-length: 100\r\n\r\nx`],
      [httpPort, OPENING],
    ]
    const before = openFiles()
    const sockets: net.Socket[] = []
    for (let n = 0; n < IDLE; n++) {
      const [port, first] = kinds[n % kinds.length]
      sockets.push(open(port, first, seen))
      // Else the queue of the listener overflows, and the system makes the rest wait.
      if (n % 100 === 99) await sleep(20)
    }
    const allMs = performance.now() + RECEIVE_DEADLINE_MS / 2
    while (openFiles() - before < HELD && performance.now() < allMs) await sleep(50)
    note(seen, 'open in the service', openFiles() - before)
    await untilSeen(seen, 'cut', CUT, performance.now() + 1.5 * RECEIVE_DEADLINE_MS)
    await sleep(Math.max(0, untilMs - performance.now()))
    await closeAll(sockets)
  },
}

const TURNS = 100
const STREAMS_A_TURN = 20
const PIPELINES = 4
const HEAD_SEEN = 'stream with the head of its answer'

export const slowReaders: Attack = {
  name: 'slow readers: connections that ask without end and read nothing',
  allowed: [],
  needed: {
    connected: 2 * PIPELINES,
    // Who asks for metrics gets one answer a connection.
    cut: PIPELINES,
    'answered, and nobody reads on': 2 * PIPELINES,
    [HEAD_SEEN]: TURNS * STREAMS_A_TURN,
  },
  async run({ grpcPort, httpPort, metricsPort }, untilMs, seen) {
    const post = `POST /v1/traces HTTP/1.1\r\n${HEAD}content-length: 0\r\n\r\n`
    const get = 'GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n'
    const pipelined = Array.from({ length: PIPELINES }, () => [
      open(httpPort, '', seen, true),
      open(metricsPort, '', seen, true),
    ])
    const sessions: http2.ClientHttp2Session[] = []
    // More answers than the buffers of the system and of Node hold, at a pace that leaves the others their turn.
    for (let n = 0; n < TURNS; n++) {
      for (const [receiver, metrics] of pipelined) {
        receiver.write(post.repeat(20))
        metrics.write(get)
      }
      // Streams whose answers have no window to go out by.
      const session = http2.connect(`http://127.0.0.1:${grpcPort}`, { settings: { initialWindowSize: 0 } })
      session.on('error', () => note(seen, 'session failed'))
      sessions.push(session)
      for (let stream = 0; stream < STREAMS_A_TURN; stream++) {
        const path = { ':method': 'POST', ':path': METHODS.traces, 'content-type': 'application/grpc' }
        const call = session.request(path)
        call.on('error', () => {})
        call.on('response', () => note(seen, HEAD_SEEN))
        call.end(frame(NOTHING))
      }
      await sleep(20)
    }
    await sleep(Math.max(1000, untilMs - performance.now()))
    await untilSeen(seen, HEAD_SEEN, TURNS * STREAMS_A_TURN, performance.now() + RECEIVE_DEADLINE_MS)
    for (const socket of pipelined.flat())
      if (socket.bytesRead > 0) note(seen, 'answered, and nobody reads on')
    for (const [, metrics] of pipelined) metrics.resume()
    await untilSeen(seen, 'cut', PIPELINES, performance.now() + RECEIVE_DEADLINE_MS)
    for (const session of sessions) session.destroy()
    await closeAll(pipelined.flat())
  },
}

const CUT_WITHIN_MS = 100

export const garbage: Attack = {
  name: 'garbage frames',
  allowed: [],
  // Not all: some is what HTTP/2 lets pass, or a frame whose end has not come.
  needed: { connected: 50, written: 50, cut: 10 },
  async run({ grpcPort, httpPort }, untilMs, seen) {
    let seed = 0
    await again(16, untilMs, async () => {
      const random = seeded(++seed)
      const parts: Uint8Array[] = [OPENING]
      for (let n = 0; n < 50; n++) {
        const body = bytes(random, int(random, 3000))
        const made = http2Frame(int(random, 12), int(random, 256), int(random, 40), body)
        // Sometimes a length that lies.
        if (random() < 0.1) made.writeUIntBE(int(random, 2 ** 24), 0, 3)
        parts.push(made)
      }
      const whole = random() < 0.2 ? Buffer.from(bytes(random, 50_000)) : Buffer.concat(parts)
      const socket = open(pick(random, [grpcPort, httpPort]), '', seen)
      socket.write(whole, error => error ?? note(seen, 'written'))
      await Promise.race([new Promise(resolve => socket.once('close', resolve)), sleep(CUT_WITHIN_MS)])
      socket.destroy()
    })
  },
}

const STREAMS = 10_000
/** At once; then a client that gives up on what it has sent waits until it was looked at. */
const STREAMS_A_ROUND = 250
/** A client that does nothing else: it is cut soon after a thousand. */
const ROUNDS_IN_EXCESS = 10
const LOOKED_AT = 'stream looked at'
const CANCEL = 8
const ACKNOWLEDGED = 1

export const resets: Attack = {
  name: `${STREAMS.toLocaleString('en-US')} streams opened and reset`,
  allowed: [],
  needed: { connected: 4, [LOOKED_AT]: STREAMS, cut: 1 },
  async run({ grpcPort, httpPort }, untilMs, seen) {
    const grpc = headerBlock(EXPORT_HEADERS)
    const changed = { ':path': '/v1/traces', 'content-type': 'application/x-protobuf' }
    const http = headerBlock(Object.entries({ ...Object.fromEntries(EXPORT_HEADERS), ...changed }))
    await again(4, untilMs, async lane => {
      const [port, head] = lane % 2 === 0 ? [grpcPort, grpc] : [httpPort, http]
      do await resetAll(port, head, lane < 2 ? 1 : ROUNDS_IN_EXCESS, seen)
      while ((seen.get(LOOKED_AT) ?? 0) < STREAMS)
    })
  },
}

/** Frames by hand: a client of node:http2 may keep to itself what is reset before it has been sent. */
async function resetAll(port: number, head: Uint8Array, rounds: number, seen: Seen) {
  const { socket, send, frames, frame: came } = rawHttp2(port)
  const begun = frame(Buffer.alloc(500), 0, 60 * MIB)
  const cancelled = (stream: number) =>
    Buffer.concat([
      http2Frame(FRAME.HEADERS, END_HEADERS, stream, head),
      http2Frame(FRAME.DATA, 0, stream, begun),
      http2Frame(FRAME.RST_STREAM, 0, stream, Buffer.from([0, 0, 0, CANCEL])),
    ])
  let lookedAt = 0
  for (let round = 0; round < rounds && !socket.destroyed; round++) {
    const first = round * STREAMS_A_ROUND
    for (let n = 0; n < STREAMS_A_ROUND; n += 50) {
      await send(...Array.from({ length: 50 }, (_, at) => cancelled(2 * (first + n + at) + 1)))
      await new Promise(setImmediate)
    }
    // Whoever answers a ping has looked at all that came before it; whoever ends the connection says how far he came.
    const ping = Buffer.alloc(8, round + 1)
    await send(http2Frame(FRAME.PING, 0, 0, ping))
    const answer = await came(
      ({ type, flags, payload }) =>
        type === FRAME.GOAWAY || (type === FRAME.PING && flags === ACKNOWLEDGED && payload.equals(ping)),
    ).catch(() => null)
    if (round === 0 && frames.length > 0) note(seen, 'connected')
    const before = lookedAt
    if (answer?.type === FRAME.PING) lookedAt = first + STREAMS_A_ROUND
    else {
      note(seen, 'cut')
      if (answer !== null) lookedAt = Math.max(before, (answer.payload.readUInt32BE(0) + 1) / 2)
    }
    note(seen, LOOKED_AT, lookedAt - before)
    if (answer?.type !== FRAME.PING) break
  }
  socket.destroy()
}
