//! Laws of corroboration: times that rise at several places of one service count for more, and what is one sign counts once.
import { expect, test } from 'vitest'
import { Corroboration } from '../../src/learn/corroboration.ts'
import { Feature } from '../../src/learn/feature.ts'
import type { Landscape } from '../../src/learn/landscape.ts'
import { type FeatureClass, placeOf } from '../../src/learn/places.ts'
import type { At } from '../../src/learn/reading.ts'
import { scene } from '../kit/plane.ts'

const serviceOf = (landscape: Landscape, name: string) => landscape.serviceOf(name, '', '', 0)

type Shown = readonly [FeatureClass, string, string | null, number]

/** Features of these classes and places, with what each shows: the deciding statistic of each, after so many calm days. */
function decidedAfter(days: number, ...shown: readonly Shown[]): number[] {
  const { landscape } = scene(1).plane.evidence
  const features = shown.map(([name, service, caller, surprise]) => {
    const at: At = caller === null ? {} : { caller: serviceOf(landscape, caller), target: service }
    const feature = new Feature(placeOf(serviceOf(landscape, service), at), name)
    feature.surprise = surprise
    return feature
  })
  new Corroboration().turn(features, days)
  return features.map(({ decisive }) => decisive)
}

const decided = (...shown: readonly Shown[]): number[] => decidedAfter(7, ...shown)

test('what departs alone counts for what it is', () => {
  expect(decided(['service self', 'a', null, 3], ['service self', 'b', null, 2])).toEqual([3, 2])
})

test('two signs of one service are more than the stronger of them, in whatever order they come', () => {
  const [self, gap] = decided(['service self', 'a', null, 3], ['edge gap', 'b', 'a', 2])
  expect(self).toBeGreaterThan(3)
  expect(gap).toBeGreaterThan(3)
  const [other, one] = decided(['edge gap', 'b', 'a', 2], ['service self', 'a', null, 3])
  expect([one, other]).toEqual([self, gap])
})

test('the ways from one caller to several speak for each other, and so do those of several callers to one', () => {
  const [out] = decided(['edge gap', 'b', 'a', 3], ['edge gap', 'c', 'a', 2])
  const [into] = decided(['edge gap', 'b', 'a', 3], ['edge gap', 'b', 'c', 2])
  expect(out).toBeGreaterThan(3)
  expect(into).toBe(out)
  expect(decided(['edge gap', 'b', 'a', 3], ['edge gap', 'd', 'c', 2])).toEqual([3, 2])
})

test('before the record has seen calm times each sign counts for what it is, and then little by little for more', () => {
  const after = (days: number) =>
    decidedAfter(days, ['service self', 'a', null, 3], ['edge gap', 'b', 'a', 2])[0]
  expect(after(0)).toBe(3)
  expect(after(0.1)).toBeGreaterThan(3)
  expect(after(0.1)).toBeLessThan(after(1))
  expect(after(1)).toBe(after(7))
})

test('the same spans are one sign', () => {
  expect(decided(['service self', 'a', null, 3], ['pod self', 'a', null, 2])).toEqual([3, 2])
})

test('failures, and what is missing, count for what they are', () => {
  expect(decided(['service self', 'a', null, 3], ['service failure', 'a', null, 2])).toEqual([3, 2])
  expect(decided(['service self', 'a', null, 3], ['call missing', 'a', null, 2])).toEqual([3, 2])
})

test('what does not depart neither helps nor is helped', () => {
  const nothing = Number.NEGATIVE_INFINITY
  expect(decided(['service self', 'a', null, 3], ['edge gap', 'b', 'a', nothing])).toEqual([3, nothing])
})
