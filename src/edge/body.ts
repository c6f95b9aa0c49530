//! The bytes of one message as they arrive in pieces, in memory that follows what has arrived and not what was declared.

/** Above this, memory doubles as bytes arrive: a declared length alone costs nothing. */
const TRUSTED_BYTES = 2 ** 20

export class Body {
  length = 0
  readonly #declared: number
  #bytes: Uint8Array | null = null

  /** @param declared the length that was announced, -1 where none was */
  constructor(declared: number) {
    this.#declared = declared
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
    // A long-lived batch must not hold memory that nobody counts.
    return this.length * 8 < bytes.length * 7 ? bytes.slice(0, this.length) : bytes.subarray(0, this.length)
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
    // Not zeroed, as every byte is written before it is read; of its own, as a pool would be kept alive by one batch.
    const bytes = new Uint8Array(Buffer.allocUnsafeSlow(capacity).buffer)
    if (this.#bytes !== null) bytes.set(this.#bytes.subarray(0, this.length))
    this.#bytes = bytes
    return bytes
  }
}
