//! The laws of `acknowledge: delivered`: the sender is told what the destination said, and what it gets back is not sent.
import { describe, expect, test } from 'vitest'
import { Failure } from '../../src/base/errors.ts'
import { fanout } from '../../src/flow/fanout.ts'
import type { Outcome } from '../../src/flow/sink.ts'
import { BUSY, busyFor, DELIVERED, partial, REFUSED, TOO_LARGE, UNSUPPORTED } from '../kit/exporter.ts'
import { simulatedWorld } from '../kit/world.ts'
import { run } from './disk/disk-scene.ts'
import { batch, names, pending, scene } from './queue-scene.ts'

const delivered = { acknowledge: 'delivered' } as const

function open(answer: Parameters<typeof scene>[0], options: Parameters<typeof scene>[1] = {}) {
  const all = scene(answer, { ...delivered, ...options })
  const queues = [all.sending]
  return { ...all, sink: fanout({ routes: { traces: queues, metrics: queues, logs: queues } }) }
}

/** What a sender is told, and when. */
function watched(sending: Promise<Outcome>, nowMs: () => number) {
  const told: { outcome: Outcome | null; atMs: number } = { outcome: null, atMs: -1 }
  void sending.then(outcome => Object.assign(told, { outcome, atMs: nowMs() }))
  return told
}

describe('a sender that waits for the destination', () => {
  test.each([
    ['full success', DELIVERED, { kind: 'accepted', rejectedItems: 0 }],
    [
      'partial success',
      partial(1, 'one is wrong'),
      { kind: 'accepted', rejectedItems: 1, message: 'one is wrong' },
    ],
    ['a warning', partial(0, 'careful'), { kind: 'accepted', rejectedItems: 0, message: 'careful' }],
    ['busy, with its delay', busyFor(1234), { kind: 'busy', retryAfterMs: 1234 }],
    ['a refusal', REFUSED, { kind: 'refused', cause: { code: 'OTLIER_DESTINATION_REFUSED' } }],
    [
      'an unsupported signal',
      UNSUPPORTED,
      { kind: 'refused', cause: { code: 'OTLIER_DESTINATION_UNSUPPORTED' } },
    ],
  ])('is told of %s', async (_, answer, expected) => {
    const { world, sink, exporter, read } = open(answer)
    const told = watched(sink.send(batch(['a1', 'a2'])), world.monotonic)
    await world.advance(10_000)
    expect(told.outcome).toMatchObject(expected)
    expect(told.atMs).toBe(0)
    expect(exporter.seen).toHaveLength(1)
    expect(read('dropped', 'returned')).toBe(answer.kind === 'busy' ? 2 : 0)
    expect(read('enqueued')).toBe(2)
    expect([read('queued'), read('in_flight')]).toEqual([0, 0])
    expect(world.timers()).toBe(0)
  })

  test('has its request sent alone, and at once', async () => {
    const { world, sink, exporter } = open(DELIVERED, { numConsumers: 1 })
    exporter.answer = () => world.sleep(100).then(() => DELIVERED)
    for (const name of ['a1', 'a2', 'a3']) void sink.send(batch([name]))
    await world.settle()
    expect(exporter.seen.map(names)).toEqual([['a1']])
    await world.advance(1000)
    expect(exporter.seen.map(names)).toEqual([['a1'], ['a2'], ['a3']])
  })

  test('gets back what still waits when its time is up, and that is never sent', async () => {
    const { world, sink, exporter, read } = open(pending, { numConsumers: 1 })
    const send = (name: string) =>
      watched(sink.send({ ...batch([name]), answerByMs: world.monotonic() + 9000 }), world.monotonic)
    const underWay = send('a1')
    const waiting = send('a2')
    await world.advance(8999)
    for (const told of [underWay, waiting])
      expect(told).toMatchObject({
        outcome: { kind: 'busy', cause: { code: 'OTLIER_NO_ANSWER' } },
        atMs: 8900,
      })
    expect([read('dropped', 'returned'), read('in_flight'), read('queued')]).toEqual([1, 1, 0])
    exporter.answer = () => DELIVERED
    await world.advance(600_000)
    expect(exporter.seen.flatMap(names)).toEqual(['a1'])
  })

  test('is told to come again when the answer takes too long, and what then arrives is counted as sent', async () => {
    const { world, sink, read, exporter } = open(pending)
    exporter.answer = () => world.sleep(12_000).then(() => DELIVERED)
    const told = watched(sink.send({ ...batch(['a1']), answerByMs: 9000 }), world.monotonic)
    await world.advance(10_000)
    expect(told.outcome).toMatchObject({ kind: 'busy' })
    expect([read('in_flight'), read('sent')]).toEqual([1, 0])
    await world.advance(3000)
    expect([read('in_flight'), read('sent'), read('dropped', 'returned')]).toEqual([0, 1, 0])
  })

  test('is not asked to wait where the destination has asked others to', async () => {
    const { world, sink, exporter } = open(busyFor(60_000))
    void sink.send(batch(['a1']))
    await world.advance(1000)
    const told = watched(sink.send(batch(['a2'])), world.monotonic)
    await world.advance(10)
    expect(told.outcome).toMatchObject({ kind: 'busy', retryAfterMs: 59_000 })
    expect(exporter.seen.flatMap(names)).toEqual(['a1'])
  })

  test('has a request divided that is too large, and is told of the items that still are', async () => {
    const { world, sink, exporter, read } = open(DELIVERED)
    exporter.answer = request => (names(request).join().includes('a3') ? TOO_LARGE : DELIVERED)
    const told = watched(sink.send(batch(['a1', 'a2', 'a3', 'a4'])), world.monotonic)
    await world.advance(100)
    expect(told.outcome).toMatchObject({ kind: 'accepted', rejectedItems: 1 })
    expect([read('sent'), read('dropped', 'too_large')]).toEqual([3, 1])
  })

  test('gets the whole back when a piece was not taken, and the pieces after it are not sent', async () => {
    const { world, sink, exporter, read } = open(DELIVERED, { maxBatchBytes: 30 })
    exporter.answer = request => (names(request).join().includes('a1') ? DELIVERED : BUSY)
    const told = watched(sink.send(batch(['a1', 'a2', 'a3', 'a4', 'a5', 'a6'])), world.monotonic)
    await world.advance(100)
    expect(told.outcome).toMatchObject({ kind: 'busy', retryAfterMs: null })
    expect(exporter.seen).toHaveLength(2)
    expect(read('sent') + read('dropped', 'returned')).toBe(6)
    expect(read('sent')).toBeGreaterThan(0)
  })

  test('gets back what waits when the service stops, and nothing of it counts as lost', async () => {
    const { world, sink, sending, read } = open(pending, { numConsumers: 1 })
    const told = ['a1', 'a2'].map(name => watched(sink.send(batch([name])), world.monotonic))
    await world.advance(10)
    const ended = sending.close(world.monotonic() + 3000)
    await world.advance(5000)
    expect(await ended).toEqual([])
    for (const { outcome } of told)
      expect(outcome).toMatchObject({ kind: 'busy', cause: { code: 'OTLIER_STOPPING' } })
    expect([read('dropped', 'returned'), read('queued'), read('in_flight')]).toEqual([2, 0, 0])
  })
})

