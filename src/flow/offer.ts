//! What a queue says to a batch that it is offered, and the place that a batch has before anybody has been promised anything.
import type { Outcome } from './sink.ts'

/**
 * `taken`: it will be delivered, or stand in an account that says why not, and its loan is let go of. `full`: the sender is to come again.
 * `dropped`, `unsupported`: this destination passes it over.
 */
export type Offer = 'taken' | 'full' | 'dropped' | 'unsupported'

/** Whether a batch is safe where it stands, as far as `acknowledge` asks; `late`: not before its sender has to have an answer. */
export type Stored = 'stored' | 'failed' | 'late'

/** A batch that has its place and is promised to nobody. One of `commit` and `cancel` has to follow. */
export interface Reservation {
  /** Null: at once. Never rejects. */
  readonly stored: Promise<Stored> | null
  /** Whether the batch may be accepted although this destination has not stored it. */
  readonly isOptional: boolean
  /** Whether its loan is let go of from here, or never: not where the destination passes it over at once. */
  readonly holds: boolean
  /** The queue takes it or passes it over, and counts it. What the sender is told, where that takes until the destination answers. */
  commit(): Promise<Outcome> | null
  cancel(): void
}
