//! A sender in a process of its own: spans with numbers at a fixed rate, sent until they are answered, each attempt and each answer written down.
import { openSync, writeSync } from 'node:fs'
import { type ClientHttp2Session, connect } from 'node:http2'
import { setTimeout as sleep } from 'node:timers/promises'
import { frame, httpCall, METHODS, PROTOBUF } from '../../kit/client.ts'
import { seeded } from '../../kit/random.ts'
import { answering, clockMs } from './answering.ts'
import { type Range, requestWith } from './ids.ts'

export interface SenderOptions {
  readonly log: string
  readonly grpcPort: number
  readonly httpPort: number
  readonly spansPerSecond: number
  readonly spansPerRequest: number
  /** Connections that last. */
  readonly connections: number
  /** So many more connections a second are made for one request each, over gRPC and HTTP in turn. */
  readonly churnPerSecond?: number
  /** Requests that may be open at once; beyond them the schedule waits. */
  readonly maxOpen?: number
  readonly firstId?: number
}

export interface SentCounts {
  /** Spans of requests that were answered with success. */
  readonly accepted: number
  /** Spans of requests that were refused for good. */
  readonly refused: number
  /** Spans of requests that have no final answer yet. */
  readonly open: number
  /** Attempts that were to be repeated, by their answer; -1 had none, and for -2 there was no connection. */
  readonly again: Readonly<Record<number, number>>
  /** Connections made so far. */
  readonly connected: number
}

/** No answer came, as opposed to any gRPC status. */
export const LOST = -1
/** There was no connection: nothing can have arrived. */
const UNSENT = -2
const ATTEMPT_MS = 10_000
const PAUSE_MS = 40
/** What OTLP lets a sender repeat. */
const AGAIN = new Set([UNSENT, LOST, 1, 4, 10, 11, 14, 15])
const TICK_MS = 5

interface Request {
  readonly number: number
  readonly ids: Range
  readonly bytes: Uint8Array
}

function send(options: SenderOptions): void {
  const { spansPerRequest, maxOpen = 400, churnPerSecond = 0 } = options
  const log = openSync(options.log, 'a')
  const random = seeded(options.firstId ?? 1)
  const sessions: (ClientHttp2Session | null)[] = Array.from({ length: options.connections }, () => null)
  const counts = { accepted: 0, refused: 0, open: 0, again: {} as Record<number, number>, connected: 0 }
  const allAnswered = new Set<() => void>()
  let number = 0
  let nextId = options.firstId ?? 1
  let openRequests = 0
  let isSending = false
  let churned = 0

  const session = (at: number): ClientHttp2Session => {
    const there = sessions[at]
    if (there != null && !there.destroyed && !there.closed) return there
    const made = dial()
    sessions[at] = made
    return made
  }
  const dial = () => {
    counts.connected++
    const made = connect(`http://127.0.0.1:${options.grpcPort}`)
    made.on('error', () => {})
    made.on('connect', () => connected.add(made))
    return made
  }

  function make(): Request {
    const ids: Range = [nextId, nextId + spansPerRequest - 1]
    nextId += spansPerRequest
    return { number: number++, ids, bytes: requestWith(ids, Date.now(), random) }
  }

  /** One attempt, written down before and after. */
  async function attempt(
    { number, ids, bytes }: Request,
    nth: number,
    way: (bytes: Uint8Array) => Promise<number>,
  ) {
    writeSync(log, `s ${number} ${nth} ${clockMs().toFixed(3)} ${ids[0]}-${ids[1]}\n`)
    const code = await way(bytes)
    writeSync(log, `a ${number} ${nth} ${clockMs().toFixed(3)} ${code}\n`)
    return code
  }

  /** Until it is answered for good. */
  async function deliver(first: (bytes: Uint8Array) => Promise<number>): Promise<void> {
    const request = make()
    openRequests++
    counts.open += spansPerRequest
    let code = await attempt(request, 0, first)
    for (let nth = 1; AGAIN.has(code); nth++) {
      counts.again[code] = (counts.again[code] ?? 0) + 1
      await sleep(PAUSE_MS * (1 + random()))
      code = await attempt(request, nth, bytes => call(session(request.number % options.connections), bytes))
    }
    if (code === 0) counts.accepted += spansPerRequest
    else counts.refused += spansPerRequest
    counts.open -= spansPerRequest
    openRequests--
    if (openRequests === 0) for (const tell of allAnswered) tell()
  }

  /** A connection of its own, which ends with the request. */
  async function fleeting(bytes: Uint8Array): Promise<number> {
    if (churned++ % 2 === 0) {
      const once = dial()
      const code = await call(once, bytes)
      once.close()
      return code
    }
    counts.connected++
    const { status } = await httpCall({ port: options.httpPort, headers: PROTOBUF, body: bytes })
    return status === 200 ? 0 : status === 0 ? LOST : [429, 502, 503, 504].includes(status) ? 14 : 3
  }

  async function run(): Promise<void> {
    const began = clockMs()
    const perMs = options.spansPerSecond / spansPerRequest / 1000
    let made = 0
    let fleetingMade = 0
    isSending = true
    while (isSending) {
      const elapsed = clockMs() - began
      // What could not be sent in time is not made up for: a rate is no backlog.
      made = Math.max(made, Math.floor(elapsed * perMs) - maxOpen)
      for (; made < elapsed * perMs && openRequests < maxOpen; made++) {
        const isFleeting = fleetingMade < (elapsed / 1000) * churnPerSecond
        if (isFleeting) fleetingMade++
        const at = made % options.connections
        void deliver(isFleeting ? fleeting : bytes => call(session(at), bytes))
      }
      await sleep(TICK_MS)
    }
  }

  answering(async (question: 'go' | 'halt' | 'counts' | 'settled' | 'close') => {
    if (question === 'go') void run()
    if (question === 'halt') isSending = false
    if (question === 'settled' && openRequests > 0)
      await new Promise<void>(resolve => allAnswered.add(resolve))
    if (question === 'close') for (const each of sessions) each?.close()
    return { ...counts, again: { ...counts.again } } satisfies SentCounts
  })
  console.log('ready')
}

/** Those that have been made: what is sent on one of the others never leaves. */
const connected = new WeakSet<ClientHttp2Session>()

/** One unary call. Resolves with its status, with LOST, or with UNSENT. */
function call(session: ClientHttp2Session, bytes: Uint8Array): Promise<number> {
  return new Promise(resolve => {
    if (session.destroyed || session.closed) return resolve(UNSENT)
    const stream = session.request({
      ':method': 'POST',
      ':path': METHODS.traces,
      'content-type': 'application/grpc',
      te: 'trailers',
    })
    let code = LOST
    const note = (headers: Record<string, unknown>) => {
      if (headers['grpc-status'] !== undefined) code = Number(headers['grpc-status'])
    }
    const limit = setTimeout(() => stream.close(8), ATTEMPT_MS)
    stream.on('response', note)
    stream.on('trailers', note)
    stream.on('error', () => {})
    stream.on('close', () => {
      clearTimeout(limit)
      resolve(code === LOST && !connected.has(session) ? UNSENT : code)
    })
    stream.resume()
    stream.end(frame(bytes))
  })
}

if (import.meta.main) send(JSON.parse(process.argv[2]))
