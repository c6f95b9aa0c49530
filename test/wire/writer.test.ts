//! Protobuf written piece by piece equals what the independent writer of the tests puts together.
import { describe, expect, test } from 'vitest'
import { keyValue } from '../../src/wire/attributes.ts'
import { HALVES, parseDecimal, writeDecimal, writeInteger } from '../../src/wire/decimal.ts'
import { varintSize, Writer } from '../../src/wire/writer.ts'
import { attributesOf } from '../kit/messages.ts'
import { forSeeds, int, bytes as someBytes } from '../kit/random.ts'
import { concat, delimited, doubleBytes, fixed32, fixed64, tag, varint } from '../oracle/bytes.ts'
import { root } from '../oracle/schema.ts'
import { anyValue, attribute, Double } from '../oracle/values.ts'

const written = (act: (out: Writer) => void, capacity = 1) => {
  const out = new Writer(capacity)
  act(out)
  return Buffer.from(out.take()).toString('hex')
}
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

describe('the writer', () => {
  test('varints and tags are minimal', () => {
    const edges = [
      0,
      1,
      127,
      128,
      16383,
      16384,
      2 ** 21,
      2 ** 28,
      2 ** 31,
      2 ** 32 - 1,
      2 ** 32,
      2 ** 35,
      2 ** 53 - 1,
      2 ** 53,
    ]
    for (const value of edges) {
      expect(written(out => out.varint(value))).toBe(hex(varint(value)))
      expect(varintSize(value)).toBe(varint(value).length)
      const [high, low] = [Math.floor(value / 2 ** 32), value % 2 ** 32]
      expect(written(out => out.varint64(high, low))).toBe(hex(varint(value)))
      expect(written(out => out.fixed64(high, low))).toBe(hex(fixed64(BigInt(value))))
    }
    expect(written(out => out.varint64(2 ** 32 - 1, 2 ** 32 - 1))).toBe(hex(varint(-1n)))
    expect(written(out => out.varint64(2 ** 31, 0))).toBe(hex(varint(-(2n ** 63n))))
    for (const field of [1, 15, 16, 2047, 2048]) {
      expect(written(out => out.tag(field, 2))).toBe(hex(tag(field, 2)))
    }
  })

  test('fixed numbers are little-endian', () => {
    for (const value of [0, 1, 0x01020304, 0xffffffff]) {
      expect(written(out => out.fixed32(value))).toBe(hex(fixed32(value)))
    }
    for (const value of [0, -0, 1.5, -1e300, 5e-324, Number.POSITIVE_INFINITY, Number.NaN]) {
      expect(written(out => out.double(value))).toBe(hex(doubleBytes(value)))
    }
  })

  test('strings are UTF-8 behind their length, a lone surrogate is U+FFFD', () => {
    const texts = [
      '',
      'a',
      'ä€😀',
      'x'.repeat(127),
      'x'.repeat(128),
      'é'.repeat(64),
      '€'.repeat(10_000),
      'a\ud800b',
      '\udc00',
      '\ud83d',
    ]
    for (const text of texts) {
      expect(written(out => out.string(text))).toBe(hex(delimited(1, Buffer.from(text)).subarray(1)))
    }
  })

  test('a message closed with any guess at its length has a minimal prefix', () => {
    for (const length of [0, 1, 127, 128, 129, 16383, 16384, 70_000]) {
      for (const guess of [1, 2, 3, 4]) {
        const content = someBytes(() => 0.5, length)
        let size = 0
        const got = written(out => {
          out.byte(7)
          const start = out.open(guess)
          out.append(content)
          size = out.close(start, guess)
          out.byte(9)
        })
        expect(got).toBe(hex(concat([Uint8Array.of(7), delimited(1, content).subarray(1), Uint8Array.of(9)])))
        expect(size).toBe(varintSize(length))
      }
    }
  })

  test('it grows as it must and never past its bound', () => {
    const out = new Writer(4, 100)
    out.append(new Uint8Array(100))
    expect(() => out.byte(1)).toThrow(expect.objectContaining({ code: 'OTLIER_TOO_LARGE' }))
    expect(out.take()).toHaveLength(100)
    expect(() => new Writer(1, 10).string('x'.repeat(11))).toThrow(/send smaller requests/)
    forSeeds(50, random => {
      const parts = Array.from({ length: 20 }, () => someBytes(random, int(random, 200)))
      expect(
        written(all => {
          for (const part of parts) all.delimited(part)
        }),
      ).toBe(hex(concat(parts.map(part => delimited(1, part).subarray(1)))))
    })
  })
})

