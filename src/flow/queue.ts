//! The sending queue of one destination: bounded in bytes, oldest first, small requests merged on their way out.
import { setMaxListeners } from 'node:events'
import type { Registry } from '../base/counters.ts'
import type { Log } from '../base/log.ts'
import type { Cancel, World } from '../base/world.ts'
import { type DeliveryOptions, delivery, partOf } from './delivery.ts'
import { fullness } from './fullness.ts'
import { type Entry, type Lane, oldestOf } from './lane.ts'
import type { Offer, Reservation, Stored } from './offer.ts'
import { gate, type RetryOptions, retry } from './retry.ts'
import { costOf, Shelf } from './shelf.ts'
import type { CheckedBatch, Exporter, Signal } from './sink.ts'
import { memoryStorage, type OpenStorage } from './storage.ts'
import { Ticket } from './ticket.ts'
import { awaited, inTime, within } from './waiting.ts'
import { watch } from './watch.ts'

export type WhenFull = 'refuse' | 'drop_newest' | 'drop_oldest'

export interface QueueOptions extends DeliveryOptions {
  /** What the destination may hold, waiting and under way, with ENTRY_BYTES for each batch. */
  readonly sizeBytes: number
  readonly whenFull: WhenFull
  readonly numConsumers: number
  /** So long a batch waits for others to go with, unless they fill a request: fifteen in one cost a third of the CPU (measured). */
  readonly lingerMs: number
  readonly retry: RetryOptions
  /** `delivered`: requests are not merged, each is sent once, and its sender is told what the destination said. */
  readonly acknowledge?: Acknowledge
}

/** When a sender is told that its data has been taken: when it is queued, synced to disk, or answered by the destination. */
export type Acknowledge = 'memory' | 'durable' | 'delivered'

const MIB = 2 ** 20
/** The numbers of the conventions, for all but what is configured. */
export const QUEUE_LIMITS = { maxBatchBytes: 3.5 * MIB, maxRequestBytes: 64 * MIB, lingerMs: 20 }

/** What stopping lost. */
export interface Undelivered {
  readonly exporter: string
  readonly signal: Signal
  readonly items: number
}

export interface Queue {
  readonly id: string
  /** What `offer` would say now, without doing or counting anything. */
  probe(batch: CheckedBatch): Offer
  /** Takes it without waiting for a disk or an answer. */
  offer(batch: CheckedBatch): Offer
  /** Gives it a place, after a `probe` that was not `full`. */
  reserve(batch: CheckedBatch): Reservation
  /** The signals that the destination is known not to take. */
  unsupported(): readonly Signal[]
  /** Whether the destination has taken this signal, and not turned it away since. */
  takes(signal: Signal): boolean
  /** Since it was full the last time, it has not been clearly below its bound. */
  full(): boolean
  /**
   * Takes nothing more, gives what it holds one attempt each, and ends at the monotonic time `deadlineMs` at the latest.
   * What is left then is dropped and told, unless it is on disk: then it stays there. Closes the exporter.
   */
  close(deadlineMs: number): Promise<readonly Undelivered[]>
}

/** The queue counts as full until it is below this share, or the log would tell of every request. */
const RELIEVED = 0.75
/** Closing what is on disk is given so long, even where the destination has used up the time. */
const CLOSE_MS = 1000
/** When reading from the disk has failed, or has brought nothing of what is there. */
const READ_AGAIN_MS = 1000

