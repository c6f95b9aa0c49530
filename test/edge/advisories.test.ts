//! Advisories against peers and against what Otlier is built on, each by its number: what went wrong there goes right here.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { crc32, gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Backend, type BackendOptions, type Reply, startBackend } from '../kit/backend.ts'
import { frame, httpCall, JSON_TYPE, PROTOBUF } from '../kit/client.ts'
import { tracesRequest } from '../kit/odd.ts'
import { startService } from '../kit/otlier.ts'
import { bytes, forSeedsAsync, int } from '../kit/random.ts'
import { grpcClient, type StartOptions, startReceiver } from '../kit/receivers.ts'
import { checkingSink, recordingSink } from '../kit/sinks.ts'
import { concat, delimited } from '../oracle/bytes.ts'
import { addressOf, ask, exporterTo, TRANSPORTS } from './exporters/scene.ts'

const MIB = 2 ** 20
const EMPTY = new Uint8Array(0)
const REQUEST = tracesRequest([{ service: 'shop', spans: [{ name: 'GET /', startNs: 5n, durationNs: 7 }] }])

type Transport = 'grpc' | 'http'
type Coding = 'gzip' | 'deflate' | 'zstd' | 'snappy' | 'lz4' | 'identity'

async function serve(transport: Transport, options: StartOptions = {}) {
  const sink = recordingSink()
  const { port, admission } = await startReceiver(transport, checkingSink(sink), options)
  const client = transport === 'grpc' ? grpcClient(port) : null
  /** gRPC's code, or HTTP's status. */
  const send = async (body: Uint8Array, coding: Coding = 'identity', more: Record<string, string> = {}) => {
    if (client !== null) {
      const headers = { ...more, 'grpc-encoding': coding }
      const flag = coding === 'identity' ? 0 : 1
      return (await client.call({ headers, body: [frame(body, flag)] })).code
    }
    const headers = { ...PROTOBUF, ...more, 'content-encoding': coding }
    return (await httpCall({ port, headers, body })).status
  }
  const ok = transport === 'grpc' ? 0 : 200
  return { port, admission, sink, send, ok }
}

/** What `act` added to memory outside the heap at its highest, watched from turn to turn. */
async function growth(act: () => Promise<unknown>): Promise<number> {
  const before = process.memoryUsage().arrayBuffers
  let most = before
  let going = true
  const watch = () => {
    most = Math.max(most, process.memoryUsage().arrayBuffers)
    if (going) setImmediate(watch)
  }
  watch()
  await act()
  going = false
  return most - before
}

