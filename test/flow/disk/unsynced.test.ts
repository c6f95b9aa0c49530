//! The laws of what is acknowledged before its sync, on a disk whose syncs fail: it is written again, and what cannot be is told of exactly.
import { expect, test } from 'vitest'
import { machine } from '../../kit/disk.ts'
import { DELIVERED } from '../../kit/exporter.ts'
import { seeded } from '../../kit/random.ts'
import { type SimulatedWorld, simulatedWorld } from '../../kit/world.ts'
import { batch, names, pending } from '../queue-scene.ts'
import { QUEUE, run } from './disk-scene.ts'

const MEMORY = { acknowledge: 'memory', numConsumers: 1, maxBatchBytes: 1 } as const

/** Runs on one machine, one after the other. */
function scene(seed: number) {
  const box = machine(seeded(seed))
  let world = simulatedWorld(seed)
  return {
    box,
    advance: (ms: number) => world.advance(ms),
    begin(answer: Parameters<typeof run>[1]) {
      world = { ...simulatedWorld(seed), disk: box.boot() } as unknown as SimulatedWorld
      return run(world, answer, MEMORY)
    },
    /** What the end says was left undelivered, in items. */
    async end({ queue }: Awaited<ReturnType<typeof run>>) {
      const ending = queue.close(world.monotonic() + 1000)
      await world.advance(5000)
      return (await ending).reduce((sum, { items }) => sum + items, 0)
    },
    /** Which of these names a loss of power would leave, whatever else. */
    safe(all: readonly string[]) {
      const kept = [...box.survivors()].filter(([path]) => path.endsWith('.log'))
      return all.filter(name => kept.some(([, bytes]) => Buffer.from(bytes).includes(name)))
    },
  }
}

const ALL = ['a1', 'a2', 'a3', 'a4']

test('what was acknowledged before its sync failed is written to another file and synced there, as soon as the disk takes it', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { box, advance, begin, end, safe } = scene(seed)
    const first = await begin(pending)
    for (const name of ALL.slice(0, 2)) expect((await first.sink.send(batch([name]))).kind).toBe('accepted')
    await advance(1500)
    expect(safe(ALL)).toEqual(['a1', 'a2'])
    const failed = new Set<string>()
    box.fault = ({ op, path }) => {
      if (op === 'sync') failed.add(path)
      return op === 'sync' ? { code: 'EIO' } : null
    }
    for (const name of ALL.slice(2)) expect((await first.sink.send(batch([name]))).kind).toBe('accepted')
    await advance(3500)
    // The segment of theirs, and what was to take its place.
    expect([...failed].map(path => path.replace(/^.*\.log/, ''))).toEqual(['', '.copy'])
    box.fault = null
    box.forget()
    await advance(1500)
    const synced = box.moments.flatMap(each =>
      each.kind === 'begin' && each.call.op === 'sync' ? [each.call.path] : [],
    )
    expect(synced.filter(path => path.endsWith('.log'))).toEqual([])
    // The disk of the test forgets, of some, even what it shows to those who read: then nobody can write them again.
    const kept = safe(ALL)
    expect(kept.slice(0, 2)).toEqual(['a1', 'a2'])
    expect(await end(first)).toBe(ALL.length - kept.length)
    expect([first.read('dropped', 'shutdown'), first.read('queued')]).toEqual([4 - kept.length, kept.length])
    expect(first.imbalance()).toEqual([0, 0, 0])
    box.powerCut(seeded(seed))
    const second = await begin(DELIVERED)
    await advance(2000)
    expect(second.exporter.seen.flatMap(names)).toEqual(kept)
    expect(second.imbalance()).toEqual([0, 0, 0])
  }
})

test('where no sync succeeds until the end, the end says how many items are lost, and no later start finds them', async () => {
  for (const seed of [1, 2, 3, 4]) {
    const { box, advance, begin, end } = scene(seed)
    const first = await begin(pending)
    await first.sink.send(batch(['a1']))
    await advance(1500)
    box.fault = ({ op }) => (op === 'sync' ? { code: 'EIO' } : null)
    for (const name of ALL.slice(1)) await first.sink.send(batch([name, name.replace('a', 'b')]))
    await advance(1500)
    expect(await end(first)).toBe(6)
    expect([first.read('dropped', 'shutdown'), first.read('queued')]).toEqual([6, 1])
    expect(first.queue.kept()).toEqual({ items: 1, path: QUEUE })
    expect(first.imbalance()).toEqual([0, 0, 0])
    box.fault = null
    const second = await begin(DELIVERED)
    await advance(2000)
    expect(second.exporter.seen.flatMap(names)).toEqual(['a1'])
    expect([second.read('recovered'), second.read('dropped', 'damaged')]).toEqual([1, 0])
  }
})

test('what has been delivered meanwhile is not lost, and its segment goes', async () => {
  const { box, advance, begin, end } = scene(5)
  const first = await begin(DELIVERED)
  box.fault = ({ op }) => (op === 'sync' ? { code: 'EIO' } : null)
  for (const name of ALL) await first.sink.send(batch([name]))
  await advance(1500)
  expect(first.read('sent')).toBe(4)
  expect(await end(first)).toBe(0)
  expect(box.paths().filter(path => path.startsWith(`${QUEUE}/`))).toEqual([])
})

test('a copy that was not finished is cleared away, and takes nothing with it', async () => {
  const { box, advance, begin } = scene(6)
  const first = await begin(pending)
  for (const name of ALL) await first.sink.send(batch([name]))
  box.fault = ({ op, path }) => {
    if (op === 'rename') box.kill()
    return op === 'sync' && path.endsWith('.log') ? { code: 'EIO' } : null
  }
  await advance(5000)
  expect(box.paths().filter(path => path.endsWith('.copy'))).toHaveLength(1)
  box.fault = null
  const second = await begin(DELIVERED)
  await advance(2000)
  // The failed sync may have taken what it did not write; each is sent or counted.
  expect(second.read('recovered')).toBe(second.read('sent') + second.read('dropped', 'damaged'))
  expect(box.paths().filter(path => path.endsWith('.copy'))).toEqual([])
})