export function queue(
  exporter: Exporter,
  world: World,
  log: Log,
  registry: Registry,
  options: QueueOptions,
  open: OpenStorage = memoryStorage,
): Queue {
  const { id } = exporter
  const full = fullness(id, options.whenFull, log)
  const storage = open({
    recovered(waiting, damaged, bytes) {
      const items = shelf.recovered(waiting, damaged, bytes)
      if (items > 0) log.info({ exporter: id, items }, 'found in the queue on disk; it is sent now')
      pump()
    },
    damaged: items => void shelf.dropStored(items, 'damaged'),
    failing: full.failing,
  })
  const shelf = new Shelf(world, registry, id, storage, options.sizeBytes)
  const { lanes } = shelf
  const busy = registry.gauge(
    'otlier_exporter_in_flight_requests',
    '{request}',
    'Consumers with a request under way.',
    { exporter: id },
  )

  let timer: Cancel | null = null
  let reading: Cancel | null = null
  let closed: Promise<readonly Undelivered[]> | null = null
  let deadlineMs = Number.POSITIVE_INFINITY
  let drained: (() => void) | null = null
  /** The service stops, and the destination did not take what it was given: the rest stays on disk. */
  let givenUp = false
  const stop = new AbortController()
  const kill = new AbortController()
  for (const { signal } of [stop, kill]) setMaxListeners(0, signal)

  const shut = gate(world)
  const ending = { stop: stop.signal, kill: kill.signal, deadlineMs: () => deadlineMs }
  const watched = watch(exporter, log, () => closed !== null)
  const deliver = delivery(
    {
      id,
      attempt: retry(watched, world, options.retry, shut, ending),
      account: signal => shelf.laneOf(signal).account,
      heard,
      over: () => kill.signal.aborted,
      isLasting: storage.isLasting,
    },
    world,
    log,
    options,
  )

  function probe(batch: CheckedBatch): Offer {
    if (closed !== null) return 'full'
    if (!shelf.laneOf(batch.signal).takes(world.monotonic())) return 'unsupported'
    const cost = costOf(batch)
    if (storage.isOpen()) {
      if (shelf.fits(cost)) return 'taken'
      if (options.whenFull === 'drop_oldest' && shelf.couldFit(cost)) return 'taken'
    }
    return options.whenFull === 'refuse' ? 'full' : 'dropped'
  }

  function offer(batch: CheckedBatch): Offer {
    const answer = probe(batch)
    if (answer === 'full') {
      full.lost(batch.items)
      return answer
    }
    const { stored, commit } = reserve(batch)
    if (stored === null) void commit()
    else void stored.then(commit)
    return answer
  }

  function reserve(batch: CheckedBatch): Reservation {
    const { account } = shelf.laneOf(batch.signal)
    const isOptional = options.whenFull !== 'refuse'
    const answer = probe(batch)
    if (answer !== 'taken')
      return { stored: null, isOptional: true, holds: false, commit: () => pass(answer), cancel() {} }
    const evicted = shelf.makeRoom(costOf(batch))
    if (evicted > 0) full.lost(evicted)
    const { place, stored } = shelf.give(batch)
    let stands: Stored = 'stored'
    return { stored: stored && settled(stored), isOptional, holds: true, commit, cancel: withdraw }

    async function settled(storing: Promise<boolean>): Promise<Stored> {
      stands = await inTime(world, batch, storing)
      return stands
    }

    function withdraw() {
      shelf.withdraw(place, batch)
      // Others may have waited behind it.
      pump()
    }

    function commit() {
      // What is on disk is delivered after the next start.
      if (stands !== 'stored' || (kill.signal.aborted && !storage.isLasting)) {
        withdraw()
        // What is late may still be read by the one who writes it.
        if (stands === 'failed') batch.loan?.letGo()
        return pass('dropped')
      }
      const isAwaited = options.acknowledge === 'delivered' && !kill.signal.aborted
      const answered = isAwaited ? awaited(world, batch, () => shelf.giveBack(place)) : null
      shelf.keep(place, batch, answered)
      if (full.isFull && shelf.bytes < options.sizeBytes * RELIEVED) full.relieved()
      // A timer that is set will come in time, unless there is enough to go now.
      if (timer === null || isReady(shelf.laneOf(batch.signal), world.monotonic())) pump()
      return answered?.outcome ?? null
    }

    function pass(why: Offer) {
      account.passed(batch.items, why === 'unsupported' ? 'unsupported' : 'queue_full')
      if (why !== 'unsupported') full.lost(batch.items)
      return null
    }
  }

  /** Starts as many consumers as there is work for, and sets the timer for the rest. */
  function pump() {
    timer?.()
    timer = null
    refill()
    while (busy.value < options.numConsumers && !givenUp) {
      const now = world.monotonic()
      const waiting = lanes.filter(lane => lane.length > 0)
      if (waiting.length === 0 || kill.signal.aborted) break
      // What a sender waits for goes back to it.
      if (now < shut.opensMs && options.acknowledge !== 'delivered') {
        if (closed === null || shut.opensMs <= deadlineMs) timer = world.after(shut.opensMs - now, pump)
        // The destination has asked to wait beyond the end: there is nothing to wait for.
        else if (busy.value === 0) drained?.()
        return
      }
      const lane = oldestOf(waiting.filter(candidate => isReady(candidate, now)))
      if (lane === null) {
        const sinceMs = Math.min(...waiting.map(candidate => (candidate.oldest as Entry).sinceMs))
        timer = world.after(Math.max(0, sinceMs + options.lingerMs - now), pump)
        return
      }
      consume(lane, shelf.take(lane, options.acknowledge === 'delivered' ? 0 : options.maxBatchBytes))
    }
    if (busy.value === 0 && (givenUp || !shelf.hasMore)) drained?.()
  }

  /** Brings what only the disk has to hand, in time for the next consumer. */
  function refill() {
    if (!shelf.hasMore || givenUp || kill.signal.aborted) return
    shelf.refill().then(
      hasCome => {
        if (hasCome) return pump()
        if (hasCome === null) return
        if (closed !== null && busy.value === 0) drained?.()
        readAgain()
      },
      error => {
        log.warn({ exporter: id, error }, 'the queue on disk cannot be read; it is tried again')
        readAgain()
      },
    )
  }

  function readAgain() {
    reading?.()
    reading = kill.signal.aborted ? null : world.after(READ_AGAIN_MS, pump)
  }

  function isReady(lane: Lane, now: number): boolean {
    const { oldest, newest } = lane
    if (oldest === null || newest === null) return false
    return (
      closed !== null ||
      options.acknowledge === 'delivered' ||
      now - oldest.sinceMs >= options.lingerMs ||
      lane.bytes >= options.maxBatchBytes ||
      // Nothing that comes now could join them.
      oldest.key !== newest.key
    )
  }

  function consume(lane: Lane, run: readonly Entry[]) {
    const { signal, headers } = run[0].batch
    busy.value++
    const done = () => {
      if (kill.signal.aborted) return
      busy.value--
      lane.unheard()
      pump()
    }
    const end = (entry: Entry) => (ticket: Ticket) => {
      if (ticket.isKept && storage.isLasting) givenUp = true
      else shelf.release(entry)
      entry.waiter?.answer(ticket.outcome)
    }
    const parts = run.map(entry => partOf(entry.batch, new Ticket(entry.waiter, end(entry))))
    deliver({ signal, headers, parts }).then(done, error => {
      log.error({ exporter: id, error }, 'a consumer of the sending queue failed')
      done()
    })
  }

  function heard(signal: Signal, supported: boolean) {
    const lane = shelf.laneOf(signal)
    if (supported) {
      if (lane.supported()) log.info({ exporter: id, signal }, `the destination takes ${signal} now`)
      return
    }
    const state = lane.refused(world.monotonic())
    const dropped = state === 'doubted' ? 0 : shelf.dropWaiting(lane, 'unsupported')
    const said = {
      doubted: `the destination answered as if it did not take ${signal}, which it did before`,
      news: `the destination does not take ${signal}; they are kept from it, and it is asked again every five minutes`,
      known: null,
    }[state]
    if (said !== null) log.warn({ exporter: id, signal, dropped }, said)
  }

  async function end(): Promise<readonly Undelivered[]> {
    const emptied = new Promise<void>(resolve => {
      drained = resolve
      // Retries first: then each of the waiting batches gets its attempt instead of waiting out a dead destination.
      stop.abort()
      pump()
    })
    await within(world, deadlineMs - world.monotonic(), emptied)
    timer?.()
    shelf.closeAccounts()
    kill.abort()
    reading?.()
    busy.value = 0
    await within(world, Math.max(deadlineMs - world.monotonic(), CLOSE_MS), storage.close())
    await exporter.close()
    const kept = lanes.reduce((sum, { account }) => sum + account.queued, 0)
    if (kept > 0)
      log.info({ exporter: id, items: kept }, 'what was not delivered is on disk, for the next start')
    return lanes
      .map(({ signal, account }) => ({ exporter: id, signal, items: account.dropped('shutdown') }))
      .filter(({ items }) => items > 0)
  }

  return {
    id,
    probe,
    offer,
    reserve,
    unsupported: () => lanes.filter(lane => lane.unsupported).map(lane => lane.signal),
    takes: signal => shelf.laneOf(signal).isProven,
    full: () => full.isFull || full.isFailing,
    close(untilMs) {
      if (closed === null) {
        deadlineMs = untilMs
        // `closed` has to stand before the first step of the end.
        closed = Promise.resolve().then(end)
      }
      return closed
    },
  }
}
