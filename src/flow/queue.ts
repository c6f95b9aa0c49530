//! The sending queue of one destination: bounded in bytes, oldest first, small requests merged on their way out.
import { setMaxListeners } from 'node:events'
import type { Registry } from '../base/counters.ts'
import type { Log } from '../base/log.ts'
import type { Cancel, World } from '../base/world.ts'
import { openGauges } from './accounts.ts'
import type { Kept, Queue, QueueOptions, QueueSettings, Undelivered } from './contract.ts'
import { delivery, partOf } from './delivery.ts'
import { type Entry, type Lane, oldestOf } from './lane.ts'
import { destinationNotices, RELIEVED } from './notices.ts'
import type { Offer, Reservation, Stored } from './offer.ts'
import { Pace } from './pace.ts'
import { awaited, inTime, within } from './patience.ts'
import { gate, retry } from './retry.ts'
import { costOf, Shelf } from './shelf.ts'
import { type CheckedBatch, type Exporter, ITEM_NAMES, type Signal } from './sink.ts'
import { memoryStorage, type OpenStorage } from './storage.ts'
import { Ticket } from './ticket.ts'
import { watch } from './watch.ts'

export type { Queue, QueueOptions, QueueSettings, Undelivered } from './contract.ts'

const MIB = 2 ** 20
/** The numbers of the conventions, for all but what is configured. */
export const QUEUE_LIMITS = { maxBatchBytes: 3.5 * MIB, maxRequestBytes: 64 * MIB, lingerMs: 20 }

/** Closing what is on disk is given so long, even where the destination has used up the time. */
const CLOSE_MS = 1000
/** When reading from the disk has failed, or has brought nothing of what is there. */
const READ_AGAIN_MS = 1000

