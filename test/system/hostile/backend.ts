//! A backend that takes so many spans a second and no more (`rate N` changes it): what is beyond is UNAVAILABLE, with the time after which to come again.
import { createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { gunzipSync } from 'node:zlib'
import { check } from '../../../src/wire/check.ts'
import { delimited, varintField } from '../../oracle/bytes.ts'

export interface Taken {
  readonly spans: number
  readonly requests: number
  readonly refused: number
}

const PREFIX_BYTES = 5
let ratePerSecond = Number(process.argv[2])
/** With room it takes a request of any size; the spans beyond its rate are paid for by the next. */
let dueMs = 0
const taken = { spans: 0, requests: 0, refused: 0 }

const server = createServer({ settings: { initialWindowSize: 2 ** 20 } })
server.on('session', session => {
  session.setLocalWindowSize(2 ** 24)
  session.on('error', () => {})
})
server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
  const chunks: Buffer[] = []
  stream.on('error', () => {})
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  stream.on('end', () => answer(stream, headers, Buffer.concat(chunks)))
})

function answer(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, body: Buffer) {
  const message = body[0] === 1 ? gunzipSync(body.subarray(PREFIX_BYTES)) : body.subarray(PREFIX_BYTES)
  const spans = headers[':path']?.includes('TraceService') ? check('traces', message) : 0
  const waitMs = Math.ceil(dueMs - performance.now())
  const head = { ':status': 200, 'content-type': 'application/grpc' }
  if (waitMs > 0) {
    taken.refused++
    const details = Buffer.from(retryInfo(waitMs)).toString('base64')
    stream.respond({ ...head, 'grpc-status': '14', 'grpc-status-details-bin': details }, { endStream: true })
    return
  }
  dueMs = Math.max(dueMs, performance.now()) + (1000 * spans) / ratePerSecond
  taken.requests++
  taken.spans += spans
  stream.respond(head, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
  stream.end(Buffer.alloc(PREFIX_BYTES))
}

/** google.rpc.Status of code 14 with a RetryInfo. */
function retryInfo(ms: number): Uint8Array {
  const duration = [varintField(1, Math.floor(ms / 1000)), varintField(2, (ms % 1000) * 1_000_000)]
  const info = delimited(1, Buffer.concat(duration))
  const any = Buffer.concat([delimited(1, 'type.googleapis.com/google.rpc.RetryInfo'), delimited(2, info)])
  return Buffer.concat([varintField(1, 14), delimited(3, any)])
}

process.on('message', message => {
  const rate = /^rate (\d+)$/.exec(String(message))
  if (rate !== null) ratePerSecond = Number(rate[1])
  process.send?.(taken satisfies Taken)
})
server.listen(0, '127.0.0.1', () => console.log(`port ${(server.address() as AddressInfo).port}`))