describe.each(['grpc', 'http'] as const)('over %s', transport => {
  test.each([
    ['CVE-2024-36129', 'gzip', () => gzipSync(Buffer.alloc(256 * MIB))],
    ['GHSA-c74f-6mfw-mm4v', 'zstd', () => zstdCompressSync(Buffer.alloc(256 * MIB))],
  ] as const)('%s a bomb in %s is stopped at the limit while it unfolds', async (_, coding, bomb) => {
    const { send, ok, sink } = await serve(transport, { maxRecvBytes: 4 * MIB })
    const packed = bomb()
    const grown = await growth(async () =>
      expect(await send(packed, coding)).toBe(transport === 'grpc' ? 8 : 413),
    )
    expect(grown).toBeLessThan(24 * MIB)
    expect([await send(REQUEST), sink.batches.length]).toEqual([ok, 1])
  })

  test('CVE-2024-37168 (GHSA-7v5v-9h63-cj86) a message over the limit is refused by its length, not taken and measured', async () => {
    const { port, admission, send, ok } = await serve(transport, { maxRecvBytes: MIB })
    const grown = await growth(async () => {
      if (transport === 'http') return void (await send(Buffer.alloc(60 * MIB)))
      const reply = await grpcClient(port).call({ body: [frame(EMPTY, 0, 2 ** 32 - 1)], open: true })
      expect([reply.code, reply.reset]).toEqual([8, 0])
    })
    expect(grown).toBeLessThan(8 * MIB + (transport === 'http' ? 60 * MIB : 0))
    expect([admission.usedBytes, await send(REQUEST)]).toEqual([0, ok])
  })

  test('collector #15252, #15237, #15320: snappy and lz4, which are not taken, are refused before a byte is unpacked', async () => {
    const { send, ok, sink } = await serve(transport)
    // A varint that promises 4 GiB, and then next to nothing.
    const promise = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0x41)
    for (const coding of ['snappy', 'lz4'] as const) {
      const grown = await growth(async () =>
        expect(await send(promise, coding)).toBe(transport === 'grpc' ? 12 : 400),
      )
      expect(grown).toBeLessThan(MIB)
    }
    expect([await send(REQUEST), sink.batches.length]).toEqual([ok, 1])
  })

  test('collector #13228: whatever a decompressor is given is taken or refused, and the next request is served', async () => {
    const { send, ok } = await serve(transport)
    const packers = { gzip: gzipSync, zstd: zstdCompressSync } as const
    await forSeedsAsync(40, async random => {
      for (const coding of ['gzip', 'zstd'] as const) {
        const packed = packers[coding](bytes(random, int(random, 4000)))
        for (let n = 0; n < 3; n++) packed[int(random, packed.length)] ^= 1 << int(random, 8)
        const cut = packed.subarray(0, int(random, packed.length + 1))
        expect([ok, transport === 'grpc' ? 3 : 400]).toContain(await send(cut, coding))
      }
    })
    expect(await send(REQUEST, 'identity')).toBe(ok)
  })

  test('collector #13954: of zstd requests at the same time, broken ones between them, each is unpacked to its own bytes', async () => {
    const { send, ok, sink } = await serve(transport)
    const requests = Array.from({ length: 60 }, (_, n) =>
      // Unknown field 15 holds bytes by which one request is known from all others.
      delimited(15, Buffer.alloc(20_000 + 37 * n, `request ${n}.`)),
    )
    const answers = await Promise.all(
      requests.flatMap((request, n) => {
        const packed = zstdCompressSync(request)
        return [
          send(packed, 'zstd'),
          n % 3 === 0 ? send(packed.subarray(0, packed.length / 2), 'zstd').then(() => ok) : ok,
        ]
      }),
    )
    expect(new Set(answers)).toEqual(new Set([ok]))
    const sums = (list: readonly Uint8Array[]) => list.map(one => crc32(one)).toSorted((a, b) => a - b)
    expect(sums(sink.batches.map(batch => batch.bytes))).toEqual(sums(requests))
  })

  test('CVE-2026-48068 (GHSA-5375-pq7m-f5r2) what is refused at once, and reset by its client meanwhile, ends nothing', async () => {
    const { port, send, ok } = await serve(transport)
    if (transport === 'grpc') {
      const malformed = [
        { headers: { 'content-type': 'text/plain' } },
        { path: '/no/method' },
        { headers: { 'grpc-timeout': 'soon' } },
        { headers: { 'grpc-encoding': 'x' } },
        { headers: { ':method': 'GET' } },
      ]
      for (const call of malformed) {
        const client = grpcClient(port)
        const calls = Array.from({ length: 20 }, () =>
          client.call({
            ...call,
            body: [frame(EMPTY, 0, MIB)],
            open: true,
            onWritten: stream => stream.close(8),
          }),
        )
        await new Promise(resolve => setImmediate(resolve))
        client.session.destroy()
        await Promise.all(calls)
      }
    } else {
      const paths = ['/nowhere', '/v1/traces', '*', '/%ff', '//[']
      const calls = paths.map(path =>
        httpCall({ port, path, headers: { 'content-type': '\u00ff' }, body: 'x' }),
      )
      for (const { status } of await Promise.all(calls)) expect([400, 404, 415]).toContain(status)
    }
    expect(await send(REQUEST)).toBe(ok)
  })

  test('CVE-2026-48069 (GHSA-99f4-grh7-6pcq) a message of garbage that calls itself gzip is refused, and nothing ends', async () => {
    const { send, ok } = await serve(transport)
    const garbage = [
      Buffer.from('no gzip'),
      EMPTY,
      Uint8Array.of(0x1f, 0x8b),
      Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xff),
    ]
    for (const body of garbage) expect(await send(body, 'gzip')).toBe(transport === 'grpc' ? 3 : 400)
    expect(await send(REQUEST)).toBe(ok)
  })

  test('grpc-js before 1.14.5: what a fault inside says does not reach a client', async () => {
    const sink = recordingSink(() => {
      throw new TypeError('the password of the database is hunter2')
    })
    const { port } = await startReceiver(transport, sink)
    const said =
      transport === 'grpc'
        ? JSON.stringify((await grpcClient(port).export('traces', REQUEST)).headers)
        : (await httpCall({ port, headers: JSON_TYPE, body: '{}' })).body.toString()
    expect(said).toContain('Otlier failed to handle the request.')
    expect(said).not.toMatch(/hunter2|password|TypeError/)
  })

  test.each(['CVE-2026-44288', 'CVE-2026-44289 (GHSA-685m-2w69-288q)', 'CVE-2026-48712'])(
    '%s nesting without end is refused without recursion, and the next request is served',
    async () => {
      const { port, send, ok } = await serve(transport)
      for (const body of [nestedValues(200_000), Buffer.alloc(200_000, 0x7b), Buffer.alloc(200_000, 0x0b)])
        expect(await send(body)).toBe(transport === 'grpc' ? 3 : 400)
      if (transport === 'http') {
        const deep = `{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"k","value":${'{"kvlistValue":{"values":[{"key":"k","value":'.repeat(200_000)}`
        expect((await httpCall({ port, headers: JSON_TYPE, body: deep })).status).toBe(400)
      }
      expect(await send(REQUEST)).toBe(ok)
    },
  )

  test('CVE-2026-44294 text with overlong UTF-8 passes as the bytes it came in', async () => {
    const { send, ok, sink } = await serve(transport)
    const name = Uint8Array.of(0xc0, 0xaf, 0xe0, 0x80, 0xaf, 0xf0, 0x80, 0x80, 0xaf, 0xed, 0xa0, 0x80)
    const request = delimited(1, delimited(2, delimited(2, delimited(5, name))))
    expect(await send(request)).toBe(ok)
    expect(sink.batches.map(batch => Buffer.compare(batch.bytes, request))).toEqual([0])
  })
})

