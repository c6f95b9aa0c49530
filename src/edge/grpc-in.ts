//! The OTLP/gRPC receiver: the three unary Export methods on node:http2, admitted by their declared length before they are read.
import * as http2 from 'node:http2'
import { Failure, type FailureCode } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Cancel, World } from '../base/world.ts'
import type { Batch, Headers, Outcome, Signal, Sink } from '../flow/sink.ts'
import { type Connection, Lease, RETRY_MS } from './admission.ts'
import { Body } from './body.ts'
import { ENCODINGS, type Encoding, encodingOf } from './decompress.ts'
import { http2Options, keepInBounds, resetAnswered, trust } from './http2.ts'
import { listen } from './listen.ts'
import { Intake, type Receiver, type ReceiverOptions, tooLarge } from './receiver.ts'
import { responseProto } from './responses.ts'
import { grpcDetails, grpcMessage, hasDetails, type NotTaken, type Refusal, refusalOf } from './status.ts'

const METHODS: Readonly<Record<string, Signal | undefined>> = {
  '/opentelemetry.proto.collector.trace.v1.TraceService/Export': 'traces',
  '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export': 'metrics',
  '/opentelemetry.proto.collector.logs.v1.LogsService/Export': 'logs',
}

/** Flag and length of a message. */
const PREFIX_BYTES = 5
const OK_TRAILERS = { 'grpc-status': '0' }
const OK_HEADERS = { ':status': 200, 'content-type': 'application/grpc' }
const EMPTY_REPLY = new Uint8Array(PREFIX_BYTES)

/** A failed listen rejects with its own error (EADDRINUSE, EACCES), a bad certificate with a sentence that names the file. */
export async function startGrpcReceiver(
  options: ReceiverOptions,
  sink: Sink<Batch>,
  world: World,
  log: Log,
): Promise<Receiver> {
  const intake = new Intake(options, sink, world, log)
  const secure = await intake.open()
  const common = http2Options(intake)
  const server =
    secure === null ? http2.createServer(common) : http2.createSecureServer({ ...common, ...secure })
  intake.renews(server)
  const connections = new Map<http2.ServerHttp2Session, Connection>()
  server.on('session', session => {
    connections.set(session, intake.connection())
    keepInBounds(session, intake)
    session.on('close', () => connections.delete(session))
  })
  server.on('stream', (stream, headers) => {
    const connection = connections.get(stream.session as http2.ServerHttp2Session)
    if (connection !== undefined)
      new Call(intake, connection, stream as http2.ServerHttp2Stream).begin(headers)
  })
  return await listen(server, intake, () => {
    // GOAWAY: what has begun may end, what has not goes elsewhere.
    for (const session of connections.keys()) session.close()
  })
}

/** One call, from its headers to its status. */
class Call {
  readonly #intake: Intake
  readonly #stream: http2.ServerHttp2Stream
  readonly #lease: Lease
  #signal: Signal | null = null
  #encoding: Encoding = 'identity'
  #headers: Headers = {}
  #answerAtMs = 0
  #cancelDeadline: Cancel = () => {}
  #isAnswered = false
  // The message: its prefix as it comes, then its bytes.
  #prefixBytes = 0
  #flag = 0
  #declared = 0
  #body: Body | null = null

  constructor(intake: Intake, connection: Connection, stream: http2.ServerHttp2Stream) {
    this.#intake = intake
    this.#stream = stream
    this.#lease = new Lease(connection)
  }

  begin(headers: http2.IncomingHttpHeaders): void {
    // A client that goes away in the middle is an 'error' of its stream, and nobody's bug.
    this.#stream.on('error', () => {})
    this.#stream.on(
      'close',
      this.#intake.enter(() => this.#fail('OTLIER_STOPPING')),
    )
    if (!this.#accepts(headers)) return
    const { world, options } = this.#intake
    const receiveMs = Math.min(options.receiveTimeoutMs, timeoutOf(headers['grpc-timeout']) as number)
    this.#answerAtMs = world.monotonic() + 0.9 * receiveMs
    this.#cancelDeadline = world.after(receiveMs, () => this.#fail('OTLIER_RECEIVE_TIMEOUT'))
    this.#stream.on('data', (chunk: Uint8Array) => this.#take(chunk))
    this.#stream.on('end', () => this.#end())
    this.#stream.on('close', () => this.#gone())
  }

