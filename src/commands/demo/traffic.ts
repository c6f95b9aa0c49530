//! From planned traces to telemetry: a tracer provider for each pod, real spans with explicit times, ended in the order of their ends.
import { context, type HrTime, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { resourceFromAttributes } from '@opentelemetry/resources'
import {
  AlwaysOnSampler,
  BatchSpanProcessor,
  type SpanExporter,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import { type Injection, troubleAt } from './faults.ts'
import type { PlannedSpan, Shop } from './shop.ts'
import type { Pod } from './topology.ts'

/** Live spans wait so long for others, as with any SDK that is set to be quick. */
const EXPORT_EVERY_MS = 1000
/** While history is sent, one request at a time holds so many spans: the next must not overtake it. */
const HISTORY_BATCH = 512
/** More spans than one request of history has: it is sent when it is asked for, and nothing is dropped. */
const MOST_WAITING = 4 * HISTORY_BATCH
const MOST_A_REQUEST = 2 * HISTORY_BATCH

interface Open {
  readonly span: Span
  readonly planned: PlannedSpan
}

export interface Progress {
  readonly spans: number
  /** Up to here, in milliseconds since 1970. */
  readonly untilMs: number
}

export class Traffic {
  readonly #shop: Shop
  readonly #processor: BatchSpanProcessor
  readonly #tracers = new Map<string, ReturnType<TracerProvider['getTracer']>>()
  /** Spans whose end is still to come. */
  #open: Open[] = []
  #nextMs: number
  /** Spans ended so far. */
  spans = 0

  /** All pods share the exporter, as they do where an agent collects for a machine. The shop's first request is at `fromMs`. */
  constructor(shop: Shop, exporter: SpanExporter, fromMs: number) {
    this.#shop = shop
    this.#nextMs = fromMs
    this.#processor = new BatchSpanProcessor({
      exporter,
      maxQueueSize: MOST_WAITING,
      maxExportBatchSize: MOST_A_REQUEST,
      scheduledDelayMillis: EXPORT_EVERY_MS,
    })
  }

  /** The shop works until `untilMs`: requests that begin, and spans that end. What it did is exported within a second. */
  work(untilMs: number, injections: readonly Injection[]): void {
    for (; this.#nextMs < untilMs; this.#nextMs += this.#shop.pauseMs())
      this.#begin(this.#shop.trace(this.#nextMs, troubleAt(injections, this.#nextMs)))
    const due = this.#open.filter(({ planned }) => planned.endMs <= untilMs)
    if (due.length === 0) return
    this.#open = this.#open.filter(({ planned }) => planned.endMs > untilMs)
    due.sort((a, b) => a.planned.endMs - b.planned.endMs)
    for (const { span, planned } of due) span.end(hrTime(planned.endMs))
    this.spans += due.length
  }

  /** Works through the past, request by request. `tell` hears how far it is. */
  async history(untilMs: number, tell: (progress: Progress) => void, stop?: AbortSignal): Promise<void> {
    let sent = this.spans
    while (this.#nextMs < untilMs && !stop?.aborted) {
      this.work(Math.min(untilMs, this.#nextMs + EXPORT_EVERY_MS), [])
      if (this.spans - sent < HISTORY_BATCH) continue
      sent = this.spans
      await this.flush()
      tell({ spans: this.spans, untilMs: this.#nextMs })
    }
    if (!stop?.aborted) this.work(untilMs, [])
    await this.flush()
  }

  /** Goes on at `fromMs`: what lies between is not made up for. */
  skipTo(fromMs: number): void {
    this.#nextMs = Math.max(this.#nextMs, fromMs)
  }

  /** Sends what waits. Rejects where it was not taken. */
  flush(): Promise<void> {
    return this.#processor.forceFlush()
  }

  close(): Promise<void> {
    this.#open = []
    return this.#processor.shutdown()
  }

  #begin(planned: readonly PlannedSpan[]): void {
    const spans = new Map<PlannedSpan, Span>()
    for (const each of planned) {
      // Who is silent calls nobody: what is under it would hang in the air.
      const parent = each.parent === null ? undefined : spans.get(each.parent)
      const span = this.#tracer(each.pod).startSpan(
        each.name,
        {
          kind: each.kind === 'server' ? SpanKind.SERVER : SpanKind.CLIENT,
          startTime: hrTime(each.startMs),
          attributes: each.attributes,
          root: parent === undefined,
        },
        parent === undefined ? context.active() : trace.setSpan(context.active(), parent),
      )
      if (each.failed) {
        span.setStatus({ code: SpanStatusCode.ERROR })
        span.setAttributes({ 'error.type': '500', 'http.response.status_code': 500 })
      }
      spans.set(each, span)
      this.#open.push({ span, planned: each })
    }
  }

  #tracer(pod: Pod): ReturnType<TracerProvider['getTracer']> {
    let tracer = this.#tracers.get(pod.name)
    if (tracer === undefined) {
      const provider = new TracerProvider({
        resource: resourceFromAttributes({
          'service.name': pod.service,
          'service.version': pod.version,
          'k8s.pod.name': pod.name,
          'k8s.node.name': pod.node,
          'deployment.environment.name': 'demo',
        }),
        sampler: new AlwaysOnSampler(),
        spanProcessors: [this.#processor],
        idGenerator: { generateTraceId: () => this.#shop.id(16), generateSpanId: () => this.#shop.id(8) },
      })
      tracer = provider.getTracer('shop')
      this.#tracers.set(pod.name, tracer)
    }
    return tracer
  }
}

/** Seconds and nanoseconds: a number would be rounded to what a double holds. */
function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1000)
  return [seconds, Math.min(999_999_999, Math.round((ms - seconds * 1000) * 1e6))]
}
