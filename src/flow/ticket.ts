//! One sender's request on its way: it may be divided, each piece has its own end, and together they make one answer.
import type { Failure } from '../base/errors.ts'
import type { Waiter } from './lane.ts'
import type { Outcome } from './sink.ts'

export class Ticket {
  readonly #waiter: Pick<Waiter, 'isAnswered'> | null
  readonly #end: (ticket: Ticket) => void
  #openPieces = 1
  #isKept = false
  #isDelivered = false
  #rejectedItems = 0
  #message = ''
  #refused: Failure | null = null
  #busy: { readonly cause: Failure; readonly retryAfterMs: number | null } | null = null

  /** `end` is called once, when all pieces have ended. */
  constructor(waiter: Pick<Waiter, 'isAnswered'> | null, end: (ticket: Ticket) => void) {
    this.#waiter = waiter
    this.#end = end
  }

  /** It is in so many more pieces than before. */
  divide(more: number): void {
    this.#openPieces += more
  }

  /** One piece has come to its end. */
  close(): void {
    if (--this.#openPieces === 0) this.#end(this)
  }

  delivered(rejectedItems: number, message: string): void {
    this.#isDelivered = true
    this.#rejectedItems += rejectedItems
    if (message !== '') this.#message = message
  }

  refused(items: number, cause: Failure): void {
    this.#rejectedItems += items
    this.#refused = cause
  }

  /** It goes back to its sender, and what is left of it is not sent. */
  returned(cause: Failure, retryAfterMs: number | null): void {
    this.#busy = { cause, retryAfterMs }
  }

  /** Stopping has left it where it is: on disk. */
  keep(): void {
    this.#isKept = true
  }

  /** Its sender waits for the answer: it is sent once, and whatever was not taken goes back. */
  get isAwaited(): boolean {
    return this.#waiter !== null
  }

  get isKept(): boolean {
    return this.#isKept
  }

  /** Its sender has been told to send it again, or will be. */
  get isReturned(): boolean {
    return this.#busy !== null || this.#waiter?.isAnswered === true
  }

  /** A part that is to be sent again makes the whole busy: its sender would lose it otherwise. */
  get outcome(): Outcome {
    if (this.#busy !== null) return { kind: 'busy', ...this.#busy }
    if (this.#refused !== null && !this.#isDelivered) return { kind: 'refused', cause: this.#refused }
    const rejectedItems = this.#rejectedItems
    const message = this.#message === '' ? (this.#refused?.message ?? '') : this.#message
    return { kind: 'accepted', rejectedItems, ...(message === '' ? {} : { message }) }
  }
}