/** An attribute whose value is a list in a list, and so on. */
function nestedValues(depth: number): Uint8Array {
  // From the inside: each level is kvlist_value (6) of values (1) with a value (2). Prefixes are collected, and turned round at the end.
  const prefixes: Uint8Array[] = []
  let length = 0
  for (let level = 0; level < depth; level++) {
    for (const tag of [0x12, 0x0a, 0x32]) {
      const prefix = delimitedPrefix(tag, length)
      prefixes.push(prefix)
      length += prefix.length
    }
  }
  // key_value of attributes (9) of a span (2) of scope_spans (2) of resource_spans (1).
  for (const tag of [0x12, 0x4a, 0x12, 0x12, 0x0a]) {
    const prefix = delimitedPrefix(tag, length)
    prefixes.push(prefix)
    length += prefix.length
  }
  return concat(prefixes.reverse())
}

function delimitedPrefix(tag: number, length: number): Uint8Array {
  const out = [tag]
  let rest = length
  for (; rest > 127; rest = Math.floor(rest / 128)) out.push((rest % 128) | 128)
  out.push(rest)
  return Uint8Array.from(out)
}

test.each(['CVE-2023-36665', 'CVE-2026-44290', 'CVE-2026-44291', 'CVE-2026-44292', 'CVE-2026-44293'])(
  '%s names such as __proto__ and constructor change nothing but the message they stand in',
  async () => {
    const { port } = await serve('http', { forwardHeaders: ['__proto__', 'constructor'] })
    const evil =
      '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"resourceSpans":[{"__proto__":{"polluted":1},"resource":{"attributes":[{"key":"__proto__","value":{"kvlistValue":{"values":[{"key":"polluted","value":{"stringValue":"1"}}]}}}]}}]}'
    const headers = { ...JSON_TYPE, ['__proto__']: 'x', constructor: 'y', prototype: 'z' }
    expect((await httpCall({ port, headers, body: evil })).status).toBe(200)
    expect((await httpCall({ port, path: '/v1/__proto__', headers, body: evil })).status).toBe(404)
    expect((await httpCall({ port, path: '__proto__', headers, body: evil })).status).not.toBe(200)
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
    expect(Object.keys(Object.prototype)).toEqual([])
  },
)

