//! Laws of pods that say nothing while their siblings go on: their part of the traffic is lost to sight, and nobody is told that it does not come.
import { describe, expect, test } from 'vitest'
import type { Pod, ServiceNode } from '../../src/learn/landscape.ts'
import { livingOf, noteEntries } from '../../src/learn/mute.ts'
import { HOUR, MINUTE, scene } from '../kit/plane.ts'

const WINDOW_MS = 10_000

/** A service whose pods serve so much in each window. Says what is left after so many more of them. */
function service(usual: readonly number[]) {
  const pods = usual.map(() => ({ entries: null }) as Pod)
  const node = { pods: new Set(pods) } as ServiceNode
  let nowMs = 0
  const run = (windows: number, served: readonly number[], seen = 1) => {
    let living = { part: Number.NaN, isLost: false, isGivenUp: false }
    for (let n = 0; n < windows; n++) {
      nowMs += WINDOW_MS
      for (const [at, pod] of pods.entries()) if (served[at] > 0) noteEntries(pod, served[at])
      living = livingOf(node, seen, 1, nowMs, WINDOW_MS)
    }
    return living
  }
  run(60, usual)
  return run
}

describe('what the living pods serve', () => {
  test('is all while each of them is seen, however little they have to do', () => {
    const run = service([10, 20, 30])
    expect(run(100, [10, 20, 30]).part).toBe(1)
    expect(run(30, [1, 1, 1]).part).toBe(1)
  })

  test('is the usual part of the others where one is mute, and that is sure when nobody has taken over', () => {
    const run = service([10, 20, 30])
    const first = run(1, [0, 20, 30], 0.83)
    expect(first.part).toBeCloseTo(5 / 6, 1)
    expect(first.isLost).toBe(false)
    expect(run(6, [0, 20, 30], 0.83)).toMatchObject({ isLost: true, isGivenUp: false })
    expect(run(1, [10, 20, 30]).part).toBe(1)
  })

  test('is all when the others do what it did', () => {
    const run = service([30, 30])
    expect(run(2, [0, 60]).part).toBeCloseTo(1 / 2, 1)
    expect(run(6, [0, 60]).part).toBe(1)
    // It is waited for no longer, even when less comes to the others.
    expect(run(6, [0, 10], 1 / 6).part).toBe(1)
  })

  test('is nothing of what is missing where all are mute: then the service is', () => {
    const run = service([10, 20])
    expect(run(6, [0, 0], 0).part).toBe(1)
  })

  test('is all where the others have less to do as well, or are too few to tell', () => {
    expect(service([20, 20])(8, [0, 4], 0.1).part).toBe(1)
    expect(service([20, 2])(8, [0, 2], 0.1).part).toBe(1)
  })

  test('a pod that is seldom asked is not mute after a minute without requests', () => {
    const run = service([0.2, 20])
    expect(run(30, [0, 20]).part).toBe(1)
    expect(run(30, [0, 20], 0.8).part).toBeLessThan(1)
  })

  test('after an hour the others are all there is', () => {
    const run = service([10, 10])
    expect(run(360, [0, 10], 0.5)).toMatchObject({ isLost: true, isGivenUp: false })
    expect(run(1, [0, 10], 0.5).isGivenUp).toBe(true)
    expect(run(1, [0, 10], 0.5).part).toBe(1)
  })
})

describe('a shop', () => {
  const told = (trouble: Parameters<ReturnType<typeof scene>['run']>[1], windows = 10 * MINUTE) => {
    const shop = scene(31)
    shop.run(2 * HOUR)
    const before = shop.named('otlier.incident.opened').length
    shop.run(windows, trouble)
    const opened = shop.named('otlier.incident.opened').slice(before)
    return { opened: opened.map(({ attributes }) => attributes['otlier.incident.kind']), ...shop }
  }

  test('one exporter of two dies, and no loss of traffic is told: not at once, not when it is given up, not when it is back', () => {
    const shop = told({ mutePods: ['gateway-1'] }, 2 * HOUR)
    shop.run(HOUR)
    expect(shop.named('otlier.incident.opened').map(({ body }) => body)).toEqual([])
  })

  test('one pod of two goes and the other serves its part: nothing is told', () => {
    expect(told({ gone: ['gateway-1'] }, HOUR).opened).toEqual([])
  })

  test('where less comes as well, that is told', () => {
    const shop = scene(31)
    shop.run(2 * HOUR)
    shop.run(20 * MINUTE, { mutePods: ['gateway-1'] })
    expect(shop.named('otlier.incident.opened')).toEqual([])
    shop.run(10 * MINUTE, { mutePods: ['gateway-1'], traffic: 0.3 })
    expect(shop.named('otlier.incident.opened')).not.toEqual([])
  })
})
