//! The laws of the memory of bodies: it is used again, it is bounded, and what nobody needs goes back.
import { expect, test } from 'vitest'
import { Body } from '../../../src/edge/body.ts'
import { Pool } from '../../../src/edge/pool.ts'
import { simulatedWorld } from '../../kit/world.ts'

const KIB = 2 ** 10
const MIB = 2 ** 20

/** As a request that has been delivered everywhere. */
function pass(pool: Pool, length: number): ArrayBufferLike {
  const { bytes, loan } = pool.lend(length)
  loan?.share(1)
  loan?.letGo()
  return bytes.buffer
}

test('memory is lent at the size that was asked for, with less than an eighth above it', () => {
  const pool = new Pool(simulatedWorld(1))
  for (let length = 16 * KIB; length <= MIB; length += 977) {
    const { bytes } = pool.lend(length)
    expect(bytes.length).toBeGreaterThanOrEqual(length)
    expect(bytes.length * 7).toBeLessThanOrEqual(length * 8)
  }
})

test('what has come back is lent again, and what has not is not', () => {
  const pool = new Pool(simulatedWorld(1))
  const first = pass(pool, 200 * KIB)
  const held = pool.lend(200 * KIB)
  expect(held.bytes.buffer).toBe(first)
  const other = pool.lend(200 * KIB)
  expect(other.bytes.buffer).not.toBe(first)
})

test('what is small or very large is not kept', () => {
  const pool = new Pool(simulatedWorld(1))
  for (const length of [0, 1, 16 * KIB - 1, MIB + 1, 64 * MIB]) expect(pool.lend(length).loan).toBe(null)
  expect(pool.idleBytes).toBe(0)
})

test('after a burst 32 MiB lie idle at the most', () => {
  const pool = new Pool(simulatedWorld(1))
  const lent = Array.from({ length: 100 }, () => pool.lend(MIB))
  for (const { loan } of lent) loan?.share(0)
  expect(pool.idleBytes).toBe(32 * MIB)
})

test('what lies idle for two periods is given up, and what is used stays', async () => {
  const world = simulatedWorld(1)
  const pool = new Pool(world)
  const lent = Array.from({ length: 20 }, () => pool.lend(MIB))
  for (const { loan } of lent) loan?.share(0)
  for (let second = 0; second < 12; second++) {
    pass(pool, MIB)
    await world.advance(1000)
  }
  expect(pool.idleBytes).toBe(MIB)
  await world.advance(12_000)
  expect(pool.idleBytes).toBe(0)
  expect(world.timers()).toBe(0)
})

test('a closed pool keeps nothing, and leaves no timer behind', () => {
  const world = simulatedWorld(1)
  const pool = new Pool(world)
  const late = pool.lend(MIB)
  pass(pool, MIB)
  pool.close()
  late.loan?.share(0)
  expect(pool.idleBytes).toBe(0)
  expect(world.timers()).toBe(0)
})

test('a body that stayed far below what it declared is copied, and its memory comes back at once', () => {
  const pool = new Pool(simulatedWorld(1))
  const body = new Body(100 * KIB, pool)
  body.add(new Uint8Array(50 * KIB).fill(7))
  const bytes = body.take()
  expect(bytes).toEqual(new Uint8Array(50 * KIB).fill(7))
  expect(bytes.buffer.byteLength).toBe(50 * KIB)
  expect(body.loan).toBe(null)
  expect(pool.idleBytes).toBe(104 * KIB)
})
