//! What both receivers share: their options, admission by bytes, and the way of a request from its last byte to its outcome.
import { Failure } from '../base/errors.ts'
import type { Loan } from '../base/loan.ts'
import type { Log } from '../base/log.ts'
import type { World } from '../base/world.ts'
import {
  type Batch,
  type Headers,
  NO_HEADERS,
  type Outcome,
  type Signal,
  type Sink,
  VIA,
} from '../flow/sink.ts'
import { jsonToProto } from '../wire/json.ts'
import { decompress, type Encoding } from './decompress.ts'
import { Pool } from './pool.ts'
import type { NotTaken } from './status.ts'
import type { TlsFiles } from './tls.ts'

export interface ReceiverOptions {
  readonly host: string
  /** 0 takes any free port. */
  readonly port: number
  /** A request whose `otlier-via` names this id has come round in a circle. */
  readonly instanceId: string
  /** Bytes of unanswered requests, over all receivers. */
  readonly admission: Admission
  /** Header names, in lower case, that travel with their batch. */
  readonly forwardHeaders?: readonly string[]
  /** The largest message, before and after decompression. */
  readonly maxRecvBytes?: number
  /** From a request's headers to its last byte. Its answer is due nine tenths of it after the headers. */
  readonly receiveTimeoutMs?: number
  /** Bytes of unanswered requests of one connection. One message of the largest size always fits. */
  readonly connectionBudgetBytes?: number
  readonly maxStreams?: number
  /** The others are answered UNIMPLEMENTED or 404. */
  readonly signals?: readonly Signal[]
  readonly tls?: TlsFiles
  /** A request was refused here and never reached the sink. `signal` is null where the path names none. */
  onRefused?(signal: Signal | null, cause: Failure): void
}

const DEFAULTS = {
  forwardHeaders: [],
  maxRecvBytes: 64 * 2 ** 20,
  receiveTimeoutMs: 10_000,
  connectionBudgetBytes: 64 * 2 ** 20,
  maxStreams: 256,
  signals: ['traces', 'metrics', 'logs'],
} as const satisfies Partial<ReceiverOptions>

export interface Receiver {
  readonly port: number
  /**
   * Listens no longer, lets the requests in flight end, and cuts those that have not after `deadlineMs`. Once it has
   * resolved, the sink gets nothing more.
   */
  stop(deadlineMs: number): Promise<void>
}

/**
 * Bytes of requests that have been declared or have arrived, and are not answered. A request counts with the larger of
 * its two forms, compressed and plain, so that what fits the limit can always be admitted; it may hold both for a moment.
 */
export class Admission {
  readonly limitBytes: number
  usedBytes = 0
  constructor(limitBytes: number) {
    this.limitBytes = limitBytes
  }
}

/** The share of one connection. */
export class Connection {
  readonly admission: Admission
  readonly limitBytes: number
  usedBytes = 0
  constructor(admission: Admission, limitBytes: number) {
    this.admission = admission
    this.limitBytes = limitBytes
  }
}

/** What one request holds of both. */
export class Lease {
  readonly #connection: Connection
  #heldBytes = 0
  #isReleased = false
  constructor(connection: Connection) {
    this.#connection = connection
  }

