//! The laws of the queue on a disk that fails: no success before the sync, no loss of what was promised, and always a start.
import { describe, expect, test } from 'vitest'
import { Loan } from '../../../src/base/loan.ts'
import type { Outcome } from '../../../src/flow/sink.ts'
import { BUSY, DELIVERED } from '../../kit/exporter.ts'
import { simulatedWorld } from '../../kit/world.ts'
import { batch, names, pending } from '../queue-scene.ts'
import { errno, faultyWorld, QUEUE, run } from './disk-scene.ts'

const logs = (files: ReadonlyMap<string, Uint8Array>) =>
  [...files.keys()].filter(path => path.startsWith(QUEUE) && path.endsWith('.log')).sort()

/** A run in which `count` batches of two items each are stored and not delivered; then the process is gone. */
async function stored(seed: number, count: number) {
  const { world, faults } = faultyWorld(seed)
  const { sink } = await run(world, pending, { maxBatchBytes: 1, numConsumers: 1 })
  for (let n = 0; n < count; n++) await sink.send(batch([`a${n}`, `b${n}`]))
  const [path] = logs(world.disk.files)
  return { world, faults, path, bytes: world.disk.files.get(path) as Uint8Array }
}

describe('a durable acknowledgement', () => {
  test('leaves after the sync that covers its bytes has returned, and that of its directory', async () => {
    const { world, faults } = faultyWorld(1)
    const held: (() => void)[] = []
    faults.on = operation =>
      operation.startsWith('sync') ? new Promise(resolve => held.push(() => resolve(null))) : null
    const { sink, read, exporter } = await run(world, DELIVERED)
    let outcome: Outcome | null = null
    void sink.send(batch(['a1'])).then(answer => {
      outcome = answer
    })
    await world.advance(100)
    expect(faults.done.at(-1)?.operation).toBe('write')
    expect([outcome, read('enqueued'), exporter.seen.length]).toEqual([null, 0, 0])
    held.shift()?.()
    await world.advance(100)
    expect(faults.done.at(-1)?.operation).toBe('sync')
    expect([outcome, read('enqueued')]).toEqual([null, 0])
    // Those of the directories above it go first.
    for (const above of ['/data/queue', '/data', '/']) {
      held.shift()?.()
      await world.advance(100)
      expect(faults.done.at(-1)).toEqual({ operation: 'syncDirectory', path: above })
      expect([outcome, read('enqueued')]).toEqual([null, 0])
    }
    held.shift()?.()
    await world.advance(100)
    expect(faults.done.findLast(({ operation }) => operation === 'syncDirectory')?.path).toBe(QUEUE)
    expect([outcome, read('enqueued')]).toEqual([{ kind: 'accepted', rejectedItems: 0 }, 1])
  })

  test('is late by as much as the sync, and many share one', async () => {
    const { world, faults } = faultyWorld(2)
    const { sink } = await run(world, DELIVERED)
    await sink.send(batch(['a0']))
    faults.on = operation => (operation === 'sync' ? world.sleep(500).then(() => null) : null)
    const syncs = () => faults.done.filter(({ operation }) => operation === 'sync').length
    const before = syncs()
    const startMs = world.monotonic()
    const took: number[] = []
    for (let n = 0; n < 100; n++)
      void sink.send(batch([`a${n}`])).then(() => took.push(world.monotonic() - startMs))
    await world.advance(2000)
    expect(took).toHaveLength(100)
    expect(Math.min(...took)).toBe(500)
    expect(syncs() - before).toBe(1)
  })

  test('does not come after a failed sync; the segment is never synced again, and what it promised before is sent', async () => {
    const { world, faults } = faultyWorld(3)
    const first = await run(world, BUSY, { maxBatchBytes: 1 })
    expect((await first.sink.send(batch(['a1']))).kind).toBe('accepted')
    const [path] = logs(world.disk.files)
    const failed: string[] = []
    faults.on = (operation, at) => {
      if (operation !== 'sync') return null
      failed.push(at)
      return errno('EIO')
    }
    // While syncs fail, each segment has one.
    for (const name of ['a2', 'a2b', 'a2c']) {
      await world.advance(1000)
      expect(await first.sink.send(batch([name]))).toMatchObject({ kind: 'busy', retryAfterMs: 1000 })
    }
    expect(failed[0]).toBe(path)
    expect([failed.length, new Set(failed).size]).toEqual([3, 3])
    faults.on = () => null
    // It is left alone for a moment, and then there is a new segment.
    expect((await first.sink.send(batch(['a3']))).kind).toBe('busy')
    await world.advance(1000)
    const before = faults.done.length
    expect((await first.sink.send(batch(['a4']))).kind).toBe('accepted')
    const syncedAfter = faults.done.slice(before).filter(({ operation }) => operation === 'sync')
    expect(syncedAfter.map(done => failed.includes(done.path))).toEqual([false])
    expect(first.read('enqueued')).toBe(2)
    first.exporter.answer = () => DELIVERED
    await world.advance(60_000)
    const delivered = first.exporter.seen.flatMap(names)
    expect(new Set(delivered)).toEqual(new Set(['a1', 'a4']))
    expect(first.imbalance()).toEqual([0, 0, 0])
  })

  test('is given up before the receiver would, where the disk hangs, and the batch is taken by none', async () => {
    const { world, faults } = faultyWorld(4)
    const { sink, exporter, read, imbalance } = await run(world, DELIVERED)
    let release = () => {}
    faults.on = operation =>
      operation === 'sync' ? new Promise(resolve => (release = () => resolve(null))) : null
    const sending = sink.send({ ...batch(['a1']), answerByMs: world.monotonic() + 9000 })
    await world.advance(8900)
    expect(await sending).toMatchObject({ kind: 'busy', cause: { code: 'OTLIER_NO_ANSWER' } })
    release()
    await world.advance(10_000)
    expect(exporter.seen).toHaveLength(0)
    expect(read('enqueued')).toBe(0)
    expect(imbalance()).toEqual([0, 0, 0])
  })
})

