//! Laws of admission: what one large request leaves to small ones, when memory is short, and that it ends by itself.
import { describe, expect, test } from 'vitest'
import { Registry } from '../../src/base/counters.ts'
import { Admission, Connection, Lease } from '../../src/edge/admission.ts'
import { guardMemory } from '../../src/edge/memory.ts'
import { recordingLog } from '../kit/log.ts'
import { simulatedWorld } from '../kit/world.ts'

const MIB = 2 ** 20
const LIMIT = 400 * MIB

/** A guard whose heap and queues are written in the test. */
function scene() {
  const world = simulatedWorld(1)
  const registry = new Registry()
  const { log, lines } = recordingLog()
  const state = { live: 20 * MIB, garbage: 0, queued: 0, collections: 0 }
  const guard = guardMemory(
    {
      limitBytes: LIMIT,
      queuedBytes: () => state.queued,
      retryAfterMs: () => 3000,
      heap: {
        used: () => state.live + state.garbage,
        collect() {
          state.collections++
          state.garbage = 0
        },
      },
    },
    world,
    log,
    registry,
  )
  const lease = () => new Lease(new Connection(guard.admission, 64 * MIB))
  /** Whether a request of so many bytes is let in, and at once answered. */
  const passes = (bytes: number) => {
    const one = lease()
    const isIn = one.hold(bytes)
    one.release()
    return isIn
  }
  return { world, registry, lines, state, guard, lease, passes }
}

describe('the budget', () => {
  test('leaves an eighth to small requests, however many large ones there are', () => {
    const admission = new Admission(80 * MIB)
    const leases = Array.from({ length: 9 }, () => new Lease(new Connection(admission, 64 * MIB)))
    expect(leases.map(lease => lease.hold(10 * MIB))).toEqual([...new Array(7).fill(true), false, false])
    const small = Array.from({ length: 50 }, () => new Lease(new Connection(admission, 64 * MIB)))
    expect(small.filter(lease => lease.hold(256 * 1024))).toHaveLength(40)
    expect(admission.usedBytes).toBe(80 * MIB)
  })

  test('of a connection is named where it is that, and does not make the others wait', () => {
    const admission = new Admission(80 * MIB)
    const own = new Connection(admission, 8 * MIB)
    expect(new Lease(own).hold(5 * MIB)).toBe(true)
    const second = new Lease(own)
    expect(second.hold(4 * MIB)).toBe(false)
    expect(second.noRoom()).toMatchObject({ retryAfterMs: 1000, cause: { code: 'OTLIER_CONNECTION_BUDGET' } })
    expect(admission.isFull()).toBe(false)
  })

  test('is told in the log and by health once when it is full, and once when there is room again', () => {
    const { guard, lease, lines } = scene()
    const held = [lease(), lease()]
    expect([held[0].hold(60 * MIB), held[1].hold(25 * MIB)]).toEqual([true, true])
    for (let n = 0; n < 5; n++) {
      const refused = lease()
      expect(refused.hold(10 * MIB)).toBe(false)
      expect(refused.noRoom().cause.code).toBe('OTLIER_BUDGET')
    }
    expect(guard.reasons()).toEqual([expect.stringContaining('under way')])
    held[1].release()
    expect(guard.reasons()).toEqual([])
    expect(lines.map(({ message }) => message)).toEqual([
      'too many requests are under way; senders of large ones are asked to come again',
      'there is room for requests again',
    ])
  })
})

describe('the memory limit', () => {
  test('refuses from 80 % on and lets in again below 70 %, and says so', async () => {
    const { world, state, guard, lease, passes, lines, registry } = scene()
    const seen: [number, boolean][] = []
    const share = async (percent: number) => {
      state.queued = (LIMIT * percent) / 100 - state.live
      await world.advance(1000)
      seen.push([percent, passes(1000)])
    }
    for (const percent of [60, 75, 79, 80, 90, 79, 71, 69, 75, 79]) await share(percent)
    expect(seen.filter(([, isIn]) => !isIn).map(([percent]) => percent)).toEqual([80, 90, 79, 71])
    expect(lines.map(({ level, message }) => [level, message])).toEqual([
      ['warn', 'memory is short; senders are asked to come again'],
      ['info', 'memory is no longer short'],
    ])
    await share(85)
    expect(guard.reasons()).toEqual(['Memory is short: senders are asked to come again.'])
    const refused = lease()
    refused.hold(1000)
    expect(refused.noRoom()).toMatchObject({
      kind: 'busy',
      retryAfterMs: 3000,
      cause: { code: 'OTLIER_MEMORY', http: 503, grpc: 14 },
    })
    expect(registry.read('otlier_memory_used')).toBe(0.85 * LIMIT)
    expect(registry.read('otlier_memory_limit')).toBe(LIMIT)
  })

  test('D10 ends by itself, although nobody sends meanwhile', async () => {
    const { world, state, guard, passes, lines } = scene()
    state.queued = 0.9 * LIMIT
    expect(passes(1000)).toBe(false)
    state.queued = 0.1 * LIMIT
    await world.advance(1000)
    expect(guard.reasons()).toEqual([])
    expect(lines.at(-1)?.message).toBe('memory is no longer short')
  })

  test('lets end what has begun', () => {
    const { state, lease } = scene()
    const begun = lease()
    expect(begun.hold(1 * MIB)).toBe(true)
    state.queued = 0.9 * LIMIT
    expect(begun.hold(2 * MIB)).toBe(true)
  })

  test('D4 garbage refuses nobody: it is collected first, and no oftener than every ten seconds', async () => {
    const { world, state, passes } = scene()
    state.queued = 100 * MIB
    for (let second = 0; second < 60; second++) {
      state.garbage = 300 * MIB
      await world.advance(1000)
      passes(1000)
    }
    expect(state.collections).toBe(6)
    await world.advance(10_000)
    state.garbage = 300 * MIB
    expect(passes(1000)).toBe(true)
  })

  test('D10 a heap that fills it alone refuses nobody: that would never end', async () => {
    const { world, state, passes } = scene()
    state.live = 2 * LIMIT
    await world.advance(1000)
    expect(passes(1000)).toBe(true)
    state.queued = LIMIT / 16
    expect(passes(1000)).toBe(false)
    state.queued = LIMIT / 16 - 1
    await world.advance(1000)
    expect(passes(1000)).toBe(true)
  })
})
