//! The laws of the sending queue: merging, order, bounds, and what happens when it is full.
import { describe, expect, test } from 'vitest'
import { RETRY_DEFAULTS } from '../../src/flow/retry.ts'
import { busyFor, DELIVERED } from '../kit/exporter.ts'
import { batch, names, pending, scene } from './queue-scene.ts'

describe('a queue', () => {
  test('merges what waits together into one request, oldest first', async () => {
    const { world, exporter, sending } = scene(DELIVERED)
    for (const name of ['a1', 'a2', 'a3']) expect(sending.offer(batch([name]))).toBe('taken')
    await world.advance(5)
    expect(exporter.seen.map(names)).toEqual([['a1', 'a2', 'a3']])
    expect(exporter.seen[0].items).toBe(3)
  })

  test('sends at once what is as large as a request may be', async () => {
    const { world, exporter, sending } = scene(DELIVERED, { maxBatchBytes: 100 })
    sending.offer(batch([`a1${'.'.repeat(60)}`]))
    await world.settle()
    expect(exporter.seen).toHaveLength(0)
    sending.offer(batch([`a2${'.'.repeat(60)}`]))
    await world.settle()
    expect(exporter.seen.map(names)).toEqual([['a1']])
    await world.advance(5)
    expect(exporter.seen.map(names)).toEqual([['a1'], ['a2']])
  })

  test('merges a backlog up to the size of a request, and no further', async () => {
    const { world, exporter, sending } = scene(DELIVERED, { maxBatchBytes: 1000 })
    for (let n = 0; n < 50; n++) sending.offer(batch([`a${n}${'.'.repeat(90)}`]))
    await world.advance(5)
    expect(exporter.seen.flatMap(names)).toEqual(Array.from({ length: 50 }, (_, n) => `a${n}`))
    for (const { bytes } of exporter.seen) expect(bytes.length).toBeLessThanOrEqual(1000)
    expect(exporter.seen).toHaveLength(6)
  })

  test('never merges different headers or signals', async () => {
    const { world, exporter, sending } = scene(DELIVERED)
    sending.offer(batch(['a1'], 'traces', { tenant: 'x' }))
    sending.offer(batch(['a2'], 'traces', { tenant: 'x' }))
    sending.offer(batch(['b1'], 'traces', { tenant: 'y' }))
    sending.offer(batch(['a3'], 'traces', { tenant: 'x' }))
    sending.offer(batch(['l1'], 'logs', { tenant: 'x' }))
    await world.advance(5)
    const sent = exporter.seen.map(seen => `${seen.signal} ${seen.headers['tenant']} ${names(seen)}`)
    expect(sent).toEqual(['traces x a1,a2', 'traces y b1', 'traces x a3', 'logs x l1'])
  })

  test('divides a request that is larger than a request may be', async () => {
    const { world, exporter, sending } = scene(DELIVERED, { maxBatchBytes: 1000 })
    sending.offer(batch(Array.from({ length: 40 }, (_, n) => `a${n}${'.'.repeat(90)}`)))
    await world.advance(5)
    for (const { bytes } of exporter.seen) expect(bytes.length).toBeLessThanOrEqual(1000)
    expect(exporter.seen.flatMap(names)).toEqual(Array.from({ length: 40 }, (_, n) => `a${n}`))
  })

  test('has as many requests under way as it has consumers', async () => {
    const { world, exporter, sending } = scene(pending, { maxBatchBytes: 10, numConsumers: 3 })
    for (let n = 0; n < 9; n++) sending.offer(batch([`a${n}`]))
    await world.advance(100)
    expect(exporter.mostOpen).toBe(3)
  })

  test('leaves no timer behind when it has nothing to do', async () => {
    const { world, sending } = scene(DELIVERED)
    for (let n = 0; n < 5; n++) {
      sending.offer(batch([`a${n}`]))
      await world.advance(7)
    }
    expect(world.timers()).toBe(0)
  })

  test('takes an empty request, and its weight', async () => {
    const { world, exporter, sending, size } = scene(DELIVERED)
    expect(sending.offer(batch([]))).toBe('taken')
    expect(size()).toBe(256)
    await world.advance(5)
    expect(exporter.seen).toHaveLength(1)
    expect(size()).toBe(0)
  })
})

