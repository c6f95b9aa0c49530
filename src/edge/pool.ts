//! Memory for the bodies of requests that is used again: fresh memory costs page faults, and a garbage collection every few dozen requests.

import { Loan } from '../base/loan.ts'
import type { Cancel, World } from '../base/world.ts'

/** Smaller ones cost less than the keeping of books, larger ones are seldom and too much to keep. */
const SMALLEST_BYTES = 2 ** 14
const LARGEST_BYTES = 2 ** 20
/** Sizes go up in eighths of a power of two, so that less than an eighth is wasted, as `Body` promises. */
const STEPS = 8
/** What lies idle, over all sizes. */
const MAX_IDLE_BYTES = 32 * 2 ** 20
/** What has lain idle through such a time is given up: after a burst memory goes back to the system. */
const IDLE_MS = 5000

/** Buffers of one size. */
interface Shelf {
  readonly idle: Uint8Array[]
  /** The fewest that were idle in the present period: nobody needed these. */
  spare: number
}

interface Lent {
  readonly bytes: Uint8Array
  /** Null where the memory is not to come back. */
  readonly loan: Loan | null
}

export class Pool {
  idleBytes = 0
  readonly #world: World
  readonly #shelves = new Map<number, Shelf>()
  #cancel: Cancel | null = null
  #isClosed = false

  constructor(world: World) {
    this.#world = world
  }

  /** At least `length` bytes, not zeroed: every byte has to be written before it is read. */
  lend(length: number): Lent {
    if (length < SMALLEST_BYTES || length > LARGEST_BYTES) return { bytes: fresh(length), loan: null }
    const size = sizeFor(length)
    const shelf = this.#shelves.get(size)
    // The last that came back is the likeliest to be in the processor's cache.
    const used = shelf?.idle.pop()
    if (shelf !== undefined && used !== undefined) {
      this.idleBytes -= size
      shelf.spare = Math.min(shelf.spare, shelf.idle.length)
    }
    const bytes = used ?? fresh(size)
    return { bytes, loan: new Loan(() => this.#takeBack(bytes)) }
  }

  /** Gives up everything that lies idle, and takes nothing back from now on. */
  close(): void {
    this.#isClosed = true
    this.#cancel?.()
    this.#cancel = null
    this.#shelves.clear()
    this.idleBytes = 0
  }

  #takeBack(bytes: Uint8Array): void {
    if (this.#isClosed || this.idleBytes + bytes.length > MAX_IDLE_BYTES) return
    let shelf = this.#shelves.get(bytes.length)
    if (shelf === undefined) {
      shelf = { idle: [], spare: 0 }
      this.#shelves.set(bytes.length, shelf)
    }
    shelf.idle.push(bytes)
    this.idleBytes += bytes.length
    this.#cancel ??= this.#world.after(IDLE_MS, () => this.#giveUpSpare())
  }

  #giveUpSpare(): void {
    this.#cancel = null
    for (const [size, shelf] of this.#shelves) {
      // The oldest first: they are the coldest.
      shelf.idle.splice(0, shelf.spare)
      this.idleBytes -= shelf.spare * size
      shelf.spare = shelf.idle.length
      if (shelf.spare === 0) this.#shelves.delete(size)
    }
    if (this.idleBytes > 0) this.#cancel = this.#world.after(IDLE_MS, () => this.#giveUpSpare())
  }
}

/** Not zeroed. Of its own, as a part of something larger would keep all of it alive. */
export const fresh = (length: number) => new Uint8Array(Buffer.allocUnsafeSlow(length).buffer)

function sizeFor(length: number): number {
  const step = 2 ** (31 - Math.clz32(length - 1)) / STEPS
  return Math.ceil(length / step) * step
}
