//! The laws of the nearest word.
import { describe, expect, test } from 'vitest'
import { distance, nearest } from '../../src/base/nearest.ts'
import { int, seeded } from '../kit/random.ts'

describe('the distance of two words', () => {
  test.each([
    ['', '', 0],
    ['abc', 'abc', 0],
    ['abc', 'ab', 1],
    ['ab', 'abc', 1],
    ['abc', 'axc', 1],
    ['abc', 'acb', 1],
    ['', 'abc', 3],
    ['kitten', 'sitting', 3],
    ['window', 'widnwo', 2],
  ])('%j to %j is %i', (a, b, expected) => {
    expect(distance(a, b)).toBe(expected)
  })

  test('is the same both ways, zero only for equal words, and never more than the longer word', () => {
    const random = seeded(11)
    const word = () => Array.from({ length: int(random, 7) }, () => 'abc'[int(random, 3)]).join('')
    for (let round = 0; round < 2000; round++) {
      const [a, b] = [word(), word()]
      expect(distance(a, b)).toBe(distance(b, a))
      expect(distance(a, b) === 0).toBe(a === b)
      expect(distance(a, b)).toBeLessThanOrEqual(Math.max(a.length, b.length))
    }
  })
})

describe('the nearest word', () => {
  const known = ['endpoint', 'encoding', 'headers', 'tls', 'timeout']
  test.each([
    ['timout', 'timeout'],
    ['TimeOut', 'timeout'],
    ['endpiont', 'endpoint'],
    ['tsl', 'tls'],
    ['header', 'headers'],
    ['xyz', null],
    ['', null],
    ['a'.repeat(100_000), null],
  ])('of %.20s is %s', (word, expected) => {
    expect(nearest(word, known)).toBe(expected)
  })
})
