//! Laws of features in rows: each has its own, and what is forgotten gives its row back and still shows what it showed.
import { expect, test } from 'vitest'
import { Feature } from '../../src/learn/feature.ts'
import { FeatureSlots } from '../../src/learn/feature-row.ts'
import type { FeatureClass, Place } from '../../src/learn/places.ts'

const WINDOW_MS = 10_000
const CLASSES: readonly FeatureClass[] = ['service self', 'service failure', 'entry rate', 'service drift']
const PLACE = {} as Place

/** A window in which everything lies `by` above what is usual. */
function window(feature: Feature, by: number, count = 20) {
  const { class: of } = feature
  if (of === 'service self')
    Object.assign(feature, { a: count * by, b: count * 0.2, d: count, e: count * 15 })
  else if (of === 'service failure') Object.assign(feature, { a: count * Math.min(1, by), b: count })
  else if (of === 'entry rate') feature.a = count
  else Object.assign(feature, { a: by, b: 480_000, d: 1, e: 15 })
  feature.judge(WINDOW_MS)
}

const shown = (feature: Feature) =>
  feature.judged.map(({ z, shift, level, n }) => [z, shift, feature.sd, level, n])

test.each(CLASSES)('%s: neighbours in one piece learn as each would alone', of => {
  const slots = new FeatureSlots()
  const together = Array.from({ length: 100 }, () => new Feature(PLACE, of, slots))
  const alone = together.map(() => new Feature(PLACE, of))
  for (let turn = 0; turn < 50; turn++)
    for (const features of [together, alone])
      for (const [n, feature] of features.entries())
        window(feature, n % 7 === 0 && turn > 45 ? 1 : 0.01 * ((n + turn) % 3), n === 5 ? 100_000 : 20 + n)
  expect(together.map(shown)).toEqual(alone.map(shown))
  expect(together.map(({ track }) => track.store())).toEqual(alone.map(({ track }) => track.store()))
})

test.each(CLASSES)(
  '%s: what is released gives its row back, and shows what it showed, whoever has the row now',
  of => {
    const slots = new FeatureSlots()
    // As long as somebody has a row beside it, its memory stays in use.
    new Feature(PLACE, of, slots)
    const old = new Feature(PLACE, of, slots)
    for (let turn = 0; turn < 50; turn++) window(old, turn > 45 ? 1 : 0)
    const [before, stored] = [shown(old), old.track.store()]
    old.release(slots)
    expect(slots.size).toBe(1)
    const next = new Feature(PLACE, of, slots)
    expect(shown(next)).toEqual(shown(new Feature(PLACE, of)))
    for (let turn = 0; turn < 50; turn++) window(next, 0.5, 3)
    expect(slots.size).toBe(2)
    expect(shown(old)).toEqual(before)
    expect(old.track.store()).toEqual(stored)
  },
)
