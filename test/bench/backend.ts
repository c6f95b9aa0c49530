//! The backend of the service bench: takes every OTLP request over gRPC, answers success, and counts what came.
import { createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { check } from '../../src/wire/check.ts'

const PREFIX_BYTES = 5
const MARK = Buffer.from('otlier.anomaly.detected')
const EMPTY_REPLY = Buffer.alloc(PREFIX_BYTES)

export interface Received {
  requests: number
  bytes: number
  spans: number
  marked: number
  /** Requests that are not whole, or of broken framing. */
  broken: number
}

const received: Received = { requests: 0, bytes: 0, spans: 0, marked: 0, broken: 0 }

const server = createServer({ settings: { initialWindowSize: 2 ** 20 } })
server.on('session', session => {
  session.setLocalWindowSize(2 ** 24)
  session.on('error', () => {})
})
server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
  const chunks: Buffer[] = []
  stream.on('error', () => {})
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  stream.on('end', () => {
    if (headers[':path']?.includes('TraceService')) count(Buffer.concat(chunks))
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
    stream.end(EMPTY_REPLY)
  })
})

function count(body: Buffer) {
  const message = body.subarray(PREFIX_BYTES)
  const spans = check('traces', message)
  received.requests++
  received.bytes += message.length
  if (spans < 0 || body.readUInt32BE(1) !== message.length) received.broken++
  else received.spans += spans
  for (let at = message.indexOf(MARK); at >= 0; at = message.indexOf(MARK, at + MARK.length))
    received.marked++
}

process.on('message', message => {
  if (message === 'received') process.send?.(received)
})
server.listen(0, '127.0.0.1', () => console.log(`port ${(server.address() as AddressInfo).port}`))
