//! The log of one destination on disk: batches are appended, synced in groups, read back in order, and freed by segments.
import { dirname, join } from 'node:path'
import type { Log } from '../../base/log.ts'
import type { Cancel, World } from '../../base/world.ts'
import { type CheckedBatch, SIGNALS } from '../sink.ts'
import {
  add,
  type Items,
  type Loaded,
  noItems,
  type Place,
  type Storage,
  type StorageHooks,
} from '../storage.ts'
import { type Body, bodyOf, encodeHeader, HEAD_BYTES, HEADER_BYTES, head } from './format.ts'
import { nameOf, recover } from './recover.ts'
import { Segment, type Slot, STATE } from './segment.ts'
import { walk } from './walk.ts'

export interface LogOptions {
  /** A segment ends before it would be larger, unless it is one record. */
  readonly segmentBytes: number
  /** Whether `stored` waits for the sync that covers the batch; if not, for its write. */
  readonly isDurable: boolean
}

/** After a failure the disk is left alone for so long. */
const PAUSE_MS = 1000
/** Where nobody waits for a sync there is one so often. */
const LAZY_SYNC_MS = 1000
/** What cannot be read so often in a row is given up. */
const MAX_READS = 5

/** Something for the writer, which does one thing after the other. */
interface Work {
  readonly segment: Segment
  /** Null: the segment's end, or its removal. */
  readonly record: { readonly slot: Slot; readonly body: Body; readonly receivedMs: number } | null
  readonly kind: 'record' | 'end' | 'remove'
  readonly before: Readonly<Items>
  done(isStored: boolean): void
}

export class DiskLog implements Storage<Slot> {
  readonly isLasting = true
  readonly #world: World
  readonly #directory: string
  readonly #log: Log
  readonly #options: LogOptions
  readonly #hooks: StorageHooks
  /** Those that hold something, in order. */
  #segments: Segment[] = []
  #active: Segment | null = null
  #next = 1
  #usedBytes = 0
  #work: Work[] = []
  #working: Promise<void> | null = null
  /** Written, and not synced. */
  readonly #dirty = new Set<Segment>()
  #lazily: Cancel | null = null
  #again: Cancel | null = null
  #isReady = false
  #isClosed = false
  #isFailing = false
  #opensMs = 0

  constructor(world: World, directory: string, log: Log, options: LogOptions, hooks: StorageHooks) {
    this.#world = world
    this.#directory = directory
    this.#log = log
    this.#options = options
    this.#hooks = hooks
  }

