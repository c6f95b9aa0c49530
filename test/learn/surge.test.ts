//! Laws of surges: who is asked many times as often at once is asked by somebody else, and what that explains of a rise is nobody's.
import { describe, expect, test } from 'vitest'
import type { SeriesKey } from '../../src/bus/bus.ts'
import { Landscape } from '../../src/learn/landscape.ts'
import { excuse, newParts } from '../../src/learn/residuals.ts'
import { NO_SUMS, newSums, type Series } from '../../src/learn/series.ts'
import { seeded } from '../kit/random.ts'

const HOUR = 360
const KEY: SeriesKey = {
  id: 'put',
  service: 'carts',
  operation: 'PUT /carts',
  kind: 2,
  namespace: '',
  environment: '',
  overflow: false,
}

/** An operation that has so many requests in a window, give or take their root. Says how large its last surge was. */
function operation() {
  const series = new Landscape({ maxSeries: 10 }).meet(KEY, '', 0) as Series
  const random = seeded(8)
  return (windows: number, perWindow: number) => {
    let surge = 0
    for (let n = 0; n < windows; n++) {
      const chance = (random() + random() + random() - 1.5) * 2 * Math.sqrt(perWindow)
      const traces = Math.max(0, Math.round(perWindow + chance))
      series.sums = traces === 0 ? NO_SUMS : { ...newSums(), traces }
      surge = series.surge
      series.followTraces()
    }
    return surge
  }
}

describe('a surge', () => {
  test('is there within two windows when a job asks nine times as often, and is over with it', () => {
    const run = operation()
    expect(run(HOUR, 15)).toBe(0)
    expect(run(2, 150)).toBeGreaterThan(Math.log(3))
    expect(run(20, 150)).toBeGreaterThan(Math.log(5))
    expect(run(6, 15)).toBe(0)
  })

  test('is none where twice as many come, or a few more of few', () => {
    const twice = operation()
    twice(HOUR, 15)
    expect(Math.max(...Array.from({ length: 60 }, () => twice(1, 30)))).toBe(0)
    const few = operation()
    few(HOUR, 0.5)
    expect(Math.max(...Array.from({ length: 500 }, () => few(1, 0.5)))).toBe(0)
  })

  test('is none while it is not known what is usual', () => {
    const run = operation()
    run(10, 2)
    expect(run(5, 200)).toBe(0)
  })

  test('explains as much of a rise, and never makes a fall of it', () => {
    const rise = (residual: number) => excuse({ ...newParts(), residual, n: 10 }, Math.log(3)).residual
    expect(rise(10 * Math.log(4))).toBeCloseTo(10 * Math.log(4 / 3), 6)
    expect(rise(10 * Math.log(2))).toBe(0)
    expect(rise(-3)).toBe(-3)
  })
})
