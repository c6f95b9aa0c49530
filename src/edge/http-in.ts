//! The OTLP/HTTP receiver: protobuf and JSON on one port, over HTTP/1.1, HTTP/2 without TLS by prior knowledge, and both over TLS.
import * as http from 'node:http'
import * as http2 from 'node:http2'
import * as https from 'node:https'
import type { Socket } from 'node:net'
import { Failure, type FailureCode } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Cancel, World } from '../base/world.ts'
import type { Batch, Headers, Outcome, Signal, Sink } from '../flow/sink.ts'
import { type Connection, Lease, RETRY_MS } from './admission.ts'
import { Body } from './body.ts'
import { type Cors, corsHeaders, preflightHeaders } from './cors.ts'
import { ENCODINGS, type Encoding, encodingOf } from './decompress.ts'
import { answerNonsense, sniff } from './http-front.ts'
import { http2Options, keepInBounds, resetAnswered, trust } from './http2.ts'
import { listen } from './listen.ts'
import { Intake, type LiveOptions, type Receiver, type ReceiverOptions, tooLarge } from './receiver.ts'
import { type Form, formOf, responseJson, responseProto } from './responses.ts'
import { type NotTaken, refusalOf, retryAfter, statusJson, statusProto } from './status.ts'

export interface HttpReceiverOptions extends ReceiverOptions {
  /** Which pages of a browser may send. Nobody's, where it is missing. */
  readonly cors?: Cors
}

interface HttpReceiver extends Receiver {
  change(options: LiveOptions & Pick<HttpReceiverOptions, 'cors'>): void
}

const PATHS: Readonly<Record<string, Signal | undefined>> = {
  '/v1/traces': 'traces',
  '/v1/metrics': 'metrics',
  '/v1/logs': 'logs',
}

/** How long a client may go on sending what has been refused already, so that it sees the answer before the connection ends. */
const LINGER_MS = 1000

/** A failed listen rejects with its own error (EADDRINUSE, EACCES), a bad certificate with a sentence that names the file. */
export async function startHttpReceiver(
  options: HttpReceiverOptions,
  sink: Sink<Batch>,
  world: World,
  log: Log,
): Promise<HttpReceiver> {
  let { cors } = options
  const intake = new Intake(options, sink, world, log)
  const secure = await intake.open()
  const { receiveTimeoutMs, idleTimeoutMs } = intake.options
  const connections = new WeakMap<object, Peer>()
  const sessions = new Set<http2.ServerHttp2Session>()

  const handle = (request: http.IncomingMessage, response: http.ServerResponse) => {
    const session = (response as unknown as http2.Http2ServerResponse).stream?.session
    const key: object = session ?? request.socket
    let peer = connections.get(key)
    if (peer === undefined) {
      const untilMs = world.monotonic() + intake.connectionAgeMs()
      connections.set(key, (peer = { connection: intake.connection(), untilMs }))
    }
    new Exchange(intake, peer, cors, request, response).begin()
  }

  const limits: http.ServerOptions = {
    headersTimeout: receiveTimeoutMs,
    // The exchange has its own deadline and answers it; this one is for what never becomes an exchange.
    requestTimeout: 2 * receiveTimeoutMs,
    connectionsCheckingInterval: Math.ceil(receiveTimeoutMs / 4),
    keepAliveTimeout: idleTimeoutMs,
  }
  const h1 =
    secure === null
      ? http.createServer(limits)
      : https.createServer({ ...limits, ...secure, ALPNProtocols: ['h2', 'http/1.1'] })
  intake.renews(h1)
  h1.on('request', handle)
  // By these a client asks before it sends the body.
  h1.on('checkContinue', handle)
  h1.on('checkExpectation', handle)
  h1.on('clientError', answerNonsense)
  // Before Node makes a clientError of it: a handshake that has failed, or has no end, leaves nobody to answer.
  h1.prependListener('tlsClientError', (_, socket) => socket.destroy())

  const h2 = http2.createServer(http2Options(intake))
  h2.on('request', handle as unknown as Parameters<typeof h2.on<'request'>>[1])
  h2.on('session', session => {
    sessions.add(session)
    keepInBounds(session, intake)
    session.on('close', () => sessions.delete(session))
  })

  const opened = secure === null ? 'connection' : 'secureConnection'
  const [serveHttp1] = h1.listeners(opened) as ((socket: Socket) => void)[]
  h1.removeAllListeners(opened)
  h1.on(opened, (socket: Socket) => {
    sniff(socket, intake, isHttp2 => {
      if (isHttp2) h2.emit('connection', socket)
      else serveHttp1.call(h1, socket)
    })
  })
  const receiver = await listen(h1, intake, () => {
    for (const session of sessions) session.close()
  })
  return {
    ...receiver,
    change(live) {
      cors = live.cors
      receiver.change(live)
    },
  }
}