  /** Finds what is there. Where the directory cannot be read now it is tried again and again; until then nothing is taken. */
  async open(): Promise<void> {
    const { disk } = this.#world
    try {
      await disk.makeDirectory(this.#directory)
      for (const parent of [dirname(dirname(this.#directory)), dirname(this.#directory)])
        await disk.syncDirectory(parent)
      const { segments, damaged, unreadableBytes, next } = await recover(disk, this.#directory, this.#log)
      this.#segments = [...segments]
      this.#next = next
      const waiting = noItems()
      for (const segment of segments) {
        this.#usedBytes += segment.bytes
        for (const [at, items] of segment.storedItems.entries()) waiting[at] += items
      }
      this.#isReady = true
      this.#succeeded()
      this.#hooks.recovered(waiting, damaged, unreadableBytes)
      for (const segment of segments) this.#freeIfSpent(segment)
    } catch (error) {
      this.#failed(error as Error)
      if (!this.#isClosed) this.#again = this.#world.after(PAUSE_MS, () => void this.open())
    }
  }

  isOpen(): boolean {
    return this.#isReady && !this.#isClosed && this.#world.monotonic() >= this.#opensMs
  }

  usedBytes(): number {
    return this.#usedBytes
  }

  evictableBytes(): number {
    return this.#segments.reduce((sum, segment) => sum + (isEvictable(segment) ? segment.bytes : 0), 0)
  }

  storedBytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.storedBytes, 0)
  }

  give(batch: CheckedBatch): { place: Slot; stored: Promise<boolean> } {
    const body = bodyOf(batch)
    const bytes = HEADER_BYTES + body.headersBytes + body.batchBytes
    let segment = this.#active
    if (segment === null || segment.isSealed || segment.bytes + bytes > this.#options.segmentBytes) {
      if (segment !== null) this.#seal(segment)
      segment = this.#begin()
    }
    const { signal, items, receivedMs } = batch
    const before: Items = [...segment.items]
    const place: Slot = {
      segment,
      index: segment.add(),
      sequence: this.#next++,
      from: segment.bytes,
      bytes,
      signal,
      items,
    }
    segment.bytes += bytes
    this.#usedBytes += bytes
    add(segment.items, signal, items)
    const stored = new Promise<boolean>(done =>
      this.#do({
        segment: place.segment,
        kind: 'record',
        record: { slot: place, body, receivedMs },
        before,
        done,
      }),
    )
    return { place, stored }
  }

  keep(slot: Slot, inMemory: boolean): void {
    slot.segment.move(slot, inMemory ? STATE.loaded : STATE.stored)
  }

  isWaiting(slot: Slot): boolean {
    return slot.segment.stateOf(slot.index) === STATE.stored
  }

  take(slot: Slot): void {
    slot.segment.move(slot, STATE.taken)
  }

  leave(slot: Slot): void {
    slot.segment.move(slot, STATE.done)
    slot.segment.mark(slot)
    this.#freeIfSpent(slot.segment)
  }

  async load(maxBytes: number): Promise<readonly Loaded<Slot>[]> {
    for (const segment of [...this.#segments]) {
      if (segment.storedRecords === 0) continue
      const { found, isWhole } = await this.#read(segment, maxBytes)
      // While it was read some may have been taken away.
      const loaded = found.filter(({ place }) => segment.stateOf(place.index) === STATE.stored)
      for (const { place } of loaded) this.keep(place, true)
      if (loaded.length > 0) return loaded
      if (!isWhole) return []
      if (segment.storedRecords > 0) this.#giveUp(segment)
    }
    return []
  }

  evict(drop: (isOf: (place: Place) => boolean) => void): Items | null {
    const segment = this.#segments.find(isEvictable)
    if (segment === undefined) return null
    this.#seal(segment)
    const items = segment.forget()
    drop(({ sequence }) => sequence >= segment.first && sequence < segment.first + segment.count)
    this.#freeIfSpent(segment)
    return items
  }

  /** Writes what is waiting to be written. A disk that hangs hangs this. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#again?.()
    this.#lazily?.()
    if (this.#active !== null) this.#seal(this.#active)
    await this.#working
    await this.#syncDirty().catch(error => this.#failed(error))
    for (const segment of this.#segments) await segment.close()
  }

  #begin(): Segment {
    const { disk } = this.#world
    const segment = new Segment(disk, join(this.#directory, nameOf(this.#next)), this.#next, this.#salt(), 0)
    segment.bytes = HEAD_BYTES
    this.#usedBytes += HEAD_BYTES
    segment.cursor = Number.POSITIVE_INFINITY
    this.#active = segment
    this.#segments.push(segment)
    return segment
  }

  #salt(): Uint8Array {
    const salt = Buffer.alloc(8)
    salt.writeUInt32LE(Math.floor(this.#world.random() * 2 ** 32), 0)
    salt.writeUInt32LE(Math.floor(this.#world.random() * 2 ** 32), 4)
    return salt
  }

  /** Nothing more comes into it; it says so itself, with what it holds. */
  #seal(segment: Segment): void {
    if (segment.isSealed) return
    segment.isSealed = true
    if (this.#active === segment) this.#active = null
    segment.bytes += HEADER_BYTES
    this.#usedBytes += HEADER_BYTES
    this.#do({ segment, kind: 'end', record: null, before: [...segment.items], done() {} })
    this.#freeIfSpent(segment)
  }

  #freeIfSpent(segment: Segment): void {
    if (!segment.isSpent) return
    const at = this.#segments.indexOf(segment)
    if (at < 0) return
    this.#segments.splice(at, 1)
    this.#usedBytes -= segment.bytes
    // Behind what is still to be written to it.
    this.#do({ segment, kind: 'remove', record: null, before: noItems(), done() {} })
  }

  #do(work: Work): void {
    this.#work.push(work)
    this.#working ??= this.#run()
  }

  /** Everything that has come meanwhile is written together, and synced together. */
  async #run(): Promise<void> {
    // What comes in the same step goes with it.
    await Promise.resolve()
    while (this.#work.length > 0) {
      const { segment } = this.#work[0]
      let count = 1
      while (this.#work[count]?.segment === segment) count++
      const group = this.#work.splice(0, count)
      try {
        await this.#write(segment, group)
        for (const work of group) work.done(true)
        if (group.some(({ kind }) => kind === 'record')) this.#succeeded()
      } catch (error) {
        this.#breakOff(segment, group, error as Error)
      }
      if (group.at(-1)?.kind === 'remove') await this.#remove(segment)
    }
    this.#working = null
  }

  async #write(segment: Segment, group: readonly Work[]): Promise<void> {
    const writing = group.filter(({ kind }) => kind !== 'remove')
    // A segment that failed is not written to again, and one that goes need not be.
    if (writing.length === 0 || (segment.isSpent && group.length > writing.length)) return
    if (segment.hasFailed) {
      if (writing.some(({ kind }) => kind === 'record'))
        throw new Error('an earlier write to the segment failed')
      return
    }
    const parts: Uint8Array[] = []
    if (segment.file === null) {
      segment.file = await this.#world.disk.open(segment.path, true)
      parts.push(head(segment.salt))
    }
    for (const { record, before } of writing) {
      const { sequence, index, signal, items } = record?.slot ?? {
        sequence: segment.first + segment.count,
        index: segment.count,
        signal: SIGNALS[0],
        items: 0,
      }
      const receivedMs = record?.receivedMs ?? this.#world.now()
      const body = record?.body ?? null
      parts.push(encodeHeader(segment.salt, { sequence, index, signal, items, receivedMs, before }, body))
      if (body !== null) parts.push(...body.parts)
    }
    const bytes = parts.reduce((sum, part) => sum + part.length, 0)
    try {
      await segment.file.write(segment.writtenBytes, parts)
    } catch (error) {
      // What was written of it would only take up room.
      await segment.file.truncate(segment.writtenBytes).catch(() => {})
      throw error
    }
    segment.writtenBytes += bytes
    this.#dirty.add(segment)
    if (this.#options.isDurable) await this.#syncDirty()
    else this.#lazily ??= this.#world.after(LAZY_SYNC_MS, () => this.#syncLazily())
  }

  async #syncDirty(): Promise<void> {
    for (const segment of this.#dirty) {
      this.#dirty.delete(segment)
      try {
        await segment.file?.sync()
        if (!segment.isNamed) await this.#world.disk.syncDirectory(this.#directory)
        segment.isNamed = true
      } catch (error) {
        // After a failed sync nobody knows what of it is on disk, and the next one would say that all is well.
        segment.hasFailed = true
        this.#seal(segment)
        throw error
      }
    }
  }

  #syncLazily(): void {
    this.#lazily = null
    const before = this.#working ?? Promise.resolve()
    void before.then(() => this.#syncDirty()).catch(error => this.#failed(error as Error))
  }

  /** Nothing of the group is promised, nor of what comes behind it. */
  #breakOff(segment: Segment, group: readonly Work[], error: Error): void {
    const all = [...group, ...this.#work.filter(({ kind }) => kind === 'record')]
    this.#work = this.#work.filter(({ kind }) => kind !== 'record')
    for (const failed of new Set([segment, ...all.map(work => work.segment)])) {
      failed.hasFailed = true
      this.#seal(failed)
    }
    this.#failed(error)
    for (const work of all) work.done(false)
  }

  async #remove(segment: Segment): Promise<void> {
    this.#dirty.delete(segment)
    try {
      await segment.remove()
    } catch (error) {
      this.#log.warn({ path: segment.path, error }, 'a segment of the queue on disk cannot be removed')
    }
  }

