//! The contract between the parts of the data plane: what a batch is, what becomes of it, and what a destination answers.
import type { Failure } from '../base/errors.ts'
import type { Loan } from '../base/loan.ts'

export type Signal = 'traces' | 'metrics' | 'logs'
export const SIGNALS: readonly Signal[] = ['traces', 'metrics', 'logs']

/** What the accounts and the metric names call the items of a signal. */
export const ITEM_NAMES = { traces: 'spans', metrics: 'metric_points', logs: 'log_records' } as const

/**
 * Request headers that travel with a batch: those of `forward_headers`, and `otlier-via`. Lower-case names.
 * Batches with different headers never merge.
 */
export type Headers = Readonly<Record<string, string>>
export const NO_HEADERS: Headers = Object.freeze({})

/** Names the Otliers that a request has been through, comma-separated instance ids: a loop is seen by it. */
export const VIA = 'otlier-via'

/** One export request, in protobuf (JSON is translated at the edge). Never mutated by anybody. */
export interface Batch {
  readonly signal: Signal
  readonly bytes: Uint8Array
  /** Wall clock when it had arrived. */
  readonly receivedMs: number
  readonly headers: Headers
  /** Monotonic time at which its sender is told to come again, whatever has become of it by then. */
  readonly answerByMs?: number
  /**
   * Where the memory of `bytes` is to be used again. The bytes, and all views of them, hold until every destination that
   * took the batch has let go. Whoever keeps something for longer copies it.
   */
  readonly loan?: Loan | null
}

/** A batch whose framing has been checked to full depth and whose items have been counted. */
export interface CheckedBatch extends Batch {
  readonly items: number
  /**
   * The same bytes in pieces, where marks stand between what came in: exporters copy them only once, into what they send.
   * `bytes` is then put together each time that it is asked for.
   */
  readonly pieces?: readonly Uint8Array[]
}

/** How many bytes it has, without putting them together. */
export const sizeOf = (batch: Pick<CheckedBatch, 'bytes' | 'pieces'>): number =>
  batch.pieces?.reduce((sum, piece) => sum + piece.length, 0) ?? batch.bytes.length

/** Expected failures are values; only bugs throw. */
export type Outcome =
  | { readonly kind: 'accepted'; readonly rejectedItems: number; readonly message?: string }
  | { readonly kind: 'busy'; readonly retryAfterMs: number | null; readonly cause: Failure }
  | { readonly kind: 'refused'; readonly cause: Failure }

export const ACCEPTED: Outcome = Object.freeze({ kind: 'accepted', rejectedItems: 0 })

/** Takes batches. `send` settles within the receiver's deadline and never rejects for reasons outside the program. */
export interface Sink<B extends Batch = Batch> {
  /**
   * `taken` is for the accounts: it is called in the step in which every destination takes the batch or passes it over, which
   * may be long before the outcome. What has been taken may still come to an outcome other than accepted.
   */
  send(batch: B, taken?: () => void): Promise<Outcome>
  close(): Promise<void>
}

/** One request to a destination. `bytes` is a list so that a merge costs no copy where the transport takes parts. */
export interface ExportRequest {
  readonly signal: Signal
  readonly parts: readonly Uint8Array[]
  readonly headers: Headers
  readonly items: number
}

/** What a destination said to one request, already classed by the tables of the OTLP specification. */
export type Answer =
  | { readonly kind: 'delivered'; readonly rejectedItems: number; readonly message: string }
  /** Not taken, ask again (not before `retryAfterMs`, where given). */
  | { readonly kind: 'busy'; readonly retryAfterMs: number | null; readonly cause: Failure }
  /** 413, or RESOURCE_EXHAUSTED without RetryInfo: smaller parts may pass. */
  | { readonly kind: 'too_large'; readonly cause: Failure }
  /** UNIMPLEMENTED or 404: the destination does not take this signal. */
  | { readonly kind: 'unsupported'; readonly cause: Failure }
  | { readonly kind: 'refused'; readonly cause: Failure }

/**
 * The client of one destination. `export` never rejects and ends within its timeout. Where the answer is `delivered`, it
 * has read `parts` for the last time.
 */
export interface Exporter {
  /** `otlp/jaeger`: type and name of the configuration. */
  readonly id: string
  export(request: ExportRequest): Promise<Answer>
  close(): Promise<void>
}
