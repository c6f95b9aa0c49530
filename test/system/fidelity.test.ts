//! The law of fidelity through real sockets: what is forwarded equals what came in, but for what Otlier adds.
import { isDeepStrictEqual } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { SIGNALS, type Signal } from '../../src/flow/sink.ts'
import { startBackend } from '../kit/backend.ts'
import { GrpcClient, httpCall, JSON_TYPE, PROTOBUF } from '../kit/client.ts'
import { oddRequest, plainRequest, tracesRequest } from '../kit/odd.ts'
import { startService, toGrpc, toHttp } from '../kit/otlier.ts'
import { forSeedsAsync, int, pick, type Random, seeded } from '../kit/random.ts'
import { changedChild, withSlowCall } from '../kit/slow.ts'
import { concat, places, varintField } from '../oracle/bytes.ts'
import { framing } from '../oracle/framing.ts'
import { toJson } from '../oracle/json.ts'
import { linesOf } from '../oracle/lines.ts'
import { meaningOf } from '../oracle/meaning.ts'
import { compare, pass, withoutMarks } from './fidelity.ts'

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

/** The service anew, with a destination and a client that speak OTLP/HTTP. */
async function overHttp() {
  await service.stop()
  service = await startService(toHttp(backend.http))
  return {
    async export(signal: Signal, body: Uint8Array) {
      const to = { port: service.httpPort, path: `/v1/${signal}`, headers: PROTOBUF, body }
      const { status } = await httpCall(to)
      return { code: status === 200 ? 0 : status, message: '' }
    },
  }
}

test.each(['grpc', 'http'])(
  'odd requests of every signal go in and out by %s as the same bytes, merged ones as their concatenation',
  async protocol => {
    const sender = protocol === 'grpc' ? client : await overHttp()
    // While a request is on its way, those behind it wait, and leave together.
    backend.script = async () => {
      await new Promise(resolve => setTimeout(resolve, 20))
      return { kind: 'ok' }
    }
    let sent = 0
    let arrived = 0
    await forSeedsAsync(25, async random => {
      const requests = Array.from({ length: 8 }, () => {
        const signal = pick(random, SIGNALS)
        return { signal, bytes: oddRequest(random, signal, 1 + int(random, 10), { huge: false }) }
      })
      const compared = await compare(sender, backend, requests)
      sent += compared.requests
      arrived += compared.arrived
    })
    expect(arrived).toBeLessThan(sent)
    expect(new Set(backend.requests.map(request => request.protocol))).toEqual(new Set([protocol]))
  },
)

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
    const signal = pick(random, SIGNALS)
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

const plainOf = (random: () => number, signal: Signal) =>
  oddRequest(random, signal, 1 + int(random, 5), {
    wildness: 0,
    deepest: 20,
    invalidText: false,
    huge: false,
    sentMarks: false,
  })

const BATCH_MAX_BYTES = 3.5 * 2 ** 20

/** An odd request of a large scope among many small ones, one and a half times what a batch may be. */
function largeRequest(random: Random, signal: Signal): Uint8Array {
  const odd = (size: number) => oddRequest(random, signal, size, { huge: false })
  const unknown = varintField(99, 7)
  const largeScope = (scope: Uint8Array) => {
    const items = places(scope).filter(({ number, wire }) => number === 2 && wire === 2)
    const again = concat(items.map(({ start, end }) => scope.subarray(start, end)))
    if (again.length < 5000) return null
    const times = Math.ceil((1.2 * BATCH_MAX_BYTES) / again.length)
    return concat([unknown, scope, ...Array<Uint8Array>(times).fill(again)])
  }
  const large = () =>
    changedChild(random, odd(200), 1, resource => {
      const inside = changedChild(random, resource, 2, largeScope)
      return inside && concat([inside, unknown])
    })
  let drawn = large()
  while (drawn === null) drawn = large()
  const small = concat(Array.from({ length: 20 }, () => odd(10)))
  const smalls = Array<Uint8Array>(Math.ceil((0.15 * BATCH_MAX_BYTES) / small.length)).fill(small)
  return concat([...smalls, drawn, ...smalls])
}

test.each(SIGNALS)(
  '%s larger than the batch limit arrive in parts that hold the same items and envelopes in order',
  async signal => {
    await forSeedsAsync(1, async random => {
      const requests = [{ signal, bytes: largeRequest(random, signal) }]
      const [{ sent, parts }] = await pass(client, backend, requests)
      expect(parts.length).toBeGreaterThan(1)
      for (const part of parts) {
        expect(part.length).toBeLessThanOrEqual(BATCH_MAX_BYTES)
        expect(framing(signal, part).ok).toBe(true)
      }
      const joined = concat(parts)
      const both = signal === 'traces' ? withoutMarks(sent, joined) : { sent, arrived: joined }
      const wanted = linesOf(signal, both.sent)
      const lines = linesOf(signal, both.arrived)
      // Of tens of thousands of lines, one is enough to read.
      const wrong = wanted.findIndex((line, at) => !isDeepStrictEqual(line, lines[at]))
      if (wrong >= 0) expect(lines[wrong]).toEqual(wanted[wrong])
      expect(lines).toHaveLength(wanted.length)
    })
  },
)
