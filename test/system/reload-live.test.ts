//! Laws of a reload: what of receivers and detection is taken over while they work, and that the rest is named.
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { describe, expect, test } from 'vitest'
import { SETTINGS } from '../../src/config.ts'
import { AT_START, LIVE } from '../../src/wiring/changes.ts'
import { GrpcClient } from '../kit/client.ts'
import { type PlainSpan, tracesRequest } from '../kit/odd.ts'
import { toGrpc } from '../kit/otlier.ts'
import { removeMarks } from '../oracle/marks.ts'
import { arrived, load } from './load.ts'
import { backend, GRPC, reloads, service, sorted, stops, until } from './reload-scene.ts'

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

  test('the budget, the waits and the number of series change without a restart: the connection and what was learned stay', async () => {
    const peer = await backend()
    const otlier = await service(toGrpc(peer.grpc))
    await otlier.client.export('traces', traces(history()))
    await until('the history has arrived', () => peer.requests.length === 1)
    const changed = [
      'processors.otlier.budget=5/day',
      'processors.otlier.trace_wait=4s',
      'processors.otlier.allowed_lateness=6s',
      'processors.otlier.max_series=30000',
    ]
    expect(await otlier.reconfigure([...toGrpc(peer.grpc), ...changed])).toBe(true)
    expect(otlier.says('take effect at the next start')).toEqual([])
    // The client has one session, and it has not been replaced.
    expect((await otlier.client.export('traces', traces([slow()]))).code).toBe(0)
    await until('it has arrived', () => peer.requests.length === 2)
    expect(removeMarks(peer.requests[1].bytes).marks).toHaveLength(1)
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
    expect(otlier.says('take effect at the next start').map(({ fields }) => fields)).toEqual([
      { settings: ['memory_limit_mib', 'processors.otlier.window'] },
    ])
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
