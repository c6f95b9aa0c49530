//! Finds what an earlier run has left in the directory of a queue: what is to be sent, what is torn, and what is damaged.
import { join } from 'node:path'
import type { Log } from '../../base/log.ts'
import type { Disk, DiskFile } from '../../base/world.ts'
import { SIGNALS } from '../sink.ts'
import { type Items, noItems } from '../storage.ts'
import {
  decodeMarks,
  encodeEnd,
  HEAD_BYTES,
  HEADER_BYTES,
  type Header,
  lengthOf,
  type Mark,
  readSalt,
} from './format.ts'
import { COPY, marksOf, Segment, STATE } from './segment.ts'
import { walk } from './walk.ts'

/** What was found. */
export interface Recovered {
  /** In order, sealed. */
  readonly segments: readonly Segment[]
  /** Items that are damaged. */
  readonly damaged: Items
  /** Bytes of which nobody can say how many items they were. */
  readonly unreadableBytes: number
  /** The number for the next record. */
  readonly next: number
}

/** Files that were set aside are kept for somebody to look at, but not without end: the newest so many. */
const MAX_SET_ASIDE = 8
const NAME = /^(\d{16})\.log$/

export const nameOf = (first: number) => `${String(first).padStart(16, '0')}.log`

/** Rejects where the directory cannot be read. A single segment that cannot be is left where it is, and told. */
export async function recover(disk: Disk, directory: string, log: Log): Promise<Recovered> {
  const names = (await disk.list(directory)).sort()
  const segments: Segment[] = []
  const damaged = noItems()
  let unreadableBytes = 0
  let next = 1
  for (const name of names) {
    const first = Number(/^(\d{16})\./.exec(name)?.[1] ?? 0)
    next = Math.max(next, first + 1)
    if (!NAME.test(name)) continue
    const path = join(directory, name)
    try {
      const survey = new Survey(disk, path, first, log)
      await survey.run()
      segments.push(survey.segment)
      next = Math.max(next, first + survey.segment.count)
      for (const [at, items] of survey.damaged.entries()) damaged[at] += items
      unreadableBytes += survey.unreadableBytes
    } catch (error) {
      log.error(
        { path, error },
        'a segment of the queue on disk cannot be read; it is left for the next start',
      )
    }
  }
  await removeStrays(disk, directory, names)
  return { segments, damaged, unreadableBytes, next }
}

/** Reads one segment from end to end. */
class Survey {
  readonly segment: Segment
  readonly damaged = noItems()
  unreadableBytes = 0
  readonly #disk: Disk
  readonly #log: Log
  readonly #marks = new Map<number, Mark>()
  /** The items of everything up to here, by what the records say. */
  #seen = noItems()

  constructor(disk: Disk, path: string, first: number, log: Log) {
    this.segment = new Segment(disk, path, first, new Uint8Array(8), 0)
    this.#disk = disk
    this.#log = log
  }

  async run(): Promise<void> {
    const { segment } = this
    const file = await this.#disk.open(segment.path, false)
    try {
      segment.isSealed = true
      segment.bytes = segment.writtenBytes = await file.size()
      segment.cursor = HEAD_BYTES
      const salt = readSalt(buffer(await file.read(0, HEAD_BYTES + HEADER_BYTES)))
      if (salt === null) return await this.#tail(file, 0)
      segment.salt.set(salt)
      const marks = (await this.#disk.read(marksOf(segment.path))) ?? new Uint8Array(0)
      for (const mark of decodeMarks(salt, buffer(marks))) this.#marks.set(mark.index, mark)
      await this.#records(file, salt)
      if (segment.end === null) {
        this.#end(segment.bytes, 0)
        // Should it have to be written.
        segment.bytes += HEADER_BYTES
      }
    } finally {
      await file.close()
    }
  }

  async #records(file: DiskFile, salt: Uint8Array): Promise<void> {
    const { segment } = this
    let lost = -1
    for await (const { from, to, header, batch } of walk(file, salt, HEAD_BYTES, segment.bytes)) {
      if (header === null) {
        lost = from
        continue
      }
      if (header.index > segment.count) this.#gap(lost < 0 ? from : lost, from, header)
      lost = -1
      if (header.isEnd) {
        this.#seen = [...header.before] as Items
        this.#end(from, header.receivedMs)
        return
      }
      if (from + lengthOf(header) > segment.bytes) return await this.#cutOff(file, from)
      this.#add(header, from, to, batch !== null)
    }
    if (lost >= 0) await this.#tail(file, lost)
  }