/** One connection. */
interface Peer {
  readonly connection: Connection
  /** On the monotonic clock: over HTTP/1, an answer given after it is the last. */
  readonly untilMs: number
}

/** One request and its answer. */
class Exchange {
  readonly #intake: Intake
  readonly #lease: Lease
  readonly #untilMs: number
  readonly #cors: Cors | undefined
  readonly #request: http.IncomingMessage
  readonly #response: http.ServerResponse
  #signal: Signal | null = null
  #type: Form | null = null
  #encoding: Encoding = 'identity'
  #headers: Headers = {}
  #answerAtMs = 0
  #cancelDeadline: Cancel = () => {}
  #isTaken = false
  #body: Body | null = null

  constructor(
    intake: Intake,
    { connection, untilMs }: Peer,
    cors: Cors | undefined,
    request: http.IncomingMessage,
    response: http.ServerResponse,
  ) {
    this.#intake = intake
    this.#lease = new Lease(connection)
    this.#untilMs = untilMs
    this.#cors = cors
    this.#request = request
    this.#response = response
  }

  begin(): void {
    const request = this.#request
    // A client that goes away in the middle is nobody's bug.
    request.on('error', () => {})
    this.#response.on('error', () => {})
    this.#response.on(
      'close',
      this.#intake.enter(() => this.#fail('OTLIER_STOPPING')),
    )
    if (!this.#accepts()) return
    const { world, options } = this.#intake
    this.#answerAtMs = world.monotonic() + 0.9 * options.receiveTimeoutMs
    this.#cancelDeadline = world.after(options.receiveTimeoutMs, () => this.#fail('OTLIER_RECEIVE_TIMEOUT'))
    request.on('data', (chunk: Uint8Array) => this.#take(chunk))
    request.on('end', () => this.#end())
    this.#response.on('close', () => this.#gone())
    if (request.headers.expect !== undefined) this.#response.writeContinue()
  }

  /** Everything that can be refused before a byte of the body is read. */
  #accepts(): boolean {
    const { method, url = '', headers } = this.#request
    const query = url.indexOf('?')
    const signal = PATHS[query === -1 ? url : url.slice(0, query)]
    this.#type = formOf(headers['content-type'])
    this.#signal = signal ?? null
    // A browser asks whether it may before it shows who it is.
    const isPreflight = method === 'OPTIONS' && this.#cors !== undefined
    if (!isPreflight && !this.#isAdmitted(headers.authorization)) return false
    if (signal === undefined || !this.#intake.options.signals.includes(signal))
      return this.#fail('OTLIER_NOT_FOUND')
    if (method === 'OPTIONS' && this.#cors !== undefined) return this.#preflight(this.#cors)
    if (method !== 'POST') return this.#fail('OTLIER_METHOD', undefined, { allow: 'POST' })
    if (this.#type === null) {
      return this.#fail('OTLIER_CONTENT_TYPE', 'application/x-protobuf and application/json are.')
    }
    const encoding = encodingOf(headers['content-encoding'])
    if (encoding === null) return this.#fail('OTLIER_ENCODING', `${ENCODINGS} are.`)
    this.#encoding = encoding
    if (this.#intake.isStopping) return this.#fail('OTLIER_STOPPING')
    const forwarded = this.#intake.headers(headers)
    if (forwarded instanceof Failure) return this.#refuse({ kind: 'refused', cause: forwarded })
    this.#headers = forwarded
    return this.#admit(headers['content-length'])
  }

  #isAdmitted(authorization: string | undefined): boolean {
    const { guard } = this.#intake
    if (guard === null) return true
    if (!guard.admits(authorization)) {
      return this.#fail('OTLIER_UNAUTHENTICATED', undefined, { 'www-authenticate': guard.challenge })
    }
    trust(this.#stream?.session)
    return true
  }

  #admit(contentLength: string | undefined): boolean {
    const { maxBytes } = this.#intake
    const declared = contentLength === undefined ? -1 : Number(contentLength)
    if (declared > maxBytes) return this.#refuse({ kind: 'refused', cause: tooLarge(maxBytes) })
    if (declared > 0 && !this.#lease.hold(declared)) return this.#refuse(this.#lease.noRoom())
    this.#body = new Body(declared, this.#intake.pool)
    return true
  }

  #take(chunk: Uint8Array): void {
    const body = this.#body
    if (this.#isTaken || body === null) return
    const { maxBytes } = this.#intake
    const length = body.length + chunk.length
    if (length > maxBytes) this.#refuse({ kind: 'refused', cause: tooLarge(maxBytes) })
    else if (!this.#lease.hold(length)) this.#refuse(this.#lease.noRoom())
    else body.add(chunk)
  }

  #end(): void {
    if (this.#isTaken || this.#body === null) return
    this.#cancelDeadline()
    // From here on the lease is the intake's to release.
    this.#isTaken = true
    const arrived = {
      signal: this.#signal as Signal,
      bytes: this.#body.take(),
      loan: this.#body.loan,
      encoding: this.#encoding,
      json: this.#type === 'application/json',
      headers: this.#headers,
      lease: this.#lease,
      answerAtMs: this.#answerAtMs,
    }
    void this.#intake.submit(arrived).then(outcome => this.#answer(outcome))
  }

  #answer(outcome: Outcome): void {
    if (outcome.kind !== 'accepted') {
      this.#explain(outcome, {})
      return
    }
    const { rejectedItems, message } = outcome
    const respond = this.#type === 'application/json' ? responseJson : responseProto
    this.#reply(200, this.#type ?? '', respond(this.#signal as Signal, rejectedItems, message), {})
  }

  #fail(code: FailureCode, detail?: string, headers?: http.OutgoingHttpHeaders): false {
    const cause = new Failure(code, detail)
    return this.#refuse(
      cause.retry ? { kind: 'busy', retryAfterMs: RETRY_MS, cause } : { kind: 'refused', cause },
      headers,
    )
  }

  /** Answers before the body has been taken. */
  #refuse(outcome: NotTaken, headers: http.OutgoingHttpHeaders = {}): false {
    if (this.#isTaken) return false
    this.#gone()
    this.#intake.refused(this.#signal, outcome.cause, this.#request.socket.remoteAddress)
    if (outcome.cause.code === 'OTLIER_UNAUTHENTICATED' && this.#stream === undefined) {
      this.#explain(outcome, { ...headers, connection: 'close' }, true)
      return false
    }
    this.#explain(outcome, headers)
    this.#linger()
    return false
  }

  #preflight(cors: Cors): false {
    this.#gone()
    this.#response.writeHead(204, preflightHeaders(cors, this.#request.headers))
    this.#response.end()
    return false
  }

  /** google.rpc.Status in the request's own form; JSON, which a person can read, for what has neither form. */
  #explain(outcome: NotTaken, headers: http.OutgoingHttpHeaders, isUnread = false): void {
    const refusal = refusalOf(outcome)
    const wait = refusal.retryAfterMs === null ? {} : { 'retry-after': retryAfter(refusal.retryAfterMs) }
    const isProto = this.#type === 'application/x-protobuf'
    const body = isProto ? statusProto(refusal) : statusJson(refusal)
    this.#reply(refusal.http, this.#type ?? 'application/json', body, { ...headers, ...wait }, isUnread)
  }

  /** @param isUnread not a byte more is read of the request, and the connection ends after the answer */
  #reply(
    status: number,
    type: string,
    body: Uint8Array | string,
    headers: http.OutgoingHttpHeaders,
    isUnread = false,
  ): void {
    const response = this.#response
    if (response.destroyed || response.headersSent) return
    const { isStopping, world } = this.#intake
    const isLast = this.#stream === undefined && (isStopping || world.monotonic() >= this.#untilMs)
    response.writeHead(status, {
      ...headers,
      ...(this.#cors === undefined ? {} : corsHeaders(this.#cors, this.#request.headers)),
      ...(isLast ? { connection: 'close' } : {}),
      'content-type': type,
      'content-length': Buffer.byteLength(body),
    })
    if (!isUnread) {
      response.end(body)
      return
    }
    // The answer is whole by its length. Its end would make Node read the request to its own, for nothing; and a connection that is
    // closed at once, with bytes unread, takes the answer with it.
    response.write(body)
    const cancel = world.after(LINGER_MS, () => this.#request.socket.destroy())
    response.on('close', () => cancel())
  }

  /** Of HTTP/2. */
  get #stream(): http2.ServerHttp2Stream | undefined {
    return (this.#response as unknown as Partial<http2.Http2ServerResponse>).stream
  }

  /** A connection that ends while its client still sends takes the answer with it, so what comes is thrown away for a while. */
  #linger(): void {
    const request = this.#request
    const stream = this.#stream
    if (stream !== undefined) {
      if (!request.complete) resetAnswered(stream, this.#intake.world)
      return
    }
    request.resume()
    const cancel = this.#intake.world.after(LINGER_MS, () => request.socket.destroy())
    request.on('close', () => cancel())
    request.on('end', () => cancel())
  }

  /** Nothing more is taken from this request. */
  #gone(): void {
    this.#cancelDeadline()
    if (!this.#isTaken) this.#lease.release()
    this.#isTaken = true
  }
}
