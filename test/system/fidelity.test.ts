//! The law of fidelity through real sockets: what is forwarded equals what came in, but for what Otlier adds.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startBackend } from '../kit/backend.ts'
import { GrpcClient, httpCall, JSON_TYPE } from '../kit/client.ts'
import { decodeRequest } from '../kit/messages.ts'
import { oddRequest, plainRequest, tracesRequest } from '../kit/odd.ts'
import { startService, toGrpc } from '../kit/otlier.ts'
import { forSeedsAsync, int, pick, seeded } from '../kit/random.ts'
import { withSlowCall } from '../kit/slow.ts'
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
  // While a request is on its way, those behind it wait, and leave together.
  backend.script = async () => {
    await new Promise(resolve => setTimeout(resolve, 20))
    return { kind: 'ok' }
  }
  let sent = 0
  let arrived = 0
  await forSeedsAsync(25, async random => {
    const requests = Array.from({ length: 8 }, () => {
      const signal = pick(random, ['traces', 'metrics', 'logs'] as const)
      return { signal, bytes: oddRequest(random, signal, 1 + int(random, 10), { huge: false }) }
    })
    const compared = await compare(client, backend, requests)
    sent += compared.requests
    arrived += compared.arrived
  })
  expect(arrived).toBeLessThan(sent)
})

/** An operation, and what is learned of it: some 20 ms. */
const SHOP = { service: 'shop', operation: 'GET /marked' }
const startMs = Date.now() - 1_200_000
const history = () =>
  plainRequest(seeded(2), {
    services: [SHOP.service],
    operations: [SHOP.operation],
    spans: 2000,
    startNs: BigInt(startMs) * 1_000_000n,
    overMs: 1_100_000,
    errors: 0,
  })
const callAt = (at: number, durationNs: bigint) => ({
  ...SHOP,
  startNs: BigInt(startMs + 1_140_000 + at) * 1_000_000n,
  durationNs,
})
const traces = (requests: readonly Uint8Array[]) =>
  requests.map(bytes => ({ signal: 'traces' as const, bytes }))

test('a marked request is the request plus its marks, byte for byte', async () => {
  const slow = Array.from({ length: 10 }, (_, at) => {
    const { service, operation, startNs, durationNs } = callAt(
      at,
      at % 3 === 0 ? 9_000_000_000n : 20_000_000n,
    )
    const span = { name: operation, kind: 'server' as const, startNs, durationNs: Number(durationNs) }
    return tracesRequest([{ service, spans: [span] }])
  })
  const compared = await compare(client, backend, traces([history(), ...slow]))
  expect(compared.marks).toBeGreaterThanOrEqual(4)
})

test('and so is an odd one, wherever in it the slow span stands', async () => {
  await compare(client, backend, traces([history()]))
  await forSeedsAsync(1, async random => {
    const odd = Array.from({ length: 100 }, (_, at) => {
      const bytes = oddRequest(random, 'traces', 1 + int(random, 10), { huge: false })
      return withSlowCall(random, bytes, callAt(at, 9_000_000_000n))
    })
    // A span that came with a mark keeps that one alone.
    expect((await compare(client, backend, traces(odd))).marks).toBeGreaterThan(50)
  })
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
