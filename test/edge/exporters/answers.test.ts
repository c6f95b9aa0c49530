//! How exporters class what a destination answers: the tables of the specification, and answers that are none.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Exporter } from '../../../src/flow/sink.ts'
import { type Backend, type Reply, startBackend } from '../../kit/backend.ts'
import { retryInfo } from '../../kit/backend-grpc.ts'
import { concat, delimited, varintField } from '../../oracle/bytes.ts'
import { addressOf, ask, exporterTo, requestOf, TRANSPORTS } from './scene.ts'

let backend: Backend
let raw: Backend
const grpc: { plain?: Exporter; raw?: Exporter } = {}
let http: Exporter
let json: Exporter

beforeAll(async () => {
  backend = await startBackend()
  raw = await startBackend({ raw: true })
  grpc.plain = exporterTo('otlp', backend.grpc).exporter
  grpc.raw = exporterTo('otlp', raw.grpc).exporter
  http = exporterTo('otlphttp', backend.http).exporter
  json = exporterTo('otlphttp', backend.http, { encoding: 'json' }).exporter
})
afterAll(async () => {
  await Promise.all([
    grpc.plain?.close(),
    grpc.raw?.close(),
    http.close(),
    json.close(),
    backend.stop(),
    raw.stop(),
  ])
})

async function overGrpc(reply: Reply, server: 'plain' | 'raw' = 'plain') {
  const { script } = { plain: backend, raw }[server]
  const target = server === 'plain' ? backend : raw
  target.script = () => reply
  const answer = await ask(grpc[server] as Exporter)
  target.script = script
  return answer
}

async function overHttp(reply: Reply, exporter = http) {
  backend.script = () => reply
  return ask(exporter)
}

const RETRYABLE = {
  CANCELLED: 1,
  DEADLINE_EXCEEDED: 4,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
}
const FINAL = {
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  FAILED_PRECONDITION: 9,
  INTERNAL: 13,
  UNAUTHENTICATED: 16,
}

describe.each(['plain', 'raw'] as const)('C6 gRPC status codes, from a %s server', server => {
  test.each(Object.entries(RETRYABLE))('C6 %s is asked again', async (_, code) => {
    expect(await overGrpc({ kind: 'status', code }, server)).toMatchObject({
      kind: 'busy',
      retryAfterMs: null,
    })
  })

  test.each(Object.entries(FINAL))('C6 %s is final', async (_, code) => {
    expect((await overGrpc({ kind: 'status', code }, server)).kind).toBe('refused')
  })

  test('C6 RESOURCE_EXHAUSTED is asked again only with RetryInfo; without, smaller requests may pass', async () => {
    expect((await overGrpc({ kind: 'status', code: 8 }, server)).kind).toBe('too_large')
    const withDelay = await overGrpc({ kind: 'status', code: 8, retryDelayMs: 1500 }, server)
    expect(withDelay).toMatchObject({ kind: 'busy', retryAfterMs: 1500 })
    const withZero = await overGrpc({ kind: 'status', code: 8, retryDelayMs: 0 }, server)
    expect(withZero).toMatchObject({ kind: 'busy', retryAfterMs: 0 })
  })

  test('C6 UNIMPLEMENTED means that the signal is not taken', async () => {
    expect((await overGrpc({ kind: 'status', code: 12 }, server)).kind).toBe('unsupported')
  })

  test('C6 a code that nobody has defined is final', async () => {
    expect((await overGrpc({ kind: 'status', code: 99 }, 'raw')).kind).toBe('refused')
  })

  test('C8 RetryInfo of any retryable status is handed on', async () => {
    const answer = await overGrpc({ kind: 'status', code: 14, retryDelayMs: 2345 }, server)
    expect(answer).toMatchObject({ kind: 'busy', retryAfterMs: 2345 })
  })
})

