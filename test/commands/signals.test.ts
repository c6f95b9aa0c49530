//! The laws of stopping, by a clock that the test owns.
import { expect, test } from 'vitest'
import { SAME_SIGNAL_MS, stopper } from '../../src/commands/signals.ts'
import { simulatedWorld } from '../kit/world.ts'

function start(stop: () => Promise<number>, limitMs = 25_000, left = 0) {
  const world = simulatedWorld(1)
  const said: string[] = []
  let code: number | null = null
  const stopping = stopper(world, {
    stop,
    tellLeft: () => left,
    limitMs: () => limitMs,
    say: line => said.push(line),
  })
  stopping.ended.then(
    ended => {
      code = ended
    },
    () => {},
  )
  return { world, stopping, said, code: () => code }
}
const never = () => new Promise<number>(() => {})

test('a signal stops once, and nothing lost is exit code 0', async () => {
  let stops = 0
  const { world, stopping, code, said } = start(async () => stops++)
  stopping.hear('SIGTERM')
  await world.settle()
  expect([stops, code()]).toEqual([1, 0])
  expect(said.at(-1)).toContain('nothing was lost')
})

test.each([
  [1, '1 accepted item was'],
  [1234, '1234 accepted items were'],
])('%i lost by stopping are counted, and the exit code is not 0', async (lost, words) => {
  const { world, stopping, code, said } = start(async () => lost)
  stopping.hear('SIGINT')
  await world.settle()
  expect(code()).toBe(1)
  expect(said.at(-1)).toContain(words)
})

test('what comes within a second is the same signal; a later one ends at once', async () => {
  let stops = 0
  const { world, stopping, code } = start(() => {
    stops++
    return never()
  })
  stopping.hear('SIGINT')
  stopping.hear('SIGINT')
  await world.advance(SAME_SIGNAL_MS - 1)
  stopping.hear('SIGINT')
  await world.settle()
  expect([stops, code()]).toEqual([1, null])
  await world.advance(1)
  stopping.hear('SIGINT')
  await world.settle()
  expect([stops, code()]).toEqual([1, 130])
})

test('a later SIGTERM ends with 143, and says how much is left', async () => {
  const { world, stopping, code, said } = start(never, 25_000, 1234)
  stopping.hear('SIGTERM')
  await world.advance(5000)
  stopping.hear('SIGTERM')
  await world.settle()
  expect(code()).toBe(143)
  expect(said.at(-1)).toBe(
    'SIGTERM again: ending at once; 1234 accepted items were not delivered and are lost',
  )
})

test('stopping that does not end is given up at its limit, and says how much is left', async () => {
  const { world, stopping, code, said } = start(never, 10_000, 1)
  stopping.hear('SIGTERM')
  await world.advance(9999)
  expect(code()).toBe(null)
  await world.advance(1)
  expect(code()).toBe(1)
  expect(said.at(-1)).toBe('stopping has not ended after 10 s; 1 accepted item was not delivered and is lost')
})

test('a bug in stopping is not swallowed', async () => {
  const { stopping } = start(async () => {
    throw new TypeError('a bug')
  })
  const ended = expect(stopping.ended).rejects.toThrow('a bug')
  stopping.hear('SIGTERM')
  await ended
})
