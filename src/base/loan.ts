//! Memory on loan: the bytes of a request, whose memory is used again once every destination that took it has let go.

/**
 * One loan goes with one batch. Only who is told of it can end it: a holder that knows nothing of loans never lets go, and
 * then the memory is left to the garbage collector, which is slower and always right.
 */
export class Loan {
  readonly #end: () => void
  /** Null until it is known who has the bytes, and again once that can no longer be known. */
  #holders: number | null = null
  #isShared = false

  /** @param end is called once, when nobody reads the memory any more */
  constructor(end: () => void) {
    this.#end = end
  }

  /** So many holders have the bytes from now on, and nobody else. A batch that is given out a second time keeps its memory. */
  share(holders: number): void {
    this.#holders = this.#isShared ? null : holders
    this.#isShared = true
    this.#settle()
  }

  /** One holder reads the bytes, and views of them, no more. Each says it once. */
  letGo(): void {
    if (this.#holders === null) return
    this.#holders--
    this.#settle()
  }

  #settle(): void {
    if (this.#holders !== 0) return
    this.#holders = null
    this.#end()
  }
}