test('C6 what a proxy answers in place of a gRPC server is classed by its HTTP status', async () => {
  const kinds: Record<number, string> = {}
  for (const status of [400, 401, 403, 404, 429, 502, 503, 504, 500]) {
    kinds[status] = (await overGrpc({ kind: 'http', status, body: '<html>404 and so on</html>' }, 'raw')).kind
  }
  expect(kinds).toEqual({
    400: 'refused',
    401: 'refused',
    403: 'refused',
    404: 'unsupported',
    429: 'busy',
    502: 'busy',
    503: 'busy',
    504: 'busy',
    500: 'refused',
  })
})

test('C7 of all statuses from 400 to 599 only 429, 502, 503 and 504 are asked again; 413 asks for less, 404 for nothing', async () => {
  const kinds: Record<string, number[]> = {}
  for (let status = 400; status < 600; status++) {
    const { kind } = await overHttp({ kind: 'http', status })
    kinds[kind] = [...(kinds[kind] ?? []), status]
  }
  expect(kinds['busy']).toEqual([429, 502, 503, 504])
  expect(kinds['too_large']).toEqual([413])
  expect(kinds['unsupported']).toEqual([404])
  expect(kinds['refused']).toHaveLength(194)
})

test('C7 every 2xx is a success, and a redirect is neither followed nor asked again', async () => {
  for (const status of [200, 201, 202, 204, 299]) {
    expect(await overHttp({ kind: 'http', status })).toEqual({
      kind: 'delivered',
      rejectedItems: 0,
      message: '',
    })
  }
  const before = backend.requests.length
  for (const status of [301, 302, 307, 308]) {
    const answer = await overHttp({
      kind: 'http',
      status,
      headers: { location: `${backend.http}/elsewhere` },
    })
    expect(answer.kind).toBe('refused')
  }
  expect(backend.requests).toHaveLength(before + 4)
})

test('C7 the message of google.rpc.Status in the body is told, in either encoding', async () => {
  const body = concat([varintField(1, 3), delimited(2, 'no such tenant')])
  expect(await overHttp({ kind: 'http', status: 400, body })).toMatchObject({
    cause: { message: expect.stringContaining('no such tenant') },
  })
  const inJson = await overHttp(
    { kind: 'http', status: 400, body: '{"code":3,"message":"no such tenant"}' },
    json,
  )
  expect(inJson).toMatchObject({ cause: { message: expect.stringContaining('no such tenant') } })
})

describe('C8 Retry-After', () => {
  test('C8 in seconds', async () => {
    const answer = await overHttp({ kind: 'http', status: 429, headers: { 'retry-after': '7' } })
    expect(answer).toMatchObject({ kind: 'busy', retryAfterMs: 7000 })
  })

  test('C8 as an HTTP date, which may have passed', async () => {
    const later = await overHttp({
      kind: 'http',
      status: 503,
      headers: { 'retry-after': new Date(Date.now() + 60_000).toUTCString() },
    })
    expect(later.kind === 'busy' && later.retryAfterMs).toBeGreaterThan(55_000)
    expect(later.kind === 'busy' && later.retryAfterMs).toBeLessThanOrEqual(60_000)
    const passed = await overHttp({
      kind: 'http',
      status: 503,
      headers: { 'retry-after': 'Sun, 06 Nov 1994 08:49:37 GMT' },
    })
    expect(passed).toMatchObject({ kind: 'busy', retryAfterMs: 0 })
  })

  test.each(['', 'soon', '-1', '1.5', '2026', '99999999999999999999', 'Monday'])(
    'C8 that is nothing of the kind says nothing: %j',
    async value => {
      const answer = await overHttp({ kind: 'http', status: 503, headers: { 'retry-after': value } })
      expect(answer).toMatchObject({ kind: 'busy', retryAfterMs: value === '2026' ? 2_026_000 : null })
    },
  )
})

