//! Admission: which requests may take memory, by bytes that are known before they are read, and when memory as a whole is short.
import { Failure, type FailureCode } from '../base/errors.ts'
import type { World } from '../base/world.ts'
import type { NotTaken } from './status.ts'

/** What a sender is told where nothing better is known: what is in the way is mostly gone within a second. */
export const RETRY_MS = 1000

/** The share of the budget that is kept for small requests, so that a few large ones never shut everybody else out. */
const RESERVED = 1 / 8
/** An ordinary batch of an SDK, 512 spans, is below it. */
const SMALL_BYTES = 256 * 2 ** 10
/** The budget counts as full until it is below this share, or the log would tell of every request. */
const RELIEVED = 0.75

/**
 * Bytes of requests that have been declared or have arrived, and are not answered. A request counts with the larger of
 * its two forms, compressed and plain, so that what fits the limit can always be admitted; it may hold both for a moment.
 */
export class Admission {
  readonly limitBytes: number
  /** The most that one request can ever be admitted with. */
  readonly largestBytes: number
  usedBytes = 0
  /** Whether memory as a whole is short. Without it, the budget alone decides. */
  readonly shortage: Shortage | null
  readonly #changed: (isFull: boolean) => void
  #isFull = false

  /** @param changed the budget begins to turn requests away, or has room again */
  constructor(
    limitBytes: number,
    shortage: Shortage | null = null,
    changed: (isFull: boolean) => void = () => {},
  ) {
    this.limitBytes = limitBytes
    this.largestBytes = Math.floor(limitBytes * (1 - RESERVED))
    this.shortage = shortage
    this.#changed = changed
  }

  /** Since it turned a request away the last time, it has not been clearly below its bound. */
  isFull(): boolean {
    if (this.#isFull && this.usedBytes < this.largestBytes * RELIEVED) this.#tell(false)
    return this.#isFull
  }

  /** What stands against `more` bytes for a request that then holds `bytes`; null where nothing does. */
  against(bytes: number, more: number): FailureCode | null {
    // What has begun may end: it gives its memory back the sooner.
    if (bytes === more && this.shortage?.isShort() === true) return 'OTLIER_MEMORY'
    const limitBytes = bytes <= SMALL_BYTES ? this.limitBytes : this.largestBytes
    if (this.usedBytes + more <= limitBytes) return null
    if (!this.isFull()) this.#tell(true)
    return 'OTLIER_BUDGET'
  }

  #tell(isFull: boolean): void {
    this.#isFull = isFull
    this.#changed(isFull)
  }
}

/** The share of one connection. */
export class Connection {
  readonly admission: Admission
  readonly limitBytes: number
  usedBytes = 0
  constructor(admission: Admission, limitBytes: number) {
    this.admission = admission
    this.limitBytes = limitBytes
  }
}

/** What one request holds of both. */
export class Lease {
  readonly #connection: Connection
  #heldBytes = 0
  #isReleased = false
  #against: FailureCode = 'OTLIER_MEMORY'
  constructor(connection: Connection) {
    this.#connection = connection
  }

  /** Raises what is held to `bytes`, or says that there is no room. */
  hold(bytes: number): boolean {
    const more = bytes - this.#heldBytes
    if (more <= 0) return true
    if (this.#isReleased) return false
    const connection = this.#connection
    const against =
      connection.usedBytes + more > connection.limitBytes
        ? 'OTLIER_CONNECTION_BUDGET'
        : connection.admission.against(bytes, more)
    if (against !== null) {
      this.#against = against
      return false
    }
    connection.admission.usedBytes += more
    connection.usedBytes += more
    this.#heldBytes = bytes
    return true
  }

  /** Why there was no room, and when to come again. */
  noRoom(): NotTaken {
    const { shortage } = this.#connection.admission
    const isShort = this.#against === 'OTLIER_MEMORY' && shortage !== null
    const retryAfterMs = isShort ? shortage.retryAfterMs() : RETRY_MS
    return { kind: 'busy', retryAfterMs, cause: new Failure(this.#against) }
  }

  release(): void {
    this.#connection.admission.usedBytes -= this.#heldBytes
    this.#connection.usedBytes -= this.#heldBytes
    this.#heldBytes = 0
    this.#isReleased = true
  }
}

/** Senders are refused from this share of the memory limit on, and let in again below the lower one. The rest is Node itself. */
const SHORT_FROM = 0.8
const EASED_BELOW = 0.7
/** So much of the limit senders may always use: where the heap alone fills it, refusing them would never end. */
const GRANTED = 1 / 16
/** Reading the heap costs microseconds; what senders hold is known at every moment. */
const READ_EVERY_MS = 100
/** A collection stops everything for a tenth of a second or two. */
const COLLECT_EVERY_MS = 10_000

export interface ShortageOptions {
  /** `memory_limit_mib`, in bytes. */
  readonly limitBytes: number
  /** Bytes in use of V8's heap, what is not collected yet included. */
  usedHeap(): number
  /** Bytes that senders' requests hold on their way in and in queues. */
  held(): number
  /** Collects garbage now. */
  collect(): void
  /** When whoever is refused should come again. */
  retryAfterMs(): number
  /** It begins to be short, or ends. `usedBytes` is what the heap and the senders hold. */
  changed(isShort: boolean, usedBytes: number): void
}

/**
 * Whether memory is short: by what Otlier itself has counted and by V8's heap, never by resident memory, which stays
 * high for long after memory has been freed. Ends by itself: what is held goes out, and garbage does not count for long.
 */
export class Shortage {
  readonly #world: World
  readonly #options: ShortageOptions
  #heapBytes = 0
  #readMs = Number.NEGATIVE_INFINITY
  #collectedMs = Number.NEGATIVE_INFINITY
  #isShort = false

  constructor(world: World, options: ShortageOptions) {
    this.#world = world
    this.#options = options
  }

  /** As it is now. To be asked now and then even if nobody sends: its end is told, too. */
  isShort(): boolean {
    const { limitBytes, held } = this.#options
    const boundBytes = limitBytes * (this.#isShort ? EASED_BELOW : SHORT_FROM)
    const wouldFree = held() >= limitBytes * GRANTED
    const isShort = wouldFree && this.usedBytes() >= boundBytes && this.#withoutGarbage() >= boundBytes
    if (isShort !== this.#isShort) {
      this.#isShort = isShort
      this.#options.changed(isShort, this.usedBytes())
    }
    return isShort
  }

  retryAfterMs(): number {
    return this.#options.retryAfterMs()
  }

  /** The heap and what senders hold. */
  usedBytes(): number {
    const now = this.#world.monotonic()
    if (now - this.#readMs >= READ_EVERY_MS) {
      this.#heapBytes = this.#options.usedHeap()
      this.#readMs = now
    }
    return this.#heapBytes + this.#options.held()
  }

  /** What of it is really in use, as far as that may be found out now. */
  #withoutGarbage(): number {
    const now = this.#world.monotonic()
    if (now - this.#collectedMs >= COLLECT_EVERY_MS) {
      this.#options.collect()
      this.#collectedMs = now
      this.#readMs = Number.NEGATIVE_INFINITY
    }
    return this.usedBytes()
  }
}
