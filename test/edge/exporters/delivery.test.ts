//! Exporters behind their queues, against a backend that misbehaves: what is retried, divided, dropped, and told.

import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { Registry } from '../../../src/base/counters.ts'
import { silentLog } from '../../../src/base/log.ts'
import { realWorld } from '../../../src/base/world.ts'
import { fanout } from '../../../src/flow/fanout.ts'
import { QUEUE_LIMITS, queue } from '../../../src/flow/queue.ts'
import { RETRY_DEFAULTS } from '../../../src/flow/retry.ts'
import {
  type Backend,
  type BackendOptions,
  type Recorded,
  type Reply,
  startBackend,
} from '../../kit/backend.ts'
import {
  addressOf,
  ask,
  exporterTo,
  namesIn,
  queued,
  requestOf,
  TRANSPORTS,
  type Transport,
} from './scene.ts'

const stops: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

async function scene(
  type: Transport,
  options: BackendOptions & { queue?: Parameters<typeof queued>[2]; timeoutMs?: number } = {},
) {
  const backend = await startBackend(options)
  const overrides = options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }
  const all = queued(type, addressOf(backend, type), options.queue, overrides)
  stops.push(async () => {
    await all.sending.close(0)
    await backend.stop()
  })
  return { backend, ...all }
}

/** What says "come again" in each of the two, with a delay or without. */
const busy = (type: Transport, delayS?: number): Reply =>
  type === 'otlp'
    ? {
        kind: 'status',
        code: delayS === undefined ? 14 : 8,
        ...(delayS !== undefined && { retryDelayMs: delayS * 1000 }),
      }
    : {
        kind: 'http',
        status: delayS === undefined ? 503 : 429,
        headers: delayS === undefined ? {} : { 'retry-after': String(delayS) },
      }
const refusal = (type: Transport): Reply =>
  type === 'otlp' ? { kind: 'status', code: 3 } : { kind: 'http', status: 400 }
const unsupported = (type: Transport): Reply =>
  type === 'otlp' ? { kind: 'status', code: 12 } : { kind: 'http', status: 404 }

const arrived = (backend: Backend) => backend.requests.flatMap(({ bytes }) => namesIn(bytes))
const numbered = (count: number, letter = 'a') => Array.from({ length: count }, (_, n) => `${letter}${n}`)