describe('of several destinations a sender is told', () => {
  const refused = { kind: 'refused', cause: new Failure('OTLIER_DESTINATION_REFUSED') } as const
  test.each([
    [
      'that one is busy, before anything else',
      [DELIVERED, refused, busyFor(700), busyFor(900)],
      { kind: 'busy', retryAfterMs: 900 },
    ],
    ['that one refuses', [DELIVERED, refused], { kind: 'refused' }],
    [
      'the most that one rejects',
      [partial(1), partial(2, 'two'), DELIVERED],
      { kind: 'accepted', rejectedItems: 2, message: 'two' },
    ],
  ])('%s', async (_, answers, expected) => {
    const all = answers.map(answer => open(answer))
    const queues = all.map(({ sending }) => sending)
    const sink = fanout({ routes: { traces: queues, metrics: [], logs: [] } })
    const told = watched(sink.send(batch(['a1', 'a2'])), () => 0)
    for (const { world } of all) await world.advance(10)
    expect(told.outcome).toMatchObject(expected)
  })
})

describe('with the queue on disk', () => {
  test('the sender is told the same, and what it got back is not there after a restart', async () => {
    const world = simulatedWorld(1)
    const first = await run(world, busyFor(100), delivered)
    const told = watched(first.sink.send(batch(['a1'])), world.monotonic)
    await world.advance(50)
    expect(told.outcome).toMatchObject({ kind: 'busy', retryAfterMs: 100 })
    expect(first.read('dropped', 'returned')).toBe(1)
    expect(first.imbalance()).toEqual([0, 0, 0])
    expect((await run(world, DELIVERED)).read('recovered')).toBe(0)
  })

  test('what had no answer at a kill is sent after the next start, as often as it takes', async () => {
    const first = simulatedWorld(2)
    const { sink } = await run(first, pending, delivered)
    void sink.send(batch(['a1']))
    await first.advance(10)
    const second = simulatedWorld(3)
    for (const [path, bytes] of first.disk.files) second.disk.files.set(path, bytes)
    const scene = await run(second, busyFor(100), delivered)
    expect(scene.read('recovered')).toBe(1)
    await second.advance(5000)
    scene.exporter.answer = () => DELIVERED
    await second.advance(60_000)
    expect([scene.read('sent'), scene.read('dropped', 'returned')]).toEqual([1, 0])
  })

  test('more than memory holds waits for its turn or its time', async () => {
    const world = simulatedWorld(4)
    const scene = await run(world, pending, { ...delivered, sizeBytes: 2 ** 27, numConsumers: 1 })
    const filling = '.'.repeat(2 ** 20)
    const told = Array.from({ length: 20 }, (_, n) =>
      watched(scene.sink.send({ ...batch([`a${n}${filling}`]), answerByMs: 5000 }), world.monotonic),
    )
    await world.advance(6000)
    for (const { outcome } of told) expect(outcome).toMatchObject({ kind: 'busy' })
    expect([scene.read('dropped', 'returned'), scene.read('in_flight')]).toEqual([19, 1])
    expect(scene.imbalance()).toEqual([0, 0, 0])
  })
})
