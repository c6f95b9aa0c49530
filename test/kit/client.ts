//! Raw clients for tests: gRPC on node:http2 and HTTP on node:http, which send what they are told, right or wrong.
import * as http from 'node:http'
import * as http2 from 'node:http2'
import * as https from 'node:https'
import * as net from 'node:net'
import type { Signal } from '../../src/flow/sink.ts'
import { decodeStatus, type Status } from './replies.ts'

export const METHODS = {
  traces: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
  metrics: '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export',
  logs: '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
} as const

/** A message behind its five bytes. `declared` may lie. */
export function frame(message: Uint8Array, flag = 0, declared = message.length): Buffer {
  const prefix = Buffer.alloc(5)
  prefix[0] = flag
  prefix.writeUInt32BE(declared, 1)
  return Buffer.concat([prefix, message])
}

export interface GrpcReply {
  /** Of HTTP; 0 where no headers came. */
  readonly http: number
  /** grpc-status, -1 where none came. */
  readonly code: number
  /** grpc-message, decoded. */
  readonly message: string
  /** grpc-status-details-bin, null where there is none. */
  readonly details: Status | null
  readonly headers: http2.IncomingHttpHeaders
  /** The message of the reply, without its five bytes; null where none came. */
  readonly reply: Buffer | null
  /** The code of the RST_STREAM, 0 also where the stream ended by itself; -1 where the server answered and let an open upload go on. */
  readonly reset: number
  /** How many bytes of the body had been written when the call ended. */
  readonly writtenBytes: number
}

export interface GrpcRequest {
  readonly signal?: Signal
  readonly path?: string
  /** A header set to undefined is left out. */
  readonly headers?: Record<string, string | undefined>
  /** Frames as they go on the wire, each its own write. */
  readonly body: readonly Uint8Array[]
  /** The stream stays open: no END_STREAM. */
  readonly open?: boolean
  /** Called when everything has been written. */
  onWritten?(stream: http2.ClientHttp2Stream): void
}

/** How long after its answer a server may take to reset an upload that is still open. */
const LEFT_OPEN_MS = 1000

/** One HTTP/2 connection that speaks gRPC by hand. */
export class GrpcClient {
  readonly session: http2.ClientHttp2Session
  constructor(port: number, options: http2.SecureClientSessionOptions = {}) {
    const scheme = options.ca === undefined ? 'http' : 'https'
    // What is still to be sent counts as memory of the session, and without room in it no answer is read.
    this.session = http2.connect(`${scheme}://127.0.0.1:${port}`, { maxSessionMemory: 1000, ...options })
    this.session.on('error', () => {})
  }

  /** A well-formed call. */
  export(signal: Signal, bytes: Uint8Array, headers: Record<string, string> = {}): Promise<GrpcReply> {
    return this.call({ signal, headers, body: [frame(bytes)] })
  }

  call({ signal = 'traces', path, headers, body, open, onWritten }: GrpcRequest): Promise<GrpcReply> {
    return new Promise(resolve => {
      const all: Record<string, string | undefined> = {
        ':method': 'POST',
        ':path': path ?? METHODS[signal],
        'content-type': 'application/grpc',
        te: 'trailers',
        ...headers,
      }
      for (const name of Object.keys(all)) if (all[name] === undefined) delete all[name]
      const stream = this.session.request(all, { endStream: body.length === 0 && open !== true })
      let seen: http2.IncomingHttpHeaders = {}
      let writtenBytes = 0
      const chunks: Buffer[] = []
      stream.on('response', got => (seen = { ...seen, ...got }))
      stream.on('trailers', got => (seen = { ...seen, ...got }))
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('error', () => {})
      let isLeftOpen = false
      stream.on('end', () => {
        if (open !== true) return
        setTimeout(() => {
          isLeftOpen = !stream.closed
          stream.close()
        }, LEFT_OPEN_MS).unref()
      })
      stream.on('close', () => {
        const raw = Buffer.concat(chunks)
        const details = seen['grpc-status-details-bin'] as string | undefined
        resolve({
          http: Number(seen[':status'] ?? 0),
          code: Number(seen['grpc-status'] ?? -1),
          message: decodeURIComponent(String(seen['grpc-message'] ?? '')),
          details: details === undefined ? null : decodeStatus(Buffer.from(details, 'base64')),
          headers: seen,
          reply: raw.length >= 5 ? raw.subarray(5) : null,
          reset: isLeftOpen ? -1 : stream.rstCode,
          writtenBytes,
        })
      })
      const write = async () => {
        for (const part of body) {
          await new Promise(done => stream.write(part, done))
          writtenBytes += part.length
        }
        onWritten?.(stream)
        if (open !== true && !stream.writableEnded) stream.end()
      }
      void write()
    })
  }

