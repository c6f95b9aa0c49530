//! One segment of the log: its files, what has become of each record, and the marks of those that are done.
import type { Disk, DiskFile } from '../../base/world.ts'
import { SIGNALS, type Signal } from '../sink.ts'
import { type Items, noItems, type Place } from '../storage.ts'
import { encodeMarks, head, MARK_BYTES, type Mark, readBatch, readHeader } from './format.ts'

/** What has become of a record. */
export const STATE = {
  /** Not yet promised to anybody: it may still be withdrawn. */
  pending: 0,
  /** It waits, and only the disk has it. */
  stored: 1,
  /** It waits, and is in memory too. */
  loaded: 2,
  /** On its way. */
  taken: 3,
  /** Answered, dropped or withdrawn. */
  done: 4,
} as const

/** Where a record stands: at byte `from`, `bytes` long. */
export interface Slot extends Place {
  readonly segment: Segment
  readonly index: number
  readonly from: number
  readonly bytes: number
}

export class Segment {
  /** The sequence number of its first record, and its name. */
  readonly first: number
  readonly salt: Uint8Array
  /** Of the log's file, with what is still to be written. */
  bytes: number
  /** Up to here it has been written. */
  writtenBytes: number
  /** Records so far, and the items in them. */
  count = 0
  readonly items: Items = noItems()
  /** What only the disk has, in records and in items. */
  storedRecords = 0
  storedBytes = 0
  readonly storedItems: Items = noItems()
  /** Where the first record that only the disk has may stand. */
  cursor: number
  /** Records that nobody may take away: under way, or not promised yet. */
  heldRecords = 0
  doneRecords = 0
  /** Nothing more is appended. */
  isSealed = false
  /** A write or a sync has failed: nothing more is written to it. */
  hasFailed = false
  /** A sync has failed: its file is never synced again. */
  isDoubtful = false
  /** Of an earlier run, which may have died before it has synced it. */
  isInherited = false
  /** Of an earlier run: the record that ends it, whether it stands there or is still to be written. */
  end: { readonly at: number; readonly bytes: Uint8Array } | null = null
  /** Records that are written, and that no sync has covered. */
  unsynced: Slot[] = []
  /** How often reading it has failed. */
  failedReads = 0
  /** Monotonic time before which it is not read again. */
  readsAgainMs = 0
  /** Something in it could not be read: its file is kept for a person to look at. */
  isDamaged = false
  /** Its name in the directory is durable. */
  isNamed = false
  file: DiskFile | null = null
  readonly #path: string
  readonly #disk: Disk
  #states = new Uint8Array(64)
  #marks: DiskFile | null = null
  #marksAt = 0
  #unwritten: Mark[] = []
  #marking: Promise<void> | null = null
  #isGone = false
  /** Of files that a copy has replaced; somebody may still read them. */
  readonly #replaced: DiskFile[] = []

  constructor(disk: Disk, path: string, first: number, salt: Uint8Array, bytes: number) {
    this.#disk = disk
    this.#path = path
    this.first = first
    this.salt = salt
    this.bytes = bytes
    this.writtenBytes = bytes
    this.cursor = bytes
  }

  get path(): string {
    return this.#path
  }

