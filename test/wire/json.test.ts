//! OTLP/JSON read by the rules of section A4, and what the rules leave open, by hand-written texts.
import { describe, expect, test } from 'vitest'
import { Failure } from '../../src/base/errors.ts'
import type { Signal } from '../../src/flow/sink.ts'
import { check } from '../../src/wire/check.ts'
import { jsonToProto } from '../../src/wire/json.ts'
import { protoToJson } from '../../src/wire/json-out.ts'
import { SKIP_MAX_DEPTH } from '../../src/wire/json-skip.ts'
import { decodeRequest } from '../kit/messages.ts'

const read = (signal: Signal, text: string | Uint8Array) => {
  const bytes = jsonToProto(signal, typeof text === 'string' ? Buffer.from(text) : text)
  expect(check(signal, bytes)).toBeGreaterThanOrEqual(0)
  return decodeRequest(signal, bytes)
}
const inSpan = (members: string) => `{"resourceSpans":[{"scopeSpans":[{"spans":[{${members}}]}]}]}`
const inRecord = (members: string) => `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{${members}}]}]}]}`
const inMetric = (members: string) =>
  `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m",${members}}]}]}]}`
const inHistogram = (members: string) => inMetric(`"histogram":{"dataPoints":[{${members}}]}`)

const span = (members: string) => read('traces', inSpan(members)).resource_spans[0].scope_spans[0].spans[0]
const record = (members: string) =>
  read('logs', inRecord(members)).resource_logs[0].scope_logs[0].log_records[0]
const metric = (members: string) =>
  read('metrics', inMetric(members)).resource_metrics[0].scope_metrics[0].metrics[0]
const histogram = (members: string) =>
  metric(`"histogram":{"dataPoints":[{${members}}]}`).histogram.data_points[0]
const gaugePoint = (members: string) => metric(`"gauge":{"dataPoints":[{${members}}]}`).gauge.data_points[0]
const anyValue = (text: string) => record(`"body":${text}`).body

/** The sentence with which a text is refused. */
function refusal(signal: Signal, text: string | Uint8Array): string {
  try {
    jsonToProto(signal, typeof text === 'string' ? Buffer.from(text) : text)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    expect(error.code).toBe('OTLIER_MALFORMED')
    expect(error.http).toBe(400)
    return error.message
  }
  throw new Error(`was accepted: ${String(text).slice(0, 200)}`)
}
const spanRefusal = (members: string) => refusal('traces', inSpan(members))

const TRACE = '5b8efff798038103d269b633813fc60c'
const SPAN = 'eee19b7ec3c1b174'

describe('ids', () => {
  test('J1 ids are hex in either case, in spans, links, log records and exemplars', () => {
    for (const [trace, id] of [
      [TRACE, SPAN],
      [TRACE.toUpperCase(), SPAN.toUpperCase()],
      ['5B8efff798038103D269B633813fc60C', 'eEe19B7eC3c1B174'],
    ]) {
      const ids = `"traceId":"${trace}","spanId":"${id}"`
      const expected = { trace_id: TRACE, span_id: SPAN }
      expect(span(`${ids},"parentSpanId":"${id}","links":[{${ids}}]`)).toEqual({
        ...expected,
        parent_span_id: SPAN,
        links: [expected],
      })
      expect(record(ids)).toEqual(expected)
      expect(gaugePoint(`"exemplars":[{${ids}}]`)).toEqual({ exemplars: [expected] })
      expect(histogram(`"exemplars":[{${ids}}]`)).toEqual({ exemplars: [expected] })
    }
  })

  test('J1 ids in base64, of an odd number of digits or with other letters are refused, with the place', () => {
    const base64 = Buffer.from(TRACE, 'hex').toString('base64')
    expect(spanRefusal(`"traceId":"${base64}"`)).toMatch(
      /byte 54 \(resourceSpans\[0\]\.scopeSpans\[0\]\.spans\[0\]\.traceId\): ids are hex .* never base64/,
    )
    for (const wrong of [
      `"${TRACE.slice(1)}"`,
      `"${TRACE.replace('5', 'g')}"`,
      `" ${TRACE} "`,
      '1',
      '{}',
      '[]',
    ])
      expect(spanRefusal(`"traceId":${wrong}`)).toMatch(/traceId/)
    expect(spanRefusal(`"parentSpanId":"7uGbfsPBsXQ="`)).toMatch(/parentSpanId/)
    expect(spanRefusal(`"links":[{},{"spanId":"7uGbfsPBsXQ="}]`)).toMatch(/links\[1\]\.spanId/)
    expect(refusal('logs', inRecord(`"spanId":"7uGbfsPBsXQ="`))).toMatch(/logRecords\[0\]\.spanId/)
    expect(refusal('metrics', inHistogram(`"exemplars":[{"traceId":"${base64}"}]`))).toMatch(/exemplars\[0\]/)
  })

  test('J1 an empty id is no id, and one of another length is kept', () => {
    expect(span('"traceId":"","spanId":"0a0B"')).toEqual({ span_id: '0a0b' })
  })
})