describe.each(TRANSPORTS)('%s', type => {
  test('C1 an item beyond the size limit is never sent: it is dropped and counted, and the queue goes on', async () => {
    const { backend, sending, read, until } = await scene(type, {
      queue: { maxRequestBytes: 2000, maxBatchBytes: 2000 },
    })
    sending.offer(requestOf(['a1', `a2${'.'.repeat(5000)}`, 'a3']).batch)
    sending.offer(requestOf(['a4']).batch)
    await until(() => read('in_flight') + read('queued') === 0)
    expect(arrived(backend).sort()).toEqual(['a1', 'a3', 'a4'])
    for (const { bytes } of backend.requests) expect(bytes.length).toBeLessThanOrEqual(2000)
    expect([read('sent'), read('dropped', 'too_large')]).toEqual([3, 1])
  })

  test('C1 what the destination finds too large is divided down to the one item, which alone is dropped', async () => {
    const { backend, sending, read, until } = await scene(type, { maxBytes: 800 })
    sending.offer(requestOf([...numbered(50), `b1${'.'.repeat(2000)}`, ...numbered(50, 'c')]).batch)
    await until(() => read('in_flight') + read('queued') === 0)
    const taken = backend.requests
      .filter(({ bytes }) => bytes.length <= 800)
      .flatMap(({ bytes }) => namesIn(bytes))
    expect(taken).toEqual([...numbered(50), ...numbered(50, 'c')])
    expect([read('sent'), read('dropped', 'too_large')]).toEqual([100, 1])
  })

  test('C3 several requests are under way at once, as many as num_consumers', async () => {
    let open = 0
    let most = 0
    const script = async (): Promise<Reply> => {
      most = Math.max(most, ++open)
      await new Promise(resolve => setTimeout(resolve, 20))
      open--
      return { kind: 'ok' }
    }
    const { sending, read, until } = await scene(type, {
      script,
      queue: { numConsumers: 4, maxBatchBytes: 1 },
    })
    for (const name of numbered(16)) sending.offer(requestOf([name]).batch)
    await until(() => read('sent') === 16)
    expect(most).toBe(4)
  })

  test('C4 stopping before a stuck backend ends at the deadline, with the exact number of what is undelivered', async () => {
    const { backend, sending, world, read } = await scene(type, {
      script: () => ({ kind: 'hang' }),
      queue: { numConsumers: 1 },
    })
    sending.offer(requestOf(['a1', 'a2']).batch)
    await world.advance(5)
    await backend.received(1)
    sending.offer(requestOf(['a3']).batch)
    const lost = sending.close(world.monotonic() + 20_000)
    await world.advance(20_000)
    expect(await lost).toEqual([{ exporter: `${type}/test`, signal: 'traces', items: 3 }])
    expect(read('dropped', 'shutdown')).toBe(3)
  })

  test('C4 stopping with a healthy backend loses nothing', async () => {
    const { backend, sending, world } = await scene(type)
    for (const name of numbered(30)) sending.offer(requestOf([name]).batch)
    expect(await sending.close(world.monotonic() + 20_000)).toEqual([])
    expect(arrived(backend)).toEqual(numbered(30))
  })

  test('C5 a partial success is never sent again, and is logged and counted', async () => {
    const script = (): Reply => ({ kind: 'partial', rejected: 2, message: 'too old' })
    const { backend, sending, read, until, world, lines } = await scene(type, { script })
    sending.offer(requestOf(['a1', 'a2', 'a3']).batch)
    await until(() => read('sent') > 0)
    await world.advance(600_000)
    expect(backend.requests).toHaveLength(1)
    expect([read('sent'), read('rejected')]).toEqual([1, 2])
    expect(lines).toEqual([
      expect.objectContaining({
        level: 'warn',
        fields: expect.objectContaining({ rejected: 2, message: 'too old' }),
      }),
    ])
  })

  test('C8 the pauses are random below a limit that grows by half each time, and the request stays the same', async () => {
    const { backend, sending, read, until, sent } = await scene(type, {
      script: (_, index) => (index < 8 ? busy(type) : { kind: 'ok' }),
    })
    sending.offer(requestOf(['a1']).batch)
    await until(() => read('sent') === 1)
    const pauses = sent.slice(1).map((at, index) => at - sent[index])
    for (const [index, pause] of pauses.entries()) expect(pause).toBeLessThanOrEqual(1000 * 1.5 ** index)
    expect(new Set(pauses).size).toBe(8)
    expect(new Set(backend.requests.map(({ bytes }) => Buffer.from(bytes).toString('hex'))).size).toBe(1)
  })

  test('C8 the pause that the destination asks for is kept, and given up on when it exceeds what is left', async () => {
    const { sending, read, until, sent } = await scene(type, {
      script: (_, index) => (index === 0 ? busy(type, 40) : { kind: 'ok' }),
    })
    sending.offer(requestOf(['a1']).batch)
    await until(() => read('sent') === 1)
    expect(sent[1] - sent[0]).toBe(40_000)

    const impatient = await scene(type, { script: () => busy(type, 400) })
    impatient.sending.offer(requestOf(['a1']).batch)
    await impatient.until(() => impatient.read('dropped', 'expired') === 1)
    expect(impatient.sent).toHaveLength(1)
  })

  test('C9 after it was asked to wait, none of its consumers sends before that time', async () => {
    const { backend, sending, read, until, sent, world } = await scene(type, {
      script: (_, index) => (index === 0 ? busy(type, 30) : { kind: 'ok' }),
      queue: { maxBatchBytes: 1 },
    })
    sending.offer(requestOf(['a0']).batch)
    await until(() => backend.requests.length === 1 && read('in_flight') === 1 && world.timers() > 0)
    const asked = sent[0]
    for (const name of numbered(20).slice(1)) {
      sending.offer(requestOf([name]).batch)
      await world.advance(1000)
    }
    expect(sent).toHaveLength(1)
    await until(() => read('sent') === 20)
    for (const at of sent.slice(1)) expect(at).toBeGreaterThanOrEqual(asked + 30_000)
  })

  test('C10 a connection reset in the middle of a request is tried again, and the request arrives', async () => {
    const { backend, sending, read, until } = await scene(type, {
      raw: true,
      script: (_, index) => (index < 2 ? { kind: 'reset' } : { kind: 'ok' }),
    })
    sending.offer(requestOf(['a1']).batch)
    await until(() => read('sent') === 1)
    expect(backend.requests.length).toBeGreaterThanOrEqual(3)
    expect(arrived(backend).every(name => name === 'a1')).toBe(true)
  })

  test('C10 an answer that does not come within the timeout is tried again', async () => {
    const { backend, sending, read, until } = await scene(type, {
      timeoutMs: 100,
      script: (_, index) => (index === 0 ? { kind: 'hang' } : { kind: 'ok' }),
    })
    sending.offer(requestOf(['a1']).batch)
    await until(() => read('sent') === 1)
    expect(backend.requests).toHaveLength(2)
  })

  test('C10 a refused connection, a name that nobody knows and a server without TLS are busy, not refusals', async () => {
    const closed = await unusedPort()
    const plain = createServer(socket => {
      socket.on('error', () => {})
      socket.end('this is no TLS', () => socket.destroy())
    }).listen(0, '127.0.0.1')
    await new Promise(resolve => plain.on('listening', resolve))
    stops.push(() => new Promise(resolve => plain.close(resolve)))
    const { port } = plain.address() as AddressInfo
    const addresses = [
      `http://127.0.0.1:${closed}`,
      'http://no-such-host.invalid:4317',
      `https://127.0.0.1:${port}`,
    ]
    for (const address of addresses) {
      const { exporter } = exporterTo(type, address, { timeoutMs: 3000 })
      expect(await ask(exporter), address).toMatchObject({ kind: 'busy', retryAfterMs: null })
      await exporter.close()
    }
  })

  test('C10 a backend that comes back on the same port gets what was waiting', async () => {
    const first = await startBackend()
    const port = type === 'otlp' ? first.grpcPort : first.httpPort
    const patient = { retry: { ...RETRY_DEFAULTS, maxElapsedTimeMs: 0 } }
    const { sending, read, until, sent, world } = queued(type, addressOf(first, type), patient)
    await first.stop()
    sending.offer(requestOf(['a1']).batch)
    await until(() => sent.length > 3)
    const second = await startBackend(type === 'otlp' ? { grpcPort: port } : { httpPort: port })
    stops.push(async () => {
      await sending.close(0)
      await second.stop()
    })
    // The client of gRPC waits in real time before it connects again.
    for (let tries = 0; tries < 500 && read('sent') === 0; tries++) {
      await world.advance(1000)
      await realWorld.sleep(10)
    }
    expect(arrived(second)).toEqual(['a1'])
  })

  test('C16 a success that cannot be read is not sent again, and is counted as sent, with a warning', async () => {
    const { backend, sending, read, until, world, lines } = await scene(type, {
      script: () => ({ kind: 'garbage' }),
    })
    sending.offer(requestOf(['a1', 'a2']).batch)
    await until(() => read('sent') === 2)
    await world.advance(600_000)
    expect(backend.requests).toHaveLength(1)
    expect(lines.map(({ level }) => level)).toEqual(['warn'])
  })

  test('a merged request that is refused is taken apart, so that one sender never costs another', async () => {
    const isBad = ({ bytes }: Recorded) => namesIn(bytes).some(name => name.startsWith('bad'))
    const { backend, sending, read, until } = await scene(type, {
      script: request => (isBad(request) ? refusal(type) : { kind: 'ok' }),
    })
    for (const name of ['a1', 'bad2', 'a3']) sending.offer(requestOf([name]).batch)
    await until(() => read('in_flight') + read('queued') === 0)
    expect(backend.requests.map(({ bytes }) => namesIn(bytes).join())).toEqual([
      'a1,bad2,a3',
      'a1',
      'bad2',
      'a3',
    ])
    expect([read('sent'), read('rejected')]).toEqual([2, 1])
  })

  test('a signal that it does not take is found out, told once, and tried again after five minutes', async () => {
    const { backend, sending, read, until, world, lines } = await scene(type, {
      script: ({ signal }) => (signal === 'traces' ? unsupported(type) : { kind: 'ok' }),
    })
    sending.offer(requestOf(['a1']).batch)
    await until(() => read('dropped', 'unsupported') === 1)
    expect(sending.offer(requestOf(['a2']).batch)).toBe('unsupported')
    expect(sending.unsupported()).toEqual(['traces'])
    backend.script = () => ({ kind: 'ok' })
    await world.advance(300_000)
    expect(sending.offer(requestOf(['a3']).batch)).toBe('taken')
    await until(() => read('sent') === 1)
    expect(sending.unsupported()).toEqual([])
    expect(lines.filter(({ level }) => level === 'warn')).toHaveLength(1)
  })
})