export function queue(
  exporter: Exporter,
  world: World,
  log: Log,
  registry: Registry,
  initial: QueueOptions,
  open: OpenStorage = memoryStorage,
): Queue {
  const { id } = exporter
  let options = initial
  const notices = destinationNotices(id, log)
  const storage = open({
    recovered(waiting, damaged, bytes) {
      const items = shelf.recovered(waiting, damaged, bytes)
      if (items > 0) log.info({ exporter: id, items }, 'found in the queue on disk; it is sent now')
      pump()
    },
    damaged: items => void shelf.dropStored(items, 'damaged'),
    failing: cause => notices.failing(cause, options.whenFull),
  })
  const { held, busy, capacity } = openGauges(registry, id, options.sizeBytes)
  const shelf = new Shelf(world, registry, id, storage, held, () => options.sizeBytes, options.shared)
  const { lanes } = shelf
  // A destination that was taken out and has come back has accounts of before.
  const lostBefore = lanes.map(({ account }) => account.dropped('shutdown'))

  const pace = new Pace(world)
  let timer: Cancel | null = null
  let reading: Cancel | null = null
  let closed: Promise<readonly Undelivered[]> | null = null
  let deadlineMs = Number.POSITIVE_INFINITY
  let drained: (() => void) | null = null
  /** Places that have been given, and are neither promised nor taken back. */
  let reserved = 0
  /** It ends, and keeps on asking a destination that is away although nothing would be lost. */
  let isPatient = true
  /** The service stops, and the destination did not take what it was given: the rest stays on disk. */
  let givenUp = false
  const stop = new AbortController()
  const kill = new AbortController()
  let again = new AbortController()
  for (const { signal } of [stop, kill, again]) setMaxListeners(0, signal)

  const shut = gate(world)
  const signals = { stop: stop.signal, kill: kill.signal, again: () => again.signal }
  const ending = { ...signals, deadlineMs: () => deadlineMs, isKept: () => storage.isLasting && !isPatient }
  const watched = watch(exporter, log, notices, () => closed !== null)
  const deliver = delivery(
    {
      id,
      attempt: retry(watched, world, () => options.retry, shut, ending),
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
      notices.full(batch.items, options.whenFull)
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
    if (evicted > 0) notices.full(evicted, options.whenFull)
    const { place, stored } = shelf.give(batch)
    reserved++
    let stands: Stored = 'stored'
    return { stored: stored && settled(stored), isOptional, holds: true, commit, cancel }

    async function settled(storing: Promise<boolean>): Promise<Stored> {
      stands = await inTime(world, batch, storing)
      return stands
    }

    function cancel() {
      reserved--
      withdraw()
    }

    function withdraw() {
      shelf.withdraw(place, batch)
      // Others may have waited behind it.
      pump()
    }

    function commit() {
      reserved--
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
      notices.holds(shelf.bytes, options.sizeBytes)
      // A timer that is set will come in time, unless there is enough to go now.
      if (timer === null || isReady(shelf.laneOf(batch.signal), world.monotonic())) pump()
      return answered?.outcome ?? null
    }

    function pass(why: Offer) {
      account.passed(batch.items, why === 'unsupported' ? 'unsupported' : 'queue_full')
      if (why !== 'unsupported') notices.full(batch.items, options.whenFull)
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
    if (busy.value === 0 && reserved === 0 && (givenUp || !shelf.hasMore)) drained?.()
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
    const open = new Set(run)
    const done = () => {
      // Out of memory it is in any case; those without an answer keep their places.
      for (const entry of open) shelf.forget(entry.batch)
      if (kill.signal.aborted) return
      for (const { batch } of open) batch.loan?.letGo()
      busy.value--
      notices.holds(shelf.bytes, options.sizeBytes)
      lane.unheard()
      pump()
    }
    const end = (entry: Entry) => (ticket: Ticket) => {
      if (ticket.isKept && storage.isLasting) givenUp = true
      else {
        open.delete(entry)
        pace.note(entry.costBytes)
        shelf.release(entry)
      }
      entry.waiter?.answer(ticket.outcome)
    }
    const parts = run.map(entry => partOf(entry.batch, new Ticket(entry.waiter, end(entry))))
    deliver({ signal, headers, parts }).then(done, error => {
      log.error({ exporter: id, error }, 'a consumer of the sending queue failed')
      for (const entry of kill.signal.aborted ? [] : open) {
        open.delete(entry)
        shelf.release(entry)
      }
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
    notices.holds(shelf.bytes, options.sizeBytes)
    const name = ITEM_NAMES[signal].replace('_', ' ')
    const said = {
      doubted: `the destination answered as if it did not take ${signal}, which it did before`,
      news: `the destination does not take ${signal}; ${name} are kept from it, and it is asked again every five minutes`,
      known: null,
    }[state]
    if (said !== null) log.warn({ exporter: id, signal, dropped }, said)
  }

  async function end(): Promise<readonly Undelivered[]> {
    const emptied = new Promise<void>(resolve => {
      drained = resolve
      // Nobody sleeps from now on for longer than a moment: a destination that comes back within the time gets everything.
      stop.abort()
      pump()
    })
    await within(world, deadlineMs - world.monotonic(), emptied)
    timer?.()
    timer = null
    shelf.closeAccounts()
    kill.abort()
    reading?.()
    busy.value = 0
    const lost = await within(world, Math.max(deadlineMs - world.monotonic(), CLOSE_MS), storage.close())
    shelf.dropStored(lost ?? storage.atRisk(), 'shutdown')
    await watched.close()
    return undelivered()
  }
  const undelivered = () =>
    lanes
      .map(({ signal, account }, at) => {
        const left = storage.isLasting ? 0 : account.queued + account.inFlight
        return { exporter: id, signal, items: left + account.dropped('shutdown') - lostBefore[at] }
      })
      .filter(({ items }) => items > 0)

  function kept(): Kept | null {
    const items = lanes.reduce((sum, { account }) => sum + account.queued, 0)
    return storage.path === null || items === 0 ? null : { items, path: storage.path }
  }

  function change(settings: QueueSettings) {
    options = { ...options, ...settings }
    capacity.value = options.sizeBytes
    notices.holds(shelf.bytes, options.sizeBytes)
    shut.open()
    const waiting = again
    again = new AbortController()
    setMaxListeners(0, again.signal)
    waiting.abort()
    pump()
  }

  return {
    id,
    probe,
    offer,
    reserve,
    unsupported: () => lanes.filter(lane => lane.unsupported).map(lane => lane.signal),
    takes: signal => shelf.laneOf(signal).isProven,
    full: () => notices.isFull(),
    retryAfterMs: () => pace.retryAfterMs(shelf.bytes - options.sizeBytes * RELIEVED),
    undelivered,
    kept,
    change,
    close(untilMs, patient = false) {
      isPatient &&= patient
      if (closed === null) {
        deadlineMs = untilMs
        // `closed` has to stand before the first step of the end.
        closed = Promise.resolve().then(end)
      }
      return closed
    },
  }
}