describe('C5 a partial success', () => {
  const reply: Reply = { kind: 'partial', rejected: 3, message: 'three were odd' }
  const delivered = { kind: 'delivered', rejectedItems: 3, message: 'three were odd' }

  test('C5 is delivered, with what was rejected, over both transports and encodings', async () => {
    expect(await overGrpc(reply)).toEqual(delivered)
    expect(await overHttp(reply)).toEqual(delivered)
    expect(await overHttp(reply, json)).toEqual(delivered)
  })

  test('C5 with a count that makes no sense is delivered all the same', async () => {
    for (const rejected of [-1n, 2n ** 63n - 1n]) {
      for (const answer of [
        await overGrpc({ ...reply, rejected }),
        await overHttp({ ...reply, rejected }),
        await overHttp({ ...reply, rejected }, json),
      ]) {
        expect(answer.kind).toBe('delivered')
        expect(answer.kind === 'delivered' && answer.rejectedItems).toBeGreaterThanOrEqual(0)
      }
    }
  })

  test('C5 with a message of a megabyte and control characters is told in one short line', async () => {
    const long: Reply = { kind: 'partial', rejected: 1, message: `\u001b[2Jbad\n${'x'.repeat(1_000_000)}` }
    for (const answer of [await overGrpc(long), await overHttp(long), await overHttp(long, json)]) {
      const { message } = answer as { message: string }
      expect(message.length).toBeLessThanOrEqual(500)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: that there are none is what is tested.
      expect(message).not.toMatch(/[\u0000-\u001f]/)
    }
  })
})

