//! Laws of a reload, through real sockets and under load: as a whole or not at all, and nothing is lost by it.

import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { SETTINGS } from '../../src/config.ts'
import { AT_START, LIVE } from '../../src/wiring/changes.ts'
import { type BackendOptions, startBackend } from '../kit/backend.ts'
import { GrpcClient } from '../kit/client.ts'
import { recordingLog } from '../kit/log.ts'
import { type PlainSpan, tracesRequest } from '../kit/odd.ts'
import { startService, toGrpc } from '../kit/otlier.ts'
import { removeMarks } from '../oracle/marks.ts'
import { arrived, load } from './load.ts'

const stops: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

async function backend(options: BackendOptions = {}) {
  const started = await startBackend(options)
  stops.push(() => started.stop())
  return started
}

async function service(settings: readonly string[]) {
  const { log, lines } = recordingLog()
  const started = await startService(settings, { log })
  const client = new GrpcClient(started.grpcPort)
  let lost: Promise<number> | null = null
  const stop = () => {
    lost ??= started.stop()
    client.session.close()
    return lost
  }
  stops.push(stop)
  const says = (text: string) => lines.filter(({ message }) => message.includes(text))
  return { ...started, client, lines, says, stop }
}

async function until(what: string, done: () => boolean | Promise<boolean>) {
  for (let tries = 0; tries < 2000; tries++) {
    if (await done()) return
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  throw new Error(`waited in vain until ${what}`)
}

const reloads = async (otlier: Awaited<ReturnType<typeof service>>) => {
  const metrics = await otlier.metrics()
  return ['applied', 'refused'].map(result => metrics.get(`otlier_config_reloads_total{result="${result}"}`))
}

const GRPC = 'receivers.otlp.protocols.grpc.endpoint'
const sorted = (names: readonly string[]) => names.toSorted()

describe('a bad configuration', () => {
  test('changes nothing, and the log says what is wrong, with line and column', async () => {
    const peer = await backend()
    const otlier = await service(toGrpc(peer.grpc))
    const sending = load(otlier.client)
    await sending.more(50)
    const bad = 'exporters:\n  otlp:\n    endpont: http://localhost:1\nservice:\n  logs: {level: loud}\n'
    expect(await otlier.reconfigure([], { 'otlier.yaml': bad })).toBe(false)
    expect(otlier.says('otlier.yaml:3:5: exporters.otlp.endpont: unknown key')).toHaveLength(1)
    expect(otlier.says('otlier.yaml:5:17: service.logs.level')).toHaveLength(1)
    expect(otlier.says('the one before stays in force')).toHaveLength(1)
    await sending.more(50)
    await sending.end()
    expect(await otlier.health()).toMatchObject({ status: 200 })
    expect(await reloads(otlier)).toEqual([0, 1])
    expect(await otlier.stop()).toBe(0)
    expect(sorted(arrived(peer))).toEqual(sorted(sending.accepted))
    expect(sending.odd).toEqual([])
  })

  test('whose port is taken changes nothing, not even its destinations, and says which and why', async () => {
    const holder = createServer().listen(0, '127.0.0.1')
    stops.push(() => void holder.close())
    await new Promise(resolve => holder.once('listening', resolve))
    const { port } = holder.address() as AddressInfo
    const [before, other] = [await backend(), await backend()]
    const otlier = await service(toGrpc(before.grpc))
    const moved = [...toGrpc(other.grpc), ...toGrpc(other.grpc, 'otlp/two'), `${GRPC}=127.0.0.1:${port}`]
    expect(await otlier.reconfigure(moved)).toBe(false)
    expect(otlier.says(`cannot listen on 127.0.0.1:${port} (${GRPC}): the port is taken`)).toHaveLength(1)
    const sending = load(otlier.client)
    await sending.more(20)
    await sending.end()
    expect(await otlier.stop()).toBe(0)
    expect(sorted(arrived(before))).toEqual(sorted(sending.accepted))
    expect(other.requests).toEqual([])
  })

  test('during a stop is not taken over', async () => {
    const peer = await backend()
    const otlier = await service(toGrpc(peer.grpc))
    await Promise.all([otlier.stop(), expect(otlier.reconfigure([])).resolves.toBe(false)])
    expect(otlier.says('Otlier is shutting down')).toHaveLength(1)
  })
})

describe('destinations, under load', () => {
  test('another address gets everything from then on, over the same connection of the sender, and nothing is lost or doubled', async () => {
    const [first, second] = [await backend(), await backend()]
    const otlier = await service(toGrpc(first.grpc))
    const sending = load(otlier.client)
    for (const peer of [second, first, second]) {
      await sending.more(100)
      expect(await otlier.reconfigure(toGrpc(peer.grpc))).toBe(true)
    }
    await sending.more(100)
    await sending.end()
    expect(await otlier.stop()).toBe(0)
    expect(sending.odd).toEqual([])
    expect(sorted([...arrived(first), ...arrived(second)])).toEqual(sorted(sending.accepted))
    expect(arrived(first).length).toBeGreaterThan(0)
    expect(arrived(second).length).toBeGreaterThan(0)
  })

  test('what waits for an address that was wrong goes to the right one', async () => {
    const peer = await backend()
    const gone = await startBackend()
    await gone.stop()
    const otlier = await service(toGrpc(gone.grpc))
    const sending = load(otlier.client)
    await sending.more(100)
    await until('it is away', () => otlier.says('away or busy').length > 0)
    expect(await otlier.reconfigure(toGrpc(peer.grpc))).toBe(true)
    await sending.more(20)
    await sending.end()
    await until('all of it has arrived', () => arrived(peer).length >= sending.accepted.length)
    expect(sorted(arrived(peer))).toEqual(sorted(sending.accepted))
  })

  test('one that is added gets what comes from then on; one that is taken out has got what came until then', async () => {
    const [kept, out, added] = [await backend(), await backend(), await backend()]
    const both = [...toGrpc(kept.grpc), ...toGrpc(out.grpc, 'otlp/out')]
    const otlier = await service(both)
    const sending = load(otlier.client)
    await sending.more(100)
    expect(await otlier.reconfigure([...toGrpc(kept.grpc), ...toGrpc(added.grpc, 'otlp/added')])).toBe(true)
    await until('the one is out', () => otlier.says('has got everything').length === 1)
    const atRemoval = arrived(out).length
    await sending.more(100)
    await sending.end()
    expect(await otlier.stop()).toBe(0)
    expect(sorted(arrived(kept))).toEqual(sorted(sending.accepted))
    expect(sorted([...arrived(out), ...arrived(added)])).toEqual(sorted(sending.accepted))
    expect(arrived(out)).toHaveLength(atRemoval)
  })

  test('one that hangs and is taken out is told exactly what it did not take, and holds up nobody', async () => {
    const [kept, hung] = [await backend(), await backend({ script: () => ({ kind: 'hang' }) })]
    const otlier = await service([
      ...toGrpc(kept.grpc),
      ...toGrpc(hung.grpc, 'otlp/hung'),
      'exporters.otlp/hung.timeout=60s',
    ])
    const sending = load(otlier.client)
    await sending.more(100)
    await sending.end()
    expect(await otlier.reconfigure([...toGrpc(kept.grpc), 'shutdown_timeout=200ms'])).toBe(true)
    await until('it is given up', () => otlier.says('was taken out').some(({ level }) => level === 'error'))
    const [told] = otlier.says('did not take this in time')
    expect(told.fields).toEqual({ exporter: 'otlp/hung', signal: 'traces', items: sending.accepted.length })
    const metrics = await otlier.metrics()
    expect(metrics.get('otlier_exporter_dropped_spans_total{exporter="otlp/hung",reason="shutdown"}')).toBe(
      sending.accepted.length,
    )
    // It is no loss of the stop that comes later.
    expect(await otlier.stop()).toBe(0)
    expect(sorted(arrived(kept))).toEqual(sorted(sending.accepted))
  })

  test('one that is taken out and comes back is waited for, and its accounts go on', async () => {
    const peer = await backend({
      async script() {
        await new Promise(resolve => setTimeout(resolve, 100))
        return { kind: 'ok' }
      },
    })
    const otlier = await service(toGrpc(peer.grpc))
    const sending = load(otlier.client)
    await sending.more(40)
    await sending.end()
    const [out, back] = [otlier.reconfigure([]), otlier.reconfigure(toGrpc(peer.grpc))]
    expect([await out, await back]).toEqual([true, true])
    const again = load(otlier.client, 4, 'm')
    await again.more(40)
    await again.end()
    await until(
      'all has arrived',
      () => arrived(peer).length >= sending.accepted.length + again.accepted.length,
    )
    expect(sorted(arrived(peer))).toEqual(sorted([...sending.accepted, ...again.accepted]))
    const metrics = await otlier.metrics()
    const read = (what: string) => metrics.get(`otlier_exporter_${what}{exporter="otlp"}`)
    expect(read('enqueued_spans_total')).toBe(arrived(peer).length)
    await until(
      'all is counted',
      async () => (await otlier.metrics()).get('otlier_exporter_in_flight_spans{exporter="otlp"}') === 0,
    )
  })

  test('one that was given up and comes back tells only of its own losses', async () => {
    const peer = await backend({ script: () => ({ kind: 'hang' }) })
    const settings = [...toGrpc(peer.grpc), 'exporters.otlp.timeout=60s', 'shutdown_timeout=200ms']
    const otlier = await service(settings)
    const sending = load(otlier.client)
    await sending.more(20)
    await sending.end()
    expect(await otlier.reconfigure(['shutdown_timeout=200ms'])).toBe(true)
    expect(await otlier.reconfigure(settings)).toBe(true)
    const again = load(otlier.client, 4, 'm')
    await again.more(20)
    await again.end()
    expect(otlier.undelivered()).toEqual([
      { exporter: 'otlp', signal: 'traces', items: again.accepted.length },
    ])
    expect(await otlier.stop()).toBe(again.accepted.length)
  })

  test('the accounts of each balance at every scrape, whatever is reloaded', async () => {
    const peers = [
      await backend(),
      await backend(),
      await backend({ script: () => ({ kind: 'status', code: 14 }) }),
    ]
    const named = peers.map((peer, at) => toGrpc(peer.grpc, `otlp/${at}`))
    const otlier = await service([...named[0], 'shutdown_timeout=200ms'])
    const sending = load(otlier.client)
    const sets = [[0, 1], [1, 2], [0, 2], [2], [0, 1, 2], [0]]
    for (const set of sets) {
      await sending.more(30)
      expect(await otlier.reconfigure([...set.flatMap(at => named[at]), 'shutdown_timeout=200ms'])).toBe(true)
      const metrics = await otlier.metrics()
      for (const at of [0, 1, 2]) {
        const read = (what: string) =>
          [...metrics].reduce(
            (sum, [key, value]) =>
              key.startsWith(`otlier_exporter_${what}{exporter="otlp/${at}"`) ? sum + value : sum,
            0,
          )
        const accounts = ['sent', 'rejected', 'dropped'].map(what => read(`${what}_spans_total`))
        const held = read('queued_spans') + read('in_flight_spans')
        expect(read('enqueued_spans_total')).toBe(accounts.reduce((sum, one) => sum + one, held))
      }
    }
    await sending.end()
    expect(sending.odd).toEqual([])
    await otlier.stop()
    // The one that always asks for patience may still have been draining.
    const lossy = otlier.says('stopping lost').map(({ fields }) => fields['exporter'])
    expect(lossy.filter(id => id !== 'otlp/2')).toEqual([])
  })

  test('the settings of a queue hold at once, and its destination keeps its connection', async () => {
    const peer = await backend()
    const otlier = await service(toGrpc(peer.grpc))
    const sending = load(otlier.client)
    await sending.more(50)
    const capacity = 'otlier_exporter_queue_capacity{exporter="otlp"}'
    expect(await otlier.reconfigure([...toGrpc(peer.grpc), 'exporters.otlp.sending_queue.size_mib=7'])).toBe(
      true,
    )
    expect((await otlier.metrics()).get(capacity)).toBe(7 * 2 ** 20)
    await sending.more(50)
    await sending.end()
    expect(new Set(peer.requests.map(({ connection }) => connection)).size).toBe(1)
  })
})

describe('receivers', () => {
  test('at another address listen there before the old one is left, and no request is lost in between', async () => {
    const peer = await backend()
    const otlier = await service(toGrpc(peer.grpc))
    const http = otlier.port('receivers.otlp.protocols.http.endpoint')
    const free = createServer().listen(0, '127.0.0.1')
    await new Promise(resolve => free.once('listening', resolve))
    const { port } = free.address() as AddressInfo
    await new Promise(resolve => free.close(resolve))
    const sending = load(otlier.client)
    await sending.more(50)
    expect(await otlier.reconfigure([...toGrpc(peer.grpc), `${GRPC}=127.0.0.1:${port}`])).toBe(true)
    expect(otlier.port(GRPC)).toBe(port)
    // The other protocol has not moved.
    expect(otlier.port('receivers.otlp.protocols.http.endpoint')).toBe(http)
    const moved = new GrpcClient(port)
    stops.push(() => moved.close())
    const there = load(moved, 4, 'm')
    await there.more(50)
    await Promise.all([sending.end(), there.end()])
    expect(await otlier.stop()).toBe(0)
    // A call that the old connection never began has no answer, and was not taken.
    expect(sorted(arrived(peer))).toEqual(sorted([...sending.accepted, ...there.accepted]))
  })

  test('at the same address take other settings over the connections that there are', async () => {
    const peer = await backend()
    const otlier = await service(toGrpc(peer.grpc))
    const big = tracesRequest([
      { service: 'shop', spans: [{ name: 'x'.repeat(2 ** 21), kind: 'server', startNs: 1n, durationNs: 1 }] },
    ])
    const send = async () => (await otlier.client.export('traces', big, { 'x-tenant': 'a' })).code
    expect(await send()).toBe(0)
    const smaller = 'receivers.otlp.protocols.grpc.max_recv_msg_size_mib=1'
    expect(await otlier.reconfigure([...toGrpc(peer.grpc), smaller])).toBe(true)
    expect(await send()).not.toBe(0)
    const forward = 'receivers.otlp.forward_headers=[X-Tenant]'
    expect(await otlier.reconfigure([...toGrpc(peer.grpc), forward])).toBe(true)
    expect(await send()).toBe(0)
    await until('both have arrived', () => peer.requests.length === 2)
    expect(peer.requests.map(({ headers }) => headers['x-tenant'])).toEqual([undefined, 'a'])
  })
})

describe('detection', () => {
  const history = (): readonly PlainSpan[] => {
    const now = BigInt(Date.now()) * 1_000_000n
    return Array.from({ length: 300 }, (_, n) => ({
      name: 'GET /basket',
      kind: 'server',
      startNs: now - BigInt(60_000 - n * 100) * 1_000_000n,
      durationNs: 10_000_000 + (n % 5) * 1_000_000,
    }))
  }
  const slow = (): PlainSpan => ({
    name: 'GET /basket',
    kind: 'server',
    startNs: BigInt(Date.now() - 5000) * 1_000_000n,
    durationNs: 3e9,
  })
  const traces = (spans: readonly PlainSpan[]) => tracesRequest([{ service: 'shop', spans }])

  test('what was learned stays, and settings of it hold from the next request on', async () => {
    const peer = await backend()
    const otlier = await service(toGrpc(peer.grpc))
    const marksOf = async (expected: number) => {
      await otlier.client.export('traces', traces([slow()]))
      const requests = () => peer.requests.filter(({ signal }) => signal === 'traces')
      await until('it has arrived', () => requests().length === expected)
      return removeMarks(requests()[expected - 1].bytes).marks
    }
    await otlier.client.export('traces', traces(history()))
    await until('the history has arrived', () => peer.requests.length === 1)
    expect(await marksOf(2)).toHaveLength(1)
    expect(
      await otlier.reconfigure([...toGrpc(peer.grpc), 'processors.otlier.compat.isolationforest=true']),
    ).toBe(true)
    const [mark] = await marksOf(3)
    expect(Object.keys(mark.attributes)).toContain('anomaly.is_anomaly')
    expect(
      await otlier.reconfigure([
        ...toGrpc(peer.grpc),
        'service.pipelines.traces.processors=[]',
        'service.pipelines.logs.processors=[]',
        'service.pipelines.metrics.processors=[]',
      ]),
    ).toBe(true)
    expect(await marksOf(4)).toEqual([])
    expect(await otlier.reconfigure(toGrpc(peer.grpc))).toBe(true)
    expect(await marksOf(5)).toHaveLength(1)
  })

  test('settings that are read at the start are named, and the rest of the configuration is in force', async () => {
    const [first, second] = [await backend(), await backend()]
    const otlier = await service(toGrpc(first.grpc))
    const next = [
      ...toGrpc(second.grpc),
      'processors.otlier.window=20s',
      'memory_limit_mib=999',
      'exporters.otlp.timeout=4s',
    ]
    expect(await otlier.reconfigure(next)).toBe(true)
    const [told] = otlier.says('take effect at the next start')
    expect(told.fields).toEqual({ settings: ['memory_limit_mib', 'processors.otlier.window'] })
    const sending = load(otlier.client)
    await sending.more(10)
    await sending.end()
    await until('it has arrived', () => arrived(second).length === sending.accepted.length)
    expect(await reloads(otlier)).toEqual([1, 0])
  })
})

test('every setting is either taken over while running, or named as one that needs a restart', () => {
  const paths: string[] = []
  const walk = (node: unknown, path: string) => {
    const { kind, fields } = node as { kind: string; fields?: Record<string, unknown> }
    if (kind === 'field' || fields === undefined) paths.push(path)
    else
      for (const [name, under] of Object.entries(fields)) walk(under, path === '' ? name : `${path}.${name}`)
  }
  walk(SETTINGS, '')
  expect(paths.length).toBeGreaterThan(50)
  const covers = (list: readonly string[], path: string) =>
    list.some(one => path === one || path.startsWith(`${one}.`))
  const wrong = paths.filter(path => covers(LIVE, path) === covers(Object.keys(AT_START), path))
  expect(wrong).toEqual([])
})

test('a warning of the configuration is told, and is no reason to refuse it', async () => {
  const otlier = await service([])
  expect(
    await otlier.reconfigure([
      'exporters.otlp/idle.endpoint=http://localhost:1',
      'service.pipelines.traces.exporters=[]',
      'service.pipelines.metrics.exporters=[]',
      'service.pipelines.logs.exporters=[]',
    ]),
  ).toBe(true)
  expect(
    otlier.says('exporters.otlp/idle: warning: no pipeline sends to it').map(({ level }) => level),
  ).toEqual(['warn'])
})
