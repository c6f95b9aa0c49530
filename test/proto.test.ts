//! Holds proto/ against the reference schema, against src/wire/fields.ts, and against what the official SDK writes.
import { existsSync, globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import * as sdk from '@opentelemetry/otlp-transformer'
import protobuf from 'protobufjs'
import { describe, expect, test } from 'vitest'
import { MESSAGES, WIRE } from '../src/wire/fields.ts'
import { logs, metrics, spans } from './house/telemetry.ts'

const folder = fileURLToPath(new URL('../proto/', import.meta.url))
const files = globSync('**/*.proto', { cwd: folder }).sort()
const OTLP = 'opentelemetry.proto.'

function load(names: readonly string[]) {
  const root = new protobuf.Root()
  root.resolvePath = (_, target) => `${folder}${target}`
  root.loadSync([...names], { keepCase: true }).resolveAll()
  return root
}

const root = load(files)
const all: protobuf.ReflectionObject[] = []
const visit = (object: protobuf.ReflectionObject) => {
  all.push(object)
  if (object instanceof protobuf.Namespace) for (const nested of object.nestedArray) visit(nested)
}
visit(root)
const types = all.filter(object => object instanceof protobuf.Type)
const enums = all.filter(object => object instanceof protobuf.Enum)
const services = all.filter(object => object instanceof protobuf.Service)

const fullName = (object: protobuf.ReflectionObject) => object.fullName.slice(1)
const typeName = (field: protobuf.Field) => (field.resolvedType ? fullName(field.resolvedType) : field.type)
/** The wire type of one value. */
const wireOf = (field: protobuf.Field) =>
  field.resolvedType instanceof protobuf.Enum
    ? 0
    : ((protobuf.types.basic as Record<string, number>)[field.type] ?? 2)
/** protobufjs keeps `optional` as a oneof of its own, called `_name`. */
const isOptional = (field: protobuf.Field) => field.partOf?.name === `_${field.name}`

/** A message as otlp-schema.json writes it. */
const described = (type: protobuf.Type) => ({
  message: fullName(type),
  fields: type.fieldsArray.map(field => ({
    id: field.id,
    name: field.name,
    type: typeName(field),
    ...(field.repeated && { repeated: true }),
    ...(isOptional(field) && { optional: true }),
    ...(field.partOf && !isOptional(field) && { oneof: field.partOf.name }),
  })),
  ...(type.reserved?.length && { reserved: type.reserved }),
})

describe('proto/', () => {
  test('every file can be read alone, stands at the path of its package, and begins with its purpose', () => {
    for (const file of files) {
      load([file])
      const text = readFileSync(`${folder}${file}`, 'utf8')
      expect(file).toContain(/^package (\S+);$/m.exec(text)?.[1].replaceAll('.', '/'))
      expect(text).toMatch(/^\/\/ [A-Z].+\.\nsyntax = "proto3";\n/)
    }
    expect(files).toHaveLength(12)
  })

  test('messages, fields, enums and services are those of the reference schema, no more and no fewer', () => {
    const path = fileURLToPath(new URL('../../shared/reference/otlp-schema.json', import.meta.url))
    if (!existsSync(path))
      return console.log('SKIP: proto/ against otlp-schema.json: the reference is not here')
    const byName = (a: object, b: object) => (name(a) < name(b) ? -1 : 1)
    const name = (entry: object) => String(Object.values(entry)[0])
    const own = [
      ...types.map(described),
      ...enums.map(one => ({ enum: fullName(one), values: one.values })),
      ...services.map(one => ({
        service: fullName(one),
        methods: one.methodsArray.map(method => ({
          name: method.name,
          request: fullName(method.resolvedRequestType as protobuf.Type),
          response: fullName(method.resolvedResponseType as protobuf.Type),
        })),
      })),
    ].filter(entry => name(entry).startsWith(OTLP))
    expect(own.sort(byName)).toEqual(JSON.parse(readFileSync(path, 'utf8')).sort(byName))
  })

  test('google.rpc has what a refusal carries', () => {
    const numbers = (type: string) =>
      Object.fromEntries(root.lookupType(type).fieldsArray.map(field => [field.name, field.id]))
    expect(numbers('google.rpc.Status')).toEqual({ code: 1, message: 2, details: 3 })
    expect(numbers('google.rpc.RetryInfo')).toEqual({ retry_delay: 1 })
    expect(numbers('google.rpc.BadRequest')).toEqual({ field_violations: 1 })
    expect(numbers('google.rpc.BadRequest.FieldViolation')).toMatchObject({ field: 1, description: 2 })
    expect(numbers('google.protobuf.Any')).toEqual({ type_url: 1, value: 2 })
    expect(numbers('google.protobuf.Duration')).toEqual({ seconds: 1, nanos: 2 })
  })
})

describe('src/wire/fields.ts', () => {
  const otlp = types.filter(type => fullName(type).startsWith(OTLP))
  /** Without the package, which is lower case: `Span.Event`. */
  const short = (type: protobuf.ReflectionObject) => fullName(type).replace(/^([a-z]\w*\.)+/, '')

  test('has the messages of proto/, no more and no fewer', () => {
    expect(Object.keys(MESSAGES).sort()).toEqual(otlp.map(short).sort())
  })

  test.each(otlp.map(type => [short(type), type] as const))('%s has the fields of proto/', (name, type) => {
    const message = MESSAGES[name as keyof typeof MESSAGES]
    const own = message.fields.map(({ message, ...field }) => ({ ...field, message: message?.name ?? null }))
    const expected = type.fieldsArray.map(field => {
      const wire = wireOf(field)
      const scalar = field.resolvedType instanceof protobuf.Enum ? 'enum' : field.type
      return {
        name: field.name,
        json: field.name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase()),
        number: field.id,
        type: field.resolvedType instanceof protobuf.Type ? 'message' : scalar,
        message: field.resolvedType instanceof protobuf.Type ? short(field.resolvedType) : null,
        repeated: field.repeated,
        wire,
        packable: field.repeated && wire !== WIRE.LEN,
        presence: isOptional(field) ? 'optional' : field.partOf ? 'oneof' : 'implicit',
      }
    })
    const byNumber = (a: { number: number }, b: { number: number }) => a.number - b.number
    expect(own.sort(byNumber)).toEqual(expected.sort(byNumber))
    for (const field of message.fields) {
      expect(message.byNumber[field.number]).toBe(field)
      expect(message.byJson.get(field.json)).toBe(field)
    }
  })
})

