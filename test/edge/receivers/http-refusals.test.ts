//! The rows of A3 about refusals over HTTP: each has its status, and google.rpc.Status as its body.
import { deflateSync, gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { FAILURES, Failure, type FailureCode } from '../../../src/base/errors.ts'
import { ACCEPTED, type Outcome } from '../../../src/flow/sink.ts'
import { httpCall, JSON_TYPE, PROTOBUF, rawCall, statusOf } from '../../kit/client.ts'
import { tracesRequest } from '../../kit/odd.ts'
import { type StartOptions, startReceiver } from '../../kit/receivers.ts'
import { checkingSink, recordingSink } from '../../kit/sinks.ts'

const REQUEST = tracesRequest([{ service: 'shop', spans: [{ name: 'GET /', startNs: 5n, durationNs: 7 }] }])
const FORMS = [PROTOBUF, JSON_TYPE] as const

async function serve(answer: () => Outcome = () => ACCEPTED, options?: StartOptions) {
  const sink = recordingSink(answer)
  const { port, admission } = await startReceiver('http', checkingSink(sink), options)
  return { port, admission, batches: sink.batches }
}

test('H9 the body of every refusal is google.rpc.Status in the form of the request, JSON where it had none', async () => {
  const busy: Outcome = { kind: 'busy', retryAfterMs: 2500, cause: new Failure('OTLIER_QUEUE_FULL') }
  const { port } = await serve(() => busy, { maxRecvBytes: 1000 })
  for (const form of FORMS) {
    const type = form['content-type']
    const body = type === 'application/json' ? '{}' : ''
    const cases = [
      [404, 12, { path: '/nowhere', headers: form, body }],
      [405, 12, { method: 'PUT', headers: form, body }],
      [400, 12, { headers: { ...form, 'content-encoding': 'snappy' }, body }],
      [400, 3, { headers: form, body: 'x' }],
      [413, 8, { headers: form, body: 'x'.repeat(1001) }],
      [400, 9, { headers: { ...form, 'otlier-via': 'self' }, body }],
      [503, 14, { headers: form, body }],
    ] as const
    for (const [status, code, call] of cases) {
      const reply = await httpCall({ port, ...call })
      expect([reply.status, reply.headers['content-type'], statusOf(reply).code]).toEqual([
        status,
        type,
        code,
      ])
      expect(statusOf(reply).message).toMatch(/^[A-Z].*\.$/)
    }
  }
  for (const type of [undefined, 'text/plain', 'application/x-protobuf-2', 'application/jsonp']) {
    const reply = await httpCall({
      port,
      headers: type === undefined ? {} : { 'content-type': type },
      body: 'x',
    })
    expect([reply.status, reply.headers['content-type'], statusOf(reply).code]).toEqual([
      415,
      'application/json',
      3,
    ])
  }
})

test('H9 what is not HTTP gets a Status too', async () => {
  const { port } = await serve()
  const bodyOf = (text: string) => JSON.parse(text.slice(text.indexOf('\r\n\r\n') + 4))
  const garbage = await rawCall(port, ['no request at all\r\n\r\n'])
  expect(garbage).toMatch(/^HTTP\/1.1 400 Bad Request\r\n/)
  expect(bodyOf(garbage)).toMatchObject({ code: 3, message: 'Bad Request' })
  const long = await rawCall(port, [`GET / HTTP/1.1\r\nhost: a\r\nlong: ${'x'.repeat(20_000)}\r\n\r\n`])
  expect(long).toMatch(/^HTTP\/1.1 431 /)
  expect(bodyOf(long)).toMatchObject({ code: 3 })
  const badChunk =
    'POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n'
  expect(await rawCall(port, [badChunk])).toMatch(/^HTTP\/1.1 400 /)
  expect((await httpCall({ port, headers: PROTOBUF, body: REQUEST })).status).toBe(200)
})

test('H10 what cannot be decoded is 400 with BadRequest', async () => {
  const { port, batches } = await serve()
  const bad = [
    [PROTOBUF, Buffer.from('garbage')],
    [PROTOBUF, REQUEST.subarray(0, REQUEST.length - 1)],
    // resource_spans as a varint.
    [PROTOBUF, Buffer.from([0x08, 0x01])],
    [JSON_TYPE, '{"resourceSpans":'],
    [JSON_TYPE, '{"resourceSpans":7}'],
    [JSON_TYPE, ''],
    [{ ...PROTOBUF, 'content-encoding': 'gzip' }, 'no gzip'],
    [{ ...PROTOBUF, 'content-encoding': 'gzip' }, gzipSync(REQUEST).subarray(0, 30)],
    [{ ...JSON_TYPE, 'content-encoding': 'zstd' }, 'no zstd'],
    [
      { ...PROTOBUF, 'content-encoding': 'deflate' },
      Buffer.concat([deflateSync(REQUEST), Buffer.from('more')]),
    ],
  ] as const
  for (const [headers, body] of bad) {
    const reply = await httpCall({ port, headers, body })
    const { code, violations } = statusOf(reply)
    expect([reply.status, code, violations?.length]).toEqual([400, 3, 1])
  }
  expect(batches).toEqual([])
})

// What the Collector makes of a gRPC code over HTTP.
const COLLECTOR: Readonly<Record<number, number>> = {
  1: 503,
  3: 400,
  4: 503,
  7: 403,
  8: 429,
  10: 503,
  11: 503,
  12: 404,
  14: 503,
  15: 503,
  16: 401,
}
// Where HTTP has a better word, which OTLP asks for or every client knows. None of them may be retried, and none is transient.
const BETTER: Partial<Record<FailureCode, number>> = {
  OTLIER_TOO_LARGE: 413,
  OTLIER_DESTINATION_TOO_LARGE: 413,
  OTLIER_ENCODING: 400,
  OTLIER_CONTENT_TYPE: 415,
  OTLIER_METHOD: 405,
  OTLIER_LOOP: 400,
  OTLIER_RECEIVE_TIMEOUT: 503,
}

test('H12 every failure has the HTTP status that the Collector gives its gRPC code, or a better one', async () => {
  for (const [code, row] of Object.entries(FAILURES) as [FailureCode, { http: number; grpc: number }][]) {
    expect([code, row.http]).toEqual([code, BETTER[code] ?? COLLECTOR[row.grpc] ?? 500])
    const { port } = await serve(() => ({ kind: 'refused', cause: new Failure(code) }))
    const reply = await httpCall({ port, headers: PROTOBUF, body: REQUEST })
    expect([reply.status, statusOf(reply).code]).toEqual([row.http, row.grpc])
  }
})

test('H12 a transient state is never final, whatever caused it', async () => {
  for (const code of Object.keys(FAILURES) as FailureCode[]) {
    const { port } = await serve(() => ({ kind: 'busy', retryAfterMs: 1200, cause: new Failure(code) }))
    const reply = await httpCall({ port, headers: PROTOBUF, body: REQUEST })
    expect([429, 502, 503, 504]).toContain(reply.status)
    expect([1, 4, 10, 11, 14, 15]).toContain(statusOf(reply).code)
    expect([reply.headers['retry-after'], statusOf(reply).retryMs]).toEqual(['2', 1200])
  }
})

test('H12 a receiver that fails itself answers 500, and serves the next', async () => {
  let calls = 0
  const { port } = await serve(() => {
    if (++calls === 1) throw new TypeError('a bug')
    return ACCEPTED
  })
  const first = await httpCall({ port, headers: PROTOBUF, body: REQUEST })
  expect([first.status, statusOf(first).code, statusOf(first).message]).toEqual([
    500,
    13,
    FAILURES.OTLIER_INTERNAL.text,
  ])
  expect((await httpCall({ port, headers: PROTOBUF, body: REQUEST })).status).toBe(200)
})

test('H13 only POST is taken: 405 with Allow', async () => {
  const { port } = await serve()
  for (const method of ['GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
    const reply = await httpCall({ port, method, headers: PROTOBUF })
    expect([reply.status, reply.headers.allow, statusOf(reply).code]).toEqual([405, 'POST', 12])
  }
  expect((await httpCall({ port, method: 'HEAD', headers: PROTOBUF })).status).toBe(405)
})

test('H13 a wrong or missing Content-Type is 415, an unknown Content-Encoding 400 that names what is known', async () => {
  const { port, batches } = await serve()
  expect((await httpCall({ port, headers: {}, body: REQUEST })).status).toBe(415)
  expect(
    (await httpCall({ port, headers: { 'content-type': 'application/grpc' }, body: REQUEST })).status,
  ).toBe(415)
  for (const encoding of ['br', 'garbage', 'gzip, gzip']) {
    const reply = await httpCall({
      port,
      headers: { ...PROTOBUF, 'content-encoding': encoding },
      body: REQUEST,
    })
    expect([reply.status, statusOf(reply).message]).toEqual([400, expect.stringContaining('gzip,zstd')])
  }
  expect(batches).toEqual([])
})
