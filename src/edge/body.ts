//! The bytes of one message as they arrive in pieces, in memory that follows what has arrived and not what was declared.
import type { Loan } from '../base/loan.ts'
import { fresh, type Pool } from './pool.ts'

/** Above this, memory doubles as bytes arrive: a declared length alone costs nothing. */
const TRUSTED_BYTES = 2 ** 20

export class Body {
  length = 0
  readonly #declared: number
  readonly #pool: Pool | null
  #loan: Loan | null = null
  #bytes: Uint8Array | null = null

  /** @param declared the length that was announced, -1 where none was */
  constructor(declared: number, pool: Pool | null = null) {
    this.#declared = declared
    this.#pool = pool
  }

  /** Of the memory in which `take` has left the bytes; null where it is not to be used again. */
  get loan(): Loan | null {
    return this.#loan
  }

  /** Copies `chunk` from `start` on: chunks are views of a socket's buffer, which they would keep alive. */
  add(chunk: Uint8Array, start = 0): void {
    const count = chunk.length - start
    let bytes = this.#bytes
    if (bytes === null || this.length + count > bytes.length) bytes = this.#grow(count)
    bytes.set(start === 0 ? chunk : chunk.subarray(start), this.length)
    this.length += count
  }

  /** What has arrived. The body must not be used after it. */
  take(): Uint8Array {
    const bytes = this.#bytes ?? new Uint8Array(0)
    if (this.length === bytes.length) return bytes
    if (this.length * 8 >= bytes.length * 7) return bytes.subarray(0, this.length)
    // A long-lived batch must not hold memory that nobody counts.
    const copy = bytes.slice(0, this.length)
    this.#loan?.share(0)
    this.#loan = null
    return copy
  }

  #grow(count: number): Uint8Array {
    const needed = this.length + count
    let capacity = Math.max(needed, 2 * (this.#bytes?.length ?? 0))
    if (this.#declared >= 0) {
      capacity = Math.min(
        Math.max(capacity, Math.min(this.#declared, TRUSTED_BYTES)),
        Math.max(this.#declared, needed),
      )
    }
    const { bytes, loan } = this.#pool?.lend(capacity) ?? { bytes: fresh(capacity), loan: null }
    if (this.#bytes !== null) bytes.set(this.#bytes.subarray(0, this.length))
    this.#loan?.share(0)
    this.#loan = loan
    this.#bytes = bytes
    return bytes
  }
}
