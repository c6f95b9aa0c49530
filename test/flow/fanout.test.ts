//! The laws of several destinations: each on its own, and a refused batch taken by none.
import { expect, test } from 'vitest'
import { Registry } from '../../src/base/counters.ts'
import { silentLog } from '../../src/base/log.ts'
import { closeAll, fanout, type Routes } from '../../src/flow/fanout.ts'
import { QUEUE_LIMITS, type QueueOptions, queue } from '../../src/flow/queue.ts'
import { RETRY_DEFAULTS } from '../../src/flow/retry.ts'
import { ACCEPTED, type CheckedBatch, type Signal } from '../../src/flow/sink.ts'
import { BUSY, DELIVERED, type ScriptedExporter, scriptedExporter, UNSUPPORTED } from '../kit/exporter.ts'
import { simulatedWorld } from '../kit/world.ts'

const batch = (signal: Signal = 'traces'): CheckedBatch => ({
  signal,
  bytes: Uint8Array.of(10, 0),
  items: 1,
  receivedMs: 0,
  headers: {},
})

function scene(destinations: Record<string, Partial<QueueOptions> & { answer: ScriptedExporter['answer'] }>) {
  const world = simulatedWorld(1)
  const registry = new Registry()
  const exporters: Record<string, ScriptedExporter> = {}
  const queues = Object.entries(destinations).map(([id, { answer, ...options }]) => {
    exporters[id] = scriptedExporter(world, answer, id)
    const all = {
      ...QUEUE_LIMITS,
      lingerMs: 5,
      sizeBytes: 600,
      whenFull: 'refuse',
      numConsumers: 1,
      retry: RETRY_DEFAULTS,
      ...options,
    } as const
    return queue(exporters[id], world, silentLog, registry, all)
  })
  const read = (exporter: string, what: string, reason?: string) =>
    registry.read(`otlier_exporter_${what}_spans`, { exporter, ...(reason === undefined ? {} : { reason }) })
  return {
    world,
    exporters,
    queues,
    read,
    sink: fanout({ routes: { traces: queues, metrics: queues, logs: queues } }),
  }
}

const hang = () => new Promise<never>(() => {})

test('a batch that one destination refuses is taken by none', async () => {
  const { sink, read, world } = scene({ well: { answer: () => DELIVERED }, hung: { answer: hang } })
  const outcomes: string[] = []
  for (let n = 0; n < 5; n++) {
    outcomes.push((await sink.send(batch())).kind)
    await world.advance(10)
  }
  expect(outcomes).toEqual(['accepted', 'accepted', 'busy', 'busy', 'busy'])
  expect(read('well', 'enqueued')).toBe(2)
  expect(read('hung', 'enqueued')).toBe(2)
})

test('a destination that drops loses alone, and the rest gets everything', async () => {
  const { sink, read, world } = scene({
    well: { answer: () => DELIVERED },
    hung: { answer: hang, whenFull: 'drop_newest' },
  })
  for (let n = 0; n < 5; n++) {
    expect((await sink.send(batch())).kind).toBe('accepted')
    await world.advance(10)
  }
  expect(read('well', 'sent')).toBe(5)
  expect(read('hung', 'enqueued')).toBe(2)
  expect(read('hung', 'enqueue_failed', 'queue_full')).toBe(3)
})

test('for each exporter, accepted is enqueued and enqueue_failed together', async () => {
  const { sink, read, world } = scene({
    none: { answer: () => UNSUPPORTED },
    hung: { answer: hang, whenFull: 'drop_newest' },
    well: { answer: () => DELIVERED, whenFull: 'drop_oldest' },
  })
  let accepted = 0
  for (let n = 0; n < 30; n++) {
    if ((await sink.send(batch())).kind === 'accepted') accepted++
    if (n % 3 === 0) await world.advance(10)
  }
  expect(accepted).toBe(30)
  for (const id of ['none', 'hung', 'well']) {
    const failed = read(id, 'enqueue_failed', 'queue_full') + read(id, 'enqueue_failed', 'unsupported')
    expect(read(id, 'enqueued') + failed).toBe(30)
  }
})

test('a signal that no destination takes is refused, and stands in no account', async () => {
  const { sink, read, world } = scene({
    one: { answer: () => UNSUPPORTED },
    two: { answer: () => UNSUPPORTED },
  })
  expect((await sink.send(batch())).kind).toBe('accepted')
  await world.advance(10)
  const outcome = await sink.send(batch())
  expect(outcome).toMatchObject({
    kind: 'refused',
    cause: { code: 'OTLIER_SIGNAL_UNSUPPORTED', grpc: 12, http: 404 },
  })
  expect(read('one', 'enqueue_failed', 'unsupported')).toBe(0)
  expect((await sink.send(batch('logs'))).kind).toBe('accepted')
})

test('a signal that one destination takes is accepted, and counted as passed over by the other', async () => {
  const { sink, read, world } = scene({
    one: { answer: () => UNSUPPORTED },
    two: { answer: () => DELIVERED },
  })
  await sink.send(batch())
  await world.advance(10)
  expect((await sink.send(batch())).kind).toBe('accepted')
  expect(read('one', 'enqueue_failed', 'unsupported')).toBe(1)
})

test('with no destination at all everything is accepted; with none for one signal, that signal is refused', async () => {
  const nothing = fanout({ routes: { traces: [], metrics: [], logs: [] } })
  expect((await nothing.send(batch('metrics'))).kind).toBe('accepted')

  const { queues } = scene({ jaeger: { answer: () => DELIVERED } })
  const routes: Routes = { traces: queues, metrics: [], logs: [] }
  expect((await fanout({ routes }).send(batch())).kind).toBe('accepted')
  expect((await fanout({ routes }).send(batch('metrics'))).kind).toBe('refused')
  // A pipeline that names no exporters says that nobody is to have it, whoever takes the rest.
  const letGo = new Set(['metrics'] as const)
  expect(await fanout({ routes, letGo }).send(batch('metrics'))).toEqual(ACCEPTED)
})

test('once closed, senders are told to come again', async () => {
  const { sink } = scene({ well: { answer: () => DELIVERED } })
  await sink.close()
  expect(await sink.send(batch())).toMatchObject({ kind: 'busy', cause: { code: 'OTLIER_STOPPING' } })
})

test('all queues close together, and tell what each of them lost', async () => {
  const { sink, queues, world } = scene({
    well: { answer: () => DELIVERED },
    hung: { answer: hang },
    down: { answer: () => BUSY },
  })
  await sink.send(batch())
  await sink.send(batch('logs'))
  const lost = closeAll(queues, world.monotonic() + 1000)
  await world.advance(1000)
  expect(await lost).toEqual([
    { exporter: 'hung', signal: 'traces', items: 1 },
    { exporter: 'hung', signal: 'logs', items: 1 },
    { exporter: 'down', signal: 'traces', items: 1 },
    { exporter: 'down', signal: 'logs', items: 1 },
  ])
})