test.each([
  ['@grpc/grpc-js', [1, 14, 7], 'CVE-2024-37168, CVE-2026-48068, CVE-2026-48069'],
  [
    'protobufjs',
    [8, 6, 6],
    'CVE-2023-36665, CVE-2026-44288 to CVE-2026-44294, CVE-2026-48712, GHSA-wcpc-wj8m-hjx6, CVE-2026-59877 (GHSA-j3f2-48v5-ccww)',
  ],
] as const)('%s is at a version in which these are mended: %s %s', (name, least, _) => {
  const lock = JSON.parse(
    readFileSync(fileURLToPath(new URL('../../package-lock.json', import.meta.url)), 'utf8'),
  )
  const entry = lock.packages[`node_modules/${name}`]
  const version = String(entry.version).split('.').map(Number)
  const isAtLeast = version.map((part, at) => part - least[at]).find(difference => difference !== 0) ?? 0
  expect([entry.version, isAtLeast >= 0, entry.dev]).toEqual([entry.version, true, undefined])
})

describe('metrics', () => {
  test('CVE-2023-45142 and CVE-2023-47108 user agents, methods, paths and ports of clients make no time series', async () => {
    const service = await startService([])
    onTestFinished(() => service.stop().then(() => {}))
    const attack = async (from: number) => {
      for (let n = from; n < from + 60; n++) {
        const headers = { ...PROTOBUF, 'user-agent': `agent-${n}`, 'x-forwarded-for': `10.0.0.${n}` }
        await httpCall({ port: service.httpPort, method: `M${n}`, path: `/p${n}`, headers, body: '' })
        await httpCall({ port: service.httpPort, method: 'GET', headers: { ...headers, host: `h${n}` } })
        const client = grpcClient(service.grpcPort)
        await client.call({ path: `/s${n}/m${n}`, headers: { 'user-agent': `agent-${n}` }, body: [] })
        await client.close()
      }
    }
    await attack(0)
    const before = (await service.metrics()).size
    await attack(1000)
    expect((await service.metrics()).size).toBe(before)
  })
})

describe.each(TRANSPORTS)('a destination over %s', type => {
  const destination = async (options: BackendOptions) => {
    const backend = await startBackend(options)
    onTestFinished(() => backend.stop())
    return backend
  }
  const answer = async (backend: Backend, reply: Reply) => {
    backend.script = () => reply
    const { exporter } = exporterTo(type, addressOf(backend, type))
    onTestFinished(() => exporter.close())
    return ask(exporter)
  }

  test.each([
    ['CVE-2026-39882', 'huge'],
    ['CVE-2026-44967', 'bomb'],
  ] as const)(
    '%s a reply without end (%s) takes no memory, and the request counts as delivered',
    async (_, kind) => {
      const backend = await destination({ raw: true })
      expect(await answer(backend, { kind, bytes: 64 * MIB })).toMatchObject({
        kind: 'delivered',
        message: expect.stringMatching(/cannot be read \(.*(exceeds|larger than)/),
      })
      expect((await answer(backend, { kind: 'ok' })).kind).toBe('delivered')
    },
  )

  test('CVE-2026-40891 and GHSA-wcpc-wj8m-hjx6 a status whose details promise gigabytes, or are Any in Any, says nothing more than its code', async () => {
    const backend = await destination({ raw: true })
    const any = (inner: Uint8Array) =>
      concat([delimited(1, 'type.googleapis.com/google.protobuf.Any'), delimited(2, inner)])
    let matryoshka: Uint8Array = EMPTY
    for (let level = 0; level < 100; level++) matryoshka = any(matryoshka)
    const hostile = [Uint8Array.of(0x1a, 0xff, 0xff, 0xff, 0xff, 0x0f), delimited(3, matryoshka)]
    for (const details of hostile) {
      const reply: Reply =
        type === 'otlp' ? { kind: 'status', code: 14, details } : { kind: 'http', status: 503, body: details }
      expect(await answer(backend, reply)).toMatchObject({ kind: 'busy', retryAfterMs: null })
    }
  })

  test('CVE-2026-48069 (GHSA-99f4-grh7-6pcq) a reply of garbage that calls itself gzip ends nothing', async () => {
    const backend = await destination({ raw: true })
    expect(await answer(backend, { kind: 'garbage', compressed: true })).toMatchObject({ kind: 'delivered' })
    expect((await answer(backend, { kind: 'ok' })).kind).toBe('delivered')
  })
})
