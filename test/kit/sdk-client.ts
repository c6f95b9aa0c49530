//! A program instrumented with the OpenTelemetry SDK for Node, configured by environment variables alone: what a user runs.
// It prints what it sent as one line of JSON. Fails where any export failed.
// The programs in test/interop/python and test/interop/go do the same with other stacks.
import { context, DiagLogLevel, diag, logs, metrics, SpanKind, trace } from '@opentelemetry/api'
import { NodeSDK } from '@opentelemetry/sdk-node'

/** What a client sent: ids in lower-case hex, points as `metric/attribute=value`, log records by their bodies. */
export interface Sent {
  readonly spans: readonly { readonly traceId: string; readonly spanId: string }[]
  readonly points: readonly string[]
  readonly logs: readonly string[]
}

const OPERATION = 'GET /checkout'
const SPREAD_MS = 1_800_000

/** 300 spans of about 10 ms, evenly over the half hour up to now, points of three kinds of metrics, and log records. */
function normal(): Sent {
  const tracer = trace.getTracer('shop', '1.0')
  const endMs = Date.now() - 1_000
  const spans = Array.from({ length: 300 }, (_, i) => {
    const atMs = endMs - SPREAD_MS + (i * SPREAD_MS) / 300
    const span = tracer.startSpan(OPERATION, {
      kind: SpanKind.SERVER,
      startTime: atMs,
      root: true,
      attributes: { 'http.request.method': 'GET', 'request.number': i, ratio: i / 300, tags: ['a', 'b'] },
    })
    span.end(atMs + 8 + (i % 5))
    return span.spanContext()
  })
  const meter = metrics.getMeter('shop', '1.0')
  const orders = meter.createCounter('orders', { unit: '{order}' })
  for (const point of [1, 2, 3]) orders.add(point * 11, { point })
  meter.createHistogram('latency', { unit: 's' }).record(0.25, { point: 4 })
  meter.createObservableGauge('temperature').addCallback(result => result.observe(21.5, { point: 5 }))
  const logger = logs.getLogger('shop', '1.0')
  for (const i of [0, 1, 2, 3, 4]) {
    const within = trace.setSpanContext(context.active(), spans[i])
    logger.emit({ severityNumber: 9, severityText: 'INFO', body: `order ${i}`, context: within })
  }
  return {
    spans,
    points: ['latency/4=1', 'orders/1=11', 'orders/2=22', 'orders/3=33', 'temperature/5=21.5'],
    logs: ['order 0', 'order 1', 'order 2', 'order 3', 'order 4'],
  }
}

/** One span of two seconds that has just ended. */
function slow(): Sent {
  const nowMs = Date.now()
  const span = trace
    .getTracer('shop', '1.0')
    .startSpan(OPERATION, { kind: SpanKind.SERVER, startTime: nowMs - 2_000, root: true })
  span.end(nowMs)
  return { spans: [span.spanContext()], points: [], logs: [] }
}

if (import.meta.main) {
  const failed = (message: string, ...rest: unknown[]) => {
    console.error(message, ...rest)
    process.exitCode = 1
  }
  const ignore = () => {}
  diag.setLogger(
    { error: failed, warn: failed, info: ignore, debug: ignore, verbose: ignore },
    { logLevel: DiagLogLevel.WARN },
  )
  const sdk = new NodeSDK()
  sdk.start()
  const { spans, points, logs: bodies } = process.argv[2] === 'slow' ? slow() : normal()
  await sdk.shutdown()
  const ids = spans.map(({ traceId, spanId }) => ({ traceId, spanId }))
  console.log(JSON.stringify({ spans: ids, points, logs: bodies } satisfies Sent))
}