test('a destination that is passed over because its disk hangs keeps the memory of a batch that it still reads', async () => {
  const { world, faults } = faultyWorld(20)
  const { sink } = await run(world, DELIVERED, { whenFull: 'drop_newest' })
  let release = () => {}
  faults.on = (operation, path) =>
    operation === 'write' && path.endsWith('.log')
      ? new Promise(resolve => (release = () => resolve(null)))
      : null
  let returned = 0
  const loan = new Loan(() => returned++)
  const sending = sink.send({ ...batch(['a1']), answerByMs: world.monotonic() + 9000, loan })
  await world.advance(9000)
  expect(await sending).toMatchObject({ kind: 'accepted' })
  expect(returned).toBe(0)
  release()
  await world.advance(1000)
  // One that is delivered comes back.
  const other = new Loan(() => returned++)
  faults.on = () => null
  await sink.send({ ...batch(['a2']), loan: other })
  await world.advance(1000)
  expect(returned).toBe(1)
})

describe('a full disk', () => {
  test.each(['write', 'open'] as const)(
    '(%s fails) asks senders to come again, says so once, and recovers',
    async operation => {
      const { world, faults } = faultyWorld(5)
      const { sink, lines, queue, read, imbalance, exporter } = await run(world, DELIVERED)
      faults.on = seen => (seen === operation ? errno('ENOSPC') : null)
      for (let n = 0; n < 20; n++) {
        expect(await sink.send(batch([`a${n}`]))).toMatchObject({ kind: 'busy' })
        await world.advance(300)
      }
      expect(queue.full()).toBe(true)
      faults.on = () => null
      await world.advance(1000)
      expect((await sink.send(batch(['b1']))).kind).toBe('accepted')
      await world.advance(1000)
      expect(queue.full()).toBe(false)
      expect(exporter.seen.flatMap(names)).toEqual(['b1'])
      expect([read('enqueued'), read('sent')]).toEqual([1, 1])
      expect(imbalance()).toEqual([0, 0, 0])
      expect(lines.map(({ message }) => message)).toEqual([
        'the queue on disk cannot be written; senders are asked to come again. What it holds is kept, and sent',
        'the queue on disk can be written again',
      ])
    },
  )

  test('costs only its own destination where there are others, and is counted', async () => {
    const { world, faults } = faultyWorld(6)
    const { sink, read } = await run(world, DELIVERED, { whenFull: 'drop_newest' })
    faults.on = operation => (operation === 'write' ? errno('ENOSPC') : null)
    expect((await sink.send(batch(['a1']))).kind).toBe('accepted')
    expect([read('enqueued'), read('enqueue_failed', 'queue_full')]).toEqual([0, 1])
  })
})

