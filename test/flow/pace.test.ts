//! Laws of the delay that a full queue asks for, and of bytes that several queues share.
import { expect, test } from 'vitest'
import { Held } from '../../src/flow/held.ts'
import { Pace } from '../../src/flow/pace.ts'
import { sizeOf } from '../../src/flow/sink.ts'
import { BUSY, DELIVERED } from '../kit/exporter.ts'
import { simulatedWorld } from '../kit/world.ts'
import { batch, pending, scene } from './queue-scene.ts'

const MIB = 2 ** 20

test('G6 the delay is what the excess takes at the pace of the last seconds, between 1 and 5 s, and not the same for all', async () => {
  const world = simulatedWorld(3)
  const pace = new Pace(world)
  const at = (bytes: number) => pace.retryAfterMs(bytes)
  const isBetween = (low: number, high: number) => (ms: number) => ms >= low && ms <= high
  // Nothing has gone out yet, so nothing is known to be soon.
  expect([at(MIB)].every(isBetween(4000, 5000))).toBe(true)
  expect([at(0)].every(isBetween(1000, 1250))).toBe(true)
  for (let n = 0; n < 600; n++) {
    pace.note(MIB / 10)
    await world.advance(100)
  }
  expect([at(2 * MIB)].every(isBetween(1900, 2700))).toBe(true)
  expect([at(100 * MIB)].every(isBetween(4000, 5000))).toBe(true)
  expect([at(MIB / 100)].every(isBetween(1000, 1250))).toBe(true)
  expect(new Set(Array.from({ length: 20 }, () => at(2 * MIB))).size).toBeGreaterThan(10)
})

test('the bytes of one batch count once, however many queues hold it, until the last has let go of it', async () => {
  const shared = new Held()
  const waiting = [scene(BUSY, { shared }), scene(BUSY, { shared }), scene(DELIVERED, { shared })]
  const one = batch(['a1', 'a2'])
  for (const { sending } of waiting) sending.offer(one)
  expect(shared.bytes).toBe(sizeOf(one))
  await waiting[2].world.advance(1000)
  expect(waiting[2].read('sent')).toBe(2)
  expect(shared.bytes).toBe(sizeOf(one))
  const other = batch(['b1'])
  waiting[1].sending.offer(other)
  expect(shared.bytes).toBe(sizeOf(one) + sizeOf(other))
  // Both wait in vain: what the ends give up counts no longer.
  for (const { sending, world } of waiting) {
    const closed = sending.close(world.monotonic())
    await world.advance(60_000)
    await closed
  }
  expect(shared.bytes).toBe(0)
})

test('what is dropped from a full queue counts no longer', () => {
  const shared = new Held()
  const { sending } = scene(pending, { shared, sizeBytes: 1000, whenFull: 'drop_oldest', lingerMs: 60_000 })
  const all = Array.from({ length: 20 }, (_, n) => batch([`a${n}`]))
  for (const each of all) sending.offer(each)
  // Each weighs 256 bytes and a few more.
  expect(shared.bytes).toBeLessThanOrEqual(3 * sizeOf(all[19]))
  expect(shared.bytes).toBeGreaterThan(0)
})