  /** Everything that can be refused before a byte of the body is read. */
  #accepts(headers: http2.IncomingHttpHeaders): boolean {
    const signal = METHODS[headers[':path'] ?? '']
    this.#signal = signal ?? null
    const { guard } = this.#intake
    if (guard !== null) {
      if (!guard.admits(headers.authorization)) return this.#fail('OTLIER_UNAUTHENTICATED')
      trust(this.#stream.session)
    }
    if (headers[':method'] !== 'POST') return this.#reject(405, 'OTLIER_METHOD')
    // HTTP's own status tells a client that is not gRPC what is wrong.
    const type = headers['content-type'] ?? ''
    if (!/^application\/grpc(\+proto)?\s*(;|$)/i.test(type)) return this.#reject(415, 'OTLIER_CONTENT_TYPE')
    if (signal === undefined || !this.#intake.options.signals.includes(signal))
      return this.#fail('OTLIER_NOT_FOUND')
    if (this.#intake.isStopping) return this.#fail('OTLIER_STOPPING')
    const encoding = encodingOf(headers['grpc-encoding'] as string | undefined)
    if (encoding === null) return this.#fail('OTLIER_ENCODING', `${ENCODINGS} are.`)
    this.#encoding = encoding
    if (timeoutOf(headers['grpc-timeout']) === null) {
      return this.#fail('OTLIER_MALFORMED', 'grpc-timeout is not a number with a unit.')
    }
    const forwarded = this.#intake.headers(headers)
    if (forwarded instanceof Failure) return this.#refuse({ kind: 'refused', cause: forwarded })
    this.#headers = forwarded
    return true
  }

  #take(chunk: Uint8Array): void {
    let at = 0
    while (this.#body === null) {
      if (this.#isAnswered || at === chunk.length) return
      const byte = chunk[at++]
      if (this.#prefixBytes === 0) this.#flag = byte
      else this.#declared = this.#declared * 256 + byte
      if (++this.#prefixBytes === PREFIX_BYTES) this.#admit()
    }
    if (this.#isAnswered || at === chunk.length) return
    if (this.#body.length + chunk.length - at > this.#declared) {
      this.#fail('OTLIER_MALFORMED', 'A unary call has one message, and this one goes on after it.')
    } else this.#body.add(chunk, at)
  }

  /** The prefix is there: the rest may come, or not. */
  #admit(): void {
    const { maxBytes } = this.#intake
    if (this.#flag > 1)
      this.#fail('OTLIER_MALFORMED', `The message begins with ${this.#flag}, which is no flag.`)
    else if (this.#flag === 1 && this.#encoding === 'identity') {
      this.#fail(
        'OTLIER_MALFORMED',
        'The message is flagged as compressed, and grpc-encoding does not say how.',
      )
    } else if (this.#declared > maxBytes) this.#refuse({ kind: 'refused', cause: tooLarge(maxBytes) })
    else if (!this.#lease.hold(this.#declared)) this.#refuse(this.#lease.noRoom())
    else this.#body = new Body(this.#declared, this.#intake.pool)
  }

  #end(): void {
    if (this.#isAnswered) return
    if (this.#body === null || this.#body.length < this.#declared) {
      this.#fail('OTLIER_MALFORMED', 'The call ended before its message.')
      return
    }
    this.#cancelDeadline()
    const arrived = {
      signal: this.#signal as Signal,
      bytes: this.#body.take(),
      loan: this.#body.loan,
      encoding: this.#flag === 1 ? this.#encoding : ('identity' as const),
      json: false,
      headers: this.#headers,
      lease: this.#lease,
      answerAtMs: this.#answerAtMs,
    }
    // From here on the lease is the intake's to release.
    this.#isAnswered = true
    void this.#intake.submit(arrived).then(outcome => this.#answer(outcome))
  }

  #answer(outcome: Outcome): void {
    const stream = this.#stream
    if (stream.destroyed || stream.closed) return
    if (outcome.kind !== 'accepted') {
      stream.respond(trailersOnly(refusalOf(outcome)), { endStream: true })
      return
    }
    stream.respond(OK_HEADERS, { waitForTrailers: true })
    stream.on('wantTrailers', () => {
      if (!stream.destroyed && !stream.closed) stream.sendTrailers(OK_TRAILERS)
    })
    stream.end(framed(responseProto(this.#signal as Signal, outcome.rejectedItems, outcome.message)))
  }

  #fail(code: FailureCode, detail?: string): false {
    const cause = new Failure(code, detail)
    return this.#refuse(
      cause.retry ? { kind: 'busy', retryAfterMs: RETRY_MS, cause } : { kind: 'refused', cause },
    )
  }

  /** Answers before the body has been taken, and resets the stream so that the client does not go on sending. */
  #refuse(outcome: NotTaken): false {
    const headers = trailersOnly(refusalOf(outcome))
    if (outcome.cause.code === 'OTLIER_ENCODING') headers['grpc-accept-encoding'] = ENCODINGS
    if (outcome.cause.code === 'OTLIER_UNAUTHENTICATED')
      headers['www-authenticate'] = this.#intake.guard?.challenge
    return this.#dismiss(headers, outcome.cause)
  }

  #reject(status: number, code: FailureCode): false {
    const headers: http2.OutgoingHttpHeaders = { ':status': status }
    if (status === 405) headers.allow = 'POST'
    return this.#dismiss(headers, new Failure(code))
  }

  #dismiss(headers: http2.OutgoingHttpHeaders, cause: Failure): false {
    if (this.#isAnswered) return false
    this.#gone()
    const stream = this.#stream
    this.#intake.refused(this.#signal, cause, stream.session?.socket?.remoteAddress)
    if (stream.destroyed || stream.closed) return false
    stream.respond(headers, { endStream: true })
    resetAnswered(stream, this.#intake.world)
    return false
  }

  /** Nothing more is taken from this call. */
  #gone(): void {
    this.#cancelDeadline()
    if (!this.#isAnswered) this.#lease.release()
    this.#isAnswered = true
  }
}

function trailersOnly(refusal: Refusal): http2.OutgoingHttpHeaders {
  return {
    ':status': 200,
    'content-type': 'application/grpc',
    'grpc-status': String(refusal.grpc),
    'grpc-message': grpcMessage(refusal.message),
    ...(hasDetails(refusal) ? { 'grpc-status-details-bin': grpcDetails(refusal) } : {}),
  }
}

function framed(message: Uint8Array): Uint8Array {
  if (message.length === 0) return EMPTY_REPLY
  const frame = new Uint8Array(PREFIX_BYTES + message.length)
  new DataView(frame.buffer).setUint32(1, message.length)
  frame.set(message, PREFIX_BYTES)
  return frame
}

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 }

/** A grpc-timeout in milliseconds, infinite where there is none, null where it is not one. */
function timeoutOf(header: string | readonly string[] | undefined): number | null {
  if (header === undefined) return Number.POSITIVE_INFINITY
  const parts = typeof header === 'string' ? /^(\d{1,8})([HMSmun])$/.exec(header) : null
  return parts === null ? null : Number(parts[1]) * UNIT_MS[parts[2]]
}