  /** A record that no sync has covered is wanted, or may be soon. */
  get isUnsafe(): boolean {
    return this.unsynced.some(({ index }) => this.#states[index] !== STATE.done)
  }

  /** Records that are promised and that nobody knows to be on disk. */
  get atRisk(): readonly Slot[] {
    if (!this.isDoubtful) return []
    return this.unsynced.filter(({ index }) => isPromised(this.#states[index]))
  }

  /** Nothing of it is wanted any more. */
  get isSpent(): boolean {
    return this.isSealed && this.doneRecords === this.count
  }

  stateOf(index: number): number {
    return this.#states[index]
  }

  /** Counts one more record, which is pending. Its index. */
  add(): number {
    if (this.count === this.#states.length) {
      const grown = new Uint8Array(this.#states.length * 2)
      grown.set(this.#states)
      this.#states = grown
    }
    this.heldRecords++
    return this.count++
  }

  move(slot: Slot, to: number): void {
    const from = this.#states[slot.index]
    if (from === to) return
    this.#states[slot.index] = to
    const signal = SIGNALS.indexOf(slot.signal)
    if (from === STATE.stored) {
      this.storedRecords--
      this.storedBytes -= slot.bytes
      this.storedItems[signal] -= slot.items
    }
    if (to === STATE.stored) {
      this.storedRecords++
      this.storedBytes += slot.bytes
      this.storedItems[signal] += slot.items
      this.cursor = Math.min(this.cursor, slot.from)
    }
    const isHeld = (state: number) => state === STATE.pending || state === STATE.taken
    this.heldRecords += Number(isHeld(to)) - Number(isHeld(from))
    if (to === STATE.done) this.doneRecords++
  }

  /** A pending record that cannot be read: nothing more becomes of it, and no later start asks for it again. */
  lose(index: number, signal: Signal): void {
    this.#states[index] = STATE.done
    this.heldRecords--
    this.doneRecords++
    this.mark({ index, signal, items: 0 })
  }

  /** Gives up what only the disk has, without a look at it. The items of it. */
  forget(): Items {
    const items: Items = [...this.storedItems]
    for (let index = 0; index < this.count; index++) {
      if (this.#states[index] !== STATE.stored) continue
      this.#states[index] = STATE.done
      this.doneRecords++
    }
    this.storedRecords = 0
    this.storedBytes = 0
    this.storedItems.fill(0)
    return items
  }

  /**
   * Tells a later start that the record is done. It is written at once and not synced: after a loss of power some requests may
   * be sent again, and none is missing. Where the disk takes no mark it is tried with the next one.
   */
  mark({ index, signal, items }: Mark): void {
    this.#unwritten.push({ index, signal, items })
    this.#marking ??= this.#writeMarks()
  }

  async #writeMarks(): Promise<void> {
    // What is marked in the same step goes with it.
    await Promise.resolve()
    while (this.#unwritten.length > 0 && !this.#isGone) {
      const marks = this.#unwritten
      this.#unwritten = []
      try {
        this.#marks ??= await this.#openMarks()
        await this.#marks.write(this.#marksAt, encodeMarks(this.salt, marks))
        this.#marksAt += MARK_BYTES * marks.length
      } catch {
        this.#unwritten = [...marks, ...this.#unwritten]
        break
      }
    }
    this.#marking = null
  }

  async #openMarks(): Promise<DiskFile> {
    const path = marksOf(this.#path)
    const file = await this.#disk.open(path, true).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
      return this.#disk.open(path, false)
    })
    // Behind what a former run has written, and what a crash has torn.
    this.#marksAt = Math.ceil((await file.size()) / MARK_BYTES) * MARK_BYTES
    return file
  }

  /** For reading; the one it is written with, where there is one. */
  async open(): Promise<DiskFile> {
    this.file ??= await this.#disk.open(this.#path, false)
    return this.file
  }

  /**
   * What can be written without the file, of which a failed sync may have taken any part: without the head nothing of it would
   * be found, and without the end nobody would miss what stood before it.
   */
  #known(): { readonly at: number; readonly bytes: Uint8Array }[] {
    const start = { at: 0, bytes: head(this.salt) }
    return this.end === null ? [start] : [start, this.end]
  }

  /** Writes that again where it stands, unsynced, for a start that comes before the copy. Rejects where the disk does not let it. */
  async restore(): Promise<void> {
    const file = await this.open()
    for (const { at, bytes } of this.#known()) await file.write(at, bytes)
  }

  /**
   * Copies the file and puts the copy in its place. The copy is synced, its name is not. Returns the unsynced records of which
   * nothing whole could be read. Rejects where the disk does not let it; then it may be tried again.
   */
  async copy(): Promise<Slot[]> {
    const from = await this.open()
    // As long as the original: every record stays where it is.
    const known = this.#known()
    const bytes = Buffer.alloc(Math.max(this.writtenBytes, ...known.map(part => part.at + part.bytes.length)))
    bytes.set(await from.read(0, this.writtenBytes))
    for (const part of known) bytes.set(part.bytes, part.at)
    const path = this.#path + COPY
    await this.#disk.remove(path)
    try {
      const to = await this.#disk.open(path, true)
      try {
        await to.write(0, bytes)
        await to.sync()
      } finally {
        await to.close().catch(() => {})
      }
      await this.#disk.rename(path, this.#path)
    } catch (error) {
      await this.#disk.remove(path).catch(() => {})
      throw error
    }
    this.#replaced.push(from)
    this.file = null
    return this.unsynced.filter(slot => {
      const header = readHeader(bytes, slot.from, this.salt)
      return header === null || readBatch(header, bytes.subarray(slot.from, slot.from + slot.bytes)) === null
    })
  }

  /** Writes the marks that are left, and closes. The files stay. */
  async close(): Promise<void> {
    await this.#marking
    if (this.#unwritten.length > 0) await this.#writeMarks()
    this.#isGone = true
    const files = [this.file, this.#marks, ...this.#replaced]
    this.file = null
    this.#marks = null
    for (const file of files) await file?.close().catch(() => {})
  }

  /** Takes the files away; a damaged segment is renamed, so that somebody can look at it. Rejects where the disk does not let it. */
  async remove(): Promise<void> {
    await this.close()
    // The log first: marks without a log are worth nothing, a log without its marks would be sent again.
    if (this.isDamaged) await this.#disk.rename(this.#path, `${this.#path}.damaged`)
    else await this.#disk.remove(this.#path)
    // Where the marks cannot go now, what has been set aside is not set aside again.
    this.isDamaged = false
    await this.#disk.remove(marksOf(this.#path))
  }
}

const isPromised = (state: number) => state !== STATE.pending && state !== STATE.done

/** Behind the name of a segment: its copy, while it is being written. */
export const COPY = '.copy'
export const marksOf = (path: string) => path.replace(/\.log$/, '.done')
