//! Otlier's own metrics and a few of its own spans as OTLP, through the OpenTelemetry SDK. Loaded only when switched on.
import type { ContextManager, Meter, ObservableResult, Tracer } from '@opentelemetry/api'
import type { PeriodicExportingMetricReader as Reader } from '@opentelemetry/sdk-metrics'
import type { Family, Registry } from '../base/counters.ts'
import type { Log } from '../base/log.ts'
import type { World } from '../base/world.ts'
import {
  type Batch,
  type CheckedBatch,
  type Exporter,
  NO_HEADERS,
  type Outcome,
  type Signal,
  type Sink,
} from '../flow/sink.ts'
import { SCOPE_NAME } from './encode.ts'
import type { Identity } from './prometheus.ts'

export interface SelfTelemetryOptions {
  readonly registry: Registry
  readonly identity: Identity
  /** How often the metrics are read and sent. */
  readonly intervalMs: number
  /**
   * Takes the encoded requests: the pipelines' destinations, past the receivers, as for Otlier's own events. So there is
   * no second set of endpoints to configure, the accounts hold, and it cannot come in again.
   */
  readonly deliver: (batch: CheckedBatch) => Promise<Outcome>
}

export interface SelfTelemetry {
  /** The same sink, with a span for some of what it takes. */
  receiver<B extends Batch>(protocol: 'grpc' | 'http', sink: Sink<B>): Sink<B>
  /** The same exporter, with a span for some of its requests. */
  exporter(exporter: Exporter): Exporter
  /** Sends what is left, for at most five seconds. Never rejects. */
  stop(): Promise<void>
}

/** Numbers that a request may hold, so that it stays far below what destinations take. */
const MAX_POINTS_A_REQUEST = 2_000

const STOP_TIMEOUT_MS = 5_000

/** A hundredth of the requests, at most one a second. An export of Otlier's own spans is one more: the share keeps that from going on. */
const SPAN_SHARE = 0.01
const SPAN_EVERY_MS = 1_000

export async function startSelfTelemetry(
  options: SelfTelemetryOptions,
  world: World,
  log: Log,
): Promise<SelfTelemetry> {
  const [api, { NodeSDK }, { PeriodicExportingMetricReader }, { resourceFromAttributes }, transformer] =
    await Promise.all([
      import('@opentelemetry/api'),
      import('@opentelemetry/sdk-node'),
      import('@opentelemetry/sdk-metrics'),
      import('@opentelemetry/resources'),
      import('@opentelemetry/otlp-transformer'),
    ])
  const { registry, identity, intervalMs } = options
  const send = sender(options, world, log)
  let adopt = () => {}

  /** Families are registered as long as the process lives: those that are new join before anything is read. */
  class RegistryReader extends PeriodicExportingMetricReader {
    override collect(how?: Parameters<Reader['collect']>[0]) {
      adopt()
      return super.collect(how)
    }
  }
  const reader = new RegistryReader({
    exportIntervalMillis: intervalMs,
    exportTimeoutMillis: intervalMs,
    maxExportBatchSize: MAX_POINTS_A_REQUEST,
    exporter: {
      export(collected, done) {
        let points = 0
        for (const { metrics } of collected.scopeMetrics)
          for (const metric of metrics) points += metric.dataPoints.length
        void send('metrics', points, transformer.ProtobufMetricsSerializer.serializeRequest(collected), done)
      },
      forceFlush: async () => {},
      shutdown: async () => {},
    },
  })
  const sdk = new NodeSDK({
    autoDetectResources: false,
    resource: resourceFromAttributes({
      'service.name': 'otlier',
      'service.version': identity.version,
      'service.instance.id': identity.instanceId,
    }),
    metricReaders: [reader],
    logRecordProcessors: [],
    traceExporter: {
      export(spans, done) {
        void send('traces', spans.length, transformer.ProtobufTraceSerializer.serializeRequest(spans), done)
      },
      shutdown: async () => {},
    },
    textMapPropagator: null,
    contextManager: noContext(api.ROOT_CONTEXT),
  })
  sdk.start()

  adopt = adopter(api, registry, api.metrics.getMeter(SCOPE_NAME, identity.version))
  const spans = spanMaker(api.trace.getTracer(SCOPE_NAME, identity.version), world)
  return {
    receiver: (protocol, sink) => ({
      send: batch =>
        spans(`receive ${batch.signal}`, api.SpanKind.SERVER, { transport: protocol }, () =>
          sink.send(batch),
        ),
      close: () => sink.close(),
    }),
    exporter: exporter => ({
      id: exporter.id,
      export: request =>
        spans(`export ${request.signal}`, api.SpanKind.CLIENT, { 'otlier.exporter': exporter.id }, () =>
          exporter.export(request),
        ),
      close: () => exporter.close(),
    }),
    async stop() {
      const done = new AbortController()
      try {
        await Promise.race([sdk.shutdown(), world.sleep(STOP_TIMEOUT_MS, done.signal)])
      } catch (error) {
        log.warn({ err: error }, 'own telemetry was not sent to its end')
      }
      done.abort()
      for (const part of [api.metrics, api.trace, api.context]) part.disable()
    },
  }
}

