//! The laws of a disk whose syncs fail: what waits for none goes on, and what was acknowledged before its own is written again or told of.
import { describe, expect, test } from 'vitest'
import { machine, touchedAfterFailedSync } from '../../kit/disk.ts'
import { DELIVERED } from '../../kit/exporter.ts'
import { seeded } from '../../kit/random.ts'
import { type SimulatedWorld, simulatedWorld } from '../../kit/world.ts'
import { batch, names, pending } from '../queue-scene.ts'
import { errno, faultyWorld, QUEUE, run } from './disk-scene.ts'

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
    const failed: string[] = []
    box.forget()
    box.fault = ({ op, path }) => {
      if (op === 'sync') failed.push(path.replace(/^.*\.log/, '.log'))
      return op === 'sync' ? { code: 'EIO' } : null
    }
    for (const name of ALL.slice(2)) expect((await first.sink.send(batch([name]))).kind).toBe('accepted')
    await advance(3500)
    // The segment of theirs once, and twice what was to take its place, which is made anew each time.
    expect(failed).toEqual(['.log', '.log.copy', '.log.copy'])
    box.fault = null
    await advance(1500)
    expect(touchedAfterFailedSync(box)).toEqual([])
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

/** What of `ALL` arrived after a sync had failed. */
type Left = (names: string) => boolean
const noBeginning: Left = left => left !== '' && !left.startsWith('a1')
const noEnd: Left = left => left !== '' && !left.endsWith('a4')

describe('what a failed sync has left of a segment is sent by the next start, and the rest is told of:', () => {
  test.each([
    ['this run has written it, and its beginning is gone', false, 1, noBeginning],
    ['a run that was killed has, and its end is gone', true, 1, noEnd],
    ['a run that was killed has, and no sync succeeds any more', true, Number.POSITIVE_INFINITY, noEnd],
  ] as const)('%s', async (_, isKilled, failures, isGone) => {
    let gone = 0
    for (let seed = 1; seed <= 40; seed++) {
      const { box, advance, begin, end } = scene(seed)
      let last = await begin(pending)
      for (const name of ALL) {
        expect((await last.sink.send(batch([name]))).kind).toBe('accepted')
        // One write for each, and no sync.
        await advance(1)
      }
      if (isKilled) last = await begin(pending)
      let failed = 0
      box.fault = ({ op }) => (op === 'sync' && failed++ < failures ? { code: 'EIO' } : null)
      await advance(5000)
      expect(failed).toBeGreaterThan(0)
      const told = await end(last)
      box.fault = null
      const next = await begin(DELIVERED)
      await advance(2000)
      const left = next.exporter.seen.flatMap(names)
      if (isGone(left.join())) gone++
      expect([seed, left.length + told + next.read('dropped', 'damaged')]).toEqual([seed, ALL.length])
      expect(next.imbalance()).toEqual([0, 0, 0])
    }
    expect(gone).toBeGreaterThan(0)
  })
})

test('what is not promised yet when its sync fails is written again too, as it may be promised later', async () => {
  let kept = 0
  for (let seed = 1; seed <= 20; seed++) {
    const { box, advance, begin, end, safe } = scene(seed)
    const { queue, ...rest } = await begin(pending)
    // Another destination of the same request keeps it waiting.
    const { stored, commit } = queue.reserve(batch(['a1']))
    expect(await stored).toBe('stored')
    let failures = 1
    box.fault = ({ op }) => (op === 'sync' && failures-- > 0 ? { code: 'EIO' } : null)
    await advance(5000)
    expect(failures).toBeLessThanOrEqual(0)
    void commit()
    await advance(5000)
    const isThere = box.paths().some(path => Buffer.from(box.content(path) ?? []).includes('a1'))
    expect([seed, safe(['a1'])]).toEqual([seed, isThere ? ['a1'] : []])
    if (isThere) kept++
    expect(await end({ queue, ...rest })).toBe(isThere ? 0 : 1)
  }
  expect(kept).toBeGreaterThan(0)
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

describe('a directory that cannot be synced', () => {
  test.each(['fails', 'hangs'])(
    '(it %s) keeps nothing that is there from being sent; new requests are acknowledged once it is synced',
    async how => {
      const { world, faults } = faultyWorld(21)
      const before = await run(world, pending, { maxBatchBytes: 1, numConsumers: 1 })
      for (let n = 0; n < 3; n++) await before.sink.send(batch([`a${n}`, `b${n}`]))
      faults.on = operation => {
        if (operation !== 'syncDirectory') return null
        return how === 'fails' ? errno('EIO') : new Promise(() => {})
      }
      const { sink, exporter, read, imbalance } = await run(world, DELIVERED)
      await world.advance(100)
      expect(exporter.seen.flatMap(names)).toEqual(['a0', 'b0', 'a1', 'b1', 'a2', 'b2'])
      const sending = sink.send({ ...batch(['c1']), answerByMs: world.monotonic() + 2000 })
      await world.advance(2000)
      expect(await sending).toMatchObject({ kind: 'busy' })
      expect([read('enqueued'), read('recovered'), read('sent')]).toEqual([0, 6, 6])
      expect(imbalance()).toEqual([0, 0, 0])
      if (how === 'hangs') return
      faults.on = () => null
      await world.advance(1000)
      expect((await sink.send(batch(['c2']))).kind).toBe('accepted')
      await world.advance(100)
      expect(exporter.seen.flatMap(names).at(-1)).toBe('c2')
    },
  )

  test('above the one of the configuration is no hindrance where this user may not read it', async () => {
    const { world, faults } = faultyWorld(22)
    const failure = (code: string) => (operation: string, path: string) =>
      operation === 'syncDirectory' && path === '/' ? errno(code) : null
    faults.on = failure('EIO')
    const { sink } = await run(world, DELIVERED)
    expect((await sink.send(batch(['a1']))).kind).toBe('busy')
    faults.on = failure('EACCES')
    await world.advance(1000)
    expect((await sink.send(batch(['a2']))).kind).toBe('accepted')
  })
})
