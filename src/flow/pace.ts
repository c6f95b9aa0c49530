//! How fast a queue goes out, over the last seconds, and when whom it turned away should come again.
import type { World } from '../base/world.ts'

/** What is this long ago weighs a third as much. */
const MEMORY_MS = 10_000
/** Less is a storm, and more is beyond what SDKs wait for: they give an export up after ten seconds. */
const RETRY_MIN_MS = 1000
const RETRY_MAX_MS = 4000
/** Senders that were turned away together must not come back together. */
const RETRY_SPREAD = 0.25

export class Pace {
  readonly #world: World
  #sum = 0
  #atMs = 0

  constructor(world: World) {
    this.#world = world
  }

  /** So many bytes have gone out. */
  note(bytes: number): void {
    this.#sum = this.#left() + bytes
    this.#atMs = this.#world.monotonic()
  }

  /** When to come again if `excessBytes` have to go out first: after 1 to 5 seconds. */
  retryAfterMs(excessBytes: number): number {
    const untilGoneMs = (Math.max(0, excessBytes) * MEMORY_MS) / this.#left()
    // Nothing to wait for, at no pace, is no number.
    const boundedMs = Math.max(RETRY_MIN_MS, Math.min(RETRY_MAX_MS, untilGoneMs || 0))
    return boundedMs * (1 + RETRY_SPREAD * this.#world.random())
  }

  #left(): number {
    return this.#sum * Math.exp((this.#atMs - this.#world.monotonic()) / MEMORY_MS)
  }
}
