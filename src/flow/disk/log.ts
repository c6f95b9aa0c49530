//! The log of one destination on disk: batches are appended, synced in groups, read back in order, and freed by segments.
import { join } from 'node:path'
import type { Log } from '../../base/log.ts'
import type { Cancel, World } from '../../base/world.ts'
import type { CheckedBatch } from '../sink.ts'
import {
  add,
  type Items,
  type Loaded,
  noItems,
  type Place,
  type Storage,
  type StorageHooks,
} from '../storage.ts'
import { bodyOf, HEAD_BYTES, HEADER_BYTES } from './format.ts'
import { nameOf, recover } from './recover.ts'
import { Segment, type Slot, STATE } from './segment.ts'
import { walk } from './walk.ts'
import { PAUSE_MS, Writer } from './writer.ts'

export interface LogOptions {
  /** A segment ends before it would be larger, unless it is one record. */
  readonly segmentBytes: number
  /** Whether `stored` waits for the sync that covers the batch; if not, for its write. */
  readonly isDurable: boolean
}

/** A segment that cannot be read so often in a row lets those after it go first, and is tried again after a while. */
const MAX_READS = 5
const READ_LATER_MS = 30_000

export class DiskLog implements Storage<Slot> {
  readonly isLasting = true
  readonly path: string
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
  #again: Cancel | null = null
  #isReady = false
  #isClosed = false
  readonly #writer: Writer

  constructor(world: World, directory: string, log: Log, options: LogOptions, hooks: StorageHooks) {
    this.#world = world
    this.#directory = directory
    this.path = directory
    this.#log = log
    this.#options = options
    this.#hooks = hooks
    this.#writer = new Writer(world, directory, log, options.isDurable, {
      broken: segment => this.#seal(segment),
      failing: hooks.failing,
    })
  }

  /**
   * Finds what is there, which needs no sync. Where the directory cannot be read now it is tried again and again; until then
   * nothing is taken.
   */
  async open(): Promise<void> {
    const { disk } = this.#world
    try {
      await disk.makeDirectory(this.#directory)
      const { segments, damaged, unreadableBytes, next } = await recover(disk, this.#directory, this.#log)
      this.#segments = [...segments]
      this.#next = next
      const waiting = noItems()
      for (const segment of segments) {
        this.#usedBytes += segment.bytes
        for (const [at, items] of segment.storedItems.entries()) waiting[at] += items
      }
      this.#isReady = true
      this.#writer.succeeded()
      this.#writer.inherit(segments)
      this.#hooks.recovered(waiting, damaged, unreadableBytes)
      for (const segment of segments) this.#freeIfSpent(segment)
    } catch (error) {
      this.#writer.failed(error as Error)
      if (!this.#isClosed) this.#again = this.#world.after(PAUSE_MS, () => void this.open())
    }
  }

  isOpen(): boolean {
    return this.#isReady && !this.#isClosed && this.#writer.isOpen
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
    const stored = this.#writer.append(place, body, receivedMs, before)
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
      if (segment.storedRecords === 0 || this.#world.monotonic() < segment.readsAgainMs) continue
      const { found, isWhole } = await this.#read(segment, maxBytes)
      // While it was read some may have been taken away.
      const loaded = found.filter(({ place }) => segment.stateOf(place.index) === STATE.stored)
      for (const { place } of loaded) this.keep(place, true)
      if (loaded.length > 0) return loaded
      if (segment.failedReads > 0) continue
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

  atRisk(): Items {
    const items = noItems()
    for (const segment of this.#segments)
      for (const slot of segment.atRisk) add(items, slot.signal, slot.items)
    return items
  }

  /** Writes what is waiting to be written. A disk that hangs hangs this. */
  async close(): Promise<Items> {
    this.#isClosed = true
    this.#again?.()
    if (this.#active !== null) this.#seal(this.#active)
    await this.#writer.close()
    const lost = this.atRisk()
    // Some may still go meanwhile.
    for (const segment of [...this.#segments]) {
      // It is given up: the next start must not find what this one has written off.
      for (const slot of segment.atRisk) segment.mark(slot)
      await segment.close()
    }
    return lost
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
    this.#writer.end(segment)
    this.#freeIfSpent(segment)
  }

  #freeIfSpent(segment: Segment): void {
    if (!segment.isSpent) return
    const at = this.#segments.indexOf(segment)
    if (at < 0) return
    this.#segments.splice(at, 1)
    this.#usedBytes -= segment.bytes
    this.#writer.remove(segment)
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
      segment.readsAgainMs = this.#world.monotonic() + READ_LATER_MS
      isWhole = false
      if (segment.failedReads === MAX_READS)
        this.#log.error(
          { path: segment.path, error },
          'a segment of the queue on disk cannot be read; it waits',
        )
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