  #failed(cause: Error): void {
    this.#opensMs = this.#world.monotonic() + PAUSE_MS
    if (!this.#isFailing) this.#hooks.failing(cause)
    this.#isFailing = true
  }

  #succeeded(): void {
    if (this.#isFailing) this.#hooks.failing(null)
    this.#isFailing = false
  }

  async #read(segment: Segment, maxBytes: number): Promise<{ found: Loaded<Slot>[]; isWhole: boolean }> {
    const found: Loaded<Slot>[] = []
    let at = Math.max(HEAD_BYTES, Math.min(segment.cursor, segment.writtenBytes))
    const end = segment.writtenBytes
    let bytes = 0
    let isWhole = true
    // What is kept while it is read moves the cursor back.
    segment.cursor = Number.POSITIVE_INFINITY
    try {
      const file = await segment.open()
      for await (const { from, to, header, batch } of walk(file, segment.salt, at, end)) {
        at = from
        if (header?.isEnd) break
        const state = header === null ? STATE.done : segment.stateOf(header.index)
        // What comes behind one that is not promised yet has to wait for it, as the order is theirs.
        isWhole = state !== STATE.pending && bytes < maxBytes
        if (!isWhole) break
        at = to
        if (header === null || batch === null || state !== STATE.stored) continue
        const { index, sequence, signal, items } = header
        found.push({ place: { segment, index, sequence, from, bytes: to - from, signal, items }, batch })
        bytes += to - from
      }
      segment.failedReads = 0
    } catch (error) {
      if (++segment.failedReads < MAX_READS) throw error
      this.#log.error({ path: segment.path, error }, 'a segment of the queue on disk cannot be read any more')
    } finally {
      segment.cursor = Math.min(segment.cursor, at)
    }
    return { found, isWhole: isWhole && segment.cursor >= at && segment.writtenBytes === end }
  }

  /** What should be there cannot be found. */
  #giveUp(segment: Segment): void {
    segment.isDamaged = true
    this.#seal(segment)
    const items = segment.forget()
    this.#log.error(
      { path: segment.path, items: items[0] + items[1] + items[2] },
      'a segment of the queue on disk is damaged; what is whole of it is sent, and its file is kept',
    )
    this.#hooks.damaged(items)
    this.#freeIfSpent(segment)
  }
}

const isEvictable = (segment: Segment) => segment.heldRecords === 0 && segment.doneRecords < segment.count