describe('enums', () => {
  test('J2 enums are integers, unknown ones too, and a zero is as if absent', () => {
    expect(span('"kind":3,"status":{"code":2}')).toEqual({ kind: 3, status: { code: 2 } })
    expect(span('"kind":0,"status":{"code":0}')).toEqual({ status: {} })
    expect(span('"kind":99')).toEqual({ kind: 99 })
    expect(span('"kind":-1')).toEqual({ kind: -1 })
    expect(record('"severityNumber":17')).toEqual({ severity_number: 17 })
    expect(metric('"sum":{"aggregationTemporality":2}').sum).toEqual({ aggregation_temporality: 2 })
  })

  test('J2 enums by name are refused with the reason, and so are quoted integers', () => {
    for (const name of ['"SPAN_KIND_SERVER"', '"3"', '""'])
      expect(spanRefusal(`"kind":${name}`)).toMatch(/kind\): kind is an enum, .* never by name/)
    expect(spanRefusal('"status":{"code":"STATUS_CODE_ERROR"}')).toMatch(/status\.code/)
    expect(refusal('logs', inRecord('"severityNumber":"SEVERITY_NUMBER_WARN"'))).toMatch(/severityNumber/)
    expect(
      refusal('metrics', inMetric('"sum":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_DELTA"}')),
    ).toMatch(/aggregationTemporality/)
    for (const wrong of ['2.5', 'true', '2147483648', '{}']) spanRefusal(`"kind":${wrong}`)
  })
})

describe('keys', () => {
  test('J3 unknown keys are ignored at every level, whatever they hold', () => {
    const odd = `"future":{"a":[1,{"b":[]},"\\u0041",-1.5e+3,true,false,null],"":{}},"x":[[],[[]],{}]`
    const text = `{${odd},"resourceSpans":[{${odd},"resource":{${odd},"attributes":[{${odd},"key":"k",${odd},"value":{
      ${odd},"arrayValue":{${odd},"values":[{${odd}}]}}}]},"scopeSpans":[{"scope":{${odd}},"spans":[{${odd},
      "name":"n","events":[{${odd}}],"links":[{${odd}}],"status":{${odd}}}]}],${odd}}],${odd}}`
    expect(read('traces', text)).toEqual({
      resource_spans: [
        {
          resource: { attributes: [{ key: 'k', value: { array_value: { values: [{}] } } }] },
          scope_spans: [{ scope: {}, spans: [{ name: 'n', events: [{}], links: [{}], status: {} }] }],
        },
      ],
    })
  })

  test('J3 what is no JSON is refused under an unknown key too', () => {
    for (const wrong of ['[1,]', '[,1]', '{"a"}', '{"a":}', '{a:1}', '{"a":1,}', '[1 2]', '01', '+1', '1.', '.5', '1e',
      '-', 'nul', 'tru', 'NaN', "'x'", '"\\x"', '"\\u12g4"', '"\n"', '[}', '{]', '[', '{"a":[', '"', '']) // biome-ignore format: a list
      expect(spanRefusal(`"future":${wrong}`)).toMatch(/JSON, byte/)
  })

  test('J4 keys are lowerCamelCase: snake_case and other spellings are unknown', () => {
    expect(
      span('"dropped_attributes_count":1,"start_time_unix_nano":"1","Name":"n","NAME":"n","name ":"n"'),
    ).toEqual({})
    expect(read('traces', '{"resource_spans":[{}]}')).toEqual({})
    expect(read('traces', '{"resourceLogs":[{}],"resourceMetrics":5}')).toEqual({})
  })

  test('a key written with escapes is the key it spells', () => {
    expect(span('"n\\u0061me":"n","\\u006bind":1')).toEqual({ name: 'n', kind: 1 })
  })

  test('of a key given twice the last scalar counts, zero included; messages merge and lists append', () => {
    expect(span('"name":"a","name":"b","kind":2,"kind":0,"traceState":"x","traceState":""')).toEqual({
      name: 'b',
    })
    expect(span('"name":"a","name":null')).toEqual({ name: 'a' })
    expect(span('"status":{"code":2},"status":{"message":"m"}').status).toEqual({ code: 2, message: 'm' })
    expect(span('"events":[{"name":"a"}],"events":[{"name":"b"}]').events).toEqual([
      { name: 'a' },
      { name: 'b' },
    ])
    expect(histogram('"bucketCounts":[1],"bucketCounts":["2"]').bucket_counts).toEqual(['1', '2'])
  })

  test('of the members of a oneof the last one counts', () => {
    expect(anyValue('{"stringValue":"s","intValue":"1"}')).toEqual({ int_value: '1' })
    expect(anyValue('{"arrayValue":{"values":[{}]},"stringValue":""}')).toEqual({ string_value: '' })
    expect(anyValue('{"stringValue":"s","intValue":null}')).toEqual({ string_value: 's' })
    expect(gaugePoint('"asInt":"1","asDouble":0')).toEqual({ as_double: 0 })
  })
})

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
      ['1.5', 1.5], ['-0.0', -0], ['0.1', 0.1], ['1e308', 1e308], ['5e-324', 5e-324], ['123456789012345678', 123456789012345678],
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

