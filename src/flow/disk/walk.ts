//! Goes through the records of a segment in pieces that fit memory, and finds its way again after damage.
import type { DiskFile } from '../../base/world.ts'
import type { CheckedBatch } from '../sink.ts'
import { HEADER_BYTES, type Header, lengthOf, readBatch, readHeader } from './format.ts'

/** One record, or a stretch in which none can be found. */
export interface Stretch {
  readonly from: number
  readonly to: number
  /** Null: no record begins here. */
  readonly header: Header | null
  /** Null where its bytes are damaged, or not all there. */
  readonly batch: CheckedBatch | null
}

/** So much is read at once, and more only for a record that is larger. */
const CHUNK_BYTES = 2 ** 20

/** From `from`, where a record begins or should, to `end`. Rejects where the file cannot be read. */
export async function* walk(
  file: DiskFile,
  salt: Uint8Array,
  from: number,
  end: number,
): AsyncGenerator<Stretch> {
  let chunk: Buffer = Buffer.alloc(0)
  let chunkAt = from
  let at = from
  /** Has `length` bytes from `at` on at hand, or as many as there are. */
  async function reach(length: number): Promise<void> {
    const wanted = Math.min(length, end - at)
    if (at - chunkAt + wanted <= chunk.length) return
    const bytes = await file.read(at, Math.min(Math.max(CHUNK_BYTES, wanted), end - at))
    chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    chunkAt = at
  }

  while (at < end) {
    await reach(HEADER_BYTES)
    const header = readHeader(chunk, at - chunkAt, salt)
    if (header !== null) {
      const length = lengthOf(header)
      await reach(length)
      const record = chunk.subarray(at - chunkAt, at - chunkAt + length)
      yield { from: at, to: Math.min(at + length, end), header, batch: readBatch(header, record) }
      at += length
      continue
    }
    const lost = at
    at++
    while (at < end) {
      await reach(HEADER_BYTES)
      const seen = chunk.subarray(at - chunkAt)
      if (seen.length < HEADER_BYTES) at = end
      else {
        const found = seen.indexOf(salt)
        if (found >= 0 && readHeader(seen, found, salt) !== null) {
          at += found
          break
        }
        // A header that the chunk cuts off is looked at again with what follows.
        if (found >= 0 && found + HEADER_BYTES <= seen.length) at += found + 1
        else at += found > 0 ? found : Math.max(1, seen.length - HEADER_BYTES + 1)
      }
    }
    yield { from: lost, to: Math.min(at, end), header: null, batch: null }
  }
}