describe('a start', () => {
  test('D5 cuts off a torn end wherever it was torn, and sends what stands before', async () => {
    const { bytes, path } = await stored(7, 3)
    for (const cut of [bytes.length - 1, bytes.length - 60, 20, 3, 0]) {
      const world = simulatedWorld(7)
      world.disk.files.set(path, bytes.slice(0, cut))
      const { exporter, read, imbalance } = await run(world, DELIVERED)
      await world.advance(100)
      const whole = cut > 100 ? 2 : 0
      expect(exporter.seen.flatMap(names)).toEqual(['a0', 'b0', 'a1', 'b1'].slice(0, 2 * whole))
      expect([read('recovered'), read('dropped', 'damaged')]).toEqual([2 * whole, 0])
      expect(imbalance()).toEqual([0, 0, 0])
      expect([...world.disk.files.keys()]).toEqual([])
    }
  })

  test('D5 with any bit turned over sends all the rest, counts what is damaged, and sets the segment aside once', async () => {
    const { bytes, path } = await stored(8, 3)
    const record = (bytes.length - 16) / 3
    for (let at = 16; at < bytes.length; at += 5) {
      const world = simulatedWorld(8)
      const damaged = Uint8Array.from(bytes)
      damaged[at] ^= 4
      world.disk.files.set(path, damaged)
      const first = await run(world, DELIVERED)
      const hit = Math.floor((at - 16) / record)
      // Of the last record nothing that follows tells what it was, where its header is damaged.
      const isKnown = hit < 2 || at >= bytes.length - record + 80
      const lost = isKnown ? 2 : 0
      expect([first.read('recovered'), first.read('dropped', 'damaged')]).toEqual([4 + lost, lost])
      const unreadable = first.registry.read('otlier_exporter_unreadable_bytes', { exporter: 'otlp/test' })
      expect(unreadable).toBe(isKnown ? 0 : record)
      await world.advance(100)
      expect(first.exporter.seen.flatMap(names)).toEqual(
        [0, 1, 2].filter(n => n !== hit).flatMap(n => [`a${n}`, `b${n}`]),
      )
      expect(first.imbalance()).toEqual([0, 0, 0])
      expect([...world.disk.files.keys()]).toEqual([`${path}.damaged`])
      const second = await run(world, DELIVERED)
      expect([second.read('recovered'), second.read('dropped', 'damaged')]).toEqual([0, 0])
    }
  })

  test('D5 counts damage once, also where the rest waits over several starts', async () => {
    const { world, path, bytes } = await stored(9, 3)
    bytes[16 + 85] ^= 1
    const counted: number[][] = []
    for (let n = 0; n < 3; n++) {
      const { read, queue } = await run(world, pending, { numConsumers: 1 })
      counted.push([read('recovered'), read('dropped', 'damaged')])
      const ended = queue.close(world.monotonic())
      await world.advance(2000)
      await ended
    }
    expect(counted).toEqual([
      [6, 2],
      [4, 0],
      [4, 0],
    ])
    expect(logs(world.disk.files)).toEqual([path])
  })

  test('D5 over nothing but noise succeeds, keeps the file, and says how many bytes', async () => {
    const world = simulatedWorld(10)
    world.disk.files.set(`${QUEUE}/0000000000000001.log`, Buffer.alloc(5000, 7))
    const { sink, exporter, registry, lines } = await run(world, DELIVERED)
    expect(registry.read('otlier_exporter_unreadable_bytes', { exporter: 'otlp/test' })).toBe(5000)
    expect(lines[0]).toMatchObject({ fields: { bytes: 5000, items: 'unknown' } })
    expect((await sink.send(batch(['a1']))).kind).toBe('accepted')
    await world.advance(100)
    expect(exporter.seen.flatMap(names)).toEqual(['a1'])
    expect([...world.disk.files.keys()]).toContain(`${QUEUE}/0000000000000001.log.damaged`)
  })

  test('D5 in a directory that cannot be read refuses senders until it can be, and then sends what was there', async () => {
    const { world, faults } = await stored(11, 2)
    faults.on = operation => (operation === 'list' ? errno('EACCES') : null)
    const { sink, exporter, read, imbalance } = await run(world, DELIVERED)
    expect((await sink.send(batch(['x1']))).kind).toBe('busy')
    faults.on = () => null
    await world.advance(2000)
    expect((await sink.send(batch(['x2']))).kind).toBe('accepted')
    await world.advance(100)
    expect(exporter.seen.flatMap(names)).toEqual(['a0', 'b0', 'a1', 'b1', 'x2'])
    expect(read('recovered')).toBe(4)
    expect(imbalance()).toEqual([0, 0, 0])
  })

  test('leaves a segment that cannot be read where it is, for the next one', async () => {
    const { world, faults, path } = await stored(12, 2)
    faults.on = (operation, at) => (operation === 'read' && at === path ? errno('EIO') : null)
    const first = await run(world, DELIVERED)
    expect(first.read('recovered')).toBe(0)
    expect((await first.sink.send(batch(['x1']))).kind).toBe('accepted')
    faults.on = () => null
    const second = await run(world, DELIVERED)
    expect(second.read('recovered')).toBeGreaterThanOrEqual(4)
  })
})

