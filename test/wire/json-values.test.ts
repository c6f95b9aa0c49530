//! OTLP/JSON's values read by the rules of section A4: numbers of every width, bytes, any value, strings.
import { describe, expect, test } from 'vitest'
import { jsonToProto } from '../../src/wire/json.ts'
import {
  anyValue,
  gaugePoint,
  histogram,
  inHistogram,
  inMetric,
  inRecord,
  metric,
  read,
  record,
  refusal,
  span,
  spanRefusal,
} from './reading.ts'

describe('numbers', () => {
  test('J5 64-bit integers are read from numbers and from strings, exact to the last digit', () => {
    const exact = '1544712660000000001'
    for (const text of [exact, `"${exact}"`])
      expect(span(`"startTimeUnixNano":${text},"endTimeUnixNano":${text}`)).toEqual({
        start_time_unix_nano: exact,
        end_time_unix_nano: exact,
      })
    const digits = ['1', '999999999', '1000000000', '999999999999999', '1000000000000000', '9007199254740993',
      '4294967295', '4294967296', '18446744073709551615', '18446744073709551614', '9223372036854775808',
      '10000000000000000000'] // biome-ignore format: a list
    for (const text of digits) {
      expect(span(`"endTimeUnixNano":${text}`).end_time_unix_nano).toBe(text)
      expect(span(`"endTimeUnixNano":"${text}"`).end_time_unix_nano).toBe(text)
    }
    for (const text of [
      '-1',
      '-9223372036854775808',
      '9223372036854775807',
      '-4294967296',
      '-9007199254740993',
    ]) {
      expect(anyValue(`{"intValue":${text}}`).int_value).toBe(text)
      expect(anyValue(`{"intValue":"${text}"}`).int_value).toBe(text)
      expect(gaugePoint(`"asInt":"${text}"`).as_int).toBe(text)
    }
  })

  test('J5 an integer may be written with a fraction or an exponent when it is whole', () => {
    for (const [text, value] of [
      ['1e3', '1000'],
      ['1E+3', '1000'],
      ['1.50e1', '15'],
      ['100e-2', '1'],
      ['2.0', '2'],
      ['-12.5e1', '-125'],
      ['0e999999999999', '0'],
      ['-0.0', '0'],
      ['922337203685477580.7e1', '9223372036854775807'],
    ]) {
      expect(anyValue(`{"intValue":${text}}`).int_value).toBe(value)
      expect(anyValue(`{"intValue":"${text}"}`).int_value).toBe(value)
    }
    for (const wrong of ['1.5', '1e-1', '1e999999999999', '1e20', `1.${'0'.repeat(2000)}`])
      expect(refusal('logs', inRecord(`"body":{"intValue":${wrong}}`))).toMatch(/body\.intValue/)
  })

  test('J5 what is no integer or does not fit is refused', () => {
    for (const wrong of ['"abc"', '""', '" 1"', '"1 "', '"+1"', '"0x1"', '"01"', '01', '-', '"-"', 'true', '[]', '{}',
      '"1,5"', '1_000', '"Infinity"', '18446744073709551616', '"99999999999999999999"', '-1']) // biome-ignore format: a list
      expect(spanRefusal(`"endTimeUnixNano":${wrong}`)).toMatch(/endTimeUnixNano/)
    for (const wrong of ['9223372036854775808', '-9223372036854775809'])
      expect(refusal('logs', inRecord(`"body":{"intValue":"${wrong}"}`))).toMatch(/does not fit int64/)
  })

  test('32-bit integers keep to their ranges', () => {
    expect(span('"flags":4294967295,"droppedEventsCount":"4294967295"')).toEqual({
      flags: 4294967295,
      dropped_events_count: 4294967295,
    })
    const exponential = (members: string) =>
      metric(`"exponentialHistogram":{"dataPoints":[{${members}}]}`).exponential_histogram.data_points[0]
    expect(exponential('"scale":-2147483648,"positive":{"offset":2147483647}')).toEqual({
      scale: -2147483648,
      positive: { offset: 2147483647 },
    })
    expect(span('"flags":-0,"droppedLinksCount":0')).toEqual({})
    for (const wrong of [
      '"flags":4294967296',
      '"flags":-1',
      '"droppedLinksCount":-1',
      '"droppedLinksCount":4294967296',
    ])
      expect(spanRefusal(wrong)).toMatch(/32/)
    for (const wrong of ['"scale":2147483648', '"scale":-2147483649', '"flags":-1'])
      expect(refusal('metrics', inMetric(`"exponentialHistogram":{"dataPoints":[{${wrong}}]}`))).toMatch(/32/)
  })

  test('J6 doubles are numbers, quoted numbers, NaN and the infinities', () => {
    const doubles: [string, number][] = [
      ['1.5', 1.5], ['-0.0', -0], ['0.1', 0.1], ['1e308', 1e308], ['5e-324', 5e-324], ['123456789012345678', 123456789012345680],
      ['0.30000000000000004', 0.30000000000000004], ['"NaN"', Number.NaN], ['"Infinity"', Number.POSITIVE_INFINITY],
      ['"-Infinity"', Number.NEGATIVE_INFINITY], ['"2.5"', 2.5], ['"1e3"', 1000], ['123456789012345', 123456789012345],
      ['0.000000000000001', 1e-15], ['12345678.9', 12345678.9], ['-7', -7],
    ] // biome-ignore format: a table
    for (const [text, value] of doubles) {
      expect(anyValue(`{"doubleValue":${text}}`)).toEqual({ double_value: value })
      expect(histogram(`"explicitBounds":[${text},1]`)).toEqual({ explicit_bounds: [value, 1] })
    }
    for (const wrong of [
      'NaN',
      'Infinity',
      '"nan"',
      '"inf"',
      '"+Infinity"',
      '1e999',
      '"1e999"',
      '""',
      '"1 "',
      'true',
      '{}',
    ])
      expect(refusal('logs', inRecord(`"body":{"doubleValue":${wrong}}`))).toMatch(/JSON, byte/)
  })

  test('lists of numbers travel packed, from numbers and from strings', () => {
    const text = inHistogram('"bucketCounts":["1",2,"300"],"explicitBounds":[0.5,"1"]')
    expect(Buffer.from(jsonToProto('metrics', Buffer.from(text))).toString('hex')).toContain(
      `3218${'0100000000000000'}${'0200000000000000'}${'2c01000000000000'}3a10000000000000e03f000000000000f03f`,
    )
    expect(histogram('"bucketCounts":[],"explicitBounds":null')).toEqual({})
    expect(refusal('metrics', inHistogram('"bucketCounts":[1,null]'))).toMatch(/bucketCounts\[1\]/)
    expect(refusal('metrics', inHistogram('"bucketCounts":1'))).toMatch(/expected an array/)
  })

  test('a zero is kept where the field says whether it is there, and left out elsewhere', () => {
    expect(gaugePoint('"asInt":0,"flags":0,"timeUnixNano":"0"')).toEqual({ as_int: '0' })
    expect(gaugePoint('"asDouble":0.0')).toEqual({ as_double: 0 })
    expect(histogram('"sum":0,"min":0,"max":0,"count":0')).toEqual({ sum: 0, min: 0, max: 0 })
    expect(anyValue('{"boolValue":false}')).toEqual({ bool_value: false })
    expect(metric('"sum":{"isMonotonic":false}').sum).toEqual({})
    expect(span('"name":"","attributes":[],"status":{},"events":[{}]')).toEqual({ status: {}, events: [{}] })
  })
})