  close(): Promise<void> {
    return new Promise(resolve => {
      if (this.session.destroyed) return resolve()
      this.session.on('close', resolve)
      this.session.destroy()
    })
  }
}

export interface HttpReply {
  /** 0 where the connection ended without an answer. */
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly body: Buffer
}

export interface HttpRequest {
  readonly port: number
  readonly method?: string
  readonly path?: string
  readonly headers?: http.OutgoingHttpHeaders
  readonly body?: Uint8Array | string
  readonly agent?: http.Agent
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  /** The body is never ended. */
  readonly open?: boolean
}

/** One request as it is written, over HTTP/1.1. */
export function httpCall(options: HttpRequest): Promise<HttpReply> {
  const {
    port,
    method = 'POST',
    path = '/v1/traces',
    headers = {},
    body,
    agent,
    ca,
    cert,
    key,
    open,
  } = options
  return new Promise(resolve => {
    const to = { host: '127.0.0.1', port, method, path, headers, agent: agent ?? false }
    const request = ca === undefined ? http.request(to) : https.request({ ...to, ca, cert, key })
    const lost = () => resolve({ status: 0, headers: {}, body: Buffer.alloc(0) })
    request.on('error', lost)
    request.on('response', response => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', lost)
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) })
        if (open === true) request.destroy()
      })
    })
    if (open === true) {
      request.flushHeaders()
      if (body !== undefined) request.write(body)
    } else request.end(body)
  })
}

export const PROTOBUF = { 'content-type': 'application/x-protobuf' } as const
export const JSON_TYPE = { 'content-type': 'application/json' } as const

/** Bytes as they are on a TCP connection, and what `more` writes after them. Resolves with all that came back when the other side ends it. */
export function rawCall(
  port: number,
  parts: readonly (string | Uint8Array)[],
  more: (socket: net.Socket) => void = () => {},
): Promise<string> {
  return new Promise(resolve => {
    let text = ''
    const socket = net.connect(port, '127.0.0.1')
    socket.on('data', chunk => (text += chunk.toString('latin1')))
    socket.on('error', () => {})
    socket.on('close', () => resolve(text))
    for (const part of parts) socket.write(part)
    more(socket)
  })
}

/** google.rpc.Status of an answer, in whichever form it came. */
export function statusOf({ headers, body }: HttpReply): Status {
  if (headers['content-type'] === 'application/x-protobuf') return decodeStatus(body)
  if (headers['content-type'] !== 'application/json')
    throw new Error(`no Status in ${headers['content-type']}`)
  const { code, message, details } = JSON.parse(body.toString())
  if (typeof code !== 'number' || typeof message !== 'string') throw new Error(`no Status: ${body}`)
  const detail = (name: string) =>
    details.find((one: { '@type': string }) => one['@type'] === `type.googleapis.com/google.rpc.${name}`)
  const violations = detail('BadRequest')?.fieldViolations.map(
    (one: { description: string }) => one.description,
  )
  const retry = detail('RetryInfo')?.retryDelay
  return {
    code,
    message,
    retryMs: retry === undefined ? null : 1000 * Number.parseFloat(retry),
    violations: violations ?? null,
  }
}
