//! Laws of single places: what lasts shows in both halves, calls that come on top are not missing, the end of a surge is no loss, and small peaks say how busy calm times are.
import { expect, test } from 'vitest'
import { CountTrack } from '../../src/detect/counts.ts'
import { type Judgement, newJudged } from '../../src/detect/judged.ts'
import { Level, LocationTrack } from '../../src/detect/location.ts'
import { SCALES } from '../../src/detect/scales.ts'
import { ShareTrack } from '../../src/detect/shares.ts'
import { PeakRecord } from '../../src/detect/tail.ts'
import { int, seeded } from '../kit/random.ts'

const WINDOW_MS = 10_000
const both = ({ later, earlier }: Judgement) => Math.min(later, earlier)

test('a burst of one window shows in one half alone, what lasts in both', () => {
  const track = new LocationTrack()
  const judged = SCALES.map(newJudged)
  const window = (shift: number) => {
    track.push(20 * shift, 20 * 0.25, 0, 20, 20 * 15)
    track.judge(judged, shift === 0)
  }
  for (let n = 0; n < 200; n++) window(0)
  window(3)
  expect(judged[0].z).toBeGreaterThan(4)
  expect(both(judged[0])).toBeLessThan(1)
  window(0)
  expect(both(judged[0])).toBeLessThan(1)
  for (let n = 0; n < 6; n++) window(3)
  for (const scale of [0, 1]) expect(both(judged[scale])).toBeGreaterThan(4)
})

/** The mean of all levels, where each window with samples takes an eighteenth from the weight of those before it. */
function normal(windows: readonly (readonly [n: number, residual: number, level: number])[]): number {
  const seen = windows.filter(([n]) => n > 0)
  const sum = (of: 0 | 2) => seen.reduce((total, window, back) => total + window[of] * (17 / 18) ** back, 0)
  return sum(2) / sum(0)
}

test.each([0, 15, 40])('what is judged is what the last windows held, with levels about %d', about => {
  const random = seeded(about)
  const track = new LocationTrack()
  const judged = SCALES.map(newJudged)
  const windows: (readonly [n: number, residual: number, level: number])[] = []
  for (let turn = 0; turn < 300; turn++) {
    const n = random() < 0.3 ? 0 : 1 + int(random, 100_000)
    const shift = 4 * random() - 2
    const level = about + Math.sin(turn / 50)
    track.push(n * shift, n * 0.2, n * 0.01, n, n * level)
    track.judge(judged, true)
    windows.unshift([n, n * shift, n * level])
    for (const [scale, length] of SCALES.entries()) {
      const sum = (of: 0 | 1 | 2) => windows.slice(0, length).reduce((total, window) => total + window[of], 0)
      expect(judged[scale].n).toBe(sum(0))
      if (sum(0) === 0) continue
      expect(judged[scale].shift).toBeCloseTo(sum(1) / sum(0), 2.7)
      expect(judged[scale].level).toBeCloseTo(normal(windows), 3)
    }
  }
})

test('two slow ones of two say less than their spread makes them, and forty of forty say as much', () => {
  const z = (perWindow: number) => {
    const track = new LocationTrack()
    const judged = SCALES.map(newJudged)
    const window = (shift: number) => {
      track.push(perWindow * shift, perWindow * 0.25, 0, perWindow, perWindow * 15)
      track.judge(judged, false)
    }
    for (let n = 0; n < 36; n++) window(0)
    // As many of their own standard deviations above, of which what changes from window to window is a part.
    const sd = Math.sqrt(0.25 / (2 * perWindow) + 0.2 ** 2)
    for (let n = 0; n < 2; n++) window(6 * sd)
    return judged[0].z
  }
  expect(z(1)).toBeLessThan(5.2)
  expect(z(20)).toBeGreaterThan(5.9)
})

test('a level falls at once and rises slowly', () => {
  const level = (to: number) => {
    const one = new Level()
    for (let n = 0; n < 100; n++) one.learn(50, 15, 0.1, 0.1, WINDOW_MS)
    for (let n = 0; n < 30; n++) one.learn(50, to, 0.1, 0.1, WINDOW_MS)
    return Math.abs(one.mean - 15)
  }
  expect(level(13)).toBeGreaterThan(3 * level(17))
})

