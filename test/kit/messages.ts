//! Requests decoded by protobufjs with the project's own .proto files: nothing in common with src/wire.
import { fileURLToPath } from 'node:url'
import protobuf from 'protobufjs'
import type { Signal } from '../../src/flow/sink.ts'

const PROTO = fileURLToPath(new URL('../../proto/', import.meta.url))

const root = new protobuf.Root()
root.resolvePath = (_origin, target) => `${PROTO}${target}`
root.loadSync(
  ['trace', 'metrics', 'logs'].map(name => `opentelemetry/proto/collector/${name}/v1/${name}_service.proto`),
  { keepCase: true },
)

const REQUESTS = {
  traces: root.lookupType('opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest'),
  metrics: root.lookupType('opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest'),
  logs: root.lookupType('opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest'),
}

/** 64-bit integers as decimal strings, bytes as lower-case hex, enums as numbers, unset fields absent. Throws where it is no such request. */
// biome-ignore lint/suspicious/noExplicitAny: a decoded message is looked into by field names, as in a script.
export function decodeRequest(signal: Signal, bytes: Uint8Array): any {
  return hex(REQUESTS[signal].toObject(REQUESTS[signal].decode(bytes), { longs: String }))
}

function hex(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return value.map(hex)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, hex(inner)]))
}

/** A KeyValue list as an object: ints as bigint, everything else as in JavaScript. */
// biome-ignore lint/suspicious/noExplicitAny: see above.
export function attributesOf(list: readonly any[] | undefined): Record<string, unknown> {
  return Object.fromEntries((list ?? []).map(({ key, value }) => [key, plainValue(value)]))
}

// biome-ignore lint/suspicious/noExplicitAny: see above.
function plainValue(value: any): unknown {
  if (value?.int_value !== undefined) return BigInt(value.int_value)
  if (value?.array_value !== undefined) return (value.array_value.values ?? []).map(plainValue)
  if (value?.kvlist_value !== undefined) return attributesOf(value.kvlist_value.values)
  return value?.string_value ?? value?.double_value ?? value?.bool_value ?? value?.bytes_value ?? null
}
