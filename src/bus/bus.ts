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

/** One of the places in which a service runs, told apart by its resource: a pod, an instance, a host. */
export interface PodKey {
  /** Unique among all places: the service's identity and the name. */
  readonly id: string
  readonly service: string
  readonly namespace: string
  readonly environment: string
  /** `k8s.pod.name`, else `service.instance.id`, else `host.name`; empty where the resource tells nothing. */
  readonly name: string
  /** What may set it apart from its siblings, by attribute name: `service.version`, `k8s.node.name`, `cloud.availability_zone` ... */
  readonly attributes: Readonly<Record<string, string>>
}

/**
 * What one worker made of all traces that ended (by their latest span) in one window. Columns; rows of the same series and pod add up
 * over workers. A message is immutable once it is published.
 */
export interface FeatureWindow {
  /** Which worker, where there are several. Each publishes its windows in order, empty ones too. */
  readonly worker?: string
  readonly startMs: number
  readonly endMs: number
  /** It was published before what may come late could have come: at the end of a recording, and on stop. Whoever judges it would miss spans. */
  readonly isPartial?: boolean
  /**
   * The worker's tables: rows name their entries by index. They are shared between messages; an entry that a row names never
   * changes, one that none names may be used for another.
   */
  readonly series: readonly SeriesKey[]
  /** By series: whom a client or producer calls that sends no telemetry, as one of its first spans says; empty where nothing does. */
  readonly peers: readonly string[]
  /** By series, where there are several workers: the one that says a smaller number read its peer from the earlier span. */
  readonly peerOrders?: readonly number[]
  readonly pods: readonly PodKey[]
  readonly cells: Cells
  readonly bins: Bins
  readonly links: Links
  readonly samples: Samples
}

/**
 * Spans that ended in the window, up to eight of each series that failed and as many that did not, with what their attributes and those
 * of their resource say. Which ones, the hashes of their trace ids decide, and so neither order nor chance. Of a trace at most one span
 * of a series and outcome.
 */
export interface Samples {
  readonly length: number
  readonly series: Int32Array
  /** 1 where the span failed. */
  readonly failed: Uint8Array
  readonly durationNs: Float64Array
  /** For how many spans of its series and outcome it stands. */
  readonly weight: Float64Array
  /** Of its trace's id: the smallest are drawn. */
  readonly hash: Uint32Array
  /** What `attribute` names by number, as key and value. The rarest are left out where there are too many. */
  readonly attributes: readonly (readonly [key: string, value: string])[]
  /** Of row i the attributes from `from[i]` to before `from[i + 1]`. */
  readonly from: Int32Array
  readonly attribute: Uint16Array
}

/** Spans of one series, window and outcome, and spans of one window. */
export const SAMPLES_KEPT = 8
export const MOST_SAMPLES = 1024

/** A window without any. */
export const NO_SAMPLES: Samples = {
  length: 0,
  series: new Int32Array(0),
  failed: new Uint8Array(0),
  durationNs: new Float64Array(0),
  weight: new Float64Array(0),
  hash: new Uint32Array(0),
  attributes: [],
  from: new Int32Array(1),
  attribute: new Uint16Array(0),
}

/**
 * One row for each series and pod. All counts are sums of weights. These are multiples of 1/16, so sums are exact and their order does
 * not matter.
 */
export interface Cells {
  readonly length: number
  readonly series: Int32Array
  readonly pod: Int32Array
  readonly spans: Float64Array
  /** Spans without a parent. */
  readonly roots: Float64Array
  /** Traces with such a span; those in which one of them failed although nothing that it called had. */
  readonly traces: Float64Array
  readonly origins: Float64Array
  /** Of `origins`, those at a client or producer whose other side was not seen. */
  readonly away: Float64Array
  /** Traces in which such a span has a duration; those in which the server that such a client called was seen. */
  readonly timed: Float64Array
  readonly answered: Float64Array
  /** Sums of the squares of these weights: the effective number of samples is timed * timed / timedSquares. */
  readonly timedSquares: Float64Array
  readonly answeredSquares: Float64Array
  /** 16 bytes a row: the trace of the slowest span (ties: the smaller id). */
  readonly slowTrace: Uint8Array
  readonly slowNs: Float64Array
}

/**
 * `measure` of a bin. Self is a span's duration less the time in which a child was at work, gap is a client's less that of the server
 * that it called.
 */
export const MEASURE = { duration: 0, self: 1, gap: 2 } as const
/** Buckets of bins: this many to a factor of e. */
export const BINS_PER_E = 8

/**
 * Histograms of one sample for each row and trace, so that a few outliers can be told from all that moved: bucket = round(8 * ln(nanoseconds)).
 * Of spans that are no client or producer their self, of clients whose server was seen the gap, of other clients and producers the
 * duration. Sorted by row, measure and bucket; weights add up.
 */
export interface Bins {
  readonly length: number
  readonly row: Int32Array
  readonly measure: Uint8Array
  readonly bucket: Int16Array
  readonly weight: Float64Array
}

/** One row for each pair of parent and child series. */
export interface Links {
  readonly length: number
  readonly parent: Int32Array
  readonly child: Int32Array
  /** Parent spans with at least one such child, and the children. Sums of weights. */
  readonly parents: Float64Array
  readonly children: Float64Array
  /** The most such children of one parent span: who tries again makes more calls for the same purpose. */
  readonly most: Int32Array
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

/** An incident as the data plane needs to know it: outlier spans of these series carry its id while it is open. */
export interface IncidentState {
  readonly id: string
  readonly open: boolean
  /** Ids of the affected series. */
  readonly series: readonly string[]
}

/** So much time in which traces came is over: whatever has not been seen for too many of these is forgotten (`idle.ts`). */
export interface Hour {
  /** The end of its last window. */
  readonly endMs: number
}

/** The learning plane knows nothing of these series any more: their models are of no use, whatever their generation. */
export interface Forgotten {
  readonly ids: readonly string[]
}

export interface Topics {
  summary: SeriesSummary
  hour: Hour
  forgotten: Forgotten
  features: FeatureWindow
  model: SeriesModel
  incident: IncidentState
  event: EventRecord
}

/** Never waits; a slow listener loses the oldest, and it is counted. */
export interface Bus {
  publish<T extends keyof Topics>(topic: T, key: string, message: Topics[T]): void
  listen<T extends keyof Topics>(topic: T, hear: (message: Topics[T]) => void): () => void
  close(): Promise<void>
}