const REQUEST = `${OTLP}collector.`
const exported = [
  [
    'traces',
    `${REQUEST}trace.v1.ExportTraceServiceRequest`,
    sdk.ProtobufTraceSerializer.serializeRequest(spans),
    sdk.JsonTraceSerializer.serializeRequest(spans),
  ],
  [
    'metrics',
    `${REQUEST}metrics.v1.ExportMetricsServiceRequest`,
    sdk.ProtobufMetricsSerializer.serializeRequest(metrics),
    sdk.JsonMetricsSerializer.serializeRequest(metrics),
  ],
  [
    'logs',
    `${REQUEST}logs.v1.ExportLogsServiceRequest`,
    sdk.ProtobufLogsSerializer.serializeRequest(logs),
    sdk.JsonLogsSerializer.serializeRequest(logs),
  ],
] as const

/** Walks the bytes by a message's fields, and fails at a number or wire type that proto/ does not have there. */
function walk(type: protobuf.Type, bytes: Uint8Array, seen: (field: protobuf.Field) => void) {
  const reader = protobuf.Reader.create(bytes)
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    const field = type.fieldsById[tag >>> 3]
    expect(field, `${type.name} has no field ${tag >>> 3}`).toBeDefined()
    const message = field.resolvedType instanceof protobuf.Type ? field.resolvedType : null
    const one = wireOf(field)
    expect(tag & 7, `${type.name}.${field.name}`).toBe(field.repeated && one !== 2 ? 2 : one)
    seen(field)
    if (message) walk(message, reader.bytes(), seen)
    else reader.skipType(tag & 7)
  }
}

const HEX_IDS = ['trace_id', 'span_id', 'parent_span_id']
const LONG = /64$/

