//! The OTLP/gRPC exporter: raw bytes through the client of grpc-js, answers classed by the table of the specification.
import { isIP } from 'node:net'
import { checkServerIdentity, type SecureContext } from 'node:tls'
import * as grpc from '@grpc/grpc-js'
import { Failure, GRPC, grpcCodes } from '../base/errors.ts'
import { clip } from '../base/words.ts'
import type { Answer, Exporter, ExportRequest, Signal } from '../flow/sink.ts'
import { merge } from '../wire/merge.ts'
import { CONNECTION_AGE_MS } from './age.ts'
import { Renewed } from './renewed.ts'
import { MAX_REPLY_BYTES, readResponse, readStatus } from './reply.ts'
import { lazily, requestHeaders, type SendingSettings, type Surroundings, userAgent } from './sending.ts'
import { clientTls } from './tls.ts'

const METHODS: Record<Signal, string> = {
  traces: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
  metrics: '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export',
  logs: '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
}

const MAX_DETAILS_CHARS = 500
/**
 * A connection on which nothing has been heard for so long, while requests were waiting for it, is given up. grpc-js has no limit for
 * the time from a TCP connection to the first bytes of HTTP/2: one that was made into a black hole would be waited for until its age.
 */
const SILENT_MS = 20_000

export function grpcExporter(
  settings: SendingSettings,
  { instanceId, version, world, log, connectionAgeMs = CONNECTION_AGE_MS }: Surroundings,
): Exporter {
  const calls = new Set<grpc.ClientUnaryCall>()
  const options = channelOptions(settings, version)
  const verify = verifyOptions(settings)
  // Without TLS nothing can be missing, and requests need not wait for anything.
  const tls = settings.plain ? null : clientTls(settings.tls, { world, log })
  const ready = tls === null ? null : lazily(() => tls.open(), settings, log)
  let context: SecureContext | null = null
  const clients = new Renewed<grpc.Client>(
    {
      make: () =>
        new grpc.Client(
          target(settings),
          context === null
            ? grpc.credentials.createInsecure()
            : grpc.ChannelCredentials.createFromSecureContext(context, verify),
          options,
        ),
      end: client => client.close(),
      ageMs: connectionAgeMs,
    },
    world,
  )
  if (tls !== null) {
    tls.onChange = made => {
      context = made
      clients.renew()
    }
  }
  let closed = false
  let silentSinceMs: number | null = null
  let renewedMs = Number.NEGATIVE_INFINITY

  /** The destination has said something, or time was up for a request that began at `sentMs`. */
  function heard(isSilent: boolean, sentMs: number) {
    // What ends now on a connection that has been given up says nothing about the new one.
    if (sentMs < renewedMs) return
    if (!isSilent) silentSinceMs = null
    else if (world.monotonic() - (silentSinceMs ??= sentMs) >= SILENT_MS) {
      silentSinceMs = null
      renewedMs = world.monotonic()
      clients.renew()
    }
  }

  function send(client: grpc.Client, request: ExportRequest): Promise<Answer> {
    const metadata = new grpc.Metadata()
    for (const [name, value] of requestHeaders(settings, request.headers, instanceId)) {
      if (name.endsWith('-bin')) metadata.set(name, Buffer.from(value, 'base64'))
      else if (LEGAL_NAME.test(name)) metadata.set(name, value.replaceAll('\t', ' '))
    }
    const sentMs = world.monotonic()
    return new Promise(resolve => {
      const call = client.makeUnaryRequest(
        METHODS[request.signal],
        settings.compression === 'gzip' ? joined : gathered,
        asIs,
        request.parts,
        metadata,
        { deadline: world.now() + settings.timeoutMs },
        (error, reply) => {
          calls.delete(call)
          heard(error?.code === GRPC.DEADLINE_EXCEEDED && isLocal(error.metadata), sentMs)
          resolve(error === null ? answerOf(reply) : classify(error))
        },
      )
      calls.add(call)
    })
  }

  return {
    id: settings.id,
    async export(request) {
      if (closed) return { kind: 'busy', retryAfterMs: null, cause: new Failure('OTLIER_STOPPING') }
      try {
        if (ready !== null) context ??= await ready()
      } catch (error) {
        const cause = new Failure('OTLIER_UNREACHABLE', (error as Error).message, error)
        return { kind: 'busy', retryAfterMs: null, cause }
      }
      return clients.use(client => send(client, request))
    },
    async close() {
      closed = true
      tls?.stop()
      for (const call of calls) call.cancel()
      clients.renew()
    },
  }
}

