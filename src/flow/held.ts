//! The bytes that queues in memory hold, each counted once however many destinations wait for it.
import { type CheckedBatch, sizeOf } from './sink.ts'

export class Held {
  bytes = 0
  /** How many queues hold a batch. What they may hold is bounded, and so is this. */
  readonly #holders = new Map<CheckedBatch, number>()

  take(batch: CheckedBatch): void {
    const holders = this.#holders.get(batch) ?? 0
    if (holders === 0) this.bytes += sizeOf(batch)
    this.#holders.set(batch, holders + 1)
  }

  release(batch: CheckedBatch): void {
    const holders = this.#holders.get(batch) ?? 0
    if (holders > 1) this.#holders.set(batch, holders - 1)
    else if (this.#holders.delete(batch)) this.bytes -= sizeOf(batch)
  }
}
