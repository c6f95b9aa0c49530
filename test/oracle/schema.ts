//! The OTLP messages as plain tables, read from the project's `proto/` folder by protobufjs's reflection.

import { fileURLToPath } from 'node:url'
import protobuf from 'protobufjs'
import type { Signal } from './bytes.ts'

/** The shape in which a declared type travels. `varint`, `fixed64` and `fixed32` are numbers and may be packed. */
export type Shape = 'varint' | 'fixed64' | 'fixed32' | 'string' | 'bytes' | 'message'

/** `type` is the declared scalar type, `enum`, or a message's full name. */
export type Field = {
  number: number
  name: string
  type: string
  shape: Shape
  repeated: boolean
  oneof: string
  /** Declared `optional`: a set default differs from an unset field. */
  optional: boolean
}

export type Message = { name: string; fields: ReadonlyMap<number, Field>; reserved: readonly number[] }

const SHAPES: Record<string, Shape> = {
  int32: 'varint',
  int64: 'varint',
  uint32: 'varint',
  uint64: 'varint',
  sint32: 'varint',
  sint64: 'varint',
  bool: 'varint',
  fixed64: 'fixed64',
  sfixed64: 'fixed64',
  double: 'fixed64',
  fixed32: 'fixed32',
  sfixed32: 'fixed32',
  float: 'fixed32',
  string: 'string',
  bytes: 'bytes',
}

const REQUESTS: Record<Signal, string> = {
  traces: 'opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest',
  metrics: 'opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest',
  logs: 'opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest',
}

const FILES = ['trace/v1/trace', 'metrics/v1/metrics', 'logs/v1/logs'].map(
  name => `opentelemetry/proto/collector/${name}_service.proto`,
)

/** protobufjs's own view of `proto/`: for the cross-checks only. */
export const root: protobuf.Root = load()

const messages = new Map<string, Message>()
collect(root)

/** The table of one message, by its full name without a leading dot. */
export function messageNamed(name: string): Message {
  const found = messages.get(name)
  if (found === undefined) throw new Error(`proto/ has no message ${name}`)
  return found
}

export function requestOf(signal: Signal): Message {
  return messageNamed(REQUESTS[signal])
}

/** The field of a message by its proto name, which must exist. */
export function fieldNamed(message: Message, name: string): Field {
  for (const field of message.fields.values()) if (field.name === name) return field
  throw new Error(`${message.name} has no field ${name}`)
}

function load(): protobuf.Root {
  const loaded = new protobuf.Root()
  loaded.resolvePath = (_from, target) => fileURLToPath(new URL(`../../proto/${target}`, import.meta.url))
  loaded.loadSync(FILES, { keepCase: true })
  loaded.resolveAll()
  return loaded
}

function collect(space: protobuf.NamespaceBase): void {
  for (const thing of space.nestedArray) {
    if (thing instanceof protobuf.Type) {
      const fields = new Map(thing.fieldsArray.map(field => [field.id, fieldOf(field)]))
      const name = bare(thing.fullName)
      messages.set(name, { name, fields, reserved: reservedOf(thing) })
    }
    if (thing instanceof protobuf.Namespace) collect(thing)
  }
}

function fieldOf(field: protobuf.Field): Field {
  const declared = field.resolvedType
  const type = declared instanceof protobuf.Type ? bare(declared.fullName) : declared ? 'enum' : field.type
  const shape = type === 'enum' ? 'varint' : declared ? 'message' : SHAPES[type]
  if (shape === undefined) throw new Error(`${field.fullName} has the unknown type ${type}`)
  // `optional` makes a oneof of one field, named with an underscore. It is no choice.
  const optional = field.partOf?.name.startsWith('_') ?? false
  const oneof = optional ? '' : (field.partOf?.name ?? '')
  return { number: field.id, name: field.name, type, shape, repeated: field.repeated, oneof, optional }
}

function reservedOf(type: protobuf.Type): number[] {
  const numbers: number[] = []
  for (const range of type.reserved ?? []) {
    if (typeof range === 'string') continue
    for (let number = range[0] ?? 0; number <= (range[1] ?? 0); number++) numbers.push(number)
  }
  return numbers
}

function bare(fullName: string): string {
  return fullName.replace(/^\./, '')
}
