//! A walk over a queue on disk by a reader of its own: from the bytes as they are documented, how many items wait. Shares no code with the queue.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'

/** Items that wait, by signal, in the order of the numbers that stand in the records: traces, metrics, logs. */
export type Waiting = [traces: number, metrics: number, logs: number]

const HEAD_BYTES = 16
const HEADER_BYTES = 80
const MARK_BYTES = 16
const BATCH = 1

/** A record that waits: its signal by its number, its items, and the request. */
export interface WaitingRecord {
  readonly signal: number
  readonly items: number
  readonly request: Uint8Array
}

/** Of one destination's folder, while nobody writes to it. A record that is not whole ends its segment: it was never promised. */
export function* waitingRecords(folder: string): Generator<WaitingRecord> {
  if (!existsSync(folder)) return
  for (const name of readdirSync(folder).filter(each => each.endsWith('.log'))) {
    const log = readFileSync(join(folder, name))
    if (log.length < HEAD_BYTES) continue
    const salt = log.subarray(8, HEAD_BYTES)
    const done = readMarks(join(folder, name.replace(/\.log$/, '.done')), salt)
    for (let at = HEAD_BYTES; at + HEADER_BYTES <= log.length; ) {
      const header = log.subarray(at, at + HEADER_BYTES)
      const bodyAt = at + HEADER_BYTES
      const requestAt = bodyAt + header.readUInt32LE(36)
      const end = requestAt + header.readUInt32LE(40)
      if (crc32(header.subarray(12), crc32(salt)) !== header.readUInt32LE(8) || end > log.length) break
      const isWhole = crc32(log.subarray(bodyAt, end)) === header.readUInt32LE(12)
      if (header[45] === BATCH && isWhole && !done.has(header.readUInt32LE(72)))
        yield { signal: header[44], items: header.readUInt32LE(32), request: log.subarray(requestAt, end) }
      at = end
    }
  }
}

export function itemsOf(records: readonly WaitingRecord[]): Waiting {
  const waiting: Waiting = [0, 0, 0]
  for (const { signal, items } of records) waiting[signal] += items
  return waiting
}

function readMarks(path: string, salt: Uint8Array): Set<number> {
  const done = new Set<number>()
  if (!existsSync(path)) return done
  const bytes = readFileSync(path)
  for (let at = 0; at + MARK_BYTES <= bytes.length; at += MARK_BYTES) {
    const mark = bytes.subarray(at, at + MARK_BYTES)
    if (crc32(mark.subarray(0, 12), crc32(salt)) === mark.readUInt32LE(12)) done.add(mark.readUInt32LE(0))
  }
  return done
}
