//! The rows of A3, OTLP/HTTP on the server, on sockets.
import { Agent } from 'node:http'
import * as http2 from 'node:http2'
import { deflateSync, gzipSync } from 'node:zlib'
import { expect, onTestFinished, test } from 'vitest'
import { ACCEPTED, type Outcome, SIGNALS } from '../../../src/flow/sink.ts'
import { type HttpReply, httpCall, JSON_TYPE, PROTOBUF, rawCall, statusOf } from '../../kit/client.ts'
import { tracesRequest } from '../../kit/odd.ts'
import { type StartOptions, startReceiver } from '../../kit/receivers.ts'
import { decodeResponse } from '../../kit/replies.ts'
import { checkingSink, recordingSink } from '../../kit/sinks.ts'

const REQUEST = tracesRequest([{ service: 'shop', spans: [{ name: 'GET /', startNs: 5n, durationNs: 7 }] }])
const FORMS = [PROTOBUF, JSON_TYPE] as const

async function serve(answer: () => Outcome = () => ACCEPTED, options?: StartOptions) {
  const sink = recordingSink(answer)
  const { port, admission } = await startReceiver('http', checkingSink(sink), options)
  return { port, admission, batches: sink.batches }
}

test('H1 the three paths take POST, each its own signal', async () => {
  const { port, batches } = await serve()
  for (const signal of SIGNALS) {
    const { status } = await httpCall({ port, path: `/v1/${signal}?from=here`, headers: PROTOBUF, body: '' })
    expect(status).toBe(200)
    expect(batches.pop()?.signal).toBe(signal)
  }
  for (const path of ['/', '/v1', '/v1/traces/', '/v1/spans', '/v2/traces', '/V1/traces']) {
    expect((await httpCall({ port, path, headers: PROTOBUF, body: '' })).status).toBe(404)
  }
})

test('H2 HTTP/2 by prior knowledge works on the same port as HTTP/1.1, many requests on one connection', async () => {
  const { port, batches } = await serve()
  const session = http2.connect(`http://127.0.0.1:${port}`)
  onTestFinished(() => session.destroy())
  const post = (path: string, body: Uint8Array) =>
    new Promise<HttpReply>((resolve, reject) => {
      const stream = session.request({ ':method': 'POST', ':path': path, ...PROTOBUF })
      let headers: http2.IncomingHttpHeaders = {}
      const chunks: Buffer[] = []
      stream.on('response', seen => (headers = seen))
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('error', reject)
      stream.on('close', () =>
        resolve({
          status: Number(headers[':status']),
          headers: headers as never,
          body: Buffer.concat(chunks),
        }),
      )
      stream.end(body)
    })
  const replies = await Promise.all(Array.from({ length: 40 }, () => post('/v1/traces', REQUEST)))
  expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]))
  expect(batches.every(({ bytes }) => Buffer.compare(bytes, REQUEST) === 0)).toBe(true)
  const refused = await post('/v1/logs', Buffer.from('garbage'))
  expect([refused.status, statusOf(refused).code]).toEqual([400, 3])
  expect((await post('/nowhere', new Uint8Array(0))).status).toBe(404)
  expect((await httpCall({ port, headers: PROTOBUF, body: REQUEST })).status).toBe(200)
  expect(batches.length).toBe(41)
})

test('H3 the answer has the type of the request, without its parameters', async () => {
  const { port, batches } = await serve()
  const cases = [
    ['application/x-protobuf', 'application/x-protobuf', new Uint8Array(0)],
    ['application/json', 'application/json', '{}'],
    ['application/json; charset=utf-8', 'application/json', '{}'],
    ['Application/JSON;charset=UTF-8', 'application/json', '{}'],
    ['application/x-protobuf; v=1', 'application/x-protobuf', new Uint8Array(0)],
  ] as const
  for (const [type, answered, body] of cases) {
    const reply = await httpCall({ port, headers: { 'content-type': type }, body })
    expect([reply.status, reply.headers['content-type']]).toEqual([200, answered])
    expect(reply.body.toString()).toBe(answered === 'application/json' ? '{}' : '')
    expect(batches.pop()?.bytes.length).toBe(0)
  }
})

test('H4 protobuf and JSON are told apart by Content-Type on one port, and mean the same', async () => {
  const { port, batches } = await serve()
  const json = '{"resourceSpans":[{"schemaUrl":"u"}]}'
  const proto = Buffer.from([0x0a, 3, 0x1a, 1, 0x75])
  expect((await httpCall({ port, headers: JSON_TYPE, body: json })).status).toBe(200)
  expect((await httpCall({ port, headers: PROTOBUF, body: proto })).status).toBe(200)
  expect(batches.map(({ bytes }) => [...bytes])).toEqual([[...proto], [...proto]])
})

