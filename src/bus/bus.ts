//! The only road between the planes: what travels on it, and the contract of those who carry it.
import type { Attributes } from '../base/attributes.ts'
import type { FailureModel } from '../detect/failure.ts'
import type { LatencyModel } from '../detect/latency.ts'
import type { Summary } from '../detect/summary.ts'

/** What a model is filed under. `id` is unique and the same in every process and after every restart. */
export interface SeriesKey {
  readonly id: string
  readonly service: string
  readonly operation: string
  /** OTLP's SpanKind number. */
  readonly kind: number
  readonly namespace: string
  readonly environment: string
  /** Holds what exceeded `max_series`: counted, never marked. */
  readonly overflow: boolean
}

/** What one worker saw of one series in one window. */
export interface SeriesSummary {
  readonly series: SeriesKey
  readonly windowStartMs: number
  readonly windowEndMs: number
  readonly summary: Summary
}

/** What is normal for one series, as the data plane needs it. Immutable; a higher generation replaces a lower one. */
export interface SeriesModel {
  readonly series: SeriesKey
  readonly generation: number
  /** Event time from which it holds: the watermark that closed its last window. */
  readonly effectiveMs: number
  readonly state: 'learning' | 'ready' | 'frozen'
  /** Median of the last window, in nanoseconds; NaN where none has been seen since the start. */
  readonly observedNs: number
  readonly latency: LatencyModel
  readonly failure: FailureModel
}

/** One of Otlier's own events, before it becomes an OTLP log record. */
export interface EventRecord {
  readonly name: string
  /** When it happened, in nanoseconds since 1970. */
  readonly timeNs: bigint
  /** The stream clock at emission, in milliseconds. */
  readonly observedMs: number
  /** 9 informational, 13 warning, 17 critical. */
  readonly severity: 9 | 13 | 17
  /** The sentence a person reads. */
  readonly body: string
  /** Lower-case hex, empty where there is none. */
  readonly traceId: string
  readonly spanId: string
  /** The resource of the observed service. */
  readonly resource: Attributes
  readonly attributes: Attributes
}

export interface Topics {
  summary: SeriesSummary
  model: SeriesModel
  event: EventRecord
}

/** Never waits; a slow listener loses the oldest, and it is counted. */
export interface Bus {
  publish<T extends keyof Topics>(topic: T, key: string, message: Topics[T]): void
  listen<T extends keyof Topics>(topic: T, hear: (message: Topics[T]) => void): () => void
  close(): Promise<void>
}