describe('C2 and C16: a success whose reply cannot be read is final, and counts as delivered', () => {
  const unreadable = {
    kind: 'delivered',
    rejectedItems: 0,
    message: expect.stringContaining('cannot be read'),
  }
  // That it was stopped, and not only that what had been read to its end was no reply.
  const tooLarge = {
    ...unreadable,
    message: expect.stringMatching(/cannot be read \(.*(exceeds|larger than)/),
  }

  test('C16 garbage, compressed or not', async () => {
    expect(await overGrpc({ kind: 'garbage' })).toEqual(unreadable)
    expect(await overGrpc({ kind: 'garbage' }, 'raw')).toEqual(unreadable)
    expect(await overGrpc({ kind: 'garbage', compressed: true }, 'raw')).toEqual(unreadable)
    expect(await overHttp({ kind: 'garbage' })).toEqual(unreadable)
    expect(await overHttp({ kind: 'garbage', compressed: true })).toEqual(unreadable)
    expect(await overHttp({ kind: 'garbage' }, json)).toEqual(unreadable)
    expect(await overHttp({ kind: 'http', status: 200, body: '[1]' }, json)).toEqual(unreadable)
    expect(
      await overHttp({ kind: 'http', status: 200, headers: { 'content-encoding': 'br' }, body: 'x' }),
    ).toEqual(unreadable)
  })

  test('C2 a reply of 100 MiB is not read to its end', async () => {
    const reply: Reply = { kind: 'huge', bytes: 100 * 2 ** 20 }
    expect(await overGrpc(reply, 'raw')).toEqual(tooLarge)
    expect(await overHttp(reply)).toEqual(tooLarge)
    expect(await overHttp({ kind: 'huge', bytes: 5 * 2 ** 20 }, json)).toEqual(tooLarge)
  })

  test('C2 a small reply that unfolds to 100 MiB is stopped at 4 MiB', async () => {
    const before = process.memoryUsage().arrayBuffers
    const reply: Reply = { kind: 'bomb', bytes: 100 * 2 ** 20 }
    expect(await overGrpc(reply, 'raw')).toEqual(tooLarge)
    expect(await overHttp(reply)).toEqual(tooLarge)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(400 * 2 ** 20)
  })

  test('C2 a reply just below the limit is read', async () => {
    const filler = { kind: 'partial', rejected: 1, message: 'x'.repeat(4 * 2 ** 20 - 100) } as const
    for (const answer of [await overGrpc(filler), await overHttp(filler)])
      expect(answer).toMatchObject({ rejectedItems: 1 })
  })

  test('C2 an error with a huge body is classed by its status', async () => {
    const body = Buffer.alloc(6 * 2 ** 20, 'x')
    expect((await overHttp({ kind: 'http', status: 503, body })).kind).toBe('busy')
    expect((await overHttp({ kind: 'http', status: 400, body })).kind).toBe('refused')
  })
})

describe('C17 grpc-status-details-bin is read with bounds', () => {
  const proper = retryInfo(14, 5000)
  const any = (content: Uint8Array, type = 'type.googleapis.com/google.rpc.RetryInfo') =>
    delimited(3, concat([delimited(1, type), delimited(2, content)]))
  const cases: Record<string, Uint8Array> = {
    'a length of 4 GiB': Uint8Array.of(0x1a, 0xff, 0xff, 0xff, 0xff, 0x0f),
    'a length of 2^63': Uint8Array.of(0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
    'a varint without an end': new Uint8Array(20).fill(0xff),
    'one byte too few': proper.subarray(0, proper.length - 1),
    'a group that never ends': new Uint8Array(3000).fill(0x1b),
    'field number 0': Uint8Array.of(0x02, 0x00),
    'bytes of another kind': Buffer.from('{"code":14}'),
    'RetryInfo that is no message': any(Uint8Array.of(0xff)),
    'a delay that is no message': any(delimited(1, Uint8Array.of(0xff, 0xff))),
    'another detail': any(delimited(1, varintField(1, 9)), 'type.googleapis.com/google.rpc.DebugInfo'),
    nothing: new Uint8Array(0),
  }

  test.each(Object.entries(cases))('C17 %s says nothing, and the code decides', async (_, details) => {
    expect(await overGrpc({ kind: 'status', code: 14, details }, 'raw')).toMatchObject({
      kind: 'busy',
      retryAfterMs: null,
    })
    expect((await overGrpc({ kind: 'status', code: 8, details }, 'raw')).kind).toBe('too_large')
  })

  test('C17 a negative delay is none, an absurd one is a number', async () => {
    const negative = any(delimited(1, varintField(1, -5n)))
    expect(await overGrpc({ kind: 'status', code: 8, details: negative }, 'raw')).toMatchObject({
      kind: 'busy',
      retryAfterMs: 0,
    })
    const absurd = any(delimited(1, varintField(1, 2n ** 62n)))
    const answer = await overGrpc({ kind: 'status', code: 8, details: absurd }, 'raw')
    expect(answer.kind === 'busy' && Number.isFinite(answer.retryAfterMs)).toBe(true)
  })

  test('C17 a thousand details are not all read', async () => {
    const details = concat([
      ...Array.from({ length: 1000 }, () => any(new Uint8Array(0), 'x')),
      any(delimited(1, varintField(1, 1))),
    ])
    expect(
      await overGrpc({ kind: 'status', code: 14, details: details.subarray(0, 9 * 1000) }, 'raw'),
    ).toMatchObject({ retryAfterMs: null })
  })

  test('C17 the next request is answered as ever', async () => {
    await overGrpc({ kind: 'status', code: 14, details: cases['a length of 4 GiB'] }, 'raw')
    expect(await overGrpc({ kind: 'ok' }, 'raw')).toMatchObject({ kind: 'delivered' })
  })
})

test.each(TRANSPORTS)('%s: a success without any oddity is delivered, for every signal', async type => {
  const { exporter } = exporterTo(type, addressOf(backend, type))
  backend.script = () => ({ kind: 'ok' })
  for (const signal of ['traces', 'metrics', 'logs'] as const) {
    const { request, bytes } = requestOf(['a1', 'a2'], signal)
    expect(await exporter.export(request)).toEqual({ kind: 'delivered', rejectedItems: 0, message: '' })
    const last = backend.requests.at(-1)
    expect(last?.signal).toBe(signal)
    expect(Buffer.compare(last?.bytes ?? new Uint8Array(0), bytes)).toBe(0)
  }
  await exporter.close()
})
