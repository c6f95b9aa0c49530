//! What destinations do to Otlier, one fault a test: what was accepted arrives or is accounted for, and the destination is used again once it is well.
import dns from 'node:dns'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Reply } from '../../kit/backend.ts'
import { certificateAuthority } from '../../kit/certificates.ts'
import { startProxy, type Weather } from '../../kit/proxy.ts'
import { seeded } from '../../kit/random.ts'
import { temporaryFile } from './files.ts'
import {
  type CountingBackend,
  countingBackend,
  quick,
  SPANS_PER_REQUEST,
  scene,
  TRANSPORTS,
  twice,
  until,
} from './scene.ts'

const REQUESTS = 20
const ALL = REQUESTS * SPANS_PER_REQUEST
const OK: Reply = { kind: 'ok' }
const HOUR_MS = 3_600_000

/** The first requests are sent into the fault, the same number after the cure, and all of them arrive once. */
describe.each(TRANSPORTS)('%s:', transport => {
  const http = (status: number, headers: Record<string, string> = {}): Reply => ({
    kind: 'http',
    status,
    headers,
  })
  const busy: Reply = transport === 'otlp' ? { kind: 'status', code: 14 } : http(503)

  /** A service whose destination answers with `reply` until it is cured. */
  async function facing(reply: () => Reply, more: readonly string[] = []) {
    const backend = await countingBackend()
    backend.reply = reply
    const stage = await scene(quick(transport, backend.addressOf(transport), '', more))
    expect(new Set(await stage.send(REQUESTS))).toEqual(new Set([0]))
    return { backend, ...stage, stage }
  }

  /** A service that reaches its destination through a network with weather. */
  async function behindProxy(weather: Weather = { kind: 'pass' }, more: readonly string[] = []) {
    const backend = await countingBackend()
    const proxy = await startProxy(transport === 'otlp' ? backend.grpcPort : backend.httpPort, weather)
    onTestFinished(() => proxy.stop())
    const stage = await scene(quick(transport, backend.addressOf(transport, proxy.port), '', more))
    return { backend, proxy, stage }
  }

  /** Nothing is cured before the fault was given, and not only once. */
  const given = (backend: CountingBackend) =>
    until('the fault was given several times', () => backend.faults > 2)

  /** As `given`, where the fault counts as a delivery: what waited is one request to it, and is not sent again. */
  async function givenOneByOne({ backend, stage }: Awaited<ReturnType<typeof facing>>) {
    for (await stage.settled(transport); backend.faults <= 2; await stage.settled(transport))
      expect(await stage.send(1)).toEqual([0])
  }

  /** Both halves of the load have arrived, and the accounts are what both sides have counted. */
  async function cured({ backend, stage }: Awaited<ReturnType<typeof facing>>) {
    backend.reply = () => OK
    expect(new Set(await stage.send(REQUESTS))).toEqual(new Set([0]))
    await stage.settled(transport)
    expect(backend.came.size).toBe(stage.accepted)
    expect(await stage.compared(transport, backend)).toEqual([])
  }

  test('backend down: what comes meanwhile waits, and arrives once when it is back on its port', async () => {
    const whole = await facing(() => OK)
    await whole.stage.settled(transport)
    await whole.backend.stop()
    await whole.stage.send(REQUESTS)
    await whole.backend.start()
    await whole.stage.settled(transport)
    expect(whole.backend.came.size).toBe(2 * ALL)
    expect(await whole.stage.compared(transport, whole.backend)).toEqual([])
  })

  test('refused: nothing listens at the start, and everything arrives once when something does', async () => {
    const backend = await countingBackend()
    await backend.stop()
    const stage = await scene(quick(transport, backend.addressOf(transport)))
    await stage.send(REQUESTS)
    await backend.start()
    await stage.settled(transport)
    expect(twice(backend)).toEqual([])
    expect(backend.came.size).toBe(ALL)
    expect(await stage.compared(transport, backend)).toEqual([])
  })

  /** Requests that a network takes and does not deliver, for longer than the timeout, arrive once when it is well again. */
  async function undelivered(kind: 'hole' | 'stall') {
    const { proxy, backend, stage } = await behindProxy()
    await stage.send(REQUESTS)
    await stage.settled(transport)
    proxy.weather = { kind }
    await stage.send(REQUESTS)
    await new Promise(resolve => setTimeout(resolve, 1500))
    expect(backend.came.size).toBe(ALL)
    proxy.weather = { kind: 'pass' }
    await stage.settled(transport)
    expect(backend.came.size).toBe(2 * ALL)
    expect(await stage.compared(transport, backend)).toEqual([])
  }

  // Over gRPC it takes the 40 s of a keepalive to find out: that is a part of the test in isolation.faults.ts.
  test.runIf(transport === 'otlphttp')(
    'black-hole: connections that swallow everything are left, and a network that is back is used',
    () => undelivered('hole'),
  )

  test('stall: a network that carries nothing for longer than the timeout, and then all of it, costs no span', () =>
    undelivered('stall'))

  test('slow: a connection of 100 kB/s delays what goes through it, and nothing is lost or sent twice', async () => {
    const backend = await countingBackend()
    const port = transport === 'otlp' ? backend.grpcPort : backend.httpPort
    const proxy = await startProxy(port, { kind: 'slow', bytesPerSecond: 100_000 })
    onTestFinished(() => proxy.stop())
    const stage = await scene(quick(transport, backend.addressOf(transport, proxy.port), '', ['timeout=10s']))
    expect(new Set(await stage.send(REQUESTS))).toEqual(new Set([0]))
    await stage.settled(transport)
    expect(twice(backend)).toEqual([])
    expect(backend.came.size).toBe(ALL)
    expect(await stage.compared(transport, backend)).toEqual([])
  })

  test('RST mid-body: requests that are cut off are sent again, whole', async () => {
    const { proxy, backend, stage } = await behindProxy({ kind: 'reset', afterBytes: 3000 })
    await stage.send(REQUESTS)
    await until('some were cut off', () => proxy.resets > 3)
    expect(backend.came.size).toBe(0)
    proxy.weather = { kind: 'pass' }
    await stage.settled(transport)
    expect(twice(backend)).toEqual([])
    expect(backend.came.size).toBe(ALL)
    expect(await stage.compared(transport, backend)).toEqual([])
  })

  test('reset: a backend that reads a request and cuts the connection gets it again', async () => {
    const whole = await facing(() => ({ kind: 'reset' }))
    await given(whole.backend)
    await cured(whole)
    expect(twice(whole.backend)).toEqual([])
  })

  test('hang: a backend that never answers gets the request again, and the accounts count it once', async () => {
    const whole = await facing(() => ({ kind: 'hang' }))
    await given(whole.backend)
    await until('some came again', () => twice(whole.backend).length > 0)
    await cured(whole)
  })

  test('UNAVAILABLE or 503: everything waits, and arrives once', async () => {
    const whole = await facing(() => busy)
    await given(whole.backend)
    await cured(whole)
    expect(twice(whole.backend)).toEqual([])
  })

  test('70 % UNAVAILABLE at random: what was sent is what arrives, once', async () => {
    const random = seeded(70)
    const whole = await facing(() => (random() < 0.7 ? busy : OK))
    expect(new Set(await whole.stage.send(REQUESTS))).toEqual(new Set([0]))
    await whole.stage.settled(transport)
    expect(whole.backend.faults).toBeGreaterThan(2)
    expect(twice(whole.backend)).toEqual([])
    expect(whole.backend.came.size).toBe(2 * ALL)
    expect(await whole.stage.compared(transport, whole.backend)).toEqual([])
  })

  test('429 with Retry-After, RESOURCE_EXHAUSTED with RetryInfo: nothing is sent before the time that was asked for', async () => {
    const asked: number[] = []
    const wait: Reply =
      transport === 'otlp'
        ? { kind: 'status', code: 8, retryDelayMs: 1000 }
        : http(429, { 'retry-after': '1' })
    const whole = await facing(() => {
      asked.push(performance.now())
      return asked.length === 1 ? wait : OK
    }, ['sending_queue.num_consumers=1'])
    await whole.stage.settled(transport)
    expect(asked[1] - asked[0]).toBeGreaterThan(950)
    await cured(whole)
    expect(twice(whole.backend)).toEqual([])
  })

  test('RESOURCE_EXHAUSTED without RetryInfo, 413: is divided down to single spans, which are dropped and counted as too large', async () => {
    const whole = await facing(() => (transport === 'otlp' ? { kind: 'status', code: 8 } : http(413)))
    await whole.stage.settled(transport)
    const tooLarge = (await whole.stage.scrape()).sum('otlier_exporter_dropped_spans_total', {
      reason: 'too_large',
    })
    expect(tooLarge).toBe(ALL)
    whole.backend.reply = () => OK
    await whole.stage.send(REQUESTS)
    await whole.stage.settled(transport)
    expect(whole.backend.came.size).toBe(ALL)
    expect(await whole.stage.compared(transport, whole.backend)).toEqual([])
  })

  test.each([
    ['500 or INTERNAL', 13, 500],
    ['400 or INVALID_ARGUMENT', 3, 400],
  ])('%s: is final, counted as rejected, and costs nothing that comes later', async (_, code, status) => {
    const whole = await facing(() => (transport === 'otlp' ? { kind: 'status', code } : http(status)))
    await whole.stage.settled(transport)
    whole.backend.reply = () => OK
    await whole.stage.send(REQUESTS)
    await whole.stage.settled(transport)
    expect(whole.backend.came.size).toBe(ALL)
    expect(await whole.stage.compared(transport, whole.backend, ALL)).toEqual([])
  })

  test('partial success: is never sent again, and what was rejected is counted', async () => {
    const whole = await facing(() => ({ kind: 'partial', rejected: 3, message: 'three are too old' }))
    await whole.stage.settled(transport)
    expect(whole.backend.rejected).toBeGreaterThan(0)
    expect(twice(whole.backend)).toEqual([])
    await cured(whole)
  })

  test('reply garbage: counts as delivered, and is not sent again', async () => {
    const whole = await facing(() => ({ kind: 'garbage' }))
    await givenOneByOne(whole)
    await cured(whole)
    expect(twice(whole.backend)).toEqual([])
  })

  test('oversize reply: is not read to its end, counts as delivered, and is not sent again', async () => {
    const whole = await facing(() => ({ kind: 'huge', bytes: 16 * 2 ** 20 }), ['timeout=10s'])
    await givenOneByOne(whole)
    await cured(whole)
    expect(twice(whole.backend)).toEqual([])
  })

  test('TLS expiry: a certificate that has run out stops the destination, a new one lets everything through', async () => {
    const authority = certificateAuthority()
    const now = Date.now()
    const expired = authority.issue('127.0.0.1', { fromMs: now - 2 * HOUR_MS, toMs: now - HOUR_MS })
    const backend = await countingBackend({ tls: expired })
    const caFile = temporaryFile('ca.pem', authority.cert)
    const proxy = await startProxy(transport === 'otlp' ? backend.grpcPort : backend.httpPort)
    onTestFinished(() => proxy.stop())
    const address = backend.addressOf(transport, proxy.port)
    const stage = await scene(quick(transport, address, '', [`tls.ca_file=${caFile}`]))
    await stage.send(REQUESTS)
    await until('it was tried several times', () => proxy.connections > 2)
    expect(backend.came.size).toBe(0)
    await backend.stop()
    await backend.start({ tls: authority.issue('127.0.0.1') })
    await stage.settled(transport)
    expect(twice(backend)).toEqual([])
    expect(backend.came.size).toBe(ALL)
    expect(await stage.compared(transport, backend)).toEqual([])
  })

  test('DNS flap: a name that cannot be resolved for a while is resolved again, and everything arrives once', async () => {
    const backend = await countingBackend()
    let fails = true
    const [lookup, lookupPromise] = [dns.lookup, dns.promises.lookup]
    const missing = () => Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' })
    let asked = 0
    const name = 'backend.otlier-test.example'
    // biome-ignore lint/suspicious/noExplicitAny: it stands in for all forms of a function with many.
    dns.lookup = ((host: string, options: any, done: any) => {
      if (host !== name) return lookup(host, options, done)
      asked++
      const answer = typeof options === 'function' ? options : done
      if (fails) return answer(missing())
      return options?.all === true
        ? answer(null, [{ address: '127.0.0.1', family: 4 }])
        : answer(null, '127.0.0.1', 4)
    }) as typeof dns.lookup
    // biome-ignore lint/suspicious/noExplicitAny: as above.
    dns.promises.lookup = (async (host: string, options: any) => {
      if (host !== name) return lookupPromise(host, options)
      asked++
      if (fails) throw missing()
      return [{ address: '127.0.0.1', family: 4 }]
    }) as typeof dns.promises.lookup
    onTestFinished(() => {
      dns.lookup = lookup
      dns.promises.lookup = lookupPromise
    })
    const port = transport === 'otlp' ? backend.grpcPort : backend.httpPort
    const stage = await scene(quick(transport, `http://${name}:${port}`))
    await stage.send(REQUESTS)
    await until('it was looked up', () => asked > 0)
    expect(backend.came.size).toBe(0)
    fails = false
    await stage.settled(transport, 60_000)
    expect(twice(backend)).toEqual([])
    expect(backend.came.size).toBe(ALL)
    expect(await stage.compared(transport, backend)).toEqual([])
  })
})