  /** Raises what is held to `bytes`, or says that there is no room. */
  hold(bytes: number): boolean {
    const more = bytes - this.#heldBytes
    if (more <= 0) return true
    const { admission } = this.#connection
    if (this.#isReleased || admission.usedBytes + more > admission.limitBytes) return false
    if (this.#connection.usedBytes + more > this.#connection.limitBytes) return false
    admission.usedBytes += more
    this.#connection.usedBytes += more
    this.#heldBytes = bytes
    return true
  }

  release(): void {
    this.#connection.admission.usedBytes -= this.#heldBytes
    this.#connection.usedBytes -= this.#heldBytes
    this.#heldBytes = 0
    this.#isReleased = true
  }
}

/** Memory is short for a moment: senders that come back at once would find it as it is. */
export const NO_ROOM_RETRY_MS = 1000

export const noRoom = (): NotTaken => ({
  kind: 'busy',
  retryAfterMs: NO_ROOM_RETRY_MS,
  cause: new Failure('OTLIER_MEMORY', 'Too many bytes of requests are waiting for their answer.'),
})

export const tooLarge = (maxBytes: number): Failure =>
  new Failure('OTLIER_TOO_LARGE', `At most ${maxBytes} bytes are taken, before and after decompression.`)

/** A request whose last byte has arrived. */
export interface Arrived {
  readonly signal: Signal
  readonly bytes: Uint8Array
  /** Of the memory of `bytes`. */
  readonly loan: Loan | null
  readonly encoding: Encoding
  readonly json: boolean
  readonly headers: Headers
  readonly lease: Lease
  /** On the monotonic clock. */
  readonly answerAtMs: number
}

/** One receiver's options, made whole, with what it works on. */
export class Intake {
  readonly options: Required<Omit<ReceiverOptions, 'tls' | 'onRefused'>> & ReceiverOptions
  readonly world: World
  readonly log: Log
  /** What can never be admitted is too large, and not a matter of waiting. */
  readonly maxBytes: number
  isStopping = false
  readonly pool: Pool
  readonly #sink: Sink<Batch>
  /** Requests from their headers to the last byte of their answer. */
  #open = 0
  #idle: (() => void) | null = null

  constructor(options: ReceiverOptions, sink: Sink<Batch>, world: World, log: Log) {
    this.options = { ...DEFAULTS, ...options }
    this.world = world
    this.log = log
    this.#sink = sink
    this.pool = new Pool(world)
    this.maxBytes = Math.min(this.options.maxRecvBytes, this.options.admission.limitBytes)
  }

  connection(): Connection {
    const { admission, connectionBudgetBytes } = this.options
    return new Connection(admission, Math.max(connectionBudgetBytes, this.maxBytes))
  }

  /** A request has begun. What is returned is called once, when its answer is out or it has been cut. */
  enter(): () => void {
    this.#open++
    return () => {
      this.#open--
      this.#tellIdle()
    }
  }

  /** Calls `act` once no request is under way, at once if there is none. */
  whenIdle(act: () => void): void {
    this.#idle = act
    this.#tellIdle()
  }

  #tellIdle(): void {
    if (this.#open > 0 || this.#idle === null) return
    const act = this.#idle
    this.#idle = null
    act()
  }

  /** The headers that travel with the batch, or the failure of one that has come back. */
  headers(incoming: Readonly<Record<string, string | readonly string[] | undefined>>): Headers | Failure {
    const via = incoming[VIA]
    const { forwardHeaders, instanceId } = this.options
    if (via === undefined && forwardHeaders.length === 0) return NO_HEADERS
    const headers: Record<string, string> = {}
    for (const name of [VIA, ...forwardHeaders]) {
      const value = incoming[name]
      if (value !== undefined) headers[name] = typeof value === 'string' ? value : value.join(', ')
    }
    if (headers[VIA]?.split(',').some(id => id.trim() === instanceId)) return new Failure('OTLIER_LOOP')
    return Object.keys(headers).length === 0 ? NO_HEADERS : headers
  }

  /** Settles when the answer is due at the latest. Never rejects. */
  async submit(request: Arrived): Promise<Outcome> {
    const { world, options } = this
    // What arrived at the last moment still gets a tenth of the time.
    const leftMs = Math.max(request.answerAtMs - world.monotonic(), options.receiveTimeoutMs / 10)
    const answerByMs = world.monotonic() + leftMs
    let cancel = () => {}
    const late = new Promise<Outcome>(resolve => {
      cancel = world.after(leftMs, () =>
        resolve({ kind: 'busy', retryAfterMs: null, cause: new Failure('OTLIER_NO_ANSWER') }),
      )
    })
    // The bytes are in memory for as long as the sink works on them, answered or not.
    const work = this.#handle(request, answerByMs).finally(() => request.lease.release())
    const outcome = await Promise.race([work, late])
    cancel()
    return outcome
  }

  async #handle(request: Arrived, answerByMs: number): Promise<Outcome> {
    const { signal, bytes, loan, encoding, json, headers, lease } = request
    try {
      let plain = encoding === 'identity' ? bytes : await decompress(encoding, bytes, this.maxBytes, lease)
      if (json) plain = jsonToProto(signal, plain, this.maxBytes)
      const receivedMs = this.world.now()
      const arrived = { signal, receivedMs, headers, answerByMs }
      if (plain === bytes) return await this.#sink.send({ ...arrived, bytes, loan })
      loan?.share(0)
      return await this.#sink.send({ ...arrived, bytes: plain })
    } catch (error) {
      if (error instanceof Failure) {
        this.options.onRefused?.(signal, error)
        return error.code === 'OTLIER_MEMORY' ? noRoom() : { kind: 'refused', cause: error }
      }
      this.log.error({ err: error, signal }, 'a request could not be handled: this is a bug')
      return { kind: 'refused', cause: new Failure('OTLIER_INTERNAL') }
    }
  }
}
