//! What a receiver answers, decoded by protobufjs with the project's own .proto files.
import { fileURLToPath } from 'node:url'
import protobuf from 'protobufjs'
import type { Signal } from '../../src/flow/sink.ts'

const root = new protobuf.Root()
root.resolvePath = (_origin, target) => fileURLToPath(new URL(`../../proto/${target}`, import.meta.url))
root.loadSync(
  [
    'google/rpc/status.proto',
    'google/rpc/error_details.proto',
    ...['trace', 'metrics', 'logs'].map(
      name => `opentelemetry/proto/collector/${name}/v1/${name}_service.proto`,
    ),
  ],
  { keepCase: true },
)

const RESPONSES = {
  traces: root.lookupType('opentelemetry.proto.collector.trace.v1.ExportTraceServiceResponse'),
  metrics: root.lookupType('opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceResponse'),
  logs: root.lookupType('opentelemetry.proto.collector.logs.v1.ExportLogsServiceResponse'),
}

// biome-ignore lint/suspicious/noExplicitAny: a decoded message is looked into by field names, as in a script.
const plain = (type: protobuf.Type, bytes: Uint8Array): any =>
  type.toObject(type.decode(bytes), { longs: Number })

/** `partial` is null where the field is unset, which is not the same as empty. */
export function decodeResponse(signal: Signal, bytes: Uint8Array) {
  const partial = plain(RESPONSES[signal], bytes).partial_success
  if (partial === undefined) return { partial: null }
  const { error_message: message = '', ...rejected } = partial
  return { partial: { rejected: Number(Object.values(rejected)[0] ?? 0), message: message as string } }
}

export interface Status {
  readonly code: number
  readonly message: string
  /** Of RetryInfo, null where there is none. */
  readonly retryMs: number | null
  /** The descriptions of BadRequest, null where there is none. */
  readonly violations: readonly string[] | null
}

/** google.rpc.Status with the two details that OTLP knows. */
export function decodeStatus(bytes: Uint8Array): Status {
  const { code = 0, message = '', details = [] } = plain(root.lookupType('google.rpc.Status'), bytes)
  let retryMs: number | null = null
  let violations: string[] | null = null
  for (const { type_url: url, value } of details) {
    const name = (url as string).replace('type.googleapis.com/', '')
    const detail = plain(root.lookupType(name), value)
    if (name === 'google.rpc.RetryInfo') {
      const { seconds = 0, nanos = 0 } = detail.retry_delay
      retryMs = seconds * 1000 + nanos / 1e6
    } else if (name === 'google.rpc.BadRequest') {
      violations = detail.field_violations.map((one: { description: string }) => one.description)
    } else throw new Error(`an unexpected detail: ${name}`)
  }
  return { code, message, retryMs, violations }
}
