//! Laws of the three acknowledgements, through real sockets, a real disk and real processes.
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { type Backend, startBackend } from '../kit/backend.ts'
import { GrpcClient, httpCall, PROTOBUF, statusOf } from '../kit/client.ts'
import { recordingLog } from '../kit/log.ts'
import { type PlainSpan, tracesRequest } from '../kit/odd.ts'
import { startService, toGrpc } from '../kit/otlier.ts'
import { begin, type Running, STOP_GRACE_MS, terminated } from '../kit/programs.ts'
import { decodeResponse } from '../kit/replies.ts'
import { arrived, load } from './load.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const stops: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

function folder() {
  const path = mkdtempSync(join(tmpdir(), 'otlier-queue-'))
  stops.push(() => rmSync(path, { recursive: true, force: true }))
  return path
}

async function backend(script?: Backend['script']) {
  const started = await startBackend(script === undefined ? {} : { script })
  stops.push(() => started.stop())
  return started
}

async function until(what: string, done: () => boolean | Promise<boolean>) {
  for (let tries = 0; tries < 4000; tries++) {
    if (await done()) return
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  throw new Error(`waited in vain until ${what}`)
}

const span = (name: string): PlainSpan => ({
  name: `${name};`,
  kind: 'server',
  startNs: 1_000_000_000n,
  durationNs: 1000,
})
const spans = (...names: string[]) => tracesRequest([{ service: 'shop', spans: names.map(span) }])
const namesIn = (peer: Backend) =>
  peer.requests.flatMap(
    ({ bytes }) =>
      Buffer.from(bytes)
        .toString('latin1')
        .match(/id-\d+(?=;)/g) ?? [],
  )

describe.each(['memory', 'disk'])('delivered, with the queue %s', storage => {
  async function service(script: Backend['script'], http = false) {
    const peer = await backend(script)
    const name = http ? 'otlphttp' : 'otlp'
    const started = await startService(
      [
        ...(http ? [`exporters.otlphttp.endpoint=${peer.http}`] : toGrpc(peer.grpc)),
        `exporters.${name}.sending_queue.acknowledge=delivered`,
        `exporters.${name}.sending_queue.storage=${storage}`,
        // What the helper of the tests says of the directory comes first.
        ...(storage === 'disk' ? [`directory=${folder()}`] : []),
      ],
      storage === 'disk' ? { directory: folder() } : {},
    )
    const client = new GrpcClient(started.grpcPort)
    stops.push(async () => {
      client.session.close()
      await started.stop()
    })
    return { ...started, client, peer }
  }

  test('the code of the destination and its delay go back to the sender, over both transports', async () => {
    const { client, httpPort, peer, metrics } = await service(() => ({
      kind: 'status',
      code: 10,
      retryDelayMs: 100_000,
    }))
    const reply = await client.export('traces', spans('id-1'))
    expect([reply.code, reply.details?.retryMs]).toEqual([10, 100_000])
    // The gate is shut now, so the destination is not asked again.
    const http = await httpCall({ port: httpPort, headers: PROTOBUF, body: spans('id-2') })
    expect(http.status).toBe(503)
    expect(Number(http.headers['retry-after'])).toBeGreaterThan(1)
    expect(peer.requests).toHaveLength(1)
    const seen = await metrics()
    expect(seen.get('otlier_exporter_dropped_spans_total{exporter="otlp",reason="returned"}')).toBe(2)
    expect(seen.get('otlier_receiver_accepted_spans_total')).toBe(2)
    expect(seen.get('otlier_receiver_refused_spans_total')).toBe(0)
  })

  test('what it refuses for good is refused with its code and its words', async () => {
    const { client, httpPort } = await service(() => ({ kind: 'status', code: 7, message: 'no such tenant' }))
    const reply = await client.export('traces', spans('id-1'))
    expect(reply.code).toBe(7)
    expect(reply.message).toContain('no such tenant')
    const http = await httpCall({ port: httpPort, headers: PROTOBUF, body: spans('id-2') })
    expect(http.status).toBe(403)
    expect(statusOf(http).message).toContain('no such tenant')
  })

  test('so does that of an HTTP destination', async () => {
    const replies = [
      { kind: 'http', status: 429, headers: { 'retry-after': '700' } },
      { kind: 'http', status: 422 },
    ] as const
    let at = 0
    const { httpPort, client } = await service(() => replies[at++ % 2], true)
    const busy = await httpCall({ port: httpPort, headers: PROTOBUF, body: spans('id-1') })
    expect([busy.status, busy.headers['retry-after']]).toEqual([429, '700'])
    const shut = await client.export('traces', spans('id-2'))
    expect(shut.code).toBe(14)
    expect(shut.details?.retryMs).toBeGreaterThan(5000)
  })

  test('partial success and warnings go back as they came', async () => {
    const { client } = await service((_, n) =>
      n === 0
        ? { kind: 'partial', rejected: 1, message: 'one is too old' }
        : { kind: 'partial', rejected: 0, message: 'be careful' },
    )
    const first = await client.export('traces', spans('id-1', 'id-2'))
    expect(first.code).toBe(0)
    expect(decodeResponse('traces', first.reply as Buffer).partial).toEqual({
      rejected: 1,
      message: 'one is too old',
    })
    const second = await client.export('traces', spans('id-3'))
    expect(decodeResponse('traces', second.reply as Buffer).partial).toEqual({
      rejected: 0,
      message: 'be careful',
    })
  })

  test('requests arrive one by one, as the senders made them', async () => {
    const { client, peer } = await service(() => ({ kind: 'ok' }))
    const sent = Array.from({ length: 20 }, (_, n) => spans(`id-${n}`))
    const replies = await Promise.all(sent.map(bytes => client.export('traces', bytes)))
    expect(replies.map(({ code }) => code)).toEqual(sent.map(() => 0))
    expect(peer.requests).toHaveLength(20)
  })
})

/** `otlier run` as a process of its own. */
async function otlier(directory: string, settings: readonly string[]) {
  const all = [
    `directory=${directory}`,
    ...[
      'receivers.otlp.protocols.grpc',
      'receivers.otlp.protocols.http',
      'service.metrics',
      'service.health',
    ].map(path => `${path}.endpoint=127.0.0.1:0`),
    ...settings,
  ]
  const running: Running = begin(process.execPath, [main, ...all.flatMap(setting => ['--set', setting])])
  stops.push(() => running.child.kill('SIGKILL'))
  await running.line(/Ready\. Ctrl-C stops in order/, START_MS)
  const portOf = (pattern: RegExp) => Number(pattern.exec(running.stdout())?.[1])
  const client = new GrpcClient(portOf(/gRPC +http:\/\/127\.0\.0\.1:(\d+)/))
  stops.push(() => client.close())
  return { ...running, client }
}

/** Programs start slowly where many do at once. */
const START_MS = 60_000

describe('a process', { timeout: 3 * START_MS }, () => {
  const shutdownMs = 1000
  const toHung = (peer: Backend) => [
    ...toGrpc(peer.grpc),
    'exporters.otlp.timeout=60s',
    `shutdown_timeout=${shutdownMs}ms`,
  ]
  const all = Array.from({ length: 30 }, (_, n) => `id-${n}`)

  test('that is told to stop under load while the destination hangs ends with 0 by its deadline in durable mode, and all arrives after the next start', async () => {
    const peer = await backend(() => ({ kind: 'hang' }))
    const settings = [...toHung(peer), 'exporters.otlp.sending_queue.storage=disk']
    const directory = folder()
    const first = await otlier(directory, settings)
    const sending = load(first.client)
    await sending.more(200)
    const { status, stderr, tookMs } = await terminated(first)
    await sending.end()
    expect(status).toBe(0)
    expect(tookMs).toBeLessThan(shutdownMs + STOP_GRACE_MS)
    expect(stderr).toContain('what was not delivered is on disk, for the next start')
    // What came in the first life was never answered: only what comes from now on counts.
    const before = peer.requests.length
    peer.script = () => ({ kind: 'ok' })
    const second = await otlier(directory, settings)
    const missing = () => {
      const names = new Set(arrived(peer, before))
      return sending.accepted.filter(name => !names.has(name))
    }
    await until('all has arrived', () => missing().length === 0)
    expect((await terminated(second)).status).toBe(0)
    const names = arrived(peer, before)
    expect(new Set(names).size).toBe(names.length)
    expect(readdirSync(join(directory, 'queue', 'otlp')).filter(name => name.endsWith('.log'))).toEqual([])
  })

  test('that is told to stop while the destination hangs ends with 1 at its deadline in memory mode, and says how many it lost', async () => {
    const peer = await backend(() => ({ kind: 'hang' }))
    const running = await otlier(folder(), toHung(peer))
    for (const name of all) expect((await running.client.export('traces', spans(name))).code).toBe(0)
    const { status, stderr, tookMs } = await terminated(running)
    expect(status).toBe(1)
    expect(tookMs).toBeGreaterThan(shutdownMs - 100)
    expect(tookMs).toBeLessThan(shutdownMs + STOP_GRACE_MS)
    expect(stderr).toContain('30 accepted items')
  })

  test('that is killed loses nothing that it acknowledged, and keeps its files to itself', async () => {
    const peer = await backend(() => ({ kind: 'hang' }))
    const settings = [...toHung(peer), 'exporters.otlp.sending_queue.storage=disk']
    const directory = folder()
    const first = await otlier(directory, settings)
    for (const name of all) expect((await first.client.export('traces', spans(name))).code).toBe(0)
    first.child.kill('SIGKILL')
    await first.ended
    const queue = join(directory, 'queue', 'otlp')
    const [log] = readdirSync(queue).filter(name => name.endsWith('.log'))
    expect([statSync(queue).mode & 0o777, statSync(join(queue, log)).mode & 0o777]).toEqual([0o700, 0o600])
    peer.script = () => ({ kind: 'ok' })
    const before = namesIn(peer).length
    await otlier(directory, settings)
    await until('all has arrived', () => namesIn(peer).slice(before).length === all.length)
    expect(namesIn(peer).slice(before)).toEqual(all)
  })

  test('that finds the directory in use ends before it serves, names it and says what to do; after a kill it is free', async () => {
    const directory = folder()
    const first = await otlier(directory, [])
    await expect(otlier(directory, [])).rejects.toThrow(
      new RegExp(
        `cannot start: ${directory} \\(directory\\) is in use by another Otlier[^]*--port-offset 10000 --set directory=none`,
      ),
    )
    first.child.kill('SIGKILL')
    await first.ended
    const second = await otlier(directory, [])
    second.child.kill('SIGTERM')
    expect((await second.ended).status).toBe(0)
  })

  test('that has no directory for a queue on disk does not start, and names the setting', async () => {
    const settings = [
      'exporters.otlp.endpoint=http://localhost:1',
      'exporters.otlp.sending_queue.storage=disk',
    ]
    await expect(otlier('/dev/null/nowhere', settings)).rejects.toThrow(
      /cannot start: the queue of otlp is on disk, and there is no directory for it/,
    )
  })
})

test('one directory is for one service, and is free after its end', async () => {
  const directory = folder()
  const first = await startService([], { directory })
  const second = await startService([], { directory }).then(
    async started => `it started, and lost ${await started.stop()}`,
    (error: Error) => error.message,
  )
  expect(second).toBe(`${directory} is in use by another Otlier`)
  await first.stop()
  await (await startService([], { directory })).stop()
})

test('what is left on disk of a destination that is no more is kept, and named in the log', async () => {
  const directory = folder()
  const peer = await backend(() => ({ kind: 'hang' }))
  const settings = (name: string, storage: string) => [
    ...toGrpc(peer.grpc, name),
    `exporters.${name}.sending_queue.storage=${storage}`,
    'shutdown_timeout=0s',
    `directory=${directory}`,
  ]
  const first = await startService(settings('otlp/old', 'disk'), { directory })
  const client = new GrpcClient(first.grpcPort)
  expect((await client.export('traces', spans('id-1'))).code).toBe(0)
  client.session.close()
  expect(await first.stop()).toBe(0)
  const { log, lines } = recordingLog()
  const second = await startService(settings('otlp/new', 'disk'), { directory, log })
  await second.stop()
  const path = join(directory, 'queue', 'otlp%2Fold')
  expect(lines).toContainEqual(expect.objectContaining({ level: 'warn', fields: { path } }))
  expect(readdirSync(path).some(name => name.endsWith('.log'))).toBe(true)
})