/** A message as plain values: long numbers as strings, bytes as hex, zeros and empty lists left out. */
function plain(type: protobuf.Type, value: Record<string, unknown>, fromJson: boolean): object {
  const out: Record<string, unknown> = {}
  for (const [key, content] of Object.entries(value)) {
    // The SDK's JSON says the resource's schema twice: where it belongs, and in the resource, which has no such field.
    if (type.name === 'Resource' && key === 'schemaUrl') continue
    const field = type.fieldsArray.find(
      one => (fromJson ? protobuf.util.camelCase(one.name) : one.name) === key,
    )
    expect(field, `${type.name} has no field ${key}`).toBeDefined()
    if (field === undefined || content === undefined || content === null) continue
    const each = (one: unknown): unknown => {
      if (field.resolvedType instanceof protobuf.Type)
        return plain(field.resolvedType, one as Record<string, unknown>, fromJson)
      if (field.type === 'bytes' && fromJson)
        return Buffer.from(String(one), HEX_IDS.includes(field.name) ? 'hex' : 'base64').toString('hex')
      if (field.type === 'bytes') return Buffer.from(one as Uint8Array).toString('hex')
      return LONG.test(field.type) ? String(one) : one
    }
    const shown = Array.isArray(content) ? content.map(each) : each(content)
    const zero = shown === '' || shown === 0 || shown === '0' || (Array.isArray(shown) && shown.length === 0)
    if (!zero || field.partOf) out[field.name] = shown
  }
  return out
}

describe('the official SDK', () => {
  test.each(exported)('writes %s that proto/ reads and writes as equal messages', (_, name, bytes, json) => {
    const type = root.lookupType(name)
    expect(bytes?.length).toBeGreaterThan(500)
    const message = type.decode(bytes ?? new Uint8Array())
    const again = type.decode(type.encode(message).finish())
    const [read, readAgain] = [message, again].map(one =>
      plain(type, type.toObject(one, { longs: String }), false),
    )
    expect(readAgain).toEqual(read)
    expect(read).toEqual(plain(type, JSON.parse(Buffer.from(json ?? []).toString()), true))
  })

  test('writes every field of what it can express, each by its number and wire type', () => {
    const seen = new Set<protobuf.Field>()
    for (const [, name, bytes] of exported)
      walk(root.lookupType(name), bytes ?? new Uint8Array(), field => seen.add(field))
    const reachable = new Set<protobuf.Type>()
    const reach = (type: protobuf.Type) => {
      if (reachable.has(type)) return
      reachable.add(type)
      for (const field of type.fieldsArray)
        if (field.resolvedType instanceof protobuf.Type) reach(field.resolvedType)
    }
    for (const [, name] of exported) reach(root.lookupType(name))
    const unseen = [...reachable]
      .flatMap(type => type.fieldsArray)
      .filter(field => !seen.has(field))
      .map(field => fullName(field).replace(/^([a-z]\w*\.)+(?=[A-Z])/, ''))
    // Summaries, exemplars, entities and string tables: the SDK for JavaScript has none of them.
    expect(unseen.sort()).toEqual(
      [
        'AnyValue.string_value_strindex',
        'EntityRef.description_keys',
        'EntityRef.id_keys',
        'EntityRef.schema_url',
        'EntityRef.type',
        'Exemplar.as_double',
        'Exemplar.as_int',
        'Exemplar.filtered_attributes',
        'Exemplar.span_id',
        'Exemplar.time_unix_nano',
        'Exemplar.trace_id',
        'ExponentialHistogramDataPoint.exemplars',
        'ExponentialHistogramDataPoint.flags',
        'ExponentialHistogramDataPoint.zero_threshold',
        'HistogramDataPoint.exemplars',
        'HistogramDataPoint.flags',
        'KeyValue.key_strindex',
        'Metric.metadata',
        'Metric.summary',
        'NumberDataPoint.exemplars',
        'NumberDataPoint.flags',
        'Resource.entity_refs',
        'Summary.data_points',
        'SummaryDataPoint.ValueAtQuantile.quantile',
        'SummaryDataPoint.ValueAtQuantile.value',
        'SummaryDataPoint.attributes',
        'SummaryDataPoint.count',
        'SummaryDataPoint.flags',
        'SummaryDataPoint.quantile_values',
        'SummaryDataPoint.start_time_unix_nano',
        'SummaryDataPoint.sum',
        'SummaryDataPoint.time_unix_nano',
      ].sort(),
    )
  })
})
