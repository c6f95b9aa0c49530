//! What both receivers share: their options, admission by bytes, and the way of a request from its last byte to its outcome.
import { type TlsOptions, Server as TlsServer } from 'node:tls'
import { Failure } from '../base/errors.ts'
import type { Loan } from '../base/loan.ts'
import type { Log } from '../base/log.ts'
import { seldom } from '../base/seldom.ts'
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
import { type Admission, Connection, type Lease, RETRY_MS } from './admission.ts'
import { CONNECTION_AGE_MS, CONNECTION_GRACE_MS, jittered } from './age.ts'
import { type AuthFiles, Guard } from './auth.ts'
import { decompress, type Encoding } from './decompress.ts'
import type { Following } from './follow.ts'
import { Pool } from './pool.ts'
import type { NotTaken } from './status.ts'
import { type ServerTls, serverTls } from './tls.ts'

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
  /** Over HTTP/1, a connection without a request is kept this long. */
  readonly idleTimeoutMs?: number
  /** The others are answered UNIMPLEMENTED or 404. */
  readonly signals?: readonly Signal[]
  readonly tls?: ServerTls
  /** Stands before the names of settings in errors: `receivers.otlp.protocols.grpc.` */
  readonly settingsPath?: string
  readonly auth?: AuthFiles
  /** A connection is asked to end at this age, up to a tenth earlier or later. */
  readonly maxConnectionAgeMs?: number
  /** And is cut so long after. */
  readonly connectionGraceMs?: number
  /** A request was refused here and never reached the sink. `signal` is null where the path names none. */
  onRefused?(signal: Signal | null, cause: Failure): void
}

const DEFAULTS = {
  forwardHeaders: [],
  maxRecvBytes: 64 * 2 ** 20,
  receiveTimeoutMs: 10_000,
  connectionBudgetBytes: 64 * 2 ** 20,
  maxStreams: 256,
  // SDKs export every few seconds, metrics every minute.
  idleTimeoutMs: 65_000,
  signals: ['traces', 'metrics', 'logs'],
  maxConnectionAgeMs: CONNECTION_AGE_MS,
  connectionGraceMs: CONNECTION_GRACE_MS,
} as const satisfies Partial<ReceiverOptions>

export interface Receiver {
  readonly port: number
  /**
   * Listens no longer and lets the requests in flight end. Those that have not after `deadlineMs` are answered that the
   * service stops, and cut a moment later. Once it has resolved, the sink gets nothing more.
   */
  stop(deadlineMs: number): Promise<void>
  /** For the requests that begin from now on, over the connections that there are. */
  change(options: LiveOptions): void
}

/** What a receiver may be told while it listens. */
export type LiveOptions = Required<Pick<ReceiverOptions, 'forwardHeaders' | 'maxRecvBytes' | 'signals'>>

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
  options: Required<Omit<ReceiverOptions, 'tls' | 'auth' | 'settingsPath' | 'onRefused'>> & ReceiverOptions
  readonly world: World
  readonly log: Log
  /** What can never be admitted is too large, and not a matter of waiting. */
  maxBytes: number
  isStopping = false
  /** Null: everybody may send. */
  guard: Guard | null = null
  readonly #tls: Following<TlsOptions> | null
  readonly #tell: ReturnType<typeof seldom<'unauthenticated'>>
  readonly pool: Pool
  readonly #sink: Sink<Batch>
  /** Requests from their headers to the last byte of their answer. */
  #open = 0
  #idle: (() => void) | null = null
  /** What ends each of the open requests with an answer. */
  readonly #dismissals = new Set<() => void>()

  constructor(options: ReceiverOptions, sink: Sink<Batch>, world: World, log: Log) {
    this.options = { ...DEFAULTS, ...options }
    this.world = world
    this.log = log
    this.#sink = sink
    this.#tls = options.tls === undefined ? null : serverTls(options.tls, this)
    this.#tell = seldom(world)
    this.pool = new Pool(world)
    this.maxBytes = Math.min(this.options.maxRecvBytes, this.options.admission.largestBytes)
  }

  /** Reads tokens and certificates, before anything listens. Null: no TLS. Rejects with a sentence that names the file. */
  async open(): Promise<TlsOptions | null> {
    const { auth, receiveTimeoutMs, settingsPath = '' } = this.options
    try {
      const secure = (await this.#tls?.open()) ?? null
      if (auth !== undefined) this.guard = await Guard.open(auth, this)
      return secure === null ? null : { ...secure, handshakeTimeout: receiveTimeoutMs }
    } catch (error) {
      this.close()
      throw new Error(`${settingsPath}${(error as Error).message}`)
    }
  }

  /** From now on `server` shows new connections the certificates of the moment. */
  renews(server: object): void {
    if (this.#tls !== null && server instanceof TlsServer)
      this.#tls.onChange = made => server.setSecureContext(made)
  }

  /** Follows files no longer. */
  close(): void {
    this.#tls?.stop()
    this.guard?.stop()
  }

  /** How long from now a connection may go on, in milliseconds. */
  connectionAgeMs(): number {
    return jittered(this.options.maxConnectionAgeMs, this.world)
  }

  /** Tells of a request that was refused before it reached the sink. */
  refused(signal: Signal | null, cause: Failure, from: string | undefined): void {
    this.options.onRefused?.(signal, cause)
    if (cause.code !== 'OTLIER_UNAUTHENTICATED') return
    this.#tell('unauthenticated', suppressed =>
      this.log.warn({ from, suppressed }, 'a sender without a valid token or password was turned away'),
    )
  }

  connection(): Connection {
    const { admission, connectionBudgetBytes } = this.options
    return new Connection(admission, Math.max(connectionBudgetBytes, this.maxBytes))
  }

  change(options: LiveOptions): void {
    this.options = { ...this.options, ...options }
    this.maxBytes = Math.min(this.options.maxRecvBytes, this.options.admission.limitBytes)
  }

  /**
   * A request has begun. What is returned is called once, when its answer is out or it has been cut. `dismiss` answers
   * that the service stops, unless another answer is on its way.
   */
  enter(dismiss: () => void): () => void {
    this.#open++
    this.#dismissals.add(dismiss)
    return () => {
      this.#open--
      this.#dismissals.delete(dismiss)
      this.#tellIdle()
    }
  }

  /** Ends every open request with an answer: nobody is left to wonder. */
  dismiss(): void {
    for (const dismiss of this.#dismissals) dismiss()
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
      // A header may be called `constructor`, which every object has.
      const value = Object.hasOwn(incoming, name) ? incoming[name] : undefined
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
      const end = (code: 'OTLIER_NO_ANSWER' | 'OTLIER_STOPPING') =>
        resolve({ kind: 'busy', retryAfterMs: RETRY_MS, cause: new Failure(code) })
      const cancelTimer = world.after(leftMs, () => end('OTLIER_NO_ANSWER'))
      const dismiss = () => end('OTLIER_STOPPING')
      this.#dismissals.add(dismiss)
      cancel = () => {
        cancelTimer()
        this.#dismissals.delete(dismiss)
      }
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
        const outcome: NotTaken =
          error.code === 'OTLIER_MEMORY' ? lease.noRoom() : { kind: 'refused', cause: error }
        this.refused(signal, outcome.cause, undefined)
        return outcome
      }
      this.log.error({ err: error, signal }, 'a request could not be handled: this is a bug')
      return { kind: 'refused', cause: new Failure('OTLIER_INTERNAL') }
    }
  }
}
