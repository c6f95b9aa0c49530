//! Laws of tails by place: who often goes far is less surprising when it does, who never does is more so, and a fault teaches nothing.
import { expect, test } from 'vitest'
import { BEYOND, Excess, Run } from '../../src/detect/excess.ts'
import { Feature } from '../../src/learn/feature.ts'
import type { Place } from '../../src/learn/places.ts'
import { seeded } from '../kit/random.ts'

const USUAL = 0.46
const excess = () => new Excess(new Float32Array(Excess.WIDTH), 0, USUAL)

/** So many windows beyond, with an exponential tail of this scale. */
function taught(scale: number, windows: number, by = 0): Excess {
  const place = excess()
  const random = seeded(5)
  for (let n = 0; n < windows; n++) {
    const run = new Run()
    run.note(by, BEYOND - scale * Math.log(1 - random()))
    place.learn(run)
  }
  return place
}

test('what is within the usual is measured as it is, and of a place that nothing is known of all is', () => {
  expect(taught(2, 500).measured(0, BEYOND)).toBe(BEYOND)
  expect(taught(2, 500).measured(0, -3)).toBe(-3)
  expect(excess().measured(2, 9)).toBe(9)
})

test('an excess is measured by the mean excess of the place', () => {
  for (const scale of [0.2, 0.46, 1, 3]) {
    const ratio = (taught(scale, 4000).measured(0, BEYOND + 6) - BEYOND) / 6
    expect(ratio).toBeGreaterThan((0.8 * USUAL) / scale)
    expect(ratio).toBeLessThan((1.25 * USUAL) / scale)
  }
  // The further out, the more so, and never in another order.
  const restless = taught(3, 4000)
  for (let z = 0; z < 20; z += 0.5)
    expect(restless.measured(0, z + 0.5)).toBeGreaterThan(restless.measured(0, z))
})

test('where a short tail proves nothing, nothing is measured by less than is usual', () => {
  const numbers = new Float32Array(Excess.WIDTH)
  const bursts = new Excess(numbers, 0, USUAL, USUAL)
  bursts.restore(taught(0.1, 4000).store())
  expect(bursts.measured(0, 8)).toBeCloseTo(8)
  bursts.restore(taught(2, 4000).store())
  expect(bursts.measured(0, 8)).toBeLessThan(4)
})

test('a few windows prove little, and one scale says nothing of another', () => {
  expect(taught(3, 2).measured(0, 8)).toBeGreaterThan(0.6 * 8)
  expect(taught(3, 4000, 1).measured(0, 8)).toBeCloseTo(8)
  // Windows of three minutes overlap eight times as often as those of twenty seconds.
  expect(taught(3, 100, 2).measured(2, 8)).toBeGreaterThan(taught(3, 100).measured(0, 8))
})

test('what was calm is learned when it is over, and what was none never', () => {
  const told = (end: (feature: Feature) => void) => {
    const feature = new Feature(
      { id: 'place', service: { load: { more: [0, 0, 0, 0] } } } as unknown as Place,
      'service self',
    )
    const window = (by: number) => {
      Object.assign(feature, { a: 20 * by, b: 4, d: 20, e: 300 })
      feature.judge(10_000)
    }
    for (let n = 0; n < 60; n++) window(0)
    const before = feature.excess.store()
    for (let n = 0; n < 12; n++) window(1.5)
    // Not yet: it may be the beginning of a fault.
    expect(feature.excess.store()).toEqual(before)
    end(feature)
    return feature.excess.measured(0, 8)
  }
  expect(told(feature => feature.settle(true))).toBeLessThan(7)
  expect(told(feature => feature.settle(false))).toBeCloseTo(8)
  expect(told(feature => feature.clear())).toBeCloseTo(8)
})
