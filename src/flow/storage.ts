//! The seam between a queue and where its batches are kept: in memory alone, or in a log on disk.
import { type CheckedBatch, SIGNALS, type Signal } from './sink.ts'

/** Where a batch stands. */
export interface Place {
  /** Counts up over all signals. */
  readonly sequence: number
  readonly signal: Signal
  readonly items: number
}

/** Items of each signal, in the order of SIGNALS. */
export type Items = [number, number, number]
export const noItems = (): Items => [0, 0, 0]
/** What a storage tells its queue. */
export interface StorageHooks {
  /** Found at the start: items that wait, items that are damaged, and bytes of which nobody can say how many items they were. */
  recovered(waiting: Items, damaged: Items, unreadableBytes: number): void
  /** Of what waited these turned out to be damaged. */
  damaged(items: Items): void
  /** The disk does not take writes; null: it does again. */
  failing(cause: Error | null): void
}

export type OpenStorage = (hooks: StorageHooks) => Storage

export const add = (to: Items, signal: Signal, items: number) => {
  to[SIGNALS.indexOf(signal)] += items
}

/** A batch that only the disk had. */
export interface Loaded<P extends Place = Place> {
  readonly place: P
  readonly batch: CheckedBatch
}

/** A place is first given, then kept or left, then taken by a consumer, and then left. */
export interface Storage<P extends Place = Place> {
  /** What is not delivered outlives the process: stopping loses nothing. */
  readonly isLasting: boolean
  /** The directory of its files, if any. */
  readonly path: string | null
  /** Whether it takes batches at all now; a disk may fail. */
  isOpen(): boolean
  /** The bytes that it has used up; null where that is what the queue holds. */
  usedBytes(): number | null
  /** How many of them `evict` could free. */
  evictableBytes(): number
  /** The bytes of what waits and only `load` brings. */
  storedBytes(): number
  /** Gives a batch its place. `stored` says whether it is safe there, as far as has been asked for; null: at once. */
  give(batch: CheckedBatch): { readonly place: P; readonly stored: Promise<boolean> | null }
  /** It is promised to be delivered. With `inMemory` the queue keeps the batch at hand; without, `load` brings it. */
  keep(place: P, inMemory: boolean): void
  /** It is kept, and only the storage has it. */
  isWaiting(place: P): boolean
  /** A consumer has it. */
  take(place: P): void
  /** It has been answered, dropped, or never promised. */
  leave(place: P): void
  /**
   * Brings the oldest of what only the storage has, up to `maxBytes` and at least one; empty where nothing can be had now. Never
   * two at a time. Rejects where the disk fails.
   */
  load(maxBytes: number): Promise<readonly Loaded<P>[]>
  /**
   * Makes room by giving up the oldest: of what only the storage has it returns the items, what is in memory `drop` has to leave.
   * Null where nothing can be given up.
   */
  evict(drop: (isOf: (place: Place) => boolean) => void): Items | null
  /** Of what it has promised to keep for the next start, what it cannot: its disk has failed. */
  atRisk(): Items
  /** Resolves with what it has not kept after all, which no start will find. */
  close(): Promise<Items>
}

/** Batches are where the queue has them, and gone with the process. */
export function memoryStorage(): Storage {
  let sequence = 0
  return {
    isLasting: false,
    path: null,
    isOpen: () => true,
    usedBytes: () => null,
    evictableBytes: () => 0,
    storedBytes: () => 0,
    give: ({ signal, items }) => ({ place: { sequence: sequence++, signal, items }, stored: null }),
    keep() {},
    isWaiting: () => false,
    take() {},
    leave() {},
    load: async () => [],
    evict: () => null,
    atRisk: noItems,
    close: async () => noItems(),
  }
}