  #add(header: Header, from: number, to: number, isWhole: boolean): void {
    const { segment } = this
    const { signal, items, sequence } = header
    const at = SIGNALS.indexOf(signal)
    this.#seen = [...header.before] as Items
    this.#seen[at] += items
    const index = segment.add()
    segment.items[at] += items
    if (isWhole) {
      const slot = { segment, index, sequence, from, bytes: to - from, signal, items }
      segment.move(slot, this.#marks.has(index) ? STATE.done : STATE.stored)
      return
    }
    if (!this.#marks.has(index)) {
      this.damaged[at] += items
      this.#tell(from, to - from, items)
    }
    segment.lose(index, signal)
  }

  #end(at: number, receivedMs: number): void {
    const { segment } = this
    segment.end = {
      at,
      bytes: encodeEnd(segment.salt, segment.first, segment.count, this.#seen, receivedMs),
    }
  }

  /** Records are missing before this one. What they held is the difference of the sums. */
  #gap(from: number, to: number, next: Header): void {
    const { segment } = this
    const items = next.before.map((sum, at) => sum - this.#seen[at]) as Items
    let unanswered = 0
    while (segment.count < next.index) {
      const index = segment.add()
      const mark = this.#marks.get(index)
      if (mark === undefined) unanswered++
      else items[SIGNALS.indexOf(mark.signal)] -= mark.items
      segment.lose(index, mark?.signal ?? 'traces')
    }
    if (unanswered === 0) return
    for (const [at, lost] of items.entries()) this.damaged[at] += Math.max(0, lost)
    this.#tell(from, to - from, items[0] + items[1] + items[2])
  }

  /** After the last record that can be found. */
  async #tail(file: DiskFile, from: number): Promise<void> {
    const { bytes } = this.segment
    if (bytes === from) return
    if (bytes - from < HEADER_BYTES || (await isBlank(file, from, bytes))) return this.#cutOff(file, from)
    this.unreadableBytes += bytes - from
    this.#tell(from, bytes - from, null)
  }

  #tell(from: number, bytes: number, items: number | null): void {
    this.segment.isDamaged = true
    this.#log.error(
      { path: this.segment.path, from, bytes, items: items ?? 'unknown' },
      'a segment of the queue on disk is damaged; what is whole of it is sent, and its file is kept',
    )
  }

  /** What was being written at the end. Nobody has been told that it is kept. */
  async #cutOff(file: DiskFile, from: number): Promise<void> {
    const { segment } = this
    const { path } = segment
    this.#log.warn({ path, from, bytes: segment.bytes - from }, 'the torn end of a segment is cut off')
    segment.bytes = segment.writtenBytes = from
    try {
      await file.truncate(from)
    } catch (error) {
      this.#log.warn({ path, error }, 'the torn end of a segment could not be cut off')
    }
  }
}

const BLANK_STEP_BYTES = 2 ** 20

/** Whether there is nothing but zeros: what the file system shows for a write that never came. */
async function isBlank(file: DiskFile, from: number, to: number): Promise<boolean> {
  for (let at = from; at < to; at += BLANK_STEP_BYTES) {
    const bytes = await file.read(at, Math.min(BLANK_STEP_BYTES, to - at))
    if (bytes.some(byte => byte !== 0)) return false
  }
  return true
}

const buffer = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)

/** Marks without their log, copies that were not finished, and the oldest of what was set aside. */
async function removeStrays(disk: Disk, directory: string, names: readonly string[]): Promise<void> {
  const aside = names.filter(name => name.endsWith('.damaged'))
  const marks = names.filter(
    name => name.endsWith('.done') && !names.includes(name.replace(/\.done$/, '.log')),
  )
  const copies = names.filter(name => name.endsWith(COPY))
  for (const name of [...marks, ...copies, ...aside.slice(0, -MAX_SET_ASIDE)])
    await disk.remove(join(directory, name)).catch(() => {})
}
