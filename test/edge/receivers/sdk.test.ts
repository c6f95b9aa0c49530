//! The exporters of the OpenTelemetry SDK and the client of @grpc/grpc-js, as they come, against the receivers.
import { Client, compressionAlgorithms, credentials, Metadata, type ServiceError } from '@grpc/grpc-js'
import type { TracerProvider as Api } from '@opentelemetry/api'
import { OTLPLogExporter as GrpcLogs } from '@opentelemetry/exporter-logs-otlp-grpc'
import { OTLPLogExporter as JsonLogs } from '@opentelemetry/exporter-logs-otlp-http'
import { OTLPLogExporter as ProtoLogs } from '@opentelemetry/exporter-logs-otlp-proto'
import { OTLPMetricExporter as GrpcMetrics } from '@opentelemetry/exporter-metrics-otlp-grpc'
import { OTLPMetricExporter as JsonMetrics } from '@opentelemetry/exporter-metrics-otlp-http'
import { OTLPMetricExporter as ProtoMetrics } from '@opentelemetry/exporter-metrics-otlp-proto'
import { OTLPTraceExporter as GrpcTraces } from '@opentelemetry/exporter-trace-otlp-grpc'
import { OTLPTraceExporter as JsonTraces } from '@opentelemetry/exporter-trace-otlp-http'
import { OTLPTraceExporter as ProtoTraces } from '@opentelemetry/exporter-trace-otlp-proto'
import { LoggerProvider, SimpleLogRecordProcessor } from '@opentelemetry/sdk-logs'
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import { expect, onTestFinished, test } from 'vitest'
import { Failure } from '../../../src/base/errors.ts'
import { ACCEPTED, type Outcome } from '../../../src/flow/sink.ts'
import { METHODS } from '../../kit/client.ts'
import { decodeRequest } from '../../kit/messages.ts'
import { startReceiver } from '../../kit/receivers.ts'
import { decodeStatus } from '../../kit/replies.ts'
import { checkingSink, recordingSink } from '../../kit/sinks.ts'

// The packages carry the enum as a type; its values are these.
type Compression = NonNullable<NonNullable<ConstructorParameters<typeof GrpcTraces>[0]>['compression']>
const COMPRESSIONS = ['none', 'gzip'] as unknown as readonly Compression[]

const PROTOCOLS = {
  grpc: { transport: 'grpc', traces: GrpcTraces, metrics: GrpcMetrics, logs: GrpcLogs },
  'http/protobuf': { transport: 'http', traces: ProtoTraces, metrics: ProtoMetrics, logs: ProtoLogs },
  'http/json': { transport: 'http', traces: JsonTraces, metrics: JsonMetrics, logs: JsonLogs },
} as const

const cases = Object.entries(PROTOCOLS).flatMap(([name, protocol]) =>
  COMPRESSIONS.map(compression => ({ row: name === 'grpc' ? 'G1' : 'H1', name, protocol, compression })),
)

