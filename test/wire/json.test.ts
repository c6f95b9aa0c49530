//! OTLP/JSON read by the rules of section A4: ids, enums, keys, and the text as a whole.
import { describe, expect, test } from 'vitest'
import { check } from '../../src/wire/check.ts'
import { jsonToProto } from '../../src/wire/json.ts'
import { protoToJson } from '../../src/wire/json-out.ts'
import { SKIP_MAX_DEPTH } from '../../src/wire/json-skip.ts'
import {
  anyValue,
  gaugePoint,
  histogram,
  inHistogram,
  inMetric,
  inRecord,
  inSpan,
  metric,
  read,
  record,
  refusal,
  span,
  spanRefusal,
} from './reading.ts'

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