describe('a full queue', () => {
  const full = { sizeBytes: 3 * 300, numConsumers: 1, maxBatchBytes: 10 } as const
  const fill = (sending: ReturnType<typeof scene>['sending'], from: number, to: number) =>
    Array.from({ length: to - from }, (_, at) => sending.offer(batch([`a${from + at}${'.'.repeat(30)}`])))

  test('with refuse, turns the sender away and counts nothing', async () => {
    const { sending, read } = scene(pending, full)
    expect(fill(sending, 0, 5)).toEqual(['taken', 'taken', 'taken', 'full', 'full'])
    expect(read('enqueued')).toBe(3)
    expect(read('enqueue_failed', 'queue_full')).toBe(0)
  })

  test('with drop_newest, passes the batch over and counts it', async () => {
    const { sending, read } = scene(pending, { ...full, whenFull: 'drop_newest' })
    expect(fill(sending, 0, 5)).toEqual(['taken', 'taken', 'taken', 'dropped', 'dropped'])
    expect(read('enqueued')).toBe(3)
    expect(read('enqueue_failed', 'queue_full')).toBe(2)
  })

  test('with drop_oldest, makes room from the other end, and never from what is under way', async () => {
    const { world, sending, read, exporter } = scene(pending, { ...full, whenFull: 'drop_oldest' })
    expect(fill(sending, 0, 3)).toEqual(['taken', 'taken', 'taken'])
    await world.advance(5)
    expect(fill(sending, 3, 7)).toEqual(['taken', 'taken', 'taken', 'taken'])
    expect(read('dropped', 'queue_full')).toBe(4)
    expect(read('in_flight')).toBe(1)
    expect(read('queued')).toBe(2)
    expect(exporter.seen.flatMap(names)).toEqual(['a0'])
  })

  test('says so once, and once when it has room again, with what it cost', async () => {
    const { world, sending, lines, exporter } = scene(pending, { ...full, whenFull: 'drop_newest' })
    exporter.answer = () => world.sleep(1000).then(() => DELIVERED)
    fill(sending, 0, 9)
    expect(sending.full()).toBe(true)
    await world.advance(60_000)
    fill(sending, 9, 10)
    expect(sending.full()).toBe(false)
    expect(lines.map(({ message }) => message)).toEqual([
      'the sending queue is full; telemetry is being lost',
      'the sending queue has room again',
    ])
    expect(lines[1].fields['dropped']).toBe(6)
  })

  test('has room again also when nobody offers it anything: health must not stay degraded', async () => {
    const { world, sending, exporter } = scene(pending, { ...full, whenFull: 'refuse' })
    exporter.answer = () => DELIVERED
    expect(fill(sending, 0, 5)).toContain('full')
    expect(sending.full()).toBe(true)
    await world.advance(1000)
    expect(sending.full()).toBe(false)
  })

  test('takes a batch larger than itself when nothing waits: it would never pass otherwise', async () => {
    const { world, sending, exporter } = scene(DELIVERED, { sizeBytes: 100 })
    const large = batch([`a1${'.'.repeat(500)}`])
    expect(sending.offer(large)).toBe('taken')
    expect(sending.offer(large)).toBe('full')
    await world.advance(5)
    expect(exporter.seen).toHaveLength(1)
    expect(sending.offer(large)).toBe('taken')
  })
})

describe('other settings, while it runs', () => {
  test('hold for what waits: its size, what happens when it is full, and how many are under way', async () => {
    const { world, sending, exporter, registry } = scene(pending, { numConsumers: 1, maxBatchBytes: 10 })
    for (let n = 0; n < 8; n++) sending.offer(batch([`a${n}`]))
    await world.advance(10)
    expect(exporter.open).toBe(1)
    const retrying = { ...RETRY_DEFAULTS, maxElapsedTimeMs: 1 }
    sending.change({ sizeBytes: 10, whenFull: 'drop_newest', numConsumers: 3, retry: retrying })
    await world.settle()
    expect(exporter.open).toBe(3)
    expect(sending.offer(batch(['a9']))).toBe('dropped')
    expect(registry.read('otlier_exporter_queue_capacity', { exporter: exporter.id })).toBe(10)
  })

  test('wake those who wait for a destination, which may be another one now', async () => {
    const { world, sending, exporter, read } = scene(busyFor(250_000))
    sending.offer(batch(['a1', 'a2']))
    await world.advance(1000)
    exporter.answer = () => DELIVERED
    sending.change({ sizeBytes: 2 ** 20, whenFull: 'refuse', numConsumers: 1, retry: RETRY_DEFAULTS })
    await world.settle()
    expect(read('sent')).toBe(2)
    expect(world.monotonic()).toBe(1000)
  })
})
