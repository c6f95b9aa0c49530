//! A recording backend for both transports that behaves as badly as its script says.
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo, Server as NetServer, Socket } from 'node:net'
import { gunzipSync, gzipSync } from 'node:zlib'
import type { Signal } from '../../src/flow/sink.ts'
import { concat, delimited, varintField } from '../oracle/bytes.ts'
import { startGrpc } from './backend-grpc.ts'

/** What came in. */
export interface Recorded {
  readonly protocol: 'grpc' | 'http'
  readonly path: string
  /** By its path; null where that is none of the standard ones. */
  readonly signal: Signal | null
  readonly headers: Readonly<Record<string, string>>
  /** The message, decompressed. */
  readonly bytes: Uint8Array
  /** Its size as it came; behind grpc-js, which does not tell, that of `bytes`. */
  readonly wireBytes: number
  /** The same value for all requests of one connection. */
  readonly connection: string
  /** On a monotonic clock, in milliseconds. */
  readonly atMs: number
}

/** How one request is answered. */
export type Reply =
  | { readonly kind: 'ok' }
  | { readonly kind: 'partial'; readonly rejected: number | bigint; readonly message: string }
  /** gRPC: any status, with RetryInfo, or with `details` as they stand in `grpc-status-details-bin`. */
  | {
      readonly kind: 'status'
      readonly code: number
      readonly message?: string
      readonly retryDelayMs?: number
      readonly details?: Uint8Array
    }
  /** HTTP: any status. Over gRPC it is what a proxy would say; that takes `raw`. */
  | {
      readonly kind: 'http'
      readonly status: number
      readonly headers?: Readonly<Record<string, string>>
      readonly body?: Uint8Array | string
    }
  | { readonly kind: 'hang' }
  /** The connection is cut without an answer; over gRPC with `raw` only. */
  | { readonly kind: 'reset' }
  /** Success, with a body that is no message. */
  | { readonly kind: 'garbage'; readonly compressed?: boolean }
  /** Success, with a body of so many bytes. */
  | { readonly kind: 'huge'; readonly bytes: number }
  /** Success, with a small compressed body that becomes so many bytes; over gRPC with `raw` only. */
  | { readonly kind: 'bomb'; readonly bytes: number }

export type Script = (request: Recorded, index: number) => Reply | Promise<Reply>

export interface BackendOptions {
  readonly script?: Script
  /** Larger messages are refused, as backends do: 413, and RESOURCE_EXHAUSTED. */
  readonly maxBytes?: number
  readonly tls?: { readonly cert: string; readonly key: string; readonly clientCa?: string }
  /** gRPC by a bare HTTP/2 server, which can do what a well-made one does not, instead of by grpc-js. */
  readonly raw?: boolean
  /** False: `requests` stays empty, however long it runs. */
  readonly keep?: boolean
  /** Ports to listen on again; free ones unless told. */
  readonly grpcPort?: number
  readonly httpPort?: number
}

export interface Backend {
  /** `host:port`. */
  readonly grpc: string
  readonly grpcPort: number
  /** A URL without a path. */
  readonly http: string
  readonly httpPort: number
  readonly requests: readonly Recorded[]
  /** May be changed at any time. */
  script: Script
  /** Resolves when that many requests have come in since the start. */
  received(count: number): Promise<void>
  stop(): Promise<void>
}

/** What a server of either transport hands over, and how it is told to answer. */
export type Handle = (request: Omit<Recorded, 'atMs' | 'signal'>) => Promise<Reply>

const HOST = '127.0.0.1'
const SIGNAL_OF: Readonly<Record<string, Signal>> = {
  '/v1/traces': 'traces',
  '/v1/metrics': 'metrics',
  '/v1/logs': 'logs',
  '/opentelemetry.proto.collector.trace.v1.TraceService/Export': 'traces',
  '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export': 'metrics',
  '/opentelemetry.proto.collector.logs.v1.LogsService/Export': 'logs',
}

