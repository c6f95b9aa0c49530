//! The laws of the queue on disk: what is acknowledged outlives the process, in order, and once answered is not sent again.
import { describe, expect, test } from 'vitest'
import { BUSY, DELIVERED } from '../../kit/exporter.ts'
import { simulatedWorld } from '../../kit/world.ts'
import { batch, names, pending } from '../queue-scene.ts'
import { errno, faultyWorld, QUEUE, run } from './disk-scene.ts'

describe('a queue on disk', () => {
  test('delivers, and leaves nothing behind after its end', async () => {
    const world = simulatedWorld(1)
    const { sink, exporter, queue, read, imbalance } = await run(world, DELIVERED)
    for (const name of ['a1', 'a2', 'a3']) expect((await sink.send(batch([name]))).kind).toBe('accepted')
    await world.advance(10)
    expect(exporter.seen.flatMap(names)).toEqual(['a1', 'a2', 'a3'])
    expect(read('sent')).toBe(3)
    expect(imbalance()).toEqual([0, 0, 0])
    const ended = queue.close(world.monotonic() + 1000)
    await world.advance(1000)
    expect(await ended).toEqual([])
    expect([...world.disk.files.keys()]).toEqual([])
    expect(world.timers()).toBe(0)
  })

  test('D5 keeps over a restart what was not delivered, and sends it in its order', async () => {
    const world = simulatedWorld(2)
    const first = await run(world, pending)
    const all = Array.from({ length: 50 }, (_, n) => `a${n}`)
    for (const name of all)
      expect((await first.sink.send(batch([name], 'traces', { tenant: name }))).kind).toBe('accepted')
    const ended = first.queue.close(world.monotonic() + 1000)
    await world.advance(2000)
    expect(await ended).toEqual([])
    expect(first.read('queued')).toBe(50)
    expect(first.imbalance()).toEqual([0, 0, 0])
    const second = await run(world, DELIVERED, { numConsumers: 1 })
    expect(second.read('recovered')).toBe(50)
    await world.advance(1000)
    expect(second.exporter.seen.flatMap(names)).toEqual(all)
    expect(second.exporter.seen.map(seen => seen.headers['tenant'])).toEqual(all)
    expect(second.imbalance()).toEqual([0, 0, 0])
    await world.settle()
    expect([...world.disk.files.keys()].filter(path => path.startsWith(QUEUE))).toEqual([])
  })

  test('D5 after a kill sends again only what had no answer', async () => {
    const world = simulatedWorld(3)
    let answers = 5
    const first = await run(world, () => (answers-- > 0 ? DELIVERED : pending()), {
      numConsumers: 2,
      maxBatchBytes: 1,
    })
    for (let n = 0; n < 20; n++) await first.sink.send(batch([`a${n}`]))
    await world.advance(100)
    const answered = first.exporter.seen.slice(0, 5).flatMap(names)
    expect(first.read('sent')).toBe(5)
    // The process is gone; its successor finds the disk as it is.
    const second = await run(world, DELIVERED)
    await world.advance(100)
    const again = second.exporter.seen.flatMap(names)
    expect(again).toHaveLength(15)
    expect(again.filter(name => answered.includes(name))).toEqual([])
  })

  test('never gives up for its age', async () => {
    const world = simulatedWorld(4)
    const { sink, exporter, read } = await run(world, BUSY)
    await sink.send(batch(['a1']))
    await world.advance(3_000_000)
    expect(read('dropped', 'expired')).toBe(0)
    exporter.answer = () => DELIVERED
    await world.advance(60_000)
    expect(read('sent')).toBe(1)
  })

  test('holds little in memory however much waits, and sends all of it in order', async () => {
    const { world, faults } = faultyWorld(5)
    const scene = await run(world, BUSY, { sizeBytes: 2 ** 28, numConsumers: 1 })
    const filling = '.'.repeat(200_000)
    const all = Array.from({ length: 100 }, (_, n) => `a${n}`)
    for (const name of all) await scene.sink.send(batch([name + filling]))
    await world.advance(10)
    const isRead = () =>
      faults.done.some(({ operation, path }) => operation === 'read' && path.endsWith('.log'))
    expect(isRead()).toBe(false)
    scene.exporter.answer = () => DELIVERED
    await world.advance(120_000)
    const sent = [...new Set(scene.exporter.seen.flatMap(names))]
    expect(sent).toEqual(all)
    expect(scene.read('sent')).toBe(100)
    // Of these 20 MB no more than eight were at hand.
    expect(isRead()).toBe(true)
    expect(scene.imbalance()).toEqual([0, 0, 0])
  })

  test('D5 sets a damaged segment aside once, also where its marks cannot go at first, and those behind it go too', async () => {
    const { world, faults } = faultyWorld(13)
    // Segments of two batches.
    const small = { sizeBytes: 20_000, numConsumers: 1, maxBatchBytes: 1 }
    const first = await run(world, pending, small)
    for (let n = 0; n < 6; n++) await first.sink.send(batch([`a${n}${'.'.repeat(900)}`]))
    const [path] = [...world.disk.files.keys()].filter(each => each.endsWith('.log')).sort()
    const bytes = world.disk.files.get(path) as Uint8Array
    bytes[16 + 85] ^= 1
    let failures = 1
    faults.on = (operation, of) =>
      operation === 'remove' && of.endsWith('.done') && failures-- > 0 ? errno('EIO') : null
    const second = await run(world, DELIVERED, small)
    await world.advance(5000)
    expect(failures).toBeLessThanOrEqual(0)
    expect([second.read('sent'), second.read('dropped', 'damaged')]).toEqual([5, 1])
    const left = [...world.disk.files.keys()].filter(each => each.startsWith(QUEUE))
    expect(left).toEqual([`${path}.damaged`])
  })
})