/** What grpc-js takes as the name of a header. */
const LEGAL_NAME = /^[0-9a-z_.-]+$/

/** One contiguous message, as the compressor needs it. */
function joined(parts: readonly Uint8Array[]): Buffer {
  const { buffer, byteOffset, byteLength } = merge(parts)
  return Buffer.from(buffer, byteOffset, byteLength)
}

/**
 * Parts that pass for the message that they come to. Where grpc-js does not compress, it asks for the length and has the
 * bytes copied behind the frame's prefix: done part by part, a merged request is copied once instead of twice, which is
 * half the CPU of sending 3.5 MiB (measured). The version of grpc-js is pinned, and a test compares the bytes.
 */
class Gathered {
  readonly length: number
  readonly #parts: readonly Uint8Array[]

  constructor(parts: readonly Uint8Array[]) {
    this.#parts = parts
    this.length = parts.reduce((sum, part) => sum + part.length, 0)
  }

  copy(target: Uint8Array, start: number): number {
    let at = start
    for (const part of this.#parts) {
      target.set(part, at)
      at += part.length
    }
    return this.length
  }
}

const gathered = (parts: readonly Uint8Array[]) =>
  parts.length === 1 ? joined(parts) : (new Gathered(parts) as unknown as Buffer)

const asIs = (bytes: Buffer) => bytes

/** The address as grpc-js takes it. */
function target({ endpoint }: SendingSettings): string {
  const { scheme, host, port, url } = endpoint
  if (scheme === null && host === '') return url
  return `dns:${host.includes(':') ? `[${host}]` : host}:${port}`
}

function channelOptions(
  { endpoint, compression, tls }: SendingSettings,
  version: string,
): grpc.ChannelOptions {
  const name = tls.serverNameOverride
  // grpc-js gives the host to TLS as server name, and Node from 26 on refuses an address there.
  const shown =
    name ?? (isIP(endpoint.host) === 0 ? null : `${endpoint.host.replaceAll(/[.:%]+/g, '-')}.address.invalid`)
  return {
    'grpc.primary_user_agent': userAgent(version),
    'grpc.max_receive_message_length': MAX_REPLY_BYTES,
    // Retrying is the queue's work, which knows what must not be sent twice.
    'grpc.enable_retries': 0,
    'grpc.service_config_disable_resolution': 1,
    'grpc.service_config': JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
    'grpc.enable_channelz': 0,
    'grpc.use_local_subchannel_pool': 1,
    // While it waits to connect again every request fails at once: longer pauses only make an outage longer.
    'grpc.initial_reconnect_backoff_ms': 500,
    'grpc.max_reconnect_backoff_ms': 5000,
    // Only while a request is under way: many servers close connections that ping idly.
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 10_000,
    'grpc.keepalive_permit_without_calls': 0,
    // A proxy of the environment is for the outside.
    ...(LOOPBACK.test(endpoint.host) ? { 'grpc.enable_http_proxy': 0 } : {}),
    ...(compression === 'gzip'
      ? { 'grpc.default_compression_algorithm': grpc.compressionAlgorithms.gzip }
      : {}),
    ...(shown === null ? {} : { 'grpc.ssl_target_name_override': shown }),
    ...(name === null ? {} : { 'grpc.default_authority': name }),
  }
}

const LOOPBACK = /^(localhost|127\.[\d.]+|::1)$/

