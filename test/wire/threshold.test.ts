//! Laws of sampling thresholds: what a tracestate says about how many spans one stands for, and what it cannot say.
import { describe, expect, test } from 'vitest'
import { sampledWeight, WEIGHT_STEPS } from '../../src/wire/threshold.ts'

const weight = (text: string) => {
  const bytes = Buffer.from(`x${text}`)
  return sampledWeight(bytes, 1, bytes.length) / WEIGHT_STEPS
}

describe('ot=th', () => {
  test.each([
    ['ot=th:0', 1],
    ['ot=th:8', 2],
    ['ot=th:c', 4],
    ['ot=th:e666', 10],
    ['ot=th:e6666666666666', 10],
    ['ot=th:fd70a3d70a3d71', 100],
    ['ot=rv:0123456789abcd;th:c', 4],
    ['a=1, ot=th:c;rv:0123456789abcd,b=2', 4],
    ['a=1 ,\tot=th:c ,b=2', 4],
  ])('%s lets one stand for %d', (text, expected) => expect(weight(text)).toBe(expected))

  test('a weight is a whole number of sixteenths', () => {
    expect(weight('ot=th:5555')).toBe(1.5)
    expect(weight('ot=th:1')).toBe(17 / 16)
  })

  test('none is larger than 16,384', () => {
    expect(weight('ot=th:ffffffffffffff')).toBe(16_384)
    expect(weight('ot=th:fffff')).toBe(16_384)
  })

  test.each([
    '',
    'ot=',
    'ot=th:',
    'ot=rv:8',
    'ot=th:8888888888888888',
    'ot=th:C',
    'ot=th:g',
    'xot=th:8',
    'at=th:8',
    'ot=xth:8',
    'a=ot=th:8',
    ',,,',
  ])('%j says nothing: one is one', text => expect(weight(text)).toBe(1))
})
