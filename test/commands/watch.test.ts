//! The laws of following files, by a clock that the test owns.
import { expect, test } from 'vitest'
import { watchFiles } from '../../src/commands/watch.ts'
import { simulatedWorld } from '../kit/world.ts'

const PATHS = ['/etc/otlier/base.yaml', '/etc/otlier/site.yaml']

async function scene() {
  const world = simulatedWorld(1)
  const write = (text: string, path = PATHS[0]) => world.disk.writeAtomic(path, Buffer.from(text))
  await write('a: 1')
  await write('b: 1', PATHS[1])
  let changes = 0
  const stop = await watchFiles(PATHS, world, () => changes++)
  return { world, write, stop, changes: () => changes }
}

test('files that stay the same are no news, written again or not', async () => {
  const { world, write, changes } = await scene()
  await world.advance(60_000)
  await write('a: 1')
  await world.advance(60_000)
  expect(changes()).toBe(0)
})

test('each of them counts, and a change is told once, within some seconds', async () => {
  const { world, write, changes } = await scene()
  for (const [at, path] of PATHS.entries()) {
    await write('c: 2', path)
    await world.advance(3000)
    expect(changes()).toBe(at + 1)
    await world.advance(60_000)
    expect(changes()).toBe(at + 1)
  }
})

test('while somebody still writes, nothing is told', async () => {
  const { world, write, changes } = await scene()
  for (let n = 0; n < 20; n++) {
    await write(`a: ${'x'.repeat(n)}`)
    await world.advance(1000)
  }
  expect(changes()).toBe(0)
  await world.advance(3000)
  expect(changes()).toBe(1)
})

test('what is taken back before it was told is no news', async () => {
  const { world, write, changes } = await scene()
  await write('a: 2')
  await world.advance(1000)
  await write('a: 1')
  await world.advance(60_000)
  expect(changes()).toBe(0)
})

test('a file that goes, comes back, or cannot be read for a while ends nothing', async () => {
  const { world, write, changes } = await scene()
  await world.disk.remove(PATHS[0])
  await world.advance(5000)
  expect(changes()).toBe(1)
  await write('a: 1')
  await world.advance(5000)
  expect(changes()).toBe(2)
  world.disk.failure = new Error('stale file handle')
  await world.advance(1000)
  world.disk.failure = null
  await world.advance(5000)
  expect(changes()).toBe(2)
})

test('once stopped, it looks no more', async () => {
  const { world, write, stop, changes } = await scene()
  stop()
  await write('a: 2')
  await world.advance(60_000)
  expect(changes()).toBe(0)
  expect(world.timers()).toBe(0)
})
