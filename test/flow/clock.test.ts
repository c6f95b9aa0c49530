//! Laws of the stream clock: nobody alone runs away with it, it never goes back, and it says whose clock is off.
import { describe, expect, test } from 'vitest'
import { StreamClock } from '../../src/flow/clock.ts'
import { between, chance, forSeeds, int } from '../kit/random.ts'

const WINDOW_MS = 10_000
/** How far a single sender may lead: a quarter of the wait for whole traces. */
const LEAD_MS = 2_500
const NEVER = Number.NEGATIVE_INFINITY

const newClock = () => new StreamClock({ windowMs: WINDOW_MS, traceWaitMs: 4 * LEAD_MS })

/** One request: by sender, the latest span end. */
function request(clock: StreamClock, ends: Readonly<Record<number, number>>, monotonicMs = 0): number {
  for (const [sender, endMs] of Object.entries(ends)) clock.saw(Number(sender), endMs)
  clock.settle(monotonicMs)
  return clock.nowMs
}

describe('the stream clock', () => {
  test('follows the latest of two senders, and does not go back', () => {
    const clock = newClock()
    expect(request(clock, { 0: 1_000_000, 1: 1_002_000 })).toBe(1_002_000)
    expect(request(clock, { 0: 1_004_000 })).toBe(1_004_000)
    expect(request(clock, { 1: 1_003_000 })).toBe(1_004_000)
  })

  test('is moved by no single sender further ahead of the others than whole traces are waited for', () => {
    const clock = newClock()
    request(clock, { 0: 1_000_000, 1: 1_000_000, 2: 1_000_000 })
    expect(request(clock, { 2: 9_000_000 })).toBe(1_002_500)
    expect(request(clock, { 0: 1_003_000 })).toBe(1_005_500)
    expect(request(clock, { 1: 9_000_500 })).toBe(9_000_500)
  })

  test('does not begin before a second sender agrees, or the first has gone on alone for three windows', () => {
    const together = newClock()
    expect(request(together, { 0: 9_000_000 })).toBe(NEVER)
    expect(request(together, { 1: 1_000_000 })).toBe(1_002_500)
    const alone = newClock()
    const seen = Array.from({ length: 8 }, (_, n) => request(alone, { 0: 1_000_000 + 5000 * n }))
    expect(seen.filter(ms => ms === NEVER)).toHaveLength(4)
    expect(seen.at(-1)).toBe(1_035_000)
  })

  test('follows a sender that is left alone, after three windows of its own time', () => {
    const clock = newClock()
    request(clock, { 0: 1_000_000, 1: 1_000_000 })
    const seen = Array.from({ length: 12 }, (_, n) => request(clock, { 0: 1_005_000 + 5000 * n }))
    expect(seen.slice(0, 3)).toEqual([1_002_500, 1_002_500, 1_002_500])
    expect(seen.at(-1)).toBe(1_060_000)
  })

  test('takes a sender that stays ahead for off, tells by how much, and takes it back when its clock is right again', () => {
    const clock = newClock()
    let at = 1_000_000
    request(clock, { 0: at, 1: at, 2: at })
    for (let n = 0; n < 10; n++) request(clock, { 0: (at += 1000), 1: at, 2: at + 3_600_000 })
    expect(clock.isOff(2)).toBe(true)
    expect(clock.jumps).toBe(1)
    expect([...clock.offsets()]).toEqual([[2, at + 3_600_000 - clock.nowMs]])
    for (let n = 0; n < 4; n++) request(clock, { 0: (at += 5000), 1: at, 2: at })
    expect(clock.isOff(2)).toBe(false)
    expect([...clock.offsets()]).toEqual([])
    expect(request(clock, { 2: at + 2000 })).toBe(at + 2000)
  })

  test('follows those who are ahead when nobody else is left', () => {
    const clock = newClock()
    let at = 1_000_000
    request(clock, { 0: at, 1: at })
    for (let n = 0; n < 10; n++) request(clock, { 0: (at += 1000), 1: at, 2: at + 3_600_000 })
    for (let n = 0; n < 20; n++) request(clock, { 2: (at += 5000) + 3_600_000 })
    expect(clock.isOff(2)).toBe(false)
    expect(clock.nowMs).toBe(at + 3_600_000)
  })

  test('a service that begins with history moves nothing, and its spans are history', () => {
    const clock = newClock()
    request(clock, { 0: 9_000_000, 1: 9_000_000 })
    for (let n = 0; n < 20; n++) expect(request(clock, { 2: 1_000_000 + 60_000 * n })).toBe(9_000_000)
    expect(clock.whyLate(2)).toBe('history')
    expect(clock.whyLate(0)).toBe('age')
    expect(request(clock, { 0: 9_002_000 })).toBe(9_002_000)
  })

  test('goes on in silence as time does, and never beyond what the wall clock allows', () => {
    const clock = newClock()
    clock.pass(500, Number.POSITIVE_INFINITY)
    expect(clock.nowMs).toBe(NEVER)
    request(clock, { 0: 1_000_000, 1: 1_000_000 }, 1000)
    clock.pass(4000, Number.POSITIVE_INFINITY)
    expect(clock.nowMs).toBe(1_003_000)
    clock.pass(90_000, 1_020_000)
    expect(clock.nowMs).toBe(1_020_000)
    request(clock, { 0: 1_021_000, 1: 1_021_000 }, 95_000)
    clock.pass(96_000, Number.POSITIVE_INFINITY)
    expect(clock.nowMs).toBe(1_022_000)
    const first = newClock()
    request(first, { 0: 1_000_000 })
    first.pass(10, Number.POSITIVE_INFINITY)
    expect(first.nowMs).toBe(1_000_000)
  })

  test('stays near the second sender through any history in which one of them jumps about', () => {
    forSeeds(50, random => {
      const clock = newClock()
      const ends = [1_000_000, 1_000_000, 1_000_000]
      request(clock, { ...ends })
      let before = clock.nowMs
      for (let n = 0; n < 200; n++) {
        const ticking: Record<number, number> = {}
        for (const sender of [0, 1]) ticking[sender] = ends[sender] += between(random, 1000, 3000)
        if (chance(random, 0.8))
          ticking[2] = ends[0] + (chance(random, 0.5) ? int(random, 7_200_000) : -int(random, 7_200_000))
        const now = request(clock, ticking)
        expect(now).toBeGreaterThanOrEqual(before)
        expect(now).toBeLessThanOrEqual(Math.max(ends[0], ends[1]) + LEAD_MS)
        expect(now).toBeGreaterThanOrEqual(Math.min(ends[0], ends[1]))
        before = now
      }
    })
  })
})