function verifyOptions({ endpoint, tls }: SendingSettings): grpc.VerifyOptions {
  if (tls.insecureSkipVerify) return { rejectUnauthorized: false, checkServerIdentity: () => undefined }
  if (tls.serverNameOverride !== null || isIP(endpoint.host) === 0) return {}
  return { checkServerIdentity: (_, certificate) => checkServerIdentity(endpoint.host, certificate) }
}

/** A success. Once the destination has it, nothing about its reply is a reason to send it again. */
function answerOf(reply: Buffer | undefined): Answer {
  const response = reply === undefined ? null : readResponse(reply)
  return response === null ? unreadable('it is no Export response') : { kind: 'delivered', ...response }
}

const unreadable = (why: string): Answer => ({
  kind: 'delivered',
  rejectedItems: 0,
  message: `the reply cannot be read (${why}); the request counts as delivered`,
})

/** The codes after which OTLP lets a client try again, beside RESOURCE_EXHAUSTED with RetryInfo. */
const RETRYABLE = new Set<number>([
  GRPC.CANCELLED,
  GRPC.DEADLINE_EXCEEDED,
  GRPC.ABORTED,
  GRPC.OUT_OF_RANGE,
  GRPC.UNAVAILABLE,
  GRPC.DATA_LOSS,
])

function classify({ code, details, metadata }: grpc.ServiceError): Answer {
  const said = `${grpc.status[code] ?? code}: ${clip(details, MAX_DETAILS_CHARS)}`
  const local = localAnswer(code, details, metadata, said)
  if (local !== null) return local
  const retryAfterMs = retryDelayOf(metadata)
  const codes = grpcCodes(code)
  if (RETRYABLE.has(code) || (code === GRPC.RESOURCE_EXHAUSTED && retryAfterMs !== null)) {
    const row = code === GRPC.UNAVAILABLE ? 'OTLIER_UNREACHABLE' : 'OTLIER_DESTINATION_BUSY'
    const cause = new Failure(
      code === GRPC.DEADLINE_EXCEEDED ? 'OTLIER_NO_ANSWER' : row,
      said,
      undefined,
      codes,
    )
    return { kind: 'busy', retryAfterMs, cause }
  }
  if (code === GRPC.RESOURCE_EXHAUSTED) {
    return { kind: 'too_large', cause: new Failure('OTLIER_DESTINATION_TOO_LARGE', said) }
  }
  if (code === GRPC.UNIMPLEMENTED) {
    return { kind: 'unsupported', cause: new Failure('OTLIER_DESTINATION_UNSUPPORTED', said) }
  }
  return { kind: 'refused', cause: new Failure('OTLIER_DESTINATION_REFUSED', said, undefined, codes) }
}

/** A server's status has headers beside it, one of grpc-js has none. */
const isLocal = (metadata: grpc.Metadata) => Object.keys(metadata.getMap()).length === 0

/**
 * What grpc-js says on its own about a reply, in codes that would mean something else coming from a server.
 */
function localAnswer(code: number, details: string, metadata: grpc.Metadata, said: string): Answer | null {
  if (code === GRPC.UNIMPLEMENTED && /^(No message|Too many responses) received$/.test(details))
    return unreadable(details)
  if (!isLocal(metadata)) return null
  if (code === GRPC.RESOURCE_EXHAUSTED) {
    if (/^Received message (larger than max|that decompresses)/.test(details)) return unreadable(details)
    // The stream was reset because of too much at once, which is not about this request.
    if (details.startsWith('Bandwidth exhausted')) return noAnswer(said)
  }
  if (code === GRPC.INTERNAL) {
    if (/^(Failed to decompress|Received compressed message)/.test(details)) return unreadable(details)
    if (details.startsWith('Received RST_STREAM')) return noAnswer(said)
  }
  return null
}

const noAnswer = (said: string): Answer => ({
  kind: 'busy',
  retryAfterMs: null,
  cause: new Failure('OTLIER_UNREACHABLE', said),
})

function retryDelayOf(metadata: grpc.Metadata): number | null {
  const [details] = metadata.get('grpc-status-details-bin')
  return Buffer.isBuffer(details) ? readStatus(details).retryDelayMs : null
}
