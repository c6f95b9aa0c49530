//! What one queue holds: the batches at hand, those that only its storage has, and their accounts and bytes.
import type { Cell, Registry } from '../base/counters.ts'
import { Failure } from '../base/errors.ts'
import type { World } from '../base/world.ts'
import { type Dropped, openAccount } from './accounts.ts'
import type { Held } from './held.ts'
import { type Entry, headerKey, Lane, oldestOf, type Waiter } from './lane.ts'
import { type CheckedBatch, SIGNALS, type Signal, sizeOf } from './sink.ts'
import type { Items, Place, Storage } from './storage.ts'

/** What a batch weighs beside its bytes, so that even empty ones fill the queue. */
const ENTRY_BYTES = 256
/** Of what the disk has, so much is at hand at once: enough for two requests of the largest size. */
const AT_HAND_BYTES = 8 * 2 ** 20

export const costOf = (batch: CheckedBatch) => sizeOf(batch) + ENTRY_BYTES

export class Shelf {
  readonly lanes: readonly Lane[]
  readonly #storage: Storage
  readonly #world: World
  readonly #size: Cell
  readonly #sizeBytes: () => number
  readonly #shared: Held | null
  /** What a run of this queue before, in the same process, has left on disk; in the order of SIGNALS. */
  readonly #left: readonly number[]
  #isClosed = false
  /** Senders that wait for an answer, by the sequence numbers of their batches. */
  readonly #waiters = new Map<number, { readonly waiter: Waiter; readonly place: Place }>()
  /** Bytes at hand: waiting, under way, and not yet stored. */
  #heldBytes = 0
  #isLoading = false
  readonly #unreadable: Cell

  /** `sizeBytes` is asked for each time: it may change. `size` shows what is held. `shared` counts what is in memory. */
  constructor(
    world: World,
    registry: Registry,
    id: string,
    storage: Storage,
    size: Cell,
    sizeBytes: () => number,
    shared: Held | null = null,
  ) {
    this.#world = world
    this.#storage = storage
    this.#size = size
    this.#sizeBytes = sizeBytes
    this.#shared = shared
    this.lanes = SIGNALS.map(signal => new Lane(signal, openAccount(registry, id, signal)))
    this.#left = this.lanes.map(({ account }) => account.queued)
    this.#unreadable = registry.counter(
      'otlier_exporter_unreadable_bytes',
      'By',
      'Bytes of the queue on disk that are damaged, and of which nobody can say how many items they were.',
      { exporter: id },
    )
    registry.beforeRead(() => {
      if (!this.#isClosed) this.#size.value = this.bytes
    })
  }

  laneOf(signal: Signal): Lane {
    return this.lanes[SIGNALS.indexOf(signal)]
  }

  /** Of everything, wherever it is. */
  get bytes(): number {
    return this.#heldBytes + this.#storage.storedBytes()
  }