test('H6 gzip is understood in both forms', async () => {
  const { port, batches } = await serve()
  const coding = { 'content-encoding': 'gzip' }
  const proto = await httpCall({ port, headers: { ...PROTOBUF, ...coding }, body: gzipSync(REQUEST) })
  expect([proto.status, Buffer.compare(batches[0].bytes, REQUEST)]).toEqual([200, 0])
  const json = await httpCall({
    port,
    headers: { ...JSON_TYPE, ...coding },
    body: gzipSync('{"resourceSpans":[{}]}'),
  })
  expect([json.status, [...batches[1].bytes]]).toEqual([200, [0x0a, 0]])
})

test('H7 a Content-Length over the limit is answered 413 before a byte of the body is sent', async () => {
  const { port } = await serve(undefined, { maxRecvBytes: 1000 })
  const headers = { ...PROTOBUF, 'content-length': 1001 }
  const reply = await httpCall({ port, headers, open: true })
  expect([reply.status, statusOf(reply).code, statusOf(reply).retryMs]).toEqual([413, 8, null])
})

test('H7 a client that asks with Expect: 100-continue is told before it sends', async () => {
  const { port, batches } = await serve(undefined, { maxRecvBytes: 1000 })
  const ask = (length: number) =>
    `POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-protobuf\r\ncontent-length: ${length}\r\nexpect: 100-continue\r\n`
  expect(await rawCall(port, [`${ask(1001)}connection: close\r\n\r\n`])).toMatch(/^HTTP\/1.1 413 /)
  const taken = await rawCall(port, [`${ask(0)}connection: close\r\n\r\n`])
  expect(taken).toMatch(/^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 OK\r\n/)
  expect(batches.length).toBe(1)
})

test('H7 without a Content-Length the bytes are counted as they come', async () => {
  const { port, batches, admission } = await serve(undefined, { maxRecvBytes: 100_000 })
  const chunked = { ...PROTOBUF, 'transfer-encoding': 'chunked' }
  const most = Buffer.concat([Buffer.from([0x7a, 0x9c, 0x8d, 0x06]), new Uint8Array(99_996)])
  expect((await httpCall({ port, headers: chunked, body: most })).status).toBe(200)
  expect(Buffer.compare(batches[0].bytes, most)).toBe(0)
  const reply = await httpCall({ port, headers: chunked, body: new Uint8Array(100_001) })
  expect([reply.status, statusOf(reply).code, batches.length, admission.usedBytes]).toEqual([413, 8, 1, 0])
})

test('H7 a body that unfolds past the limit is answered 413', async () => {
  const { port } = await serve(undefined, { maxRecvBytes: 100_000 })
  for (const form of FORMS) {
    const headers = { ...form, 'content-encoding': 'gzip' }
    const reply = await httpCall({ port, headers, body: gzipSync(Buffer.alloc(200_000, ' ')) })
    expect([reply.status, statusOf(reply).code]).toEqual([413, 8])
  }
})

test('H8 success is 200 with an Export response, which says in both forms what was rejected', async () => {
  const { port } = await serve(() => ({ kind: 'accepted', rejectedItems: 3, message: 'Too "old".' }))
  const fields = { traces: 'rejectedSpans', metrics: 'rejectedDataPoints', logs: 'rejectedLogRecords' }
  for (const signal of SIGNALS) {
    const path = `/v1/${signal}`
    const proto = await httpCall({ port, path, headers: PROTOBUF, body: '' })
    expect(proto.status).toBe(200)
    expect(decodeResponse(signal, proto.body).partial).toEqual({ rejected: 3, message: 'Too "old".' })
    const json = await httpCall({ port, path, headers: JSON_TYPE, body: '{}' })
    const partialSuccess = { [fields[signal]]: '3', errorMessage: 'Too "old".' }
    expect([json.status, JSON.parse(json.body.toString())]).toEqual([200, { partialSuccess }])
  }
})

test('H16 zlib is taken for deflate; snappy and lz4 are refused as every unknown encoding', async () => {
  const { port, batches } = await serve()
  const coded = (encoding: string, body: Uint8Array) =>
    httpCall({ port, headers: { ...PROTOBUF, 'content-encoding': encoding }, body })
  expect((await coded('zlib', deflateSync(REQUEST))).status).toBe(200)
  expect(Buffer.compare(batches[0].bytes, REQUEST)).toBe(0)
  for (const encoding of ['snappy', 'lz4', 'x-snappy-framed'])
    expect((await coded(encoding, REQUEST)).status).toBe(400)
  expect(batches.length).toBe(1)
})

test('a connection is kept for the next request, after a refusal too', async () => {
  const { port } = await serve(undefined, { maxRecvBytes: 100_000 })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  onTestFinished(() => agent.destroy())
  const local = new Set<number | undefined>()
  agent.on('free', socket => local.add(socket.localPort))
  for (const body of [REQUEST, Buffer.from('garbage'), new Uint8Array(150_000), REQUEST]) {
    await httpCall({ port, headers: PROTOBUF, body, agent })
    await new Promise(resolve => setImmediate(resolve))
  }
  expect(local.size).toBe(1)
})
