//! The gRPC side of the recording backend: by grpc-js, or by a bare HTTP/2 server for what grpc-js does not do.
import {
  createSecureServer,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import { gunzipSync, gzipSync } from 'node:zlib'
import * as grpc from '@grpc/grpc-js'
import { concat, delimited, varintField } from '../oracle/bytes.ts'
import { type BackendOptions, closer, type Handle, messageOf, type Reply } from './backend.ts'

const HOST = '127.0.0.1'
const SERVICES = ['trace.v1.TraceService', 'metrics.v1.MetricsService', 'logs.v1.LogsService']

export function startGrpc(handle: Handle, options: BackendOptions) {
  return options.raw ? startRaw(handle, options) : startGrpcJs(handle, options)
}

/** google.rpc.Status with RetryInfo, as it stands in `grpc-status-details-bin`. */
export function retryInfo(code: number, delayMs: number): Uint8Array {
  const delay = concat([varintField(1, Math.floor(delayMs / 1000)), varintField(2, (delayMs % 1000) * 1e6)])
  const any = concat([
    delimited(1, 'type.googleapis.com/google.rpc.RetryInfo'),
    delimited(2, delimited(1, delay)),
  ])
  return concat([varintField(1, code), delimited(2, 'come again'), delimited(3, any)])
}

const detailsOf = (reply: Reply & { kind: 'status' }) =>
  reply.details ?? (reply.retryDelayMs === undefined ? undefined : retryInfo(reply.code, reply.retryDelayMs))

async function startGrpcJs(handle: Handle, { tls, maxBytes, grpcPort = 0 }: BackendOptions) {
  const server = new grpc.Server({
    'grpc.max_receive_message_length': maxBytes ?? -1,
    'grpc.enable_channelz': 0,
  })
  const asIs = (bytes: Buffer) => bytes
  for (const name of SERVICES) {
    const path = `/opentelemetry.proto.collector.${name}/Export`
    const method = {
      path,
      requestStream: false,
      responseStream: false,
      requestSerialize: asIs,
      requestDeserialize: asIs,
      responseSerialize: asIs,
      responseDeserialize: asIs,
    }
    const serve: grpc.handleUnaryCall<Buffer, Buffer> = async (call, answer) => {
      const headers = Object.fromEntries(
        Object.entries(call.metadata.getMap()).map(([key, value]) => [key, String(value)]),
      )
      const bytes = call.request
      const reply = await handle({
        protocol: 'grpc',
        path,
        headers,
        bytes,
        wireBytes: bytes.length,
        connection: call.getPeer(),
      })
      if (reply.kind === 'hang') return
      if (reply.kind === 'reset' || reply.kind === 'bomb' || reply.kind === 'http') {
        throw new Error(`a reply of kind ${reply.kind} over gRPC takes a raw backend`)
      }
      if (reply.kind !== 'status') return answer(null, Buffer.from(messageOf(reply)))
      const metadata = new grpc.Metadata()
      const details = detailsOf(reply)
      if (details !== undefined) metadata.set('grpc-status-details-bin', Buffer.from(details))
      answer({ code: reply.code, details: reply.message ?? 'scripted', metadata })
    }
    server.addService({ Export: method }, { Export: serve })
  }
  const credentials =
    tls === undefined
      ? grpc.ServerCredentials.createInsecure()
      : grpc.ServerCredentials.createSsl(
          tls.clientCa === undefined ? null : Buffer.from(tls.clientCa),
          [{ cert_chain: Buffer.from(tls.cert), private_key: Buffer.from(tls.key) }],
          tls.clientCa !== undefined,
        )
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync(`${HOST}:${grpcPort}`, credentials, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  )
  return { port, stop: async () => server.forceShutdown() }
}

async function startRaw(handle: Handle, { tls, maxBytes, grpcPort = 0 }: BackendOptions) {
  // Huge replies stay in the session's memory when the client goes away from them.
  const limits = { maxSessionMemory: 10_000 }
  const server: Http2Server =
    tls === undefined ? createServer(limits) : createSecureServer({ ...limits, cert: tls.cert, key: tls.key })
  const stop = closer(server)
  server.on('sessionError', () => {})
  server.on('session', session => session.on('error', () => {}))
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on('error', () => {})
    void answerRaw(handle, stream, headers, maxBytes ?? Number.POSITIVE_INFINITY)
  })
  await new Promise<void>(resolve => server.listen(grpcPort, HOST, resolve))
  return { port: (server.address() as AddressInfo).port, stop }
}

async function answerRaw(
  handle: Handle,
  stream: ServerHttp2Stream,
  received: IncomingHttpHeaders,
  maxBytes: number,
) {
  const chunks: Buffer[] = []
  try {
    for await (const chunk of stream) chunks.push(chunk)
  } catch {
    return
  }
  const body = Buffer.concat(chunks)
  if (body.length < 5) return stream.close()
  const bytes = body[0] === 1 ? gunzipSync(body.subarray(5)) : body.subarray(5)
  const headers = Object.fromEntries(Object.entries(received).map(([name, value]) => [name, String(value)]))
  const connection = String(stream.session?.socket.remotePort)
  const wireBytes = body.length - 5
  const reply = await handle({
    protocol: 'grpc',
    path: headers[':path'],
    headers,
    bytes,
    wireBytes,
    connection,
  })
  if (stream.destroyed) return
  if (bytes.length > maxBytes)
    return sendStatus(stream, { kind: 'status', code: 8, message: 'message larger than max' })
  if (reply.kind === 'hang') return
  if (reply.kind === 'reset') return void stream.session?.destroy()
  if (reply.kind === 'status') return sendStatus(stream, reply)
  if (reply.kind === 'http') {
    stream.respond({ ':status': reply.status, 'content-type': 'text/html', ...reply.headers })
    return void stream.end(reply.body)
  }
  const squeezed = reply.kind === 'bomb' || (reply.kind === 'garbage' && reply.compressed === true)
  const content = reply.kind === 'bomb' ? gzipSync(messageOf(reply)) : messageOf(reply)
  stream.respond(
    { ':status': 200, 'content-type': 'application/grpc', ...(squeezed && { 'grpc-encoding': 'gzip' }) },
    { waitForTrailers: true },
  )
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
  const prefix = Buffer.alloc(5)
  prefix[0] = squeezed ? 1 : 0
  prefix.writeUInt32BE(content.length, 1)
  stream.end(Buffer.concat([prefix, content]))
}

function sendStatus(stream: ServerHttp2Stream, reply: Reply & { kind: 'status' }) {
  const details = detailsOf(reply)
  stream.respond(
    {
      ':status': 200,
      'content-type': 'application/grpc',
      'grpc-status': String(reply.code),
      'grpc-message': encodeURIComponent(reply.message ?? 'scripted'),
      ...(details !== undefined && {
        'grpc-status-details-bin': Buffer.from(details).toString('base64').replace(/=+$/, ''),
      }),
    },
    { endStream: true },
  )
}