test('a part of the calls is missing where fewer are made, and not where others come on top that need none', () => {
  const after = (hits: number, whole: number) => {
    const track = new ShareTrack({ worse: 'less', leastSpread: 0.01 })
    const judged = SCALES.map(newJudged)
    for (let n = 0; n < 200; n++) {
      track.push(60, 60, true, WINDOW_MS)
      track.judge(judged, true)
    }
    for (let n = 0; n < 6; n++) {
      track.push(hits, whole, true, WINDOW_MS)
      track.judge(judged, false)
    }
    return judged[1].z
  }
  expect(after(30, 60)).toBeGreaterThan(5)
  expect(after(60, 120)).toBeLessThan(1)
  // More of both, and yet half of the calls are not made.
  expect(after(50, 100)).toBeGreaterThan(1)
})

test('a rush of ten minutes that needs no calls is none of the usual requests, and the calls of those are not missing', () => {
  const track = new ShareTrack({ worse: 'less', leastSpread: 0.01 })
  const judged = SCALES.map(newJudged)
  const live = (windows: number, hits: number, whole: number) => {
    let highest = 0
    for (let n = 0; n < windows; n++) {
      track.push(hits, whole, true, WINDOW_MS)
      track.judge(judged, true)
      for (const { later, earlier } of judged) highest = Math.max(highest, Math.min(later, earlier))
    }
    return highest
  }
  live(400, 10, 10)
  expect(live(60, 10, 90)).toBeLessThan(2.5)
})

test('of few calls some less are chance while others come on top', () => {
  const after = (hits: number) => {
    const track = new ShareTrack({ worse: 'less', leastSpread: 0.01 })
    const judged = SCALES.map(newJudged)
    for (let n = 0; n < 200; n++) {
      track.push(2, 2, true, WINDOW_MS)
      track.judge(judged, true)
    }
    for (let n = 0; n < 6; n++) {
      track.push(hits, 6, true, WINDOW_MS)
      track.judge(judged, false)
    }
    return judged[1].z
  }
  expect(after(1.3)).toBe(0)
  expect(after(0.2)).toBeGreaterThan(1)
  // Of twelve that are usual one was made: that is all that is known of them.
  expect(after(0.2)).toBeLessThan(3.5)
})

test('the end of a surge is no loss, and what falls below what was usual before it is one', () => {
  const after = (surge: number, then: number) => {
    const track = new CountTrack()
    const judged = SCALES.map(newJudged)
    const random = seeded(3)
    const live = (count: number, windows: number) => {
      for (let n = 0; n < windows; n++) {
        const came = int(random, 2 * Math.sqrt(count)) + count - Math.sqrt(count)
        track.push(came, came, true, WINDOW_MS)
        track.judge(judged, true)
      }
    }
    live(200, 1000)
    live(200 * surge, 120)
    live(200 * then, 6)
    return judged[1].z
  }
  expect(after(1, 0.3)).toBeGreaterThan(6)
  expect(after(3, 1)).toBeLessThan(1)
  expect(after(3, 0.3)).toBeGreaterThan(4)
})

test('a pod that fails more than the whole for good is normal once adopted, and again when it has been well for long', () => {
  const usual = { usual: 0.01, isReady: true }
  const track = new ShareTrack({ worse: 'more', leastSpread: 0.005 }, usual)
  const judged = SCALES.map(newJudged)
  const z = (share: number, windows: number) => {
    for (let n = 0; n < windows; n++) {
      track.push(50 * share, 50, true, WINDOW_MS)
      track.judge(judged, judged[1].z < 3)
    }
    return judged[1].z
  }
  z(0.01, 100)
  expect(z(0.2, 40)).toBeGreaterThan(5)
  track.adopt()
  track.clear()
  expect(z(0.2, 40)).toBeLessThan(1)
  const kept = new ShareTrack({ worse: 'more', leastSpread: 0.005 }, usual)
  kept.restore(track.store())
  for (let n = 0; n < 40; n++) kept.push(10, 50, true, WINDOW_MS)
  kept.judge(judged, false)
  expect(judged[1].z).toBeLessThan(1)
  expect(z(0.01, 1000)).toBeLessThan(1)
  expect(z(0.2, 10)).toBeGreaterThan(4)
})

test('small peaks say within an hour whether a deployment is as busy as was believed', () => {
  const level = (small: number) => {
    const record = new PeakRecord({ rate: value => 500 * Math.exp(-value), days: 2, common: 1 })
    record.pass(3_600_000)
    for (let n = 0; n < small; n++) record.note(n, 1.5)
    return record.level(1, 0, 60)
  }
  expect(level(0)).toBeLessThan(level(8) - 0.5)
  expect(level(30)).toBeGreaterThan(level(8) + 0.5)
})
