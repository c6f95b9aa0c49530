//! Laws of young pods: those that start, or come back from an absence of their own, are cold for some minutes.
import { expect, test } from 'vitest'
import type { FeatureWindow, PodKey } from '../../src/bus/bus.ts'
import { isYoung, Landscape } from '../../src/learn/landscape.ts'
import { HOUR, MINUTE, scene } from '../kit/plane.ts'

const WINDOW_MS = 10_000

/** A service with pods; says which are young after so many windows in which those are seen of which `seen` says so. */
function service(names: readonly string[]) {
  const landscape = new Landscape({ maxSeries: 1000 })
  const pods = names.map(
    name => ({ id: name, name, service: 'carts', namespace: '', environment: '', attributes: {} }) as PodKey,
  )
  let nowMs = 0
  return (windows: number, seen: (pod: string, nth: number) => boolean) => {
    for (let n = 0; n < windows; n++) {
      nowMs += WINDOW_MS
      const window = { pods, endMs: nowMs } as unknown as FeatureWindow
      for (const [at, { name }] of pods.entries()) if (seen(name, n)) landscape.podAt(window, at)
    }
    return [...landscape.pods.values()].filter(pod => isYoung(pod, nowMs)).map(({ key }) => key.name)
  }
}

test('the first pods of a service are not young, and one that comes later is, for five minutes', () => {
  const run = service(['a', 'b'])
  expect(run(10 * MINUTE, pod => pod === 'a')).toEqual([])
  expect(run(1, () => true)).toEqual(['b'])
  expect(run(5 * MINUTE, () => true)).toEqual([])
})

test('one that comes back when its siblings have gone on for a while is young again', () => {
  const run = service(['a', 'b'])
  run(10 * MINUTE, () => true)
  run(3 * MINUTE, pod => pod === 'a')
  expect(run(1, () => true)).toEqual(['b'])
  expect(run(5 * MINUTE, () => true)).toEqual([])
})

test('one that was away for a moment, or with all others, is not', () => {
  const run = service(['a', 'b'])
  run(10 * MINUTE, () => true)
  run(MINUTE, pod => pod === 'a')
  expect(run(1, () => true)).toEqual([])
  run(60 * MINUTE, () => false)
  expect(run(1, () => true)).toEqual([])
})

test('one that is seldom asked is not young because nobody has asked it', () => {
  const run = service(['a', 'b'])
  const seldom = (pod: string, nth: number) => pod === 'a' || nth % (3 * MINUTE) === 0
  run(60 * MINUTE, seldom)
  run(12 * MINUTE, pod => pod === 'a')
  expect(run(1, () => true)).toEqual([])
})

test('how pods warm up is learned: a slow minute after a start is usual, and slow minutes after it are told', () => {
  const { plane, run, named } = scene(41)
  const opened = () => named('otlier.incident.opened').length
  const start = (slow: number) => {
    run(3 * MINUTE, { gone: ['carts-1'] })
    run(slow, { pod: { 'carts-1': 4 } })
  }
  run(HOUR)
  for (let n = 0; n < 10; n++) {
    start(MINUTE)
    run(30 * MINUTE)
  }
  const before = opened()
  for (let n = 0; n < 6; n++) {
    start(MINUTE)
    run(30 * MINUTE)
  }
  expect(opened()).toBe(before)
  start(MINUTE)
  const young = plane.evidence.features.find(({ class: of }) => of === 'young pod self')
  expect(Math.exp(young?.judged[1].shift ?? Number.NaN)).toBeLessThan(2)
  run(30 * MINUTE)
  start(5 * MINUTE)
  expect(opened()).toBe(before + 1)
})
