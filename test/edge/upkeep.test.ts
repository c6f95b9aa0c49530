//! Laws of the upkeep of memory: what a burst leaves behind goes back to the system, in quiet moments and not again and again in vain.
import { describe, expect, test } from 'vitest'
import { giveBack } from '../../src/base/heap.ts'
import { memoryUpkeep } from '../../src/edge/memory.ts'
import { simulatedWorld } from '../kit/world.ts'

const MIB = 2 ** 20
const RESTING = 100 * MIB

/** A process of which `used` cannot be given back, and `free` can. */
function scene() {
  const process = { used: RESTING, free: 0, cpuMs: 0, times: 0 }
  const clock = { ms: 0 }
  const look = memoryUpkeep(
    { ...simulatedWorld(1), monotonic: () => clock.ms, cpu: () => process.cpuMs },
    {
      bytes: () => process.used + process.free,
      giveBack() {
        process.times++
        process.free = 0
      },
    },
  )
  /** Looks once a second, with the thread at work for a share of it. */
  function pass(seconds: number, busy = 0) {
    for (let second = 0; second < seconds; second++) {
      clock.ms += 1000
      process.cpuMs += 1000 * busy
      look()
    }
  }
  return { process, pass }
}

describe('memory that is free', () => {
  test('goes back to the system within ten seconds', () => {
    const { process, pass } = scene()
    pass(60)
    expect(process.times).toBe(0)
    process.free = 50 * MIB
    pass(10)
    expect(process).toMatchObject({ free: 0, times: 1 })
  })

  test('is kept where it is little', () => {
    const { process, pass } = scene()
    process.free = 14 * MIB
    pass(3600)
    expect(process.times).toBe(0)
  })

  test('waits while the thread has other work', () => {
    const { process, pass } = scene()
    process.free = 50 * MIB
    pass(600, 0.6)
    expect(process.times).toBe(0)
    pass(1, 0.1)
    expect(process.times).toBe(1)
  })
})

describe('memory that is in use', () => {
  test('is tried ever more seldom, and then taken for what is needed', () => {
    const { process, pass } = scene()
    process.used = 200 * MIB
    pass(100)
    expect(process.times).toBeLessThanOrEqual(4)
    pass(3600)
    const { times } = process
    pass(36_000)
    expect(process.times).toBe(times)
    process.free = 40 * MIB
    pass(640)
    expect(process).toMatchObject({ free: 0, times: times + 1 })
  })

  test('and is let go later, is given back then', () => {
    const { process, pass } = scene()
    process.used = 300 * MIB
    pass(15)
    process.used = RESTING
    process.free = 200 * MIB
    pass(40)
    expect(process.free).toBe(0)
  })
})

test('giving back says nothing on the terminal, whatever Node thinks of the module that it takes', async () => {
  const warnings: Error[] = []
  const heard = (warning: Error) => void warnings.push(warning)
  process.on('warning', heard)
  giveBack()
  giveBack()
  await new Promise(setImmediate)
  process.off('warning', heard)
  expect(warnings).toEqual([])
})
