//! Laws of what is kept of each window: of many signs the strongest, and those that passed everything before all others.
import { expect, test } from 'vitest'
import { Evidence } from '../../src/learn/evidence.ts'
import { Feature } from '../../src/learn/feature.ts'
import { Sightings } from '../../src/learn/sightings.ts'

const WINDOW_MS = 10_000

/** `count` places of services of their own, the later the further out. */
function crowd(count: number): Evidence {
  const evidence = new Evidence({ windowMs: WINDOW_MS, maxSeries: 1000, rebaselineMs: 3_600_000 })
  for (let n = 0; n < count; n++) {
    const name = `s${String(n).padStart(3, '0')}`
    const service = evidence.landscape.serviceOf(name, '', '', 0)
    const place = {
      service,
      caller: null,
      series: null,
      pod: null,
      target: '',
      targetService: null,
      detail: '',
    }
    const feature = new Feature(place, 'service self')
    Object.assign(feature.judged[1], { z: 20 + n / count, shift: 1, level: Math.log(5e6), n: 20 })
    evidence.features.push(feature)
  }
  return evidence
}

test('of a window that is full of signs the strongest are kept, and that there were more is known', () => {
  const sightings = new Sightings(WINDOW_MS)
  sightings.note(crowd(100), 5, WINDOW_MS, true)
  const [window] = sightings.between(0, WINDOW_MS)
  expect(window.seen.map(({ place }) => place.service.name)).toEqual(
    Array.from({ length: 64 }, (_, n) => `s${String(99 - n).padStart(3, '0')}`),
  )
  expect(window.cut).toBe(true)
  sightings.note(crowd(64), 5, 2 * WINDOW_MS, true)
  expect(sightings.between(WINDOW_MS, 2 * WINDOW_MS)[0].cut).toBe(false)
})

test('a sign that passed its floor and stayed comes before stronger ones that did not', () => {
  const sightings = new Sightings(WINDOW_MS)
  const evidence = crowd(100)
  evidence.features[0].surprise = 0.5
  sightings.note(evidence, 5, WINDOW_MS, true)
  const [first, second] = sightings.strongest(0, WINDOW_MS)
  expect([first.place.service.name, second.place.service.name]).toEqual(['s000', 's099'])
  expect(sightings.record(first, 5).aside).toMatch(/^below the level of 5: calm times show the like /)
})