describe('values', () => {
  test('J6 bytes are base64 in either alphabet, padded or not, with escaped slashes', () => {
    const bytes = 'fbefbeff'
    for (const text of ['++++/w==', '----_w==', '++++/w', '----_w', '++++\\/w=='])
      expect(anyValue(`{"bytesValue":"${text}"}`)).toEqual({ bytes_value: bytes })
    expect(anyValue('{"bytesValue":""}')).toEqual({ bytes_value: '' })
    expect(anyValue('{"bytesValue":"AA"}')).toEqual({ bytes_value: '00' })
    expect(anyValue('{"bytesValue":"AAE"}')).toEqual({ bytes_value: '0001' })
    for (const wrong of ['"A"', '"AAAAA"', '"AA=A"', '"A==="', '"=AAA"', '"A A="', '"ä"', '5', 'true'])
      expect(refusal('logs', inRecord(`"body":{"bytesValue":${wrong}}`))).toMatch(/body\.bytesValue/)
  })

  test('any value of any shape: empty, mixed arrays, lists in lists', () => {
    expect(anyValue('{}')).toEqual({})
    expect(record('"body":null')).toEqual({})
    expect(
      anyValue(`{"kvlistValue":{"values":[{"key":"a","value":{"arrayValue":{"values":[{"intValue":"1"},{},
        {"stringValue":"s"},{"boolValue":true},{"bytesValue":"AA=="},{"arrayValue":{}},null]}}},{"key":""},{}]}}`),
    ).toEqual({
      kvlist_value: {
        values: [
          {
            key: 'a',
            value: {
              array_value: {
                values: [
                  { int_value: '1' }, {}, { string_value: 's' }, { bool_value: true }, { bytes_value: '00' },
                  { array_value: {} }, {},
                ], // biome-ignore format: a list
              },
            },
          },
          {},
          {},
        ],
      },
    })
    for (const wrong of ['5', '"s"', '[]', 'true']) refusal('logs', inRecord(`"body":${wrong}`))
  })

  test('booleans are true and false alone', () => {
    expect(metric('"sum":{"isMonotonic":true}').sum).toEqual({ is_monotonic: true })
    for (const wrong of ['1', '"true"', 'tru', 'truee', 'True', '{}'])
      refusal('metrics', inMetric(`"sum":{"isMonotonic":${wrong}}`))
  })

  test('strings: every escape, surrogate pairs, raw UTF-8; what is no text becomes U+FFFD', () => {
    const name = (text: string) => span(`"name":"${text}"`).name
    expect(name('\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e4\\u20AC')).toBe('"\\/\b\f\n\r\tAä€')
    expect(name('\\ud83d\\ude00 \\uD83D\\uDE00')).toBe('😀 😀')
    expect(name('ä€😀\u2028')).toBe('ä€😀\u2028')
    expect(name('\\u0000')).toBe('\0')
    expect(name('\\ud83d')).toBe('\ufffd')
    expect(name('\\ude00x')).toBe('\ufffdx')
    expect(name('\\ud83d\\u0041')).toBe('\ufffdA')
    expect(name('\\ud83d\\ud83d\\ude00')).toBe('\ufffd😀')
    for (const length of [126, 127, 128, 129, 16383, 16384]) {
      expect(name('x'.repeat(length))).toBe('x'.repeat(length))
      expect(name(`${'x'.repeat(length)}\\n`)).toBe(`${'x'.repeat(length)}\n`)
    }
  })

  test('bytes that are no UTF-8 become U+FFFD as in every JSON reader, and the text goes on', () => {
    for (const hex of [
      'ff',
      'c0af',
      'eda080',
      'e282',
      'f4908080',
      '80',
      'c3',
      'f09f98',
      'e28261',
      'fffe41',
      'f0808080',
    ]) {
      const text = Buffer.concat([Buffer.from('{"a":"'), Buffer.from(hex, 'hex'), Buffer.from('z"}')])
      const body = Buffer.concat([
        Buffer.from('{"resourceSpans":[{"schemaUrl":"'),
        Buffer.from(hex, 'hex'),
        Buffer.from('z"}]}'),
      ])
      expect(read('traces', body).resource_spans[0].schema_url).toBe(JSON.parse(text.toString()).a)
    }
  })
})