/** Hands a request on and tells the SDK as its exporters do: code 0 delivered, 1 failed. Metrics are cumulative, so the next ones make up for it. */
function sender({ deliver }: SelfTelemetryOptions, world: World, log: Log) {
  return async (
    signal: Signal,
    items: number,
    bytes: Uint8Array | undefined,
    done: (result: { code: 0 | 1 }) => void,
  ) => {
    if (items === 0 || bytes === undefined) return done({ code: 0 })
    let cause: unknown = null
    try {
      const outcome = await deliver({ signal, bytes, items, receivedMs: world.now(), headers: NO_HEADERS })
      if (outcome.kind !== 'accepted') cause = outcome.cause
    } catch (error) {
      // A bug on the way, but nobody waits for this promise: it would end the process.
      cause = error
    }
    if (cause !== null) log.warn({ err: cause, signal }, 'own telemetry was not taken')
    done({ code: cause === null ? 0 : 1 })
  }
}

/** Makes an instrument for every family of the registry that has none yet. */
function adopter({ ValueType }: typeof import('@opentelemetry/api'), registry: Registry, meter: Meter) {
  const adopted = new Set<string>()
  return () => {
    for (const family of registry.families()) {
      const key = `${family.name} ${family.unit}`
      if (adopted.has(key)) continue
      adopted.add(key)
      const shape = {
        unit: family.unit,
        description: family.help,
        valueType: /^\{[^}]*\}$/.test(family.unit) ? ValueType.INT : ValueType.DOUBLE,
      }
      const instrument =
        family.kind === 'counter'
          ? meter.createObservableCounter(family.name, shape)
          : family.kind === 'updown'
            ? meter.createObservableUpDownCounter(family.name, shape)
            : meter.createObservableGauge(family.name, shape)
      instrument.addCallback(result => observeFamily(result, family))
    }
  }
}

function observeFamily(result: ObservableResult, family: Family): void {
  for (const cell of family.cells()) if (Number.isFinite(cell.value)) result.observe(cell.value, cell.labels)
}

/** Runs `act`, inside a span now and then. A span's status is an error where the answer is neither acceptance nor delivery. */
function spanMaker(tracer: Tracer, world: World) {
  let notBeforeMs = Number.NEGATIVE_INFINITY
  return async <T extends { readonly kind: string }>(
    name: string,
    kind: number,
    attributes: Record<string, string>,
    act: () => Promise<T>,
  ): Promise<T> => {
    if (world.random() >= SPAN_SHARE || world.monotonic() < notBeforeMs) return act()
    notBeforeMs = world.monotonic() + SPAN_EVERY_MS
    const span = tracer.startSpan(name, { kind, attributes, root: true })
    try {
      const answer = await act()
      const good = answer.kind === 'accepted' || answer.kind === 'delivered'
      if (!good) span.setAttribute('error.type', answer.kind).setStatus({ code: 2 })
      return answer
    } finally {
      span.end()
    }
  }
}

/** Otlier's spans have no parents, so nothing need be carried through asynchronous calls, which costs every one of them. */
function noContext(root: ReturnType<ContextManager['active']>): ContextManager {
  const manager: ContextManager = {
    active: () => root,
    with: (_context, run, self, ...rest) => run.apply(self as ThisParameterType<typeof run>, rest),
    bind: (_context, target) => target,
    enable: () => manager,
    disable: () => manager,
  }
  return manager
}