describe('the text as a whole', () => {
  test('a byte order mark and whitespace are tolerated, anything else around the request is refused', () => {
    expect(read('traces', '\ufeff \t\r\n{ "resourceSpans" : [ { } , { } ] } \n')).toEqual({
      resource_spans: [{}, {}],
    })
    expect(refusal('traces', '{} x')).toMatch(/byte 3: expected the end after the request, found 'x'/)
    for (const wrong of ['', ' ', '\ufeff', 'null', '[]', '"x"', '1', '{}{}', '{},', '{', '}', '{"resourceSpans":[', '{"resourceSpans"',
      '{"resourceSpans":[{}', '{"resourceSpans":[{},]}', '{"resourceSpans":[{}}', '{"resourceSpans":{}}', '{"resourceSpans":[[]]}',
      '{\u00a0}', '{"resourceSpans":[{"schemaUrl":"']) // biome-ignore format: a list
      expect(refusal('traces', wrong)).toMatch(/JSON, byte \d+/)
  })

  test('every beginning of a request is refused, and says where it ends', () => {
    const text = inSpan(
      `"traceId":"${TRACE}","name":"a\\u00e4b","kind":2,"startTimeUnixNano":"12","events":[{}]`,
    )
    for (let length = 0; length < text.length; length++) refusal('traces', text.slice(0, length))
    expect(read('traces', text).resource_spans).toHaveLength(1)
  })

  test('a refusal says what was expected, where, and what stands there', () => {
    expect(spanRefusal('"name":5')).toMatch(/byte 51 \(.*spans\[0\]\.name\): expected a string, found '5'\.$/)
    expect(spanRefusal('"name":"a" "kind":1')).toMatch(/expected ',' or '}', found '"'\.$/)
    expect(refusal('traces', '[]')).toMatch(
      /byte 0: expected an object \(ExportTraceServiceRequest\), found '\['/,
    )
    expect(
      refusal('traces', '{"resourceSpans":[{"scopeSpans":[{},{"spans":[{},{},{"flags":-1}]}]}]}'),
    ).toMatch(/\(resourceSpans\[0\]\.scopeSpans\[1\]\.spans\[2\]\.flags\): fixed32 takes no negative number/)
  })

  test('J8 200,000 nested brackets are refused anywhere, and the next request is served', () => {
    const deep = 200_000
    const bombs = [
      '['.repeat(deep),
      '{"a":'.repeat(deep),
      `{"future":${'['.repeat(deep)}`,
      `{"future":${'['.repeat(deep)}${']'.repeat(deep)}}`,
      `{"future":${'{"a":'.repeat(deep)}1${'}'.repeat(deep)}}`,
      `{"resourceSpans":${'['.repeat(deep)}`,
      inRecord(`"body":${'{"arrayValue":{"values":['.repeat(deep)}`),
      inRecord(`"body":${'{"kvlistValue":{"values":[{"value":'.repeat(deep)}`),
    ]
    for (const bomb of bombs) {
      expect(refusal('logs', bomb)).toMatch(/nested more than|expected an object/)
      expect(read('logs', '{}')).toEqual({})
    }
  })

  test('J8 messages may nest 100 deep, and no deeper; a value that is skipped, a thousand', () => {
    // The body of a record is at depth 4, and each array takes two levels.
    const nested = (arrays: number, end: string) =>
      inRecord(`"body":${'{"arrayValue":{"values":['.repeat(arrays)}${end}${']}}'.repeat(arrays)}`)
    read('logs', nested(48, '{}'))
    expect(refusal('logs', nested(48, '{"arrayValue":{}}'))).toMatch(/more than 100 deep/)
    const skipped = (levels: number) => `{"future":${'['.repeat(levels)}${']'.repeat(levels)}}`
    read('logs', skipped(SKIP_MAX_DEPTH))
    expect(refusal('logs', skipped(SKIP_MAX_DEPTH + 1))).toMatch(/more than 1000 deep/)
  })

  test('J8 a million values in one list are read in one go, and their growth can be bounded', () => {
    const text = Buffer.from(inHistogram(`"bucketCounts":[${'1,'.repeat(1e6)}1]`))
    expect(check('metrics', jsonToProto('metrics', text))).toBe(1)
    expect(() => jsonToProto('metrics', text, 4 << 20)).toThrow(
      expect.objectContaining({ code: 'OTLIER_TOO_LARGE' }),
    )
    expect(check('metrics', jsonToProto('metrics', text, 9 << 20))).toBe(1)
  })

  test('the result is a copy of its own, and so is its translation back', () => {
    const text = Buffer.from(inSpan('"name":"a"'))
    const first = jsonToProto('traces', text)
    const copy = Buffer.from(first)
    const back = protoToJson('traces', first)
    jsonToProto('traces', Buffer.from(inSpan('"name":"b"')))
    protoToJson('traces', jsonToProto('traces', Buffer.from(inSpan('"name":"b"'))))
    expect(Buffer.compare(copy, first)).toBe(0)
    expect(Buffer.from(back).toString()).toBe(text.toString())
  })
})
