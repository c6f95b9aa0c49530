//! The law of fidelity through real sockets: what is forwarded equals what came in, but for what Otlier adds.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startBackend } from '../kit/backend.ts'
import { GrpcClient, httpCall, JSON_TYPE } from '../kit/client.ts'
import { decodeRequest } from '../kit/messages.ts'
import { oddRequest, plainRequest, tracesRequest } from '../kit/odd.ts'
import { startService, toGrpc } from '../kit/otlier.ts'
import { forSeedsAsync, int, pick, seeded } from '../kit/random.ts'
import { toJson } from '../oracle/json.ts'
import { meaningOf } from '../oracle/meaning.ts'
import { compare } from './fidelity.ts'

let backend: Awaited<ReturnType<typeof startBackend>>
let service: Awaited<ReturnType<typeof startService>>
let client: GrpcClient

// A service of its own for each: Otlier's events of one test would arrive during the next.
beforeEach(async () => {
  backend = await startBackend()
  service = await startService(toGrpc(backend.grpc))
  client = new GrpcClient(service.grpcPort)
})
afterEach(async () => {
  client.session.close()
  await service.stop()
  await backend.stop()
})

test('odd requests of every signal arrive as the same bytes, merged ones as their concatenation', async () => {
  let arrived = 0
  await forSeedsAsync(25, async random => {
    const requests = Array.from({ length: 8 }, () => {
      const signal = pick(random, ['traces', 'metrics', 'logs'] as const)
      return { signal, bytes: oddRequest(random, signal, 1 + int(random, 10), { huge: false }) }
    })
    arrived += (await compare(client, backend, requests)).arrived
  })
  expect(arrived).toBeGreaterThan(0)
})

test('a marked request is the request plus its marks, byte for byte', async () => {
  const random = seeded(2)
  const endMs = Date.now()
  const operation = 'GET /marked'
  const history = plainRequest(random, {
    services: ['shop'],
    operations: [operation],
    spans: 2000,
    startNs: BigInt(endMs - 1_200_000) * 1_000_000n,
    overMs: 1_100_000,
    errors: 0,
  })
  const slow = Array.from({ length: 10 }, (_, at) =>
    tracesRequest([
      {
        service: 'shop',
        spans: [
          {
            name: operation,
            kind: 'server',
            startNs: BigInt(endMs - 60_000 + at) * 1_000_000n,
            durationNs: at % 3 === 0 ? 9e9 : 2e7,
          },
        ],
      },
    ]),
  )
  const compared = await compare(
    client,
    backend,
    [history, ...slow].map(bytes => ({ signal: 'traces' as const, bytes })),
  )
  expect(compared.marks).toBeGreaterThanOrEqual(4)
})

test('JSON that comes in leaves as the same messages', async () => {
  await forSeedsAsync(20, async random => {
    const signal = pick(random, ['traces', 'metrics', 'logs'] as const)
    const bytes = plainOf(random, signal)
    const before = backend.requests.length
    const reply = await httpCall({
      port: service.httpPort,
      path: `/v1/${signal}`,
      headers: JSON_TYPE,
      body: Buffer.from(toJson(signal, bytes)),
    })
    expect(reply.status).toBe(200)
    await backend.received(before + 1)
    expect(meaningOf(signal, backend.requests[before].bytes)).toEqual(meaningOf(signal, bytes))
  })
})

const plainOf = (random: () => number, signal: 'traces' | 'metrics' | 'logs') =>
  oddRequest(random, signal, 1 + int(random, 5), {
    wildness: 0,
    deepest: 20,
    invalidText: false,
    huge: false,
    sentMarks: false,
  })

test('a request larger than the batch limit arrives in parts that hold the same items in order', async () => {
  const random = seeded(9)
  const bytes = plainRequest(random, {
    spans: 40_000,
    startNs: BigInt(Date.now() - 60_000) * 1_000_000n,
    errors: 0,
  })
  expect(bytes.length).toBeGreaterThan(4 * 2 ** 20)
  const before = backend.requests.length
  expect((await client.export('traces', bytes)).code).toBe(0)
  await backend.received(before + 2)
  await new Promise(resolve => setTimeout(resolve, 200))
  const parts = backend.requests.slice(before).filter(request => request.signal === 'traces')
  expect(parts.length).toBeGreaterThan(1)
  for (const part of parts) expect(part.bytes.length).toBeLessThanOrEqual(3.5 * 2 ** 20)
  const ids = (request: Uint8Array): string[] =>
    decodeRequest('traces', request).resource_spans.flatMap(
      (resource: { scope_spans: { spans: { span_id: string }[] }[] }) =>
        resource.scope_spans.flatMap(scope => scope.spans.map(span => span.span_id)),
    )
  expect(parts.flatMap(part => ids(part.bytes))).toEqual(ids(bytes))
})