  /** Of what waits at hand. */
  get #waitingBytes(): number {
    return this.lanes.reduce((sum, lane) => sum + lane.bytes + lane.length * ENTRY_BYTES, 0)
  }

  /** Whether anything waits that is not at hand. */
  get hasMore(): boolean {
    return this.#isLoading || this.#storage.storedBytes() > 0
  }

  // A batch larger than the whole queue is taken when the queue holds nothing, or it could never pass.
  fits(costBytes: number): boolean {
    return this.bytes === 0 || (this.#storage.usedBytes() ?? this.#heldBytes) + costBytes <= this.#sizeBytes()
  }

  /** Whether it would fit if what waits were given up. */
  couldFit(costBytes: number): boolean {
    const { isLasting } = this.#storage
    const usedBytes = this.#storage.usedBytes() ?? this.#heldBytes
    const freeable = isLasting ? this.#storage.evictableBytes() : this.#waitingBytes
    return usedBytes - freeable + costBytes <= this.#sizeBytes()
  }

  /** Gives up the oldest until it fits. The items that it cost. */
  makeRoom(costBytes: number): number {
    let items = 0
    while (!this.fits(costBytes)) {
      const evicted = this.#storage.evict(isOf => {
        for (const lane of this.lanes)
          for (const entry of lane.remove(({ place }) => isOf(place)))
            items += this.#drop(lane, entry, 'queue_full')
      })
      if (evicted !== null) items += this.dropStored(evicted, 'queue_full')
      else {
        const lane = oldestOf(this.lanes)
        if (lane === null) break
        items += this.#drop(lane, lane.shift(), 'queue_full')
      }
    }
    return items
  }

  /** The batch has a place, and nobody has been promised anything. */
  give(batch: CheckedBatch): { readonly place: Place; readonly stored: Promise<boolean> | null } {
    this.#hold(batch)
    return this.#storage.give(batch)
  }

  /** What was given is taken back. */
  withdraw(place: Place, batch: CheckedBatch): void {
    this.#letGo(batch)
    this.#storage.leave(place)
  }

  #hold(batch: CheckedBatch): void {
    this.#heldBytes += costOf(batch)
    this.#shared?.take(batch)
  }

  #letGo(batch: CheckedBatch): void {
    // The end has written everything off.
    if (!this.#isClosed) this.#heldBytes -= costOf(batch)
    this.forget(batch)
  }

  /** Its bytes are in memory no more. */
  forget(batch: CheckedBatch): void {
    this.#shared?.release(batch)
  }

  /** It will be delivered, or stand in an account that says why not. */
  keep(place: Place, batch: CheckedBatch, waiter: Waiter | null): void {
    const lane = this.laneOf(batch.signal)
    const costBytes = costOf(batch)
    const isAtHand =
      !this.#storage.isLasting ||
      (!this.#isClosed && !this.hasMore && this.#waitingBytes + costBytes <= AT_HAND_BYTES)
    this.#storage.keep(place, isAtHand)
    if (waiter !== null) this.#waiters.set(place.sequence, { waiter, place })
    lane.account.enqueued(batch.items)
    if (isAtHand) this.#push(lane, place, batch, this.#world.monotonic())
    else {
      this.#letGo(batch)
      batch.loan?.letGo()
    }
  }

  #push(lane: Lane, place: Place, batch: CheckedBatch, sinceMs: number): void {
    const waiter = this.#waiters.get(place.sequence)?.waiter ?? null
    lane.push({ batch, key: headerKey(batch.headers), costBytes: costOf(batch), place, sinceMs, waiter })
  }

  /** The next that go together, for a consumer. */
  take(lane: Lane, maxBytes: number): readonly Entry[] {
    const run = lane.takeRun(maxBytes)
    for (const { batch, place } of run) {
      lane.account.taken(batch.items)
      this.#storage.take(place)
    }
    return run
  }

  /** A consumer is done with it. */
  release({ place, batch }: Entry): void {
    this.#letGo(batch)
    batch.loan?.letGo()
    this.#waiters.delete(place.sequence)
    this.#storage.leave(place)
  }

  /** Takes a batch out for its sender, who has been told to send it again. False where it is under way. */
  giveBack(place: Place): boolean {
    const lane = this.laneOf(place.signal)
    this.#waiters.delete(place.sequence)
    const [entry] = lane.remove(candidate => candidate.place.sequence === place.sequence)
    if (entry !== undefined) this.#drop(lane, entry, 'returned')
    else if (!this.#storage.isWaiting(place)) return false
    else {
      lane.account.droppedFromQueue(place.items, 'returned')
      this.#storage.leave(place)
    }
    return true
  }

  /** Gives up what waits of a signal at hand. The items that it cost. */
  dropWaiting(lane: Lane, reason: Dropped): number {
    let items = 0
    while (lane.length > 0) items += this.#drop(lane, lane.shift(), reason)
    return items
  }

  #drop(lane: Lane, entry: Entry, reason: Dropped): number {
    lane.account.droppedFromQueue(entry.batch.items, reason)
    this.release(entry)
    const cause = new Failure(reason === 'unsupported' ? 'OTLIER_SIGNAL_UNSUPPORTED' : 'OTLIER_QUEUE_FULL')
    if (reason === 'unsupported') entry.waiter?.answer({ kind: 'refused', cause })
    else entry.waiter?.answer({ kind: 'busy', retryAfterMs: null, cause })
    return entry.batch.items
  }

  /** The storage has lost or given up these. The sum of them. */
  dropStored(items: Items, reason: Dropped): number {
    for (const [at, lane] of this.lanes.entries()) lane.account.droppedFromQueue(items[at], reason)
    return items.reduce((sum, some) => sum + some, 0)
  }

  /** Accounts for what an earlier run has left; what this process has left there itself stands in the account. The items that wait. */
  recovered(waiting: Items, damaged: Items, unreadableBytes: number): number {
    this.#unreadable.value += unreadableBytes
    for (const [at, { account }] of this.lanes.entries()) {
      const found = waiting[at] + damaged[at]
      account.recovered(Math.max(0, found - this.#left[at]))
      account.droppedFromQueue(Math.max(0, this.#left[at] - found), 'damaged')
      account.droppedFromQueue(damaged[at], 'damaged')
    }
    return waiting.reduce((sum, items) => sum + items, 0)
  }

  /**
   * Brings more to hand where there is more, and not enough at hand. Whether something has come; null where nothing was tried.
   * Rejects where the disk fails.
   */
  async refill(): Promise<boolean | null> {
    const room = AT_HAND_BYTES - this.#waitingBytes
    if (this.#isLoading || room < AT_HAND_BYTES / 2 || this.#storage.storedBytes() === 0) return null
    this.#isLoading = true
    try {
      const loaded = await this.#storage.load(room)
      // The end has come first: it stays where it is.
      if (this.#isClosed) return null
      for (const { place, batch } of loaded) {
        const lane = this.laneOf(place.signal)
        this.#hold(batch)
        if (lane.takes(this.#world.monotonic())) this.#push(lane, place, batch, Number.NEGATIVE_INFINITY)
        else {
          lane.account.droppedFromQueue(batch.items, 'unsupported')
          this.withdraw(place, batch)
        }
      }
      return loaded.length > 0
    } finally {
      this.#isLoading = false
    }
  }

  /** Closes the accounts over what is left: it stays where it outlives the process, and is dropped where it does not. */
  closeAccounts(): void {
    const stopping = { kind: 'busy', retryAfterMs: null, cause: new Failure('OTLIER_STOPPING') } as const
    for (const { waiter, place } of [...this.#waiters.values()]) {
      waiter.answer(stopping)
      if (this.giveBack(place)) continue
      // Under way, and some of it may have been answered.
      const { account } = this.laneOf(place.signal)
      account.droppedInFlight(Math.min(place.items, account.inFlight), 'returned')
      this.#storage.leave(place)
    }
    for (const lane of this.lanes) {
      const { account } = lane
      if (this.#storage.isLasting) {
        account.kept(account.inFlight)
        while (lane.length > 0) {
          const { batch } = lane.shift()
          this.forget(batch)
          batch.loan?.letGo()
        }
      } else {
        this.dropWaiting(lane, 'shutdown')
        account.droppedInFlight(account.inFlight, 'shutdown')
      }
    }
    this.#size.value = this.#storage.storedBytes()
    this.#heldBytes = 0
    this.#isClosed = true
  }
}