export async function startBackend(options: BackendOptions = {}): Promise<Backend> {
  const requests: Recorded[] = []
  const waiting = new Set<() => void>()
  let count = 0
  const handle: Handle = async request => {
    const recorded = { ...request, signal: SIGNAL_OF[request.path] ?? null, atMs: performance.now() }
    const index = count++
    if (options.keep !== false) requests.push(recorded)
    for (const wake of waiting) wake()
    return backend.script(recorded, index)
  }
  const grpc = await startGrpc(handle, options)
  const http = await startHttp(handle, options)
  const backend: Backend = {
    grpc: `${HOST}:${grpc.port}`,
    grpcPort: grpc.port,
    http: `${options.tls === undefined ? 'http' : 'https'}://${HOST}:${http.port}`,
    httpPort: http.port,
    requests,
    script: options.script ?? (() => ({ kind: 'ok' })),
    received(wanted) {
      return new Promise(resolve => {
        const wake = () => {
          if (count < wanted) return
          waiting.delete(wake)
          resolve()
        }
        waiting.add(wake)
        wake()
      })
    },
    async stop() {
      await Promise.all([grpc.stop(), http.stop()])
    },
  }
  return backend
}

/** An Export response with a partial success. */
export const partialSuccess = (rejected: number | bigint, message: string): Uint8Array =>
  delimited(1, concat([varintField(1, rejected), delimited(2, message)]))

/** The message of a success of this kind, before compression. */
export function messageOf(reply: Reply): Uint8Array {
  if (reply.kind === 'partial') return partialSuccess(reply.rejected, reply.message)
  if (reply.kind === 'garbage') return Buffer.from('\xff\xff\xff this is not a message', 'latin1')
  if (reply.kind === 'huge' || reply.kind === 'bomb') return Buffer.alloc(reply.bytes)
  return new Uint8Array(0)
}

/** Closes a server and every connection to it. */
export function closer(server: NetServer) {
  const sockets = new Set<Socket>()
  const track = (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  }
  server.on('connection', track)
  return () =>
    new Promise<void>(resolve => {
      server.close(() => resolve())
      for (const socket of sockets) socket.destroy()
    })
}

async function startHttp(handle: Handle, { tls, maxBytes, httpPort = 0 }: BackendOptions) {
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    request.on('error', () => {})
    response.on('error', () => {})
    void answerHttp(handle, request, response, maxBytes ?? Number.POSITIVE_INFINITY)
  }
  const secure = tls && {
    cert: tls.cert,
    key: tls.key,
    ...(tls.clientCa && { ca: tls.clientCa, requestCert: true }),
  }
  const server = secure === undefined ? createHttpServer(answer) : createHttpsServer(secure, answer)
  const stop = closer(server)
  server.on('tlsClientError', () => {})
  await new Promise<void>(resolve => server.listen(httpPort, HOST, resolve))
  return { port: (server.address() as AddressInfo).port, stop }
}

async function answerHttp(
  handle: Handle,
  request: IncomingMessage,
  response: ServerResponse,
  maxBytes: number,
) {
  const chunks: Buffer[] = []
  try {
    for await (const chunk of request) chunks.push(chunk)
  } catch {
    return
  }
  const body = Buffer.concat(chunks)
  const bytes = request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body
  const headers = Object.fromEntries(
    Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
  )
  const { remotePort = 0 } = request.socket
  const reply = await handle({
    protocol: 'http',
    path: request.url ?? '',
    headers,
    bytes,
    wireBytes: body.length,
    connection: String(remotePort),
  })
  const type = headers['content-type'] ?? 'application/x-protobuf'
  if (bytes.length > maxBytes) return response.writeHead(413, { 'content-type': type }).end()
  switch (reply.kind) {
    case 'hang':
      return
    case 'reset':
      return request.socket.resetAndDestroy()
    case 'status':
      return response.writeHead(500).end(`no HTTP for gRPC status ${reply.code}`)
    case 'http':
      return response.writeHead(reply.status, { 'content-type': type, ...reply.headers }).end(reply.body)
    case 'bomb':
      response.writeHead(200, { 'content-type': type, 'content-encoding': 'gzip' })
      return response.end(gzipSync(messageOf(reply)))
    case 'garbage':
      response.writeHead(200, {
        'content-type': type,
        ...(reply.compressed && { 'content-encoding': 'gzip' }),
      })
      return response.end(messageOf(reply))
    default:
      response.writeHead(200, { 'content-type': type })
      return response.end(type.includes('json') ? jsonOf(reply) : messageOf(reply))
  }
}

function jsonOf(reply: Reply): string {
  if (reply.kind === 'huge') return `{"x":"${'x'.repeat(reply.bytes)}"}`
  if (reply.kind !== 'partial') return '{}'
  // One of the three names is the signal's own; the others are ignored as any unknown key.
  const rejected = String(reply.rejected)
  const counts = { rejectedSpans: rejected, rejectedDataPoints: rejected, rejectedLogRecords: rejected }
  return JSON.stringify({ partialSuccess: { ...counts, errorMessage: reply.message } })
}
