//! What `acknowledge: durable` means, shown on a disk that records its calls: no success before the bytes would survive a loss of power.
import { expect, onTestFinished, test } from 'vitest'
import { realWorld } from '../../src/base/world.ts'
import { imbalances, readMetrics } from '../kit/accounts.ts'
import { type Backend, startBackend } from '../kit/backend.ts'
import { GrpcClient, httpCall } from '../kit/client.ts'
import { type Machine, machine, touchedAfterFailedSync } from '../kit/disk.ts'
import { startService } from '../kit/otlier.ts'
import { seeded } from '../kit/random.ts'
import { requestWith } from './load/ids.ts'

/** Nothing of it is there before the start: whoever makes a directory has to make its name durable. */
const DIRECTORY = '/var/lib/otlier'
const SPANS = 30

/** A service with its queue on a simulated disk, before a backend that takes nothing, so that everything stays in the queue. */
async function durable(prepare: (box: Machine) => void = () => {}, settings: readonly string[] = []) {
  const backend: Backend = await startBackend({ raw: true, script: () => ({ kind: 'status', code: 14 }) })
  onTestFinished(() => backend.stop())
  const box = machine(seeded(1))
  const disk = box.boot()
  prepare(box)
  const service = await startService(
    [
      `directory=${DIRECTORY}`,
      'shutdown_timeout=200ms',
      `exporters.otlp.endpoint=http://${backend.grpc}`,
      'exporters.otlp.compression=none',
      'exporters.otlp.sending_queue.storage=disk',
      'exporters.otlp.sending_queue.acknowledge=durable',
      ...settings,
    ],
    { world: { ...realWorld, disk }, directory: DIRECTORY },
  )
  const client = new GrpcClient(service.grpcPort)
  onTestFinished(async () => {
    box.fault = null
    box.syncing = null
    client.session.destroy()
    await service.stop()
  })
  let next = 1
  return {
    box,
    backend,
    /** Resolves with the status, the request's bytes, and whether they would have survived when it came. */
    async send() {
      const bytes = requestWith([next, next + SPANS - 1], Date.now(), seeded(next))
      next += SPANS
      const sentMs = performance.now()
      const { code } = await client.export('traces', bytes)
      return { code, bytes, survived: survives(box, bytes), tookMs: performance.now() - sentMs }
    },
    async unbalanced() {
      const reply = await httpCall({ port: service.metricsPort, method: 'GET', path: '/metrics' })
      return imbalances(readMetrics(reply.body.toString()))
    },
  }
}

/** The first span's id and all that follows it: marks and merges would only add before or behind it. */
const survives = (box: Machine, bytes: Uint8Array) =>
  [...box.survivors().values()].some(image => Buffer.from(image).includes(bytes))

test('no success leaves before the sync that covers its bytes, and the names of its files, have returned', async () => {
  const { box, send, unbalanced } = await durable(machine => {
    machine.syncing = () => new Promise(resolve => setTimeout(resolve, 2))
  })
  for (let round = 0; round < 10; round++) {
    const answers = await Promise.all(Array.from({ length: 10 }, send))
    expect(answers.filter(({ code }) => code !== 0)).toEqual([])
    expect(answers.filter(({ survived }) => !survived)).toEqual([])
    expect(await unbalanced()).toEqual([])
  }
  // Many share a sync: it is for groups.
  const syncs = box.moments.filter(each => each.kind === 'end' && each.call.op === 'sync')
  expect(syncs.length).toBeLessThan(60)
})

test('a new segment is no exception: over many of them, every request that was answered would survive', async () => {
  const { box, send } = await durable(() => {}, ['exporters.otlp.sending_queue.size_mib=4'])
  const segments = () => box.paths().filter(path => path.includes('/queue/') && path.endsWith('.log')).length
  for (let round = 0; round < 60 && segments() < 5; round++) {
    const answers = await Promise.all(Array.from({ length: 20 }, send))
    expect(answers.filter(({ code, survived }) => code === 0 && !survived)).toEqual([])
  }
  expect(segments()).toBeGreaterThanOrEqual(5)
})

test('while a sync lasts nothing is answered, and delaying every sync by 500 ms delays every reply by that much', async () => {
  const { send } = await durable(box => {
    box.syncing = () => new Promise(resolve => setTimeout(resolve, 500))
  })
  const answers = (await Promise.all([0, 1, 2].map(() => Promise.all([send(), send()])))).flat()
  answers.push(await send())
  for (const { code, survived, tookMs } of answers) {
    expect([code, survived]).toEqual([0, true])
    // Timers may be a little early by another clock.
    expect(tookMs).toBeGreaterThan(495)
  }
})

test('a sync that fails acknowledges nothing, its segment is closed and never synced again, and the next requests go elsewhere', async () => {
  const { box, send, unbalanced } = await durable()
  expect(await send()).toMatchObject({ code: 0, survived: true })
  box.forget()
  const failed: string[] = []
  box.fault = call => {
    if (call.op !== 'sync') return null
    failed.push(call.path)
    return { code: 'EIO' }
  }
  // The disk is tried again while it still fails, with another segment each time.
  for (const untilMs = performance.now() + 10_000; failed.length < 3 && performance.now() < untilMs; ) {
    const answers = await Promise.all([send(), send(), send()])
    expect(new Set(answers.map(({ code }) => code))).toEqual(new Set([14]))
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  expect(failed.length).toBeGreaterThanOrEqual(3)
  expect(new Set(failed).size).toBe(failed.length)
  box.fault = null
  await expect.poll(async () => (await send()).code, { timeout: 5000 }).toBe(0)
  expect(await send()).toMatchObject({ code: 0, survived: true })
  expect(await unbalanced()).toEqual([])
  expect(touchedAfterFailedSync(box)).toEqual([])
})