test.each(cases)('$row the SDK exports all three signals over $name, compression $compression', async one => {
  const { protocol, compression } = one
  const sink = recordingSink()
  const { port } = await startReceiver(protocol.transport, checkingSink(sink))
  const to = (signal: string) => ({
    url: `http://127.0.0.1:${port}${protocol.transport === 'grpc' ? '' : `/v1/${signal}`}`,
    compression,
  })

  const tracing = new TracerProvider({
    spanProcessors: [new BatchSpanProcessor({ exporter: new protocol.traces(to('traces')) })],
  })
  const tracer = (tracing as Api).getTracer('shop')
  const sent = Array.from({ length: 100 }, (_, i) => {
    const span = tracer.startSpan(`GET /${i}`, {
      root: true,
      attributes: { i, ratio: i / 7, tags: ['a', 'b'] },
    })
    span.end()
    return span.spanContext()
  })
  await tracing.forceFlush()
  const metering = new MeterProvider({
    readers: [new PeriodicExportingMetricReader({ exporter: new protocol.metrics(to('metrics')) })],
  })
  metering
    .getMeter('shop')
    .createCounter('orders')
    .add(2 ** 40)
  await metering.forceFlush()
  const logging = new LoggerProvider({
    processors: [new SimpleLogRecordProcessor({ exporter: new protocol.logs(to('logs')) })],
  })
  logging.getLogger('shop').emit({ body: 'sold out', severityNumber: 9 })
  await logging.forceFlush()
  await Promise.all([tracing.shutdown(), metering.shutdown(), logging.shutdown()])

  const requests = { traces: [] as unknown[], metrics: [] as unknown[], logs: [] as unknown[] }
  for (const { signal, bytes } of sink.batches) requests[signal].push(decodeRequest(signal, bytes))
  // biome-ignore lint/suspicious/noExplicitAny: a decoded message is looked into by field names.
  const items = (signal: keyof typeof requests, ...path: string[]): any[] =>
    path.reduce<unknown[]>(
      (list, name) => list.flatMap(parent => (parent as Record<string, unknown[]>)[name] ?? []),
      requests[signal],
    )
  const got = items('traces', 'resource_spans', 'scope_spans', 'spans')
  const ids = (list: readonly string[]) => [...list].sort()
  expect(ids(got.map(span => `${span.trace_id}/${span.span_id}`))).toEqual(
    ids(sent.map(({ traceId, spanId }) => `${traceId}/${spanId}`)),
  )
  const points = items('metrics', 'resource_metrics', 'scope_metrics', 'metrics', 'sum', 'data_points')
  expect(points.map(point => point.as_double ?? Number(point.as_int))).toContain(2 ** 40)
  const records = items('logs', 'resource_logs', 'scope_logs', 'log_records')
  expect(records.map(record => record.body)).toEqual([{ string_value: 'sold out' }])
})

const raw = (bytes: Buffer) => bytes

/** One call of grpc-js: the reply, or the error with its details. */
async function call(answer: Outcome, bytes: Buffer, options: object = {}) {
  const sink = recordingSink(() => answer)
  const { port } = await startReceiver('grpc', sink)
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
    'grpc.max_send_message_length': -1,
    'grpc.enable_retries': 0,
    ...options,
  })
  onTestFinished(() => client.close())
  return await new Promise<{ code: number; message: string; retryMs: number | null; bytes: number }>(
    resolve => {
      client.makeUnaryRequest(
        METHODS.traces,
        raw,
        raw,
        bytes,
        new Metadata(),
        (error: ServiceError | null) => {
          const [details] = error?.metadata.get('grpc-status-details-bin') ?? []
          resolve({
            code: error?.code ?? 0,
            message: error?.details ?? '',
            retryMs: details === undefined ? null : decodeStatus(Buffer.from(details)).retryMs,
            bytes: sink.batches[0]?.bytes.length ?? -1,
          })
        },
      )
    },
  )
}

test('G1 grpc-js is served, plain and with gzip', async () => {
  const bytes = Buffer.alloc(200_000, 'otlp')
  expect(await call(ACCEPTED, bytes)).toMatchObject({ code: 0, bytes: 200_000 })
  const options = { 'grpc.default_compression_algorithm': compressionAlgorithms.gzip }
  expect(await call(ACCEPTED, bytes, options)).toMatchObject({ code: 0, bytes: 200_000 })
})

test('G2 grpc-js learns that a message is too large, and without RetryInfo', async () => {
  const seen = await call(ACCEPTED, Buffer.alloc(64 * 2 ** 20 + 1))
  expect(seen).toMatchObject({ code: 8, retryMs: null, bytes: -1 })
  expect(seen.message).toContain('67108864 bytes')
})

test('G4 grpc-js reads RetryInfo and a message of any characters', async () => {
  const cause = new Failure('OTLIER_QUEUE_FULL', '100 % full: größer, 大, \n😀.')
  const seen = await call({ kind: 'busy', retryAfterMs: 30_250, cause }, Buffer.of(1))
  expect(seen).toMatchObject({ code: 14, retryMs: 30_250, message: cause.message })
})
