//! What the sending queue of a destination does for those around it, and what it is told.
import type { DeliveryOptions } from './delivery.ts'
import type { Held } from './held.ts'
import type { WhenFull } from './notices.ts'
import type { Offer, Reservation } from './offer.ts'
import type { RetryOptions } from './retry.ts'
import type { CheckedBatch, Signal } from './sink.ts'

/** What a queue may be told while it runs. */
export interface QueueSettings {
  /** What the destination may hold, waiting and under way, with ENTRY_BYTES for each batch. */
  readonly sizeBytes: number
  readonly whenFull: WhenFull
  readonly numConsumers: number
  readonly retry: RetryOptions
}

export interface QueueOptions extends DeliveryOptions, QueueSettings {
  /** So long a batch waits for others to go with, unless they fill a request: fifteen in one cost a third of the CPU (measured). */
  readonly lingerMs: number
  /** `delivered`: requests are not merged, each is sent once, and its sender is told what the destination said. */
  readonly acknowledge?: Acknowledge
  /** Told of every batch that comes into memory and leaves it: what all queues hold together. */
  readonly shared?: Held
}

/** When a sender is told that its data has been taken: when it is queued, synced to disk, or answered by the destination. */
export type Acknowledge = 'memory' | 'durable' | 'delivered'

/** What is left of a signal when stopping ends, or would be if it ended now. Never what is kept on disk. */
export interface Undelivered {
  readonly exporter: string
  readonly signal: Signal
  readonly items: number
}

export interface Queue {
  readonly id: string
  /** What `offer` would say now, without doing or counting anything. */
  probe(batch: CheckedBatch): Offer
  /** Takes it without waiting for a disk or an answer. */
  offer(batch: CheckedBatch): Offer
  /** Gives it a place, after a `probe` that was not `full`. */
  reserve(batch: CheckedBatch): Reservation
  /** The signals that the destination is known not to take. */
  unsupported(): readonly Signal[]
  /** Whether the destination has taken this signal, and not turned it away since. */
  takes(signal: Signal): boolean
  /** Since it was full the last time it has not been clearly below its bound, or its disk fails. */
  full(): boolean
  /** What would be lost if the process ended now, and what stopping has lost already: in items, signals without any left out. */
  undelivered(): readonly Undelivered[]
  /** After its end: what it has left where it outlives the process, and where that is. Null where that is nothing. */
  kept(): Kept | null
  /** When a sender that it turned away should come again: as soon as it should be clearly below its bound. */
  retryAfterMs(): number
  /**
   * From now on these settings are in force, for what it holds too; a request under way keeps those it began with. Whoever
   * waits to send again asks at once: there is reason to hope.
   */
  change(settings: QueueSettings): void
  /**
   * Takes nothing more, and ends when what it holds is delivered, at the monotonic time `deadlineMs` at the latest. What is
   * left then is dropped and told, unless it is on disk: then it stays there. A queue on disk ends already when the
   * destination does not take what it is given, unless told to be `patient`. Closes the exporter.
   */
  close(deadlineMs: number, patient?: boolean): Promise<readonly Undelivered[]>
}

/** What is left on disk. */
export interface Kept {
  readonly items: number
  readonly path: string
}