test('C12 with one destination down the other gets everything, once, and shares the same bytes', async () => {
  const up = await startBackend()
  const down = await startBackend({ script: () => ({ kind: 'status', code: 14 }) })
  const registry = new Registry()
  const options = {
    ...QUEUE_LIMITS,
    sizeBytes: 2 ** 20,
    whenFull: 'drop_newest',
    numConsumers: 4,
    retry: RETRY_DEFAULTS,
  } as const
  const queues = [up, down].map((backend, at) => {
    const { exporter } = exporterTo('otlp', backend.grpc, { id: `otlp/${at}` })
    return queue(exporter, realWorld, silentLog, registry, options)
  })
  const sink = fanout({ routes: { traces: queues, metrics: queues, logs: queues } })
  for (const name of numbered(200)) expect((await sink.send(requestOf([name]).batch)).kind).toBe('accepted')
  const until = performance.now() + 10_000
  while (arrived(up).length < 200 && performance.now() < until) await realWorld.sleep(5)
  expect(arrived(up)).toEqual(numbered(200))
  expect(registry.read('otlier_exporter_sent_spans', { exporter: 'otlp/1' })).toBe(0)

  // The one that was down comes back, and only it is sent anything again.
  down.script = () => ({ kind: 'ok' })
  const [, lost] = await Promise.all(queues.map(each => each.close(realWorld.monotonic() + 10_000)))
  expect(lost).toEqual([])
  expect(arrived(up)).toHaveLength(200)
  expect(new Set(arrived(down))).toEqual(new Set(numbered(200)))
  await Promise.all([up.stop(), down.stop()])
})

async function unusedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.on('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}