describe('decimals', () => {
  const EDGES = [
    0n,
    9n,
    10n,
    10n ** 9n - 1n,
    10n ** 9n,
    10n ** 15n,
    2n ** 32n - 1n,
    2n ** 32n,
    2n ** 53n + 1n,
    10n ** 18n,
    10n ** 19n,
    2n ** 63n,
    2n ** 64n - 1n,
  ]

  test('64 bits go to digits and back, exact', () => {
    const check = (value: bigint) => {
      const digits = Buffer.from(String(value))
      expect(parseDecimal(digits, 0, digits.length)).toBe(true)
      expect((BigInt(HALVES[0]) << 32n) | BigInt(HALVES[1])).toBe(value)
      const text = written(out => writeDecimal(out, HALVES[0], HALVES[1]))
      expect(Buffer.from(text, 'hex').toString()).toBe(String(value))
    }
    for (const edge of EDGES)
      for (const value of [edge - 1n, edge, edge + 1n]) if (value >= 0n && value < 2n ** 64n) check(value)
    forSeeds(500, random => check(BigInt(`0x${hex(someBytes(random, 1 + int(random, 8)))}`)))
  })

  test('2^64 and more is refused', () => {
    for (const digits of [
      '18446744073709551616',
      '18446744073709551617',
      '99999999999999999999',
      '100000000000000000000',
    ]) {
      expect(parseDecimal(Buffer.from(digits), 0, digits.length)).toBe(false)
    }
  })

  test('small integers keep their sign', () => {
    for (const value of [0, -1, 7, -10, 999_999_999, 1_000_000_000, 2 ** 31 - 1, -(2 ** 31), 2 ** 32 - 1]) {
      expect(
        Buffer.from(
          written(out => writeInteger(out, value)),
          'hex',
        ).toString(),
      ).toBe(String(value))
    }
  })
})

describe('one attribute', () => {
  const type = root.lookupType('opentelemetry.proto.common.v1.KeyValue')

  test('is the KeyValue that every decoder reads', () => {
    const values = [
      '',
      'text',
      'ä😀',
      true,
      false,
      0,
      1.5,
      -0,
      Number.NaN,
      0n,
      -5n,
      2n ** 63n - 1n,
      -(2n ** 63n),
      ['a', ''],
      [1.5, 2],
      [],
      'x'.repeat(300),
      Array(100).fill('y'),
    ]
    for (const value of values) {
      const bytes = keyValue('otlier.anomaly.key', value)
      const decoded = type.toObject(type.decode(bytes), { longs: String })
      expect(attributesOf([decoded])).toEqual({ 'otlier.anomaly.key': value })
    }
  })

  test('is written as the independent writer writes it', () => {
    const same = (ours: Uint8Array, field: Uint8Array) => expect(hex(delimited(9, ours))).toBe(hex(field))
    same(keyValue('k', 'v'), attribute(9, 'k', 'v'))
    same(keyValue('k', true), attribute(9, 'k', true))
    same(keyValue('k', -7n), attribute(9, 'k', -7n))
    same(keyValue('k', 3), attribute(9, 'k', new Double(3)))
    same(keyValue('k', ['a', 'b']), attribute(9, 'k', ['a', 'b']))
    same(keyValue('', [0.5]), delimited(9, delimited(2, anyValue([new Double(0.5)]))))
  })
})
