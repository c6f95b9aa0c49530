//! Otlier's own event records as OTLP log records, encoded by protobufjs: one request for what happened together.
import protobuf from 'protobufjs/light.js'
import type { Attributes, AttributeValue } from '../base/attributes.ts'
import type { EventRecord } from '../bus/bus.ts'
import { type CheckedBatch, NO_HEADERS } from '../flow/sink.ts'
import { MESSAGES } from '../wire/fields.ts'

/** The instrumentation scope of everything Otlier says itself. */
export const SCOPE_NAME = 'otlier'

const SEVERITY_TEXT: Record<EventRecord['severity'], string> = { 9: 'INFO', 13: 'WARN', 17: 'ERROR' }

/**
 * One ExportLogsServiceRequest with every record in the order given, those of one resource together. `version` is
 * Otlier's. `receivedMs` is the wall clock at which the queue's waiting time begins; the latest emission where not given.
 */
export function encodeEvents(
  records: readonly EventRecord[],
  version: string,
  receivedMs = records.reduce((latest, record) => Math.max(latest, record.observedMs), 0),
): CheckedBatch {
  const groups = new Map<string, { resource: object; records: object[] }>()
  for (const record of records) {
    const key = resourceKey(record.resource)
    let group = groups.get(key)
    if (group === undefined) {
      group = { resource: { attributes: keyValues(record.resource) }, records: [] }
      groups.set(key, group)
    }
    group.records.push(logRecord(record))
  }
  const scope = { name: SCOPE_NAME, version }
  const request = {
    resource_logs: [...groups.values()].map(group => ({
      resource: group.resource,
      scope_logs: [{ scope, log_records: group.records }],
    })),
  }
  const bytes = REQUEST.encode(request as unknown as protobuf.Message).finish()
  return { signal: 'logs', bytes, receivedMs, headers: NO_HEADERS, items: records.length }
}

function logRecord(record: EventRecord) {
  return {
    time_unix_nano: bits(record.timeNs),
    observed_time_unix_nano: bits(BigInt(Math.round(record.observedMs * 1000)) * 1000n),
    severity_number: record.severity,
    severity_text: SEVERITY_TEXT[record.severity],
    body: anyValue(record.body),
    attributes: keyValues(record.attributes),
    // A field that is not set takes no bytes; an empty id would be an id of the wrong length to strict readers.
    ...(record.traceId === '' ? {} : { trace_id: Buffer.from(record.traceId, 'hex') }),
    ...(record.spanId === '' ? {} : { span_id: Buffer.from(record.spanId, 'hex') }),
    event_name: record.name,
  }
}

const keyValues = (attributes: Attributes) =>
  Object.entries(attributes).map(([key, value]) => ({ key: key.toWellFormed(), value: anyValue(value) }))

function anyValue(value: AttributeValue): object {
  switch (typeof value) {
    // Strict readers refuse the whole request for one string that is not UTF-8, which half a surrogate pair would give.
    case 'string':
      return { string_value: value.toWellFormed() }
    case 'boolean':
      return { bool_value: value }
    case 'bigint':
      return { int_value: bits(value) }
    case 'number':
      return { double_value: value }
    default:
      return { array_value: { values: value.map(anyValue) } }
  }
}

/** The two words of a 64-bit integer as protobufjs takes them: exact, and without its optional `long`. */
const bits = (value: bigint) => ({
  low: Number(BigInt.asIntN(32, value)),
  high: Number(BigInt.asIntN(32, value >> 32n)),
  unsigned: false,
})

/** Two resources are one where they have the same attributes of the same types in the same order. */
const resourceKey = (resource: Attributes) =>
  JSON.stringify(
    Object.entries(resource).map(([key, value]) => [
      key,
      typeof value,
      Array.isArray(value) ? value : String(value),
    ]),
  )

/** The schema table as protobufjs reads it. Enums are plain integers there, which encode the same. */
function reflect(): protobuf.Root {
  const nested: Record<string, protobuf.IType> = {}
  const typeName = (name: string) => name.replace('.', '_')
  for (const message of Object.values(MESSAGES)) {
    const fields: Record<string, protobuf.IField> = {}
    for (const field of message.fields) {
      const type = field.message === null ? field.type.replace('enum', 'int32') : typeName(field.message.name)
      fields[field.name] = { type, id: field.number, ...(field.repeated ? { rule: 'repeated' } : {}) }
    }
    // Members of a oneof are written even where they hold their default: `false` is not `nothing`.
    const oneofs = message.name === 'AnyValue' ? { value: { oneof: Object.keys(fields) } } : {}
    nested[typeName(message.name)] = { fields, oneofs }
  }
  return protobuf.Root.fromJSON({ nested })
}

const REQUEST = reflect().lookupType('ExportLogsServiceRequest')