describe('reading back', () => {
  test('is tried again after it has failed', async () => {
    const { world, faults, path } = await stored(13, 2)
    let failures = -1
    // The survey of the start reads once; what comes after it fails three times.
    faults.on = (operation, at) =>
      operation === 'read' && at === path && failures-- > 0 ? errno('EIO') : null
    const { exporter, read, imbalance } = await run(world, DELIVERED)
    failures = 3
    await world.advance(10_000)
    expect(failures).toBeLessThan(0)
    expect(exporter.seen.flatMap(names)).toEqual(['a0', 'b0', 'a1', 'b1'])
    expect([read('recovered'), read('dropped', 'damaged')]).toEqual([4, 0])
    expect(imbalance()).toEqual([0, 0, 0])
  })

  test('of what has been damaged meanwhile drops and counts it, and sends the rest', async () => {
    const { world, path } = await stored(14, 3)
    const scene = await run(world, DELIVERED, { numConsumers: 1 })
    // The survey is over, and reading to deliver has not begun.
    const bytes = world.disk.files.get(path) as Uint8Array
    bytes[16 + 85] ^= 1
    await world.advance(1000)
    expect(scene.exporter.seen.flatMap(names)).toEqual(['a1', 'b1', 'a2', 'b2'])
    expect(scene.read('dropped', 'damaged')).toBe(2)
    expect(scene.imbalance()).toEqual([0, 0, 0])
    expect(logs(world.disk.files)).toEqual([])
  })
})

describe('a queue that is full', () => {
  const small = { sizeBytes: 20_000, numConsumers: 1, maxBatchBytes: 1 }
  const filled = (n: number) => batch([`a${n}${'.'.repeat(900)}`])

  test('takes no more bytes on disk than its size, and is back-pressure', async () => {
    const world = simulatedWorld(15)
    const first = await run(world, BUSY, small)
    const kinds: string[] = []
    for (let n = 0; n < 40; n++) kinds.push((await first.sink.send(filled(n))).kind)
    const taken = kinds.filter(kind => kind === 'accepted').length
    expect(kinds.slice(taken)).toEqual(Array.from({ length: 40 - taken }, () => 'busy'))
    expect(taken).toBeGreaterThan(10)
    const onDisk = [...world.disk.files.values()].reduce((sum, bytes) => sum + bytes.length, 0)
    expect(onDisk).toBeLessThanOrEqual(20_000)
    // A restart with a full queue drains it, and then takes more.
    const second = await run(world, DELIVERED, small)
    expect(second.read('recovered')).toBe(taken)
    expect((await second.sink.send(filled(98))).kind).toBe('busy')
    await world.advance(1000)
    expect(second.exporter.seen.flatMap(names)).toEqual(Array.from({ length: taken }, (_, n) => `a${n}`))
    expect((await second.sink.send(filled(99))).kind).toBe('accepted')
    expect(second.imbalance()).toEqual([0, 0, 0])
  })

  test('with drop_oldest gives up the oldest segment, and counts every item of it', async () => {
    const world = simulatedWorld(16)
    const scene = await run(world, BUSY, { ...small, whenFull: 'drop_oldest' })
    for (let n = 0; n < 60; n++) {
      expect((await scene.sink.send(filled(n))).kind).toBe('accepted')
      expect(scene.imbalance()).toEqual([0, 0, 0])
    }
    expect(scene.read('dropped', 'queue_full')).toBeGreaterThan(30)
    scene.exporter.answer = () => DELIVERED
    await world.advance(60_000)
    const delivered = [...new Set(scene.exporter.seen.flatMap(names))]
    expect(delivered.at(-1)).toBe('a59')
    expect(scene.read('sent') + scene.read('dropped', 'queue_full')).toBe(60)
    expect(scene.imbalance()).toEqual([0, 0, 0])
  })
})
