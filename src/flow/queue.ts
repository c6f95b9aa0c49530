//! The sending queue of one destination: bounded in bytes, oldest first, small requests merged on their way out.
import { setMaxListeners } from 'node:events'
import type { Registry } from '../base/counters.ts'
import { Failure } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Cancel, World } from '../base/world.ts'
import { openAccount, openGauges } from './accounts.ts'
import { type DeliveryOptions, delivery } from './delivery.ts'
import type { Held } from './held.ts'
import { type Entry, headerKey, Lane, oldestOf } from './lane.ts'
import { destinationNotices, RELIEVED, type WhenFull } from './notices.ts'
import { Pace } from './pace.ts'
import { gate, type RetryOptions, retry } from './retry.ts'
import { type CheckedBatch, type Exporter, ITEM_NAMES, SIGNALS, type Signal, sizeOf } from './sink.ts'

/** What a queue may be told while it runs. */
export interface QueueSettings {
  /** What the destination may hold, waiting and under way, with ENTRY_BYTES for each batch. */
  readonly sizeBytes: number
  readonly whenFull: WhenFull
  readonly numConsumers: number
  readonly retry: RetryOptions
}

export interface QueueOptions extends DeliveryOptions, QueueSettings {
  /** So long a batch waits for others to go with, unless they fill a request: fifteen in one cost a third of the CPU (measured). */
  readonly lingerMs: number
  /** Told of every batch that comes and goes: what all queues hold together. */
  readonly shared?: Held
}

const MIB = 2 ** 20
/** The numbers of the conventions, for all but what is configured. */
export const QUEUE_LIMITS = { maxBatchBytes: 3.5 * MIB, maxRequestBytes: 64 * MIB, lingerMs: 20 }

/**
 * `taken`: it will be delivered, or stand in an account that says why not, and its loan is let go of. `full`: the sender is to come again.
 * `dropped`, `unsupported`: this destination passes it over.
 */
export type Offer = 'taken' | 'full' | 'dropped' | 'unsupported'

/** What is left of a signal when stopping ends, or would be if it ended now. */
export interface Undelivered {
  readonly exporter: string
  readonly signal: Signal
  readonly items: number
}

export interface Queue {
  readonly id: string
  /** What `offer` would say now, without doing or counting anything. */
  probe(batch: CheckedBatch): Offer
  offer(batch: CheckedBatch): Offer
  /** The signals that the destination is known not to take. */
  unsupported(): readonly Signal[]
  /** Whether the destination has taken this signal, and not turned it away since. */
  takes(signal: Signal): boolean
  /** Since it was full the last time, it has not been clearly below its bound. */
  full(): boolean
  /** What would be lost if the process ended now, and what stopping has lost already: in items, signals without any left out. */
  undelivered(): readonly Undelivered[]
  /** When a sender that it turned away should come again: as soon as it should be clearly below its bound. */
  retryAfterMs(): number
  /**
   * From now on these settings are in force, for what it holds too; a request under way keeps those it began with. Whoever
   * waits to send again asks at once: there is reason to hope.
   */
  change(settings: QueueSettings): void
  /**
   * Takes nothing more, and ends when what it holds is delivered, at the monotonic time `deadlineMs` at the latest. What is
   * left then is dropped and told. Closes the exporter.
   */
  close(deadlineMs: number): Promise<readonly Undelivered[]>
}

/** What a batch weighs beside its bytes, so that even empty ones fill the queue. */
const ENTRY_BYTES = 256

export function queue(
  exporter: Exporter,
  world: World,
  log: Log,
  registry: Registry,
  initial: QueueOptions,
): Queue {
  const { id } = exporter
  let options = initial
  const notices = destinationNotices(id, log)
  const lanes = SIGNALS.map(signal => new Lane(signal, openAccount(registry, id, signal)))
  const laneOf = (signal: Signal) => lanes[SIGNALS.indexOf(signal)]
  const { held, busy, capacity } = openGauges(registry, id, options.sizeBytes)
  // A destination that was taken out and has come back has accounts of before.
  const lostBefore = lanes.map(({ account }) => account.dropped('shutdown'))

  const pace = new Pace(world)
  let order = 0
  let timer: Cancel | null = null
  let closed: Promise<readonly Undelivered[]> | null = null
  let deadlineMs = Number.POSITIVE_INFINITY
  let drained: (() => void) | null = null
  const stop = new AbortController()
  const kill = new AbortController()
  let again = new AbortController()
  for (const { signal } of [stop, kill, again]) setMaxListeners(0, signal)

  const shut = gate(world)
  const signals = { stop: stop.signal, kill: kill.signal, again: () => again.signal }
  const ending = { ...signals, deadlineMs: () => deadlineMs }
  const watched: Exporter = {
    id,
    async export(request) {
      try {
        const answer = await exporter.export(request)
        if (closed === null) notices.answered(answer)
        return answer
      } catch (error) {
        // A bug in an exporter costs the request, not the service.
        log.error({ exporter: id, error }, 'the exporter failed on a request')
        return { kind: 'refused', cause: new Failure('OTLIER_INTERNAL', undefined, error) }
      }
    },
    // Nor may one that cannot be closed cost the report of what was lost.
    close: () =>
      exporter.close().catch(error => log.error({ exporter: id, error }, 'the exporter failed to close')),
  }

  const deliver = delivery(
    {
      id,
      attempt: retry(watched, world, () => options.retry, shut, ending),
      account: signal => laneOf(signal).account,
      heard,
      over: () => kill.signal.aborted,
    },
    world,
    log,
    options,
  )

  function probe(batch: CheckedBatch): Offer {
    if (closed !== null) return 'full'
    if (!laneOf(batch.signal).takes(world.monotonic())) return 'unsupported'
    const cost = sizeOf(batch) + ENTRY_BYTES
    if (fits(cost)) return 'taken'
    if (options.whenFull === 'refuse') return 'full'
    return options.whenFull === 'drop_oldest' && held.value - waitingBytes() + cost <= options.sizeBytes
      ? 'taken'
      : 'dropped'
  }

  // A batch larger than the whole queue is taken when the queue holds nothing, or it could never pass.
  const fits = (cost: number) => held.value === 0 || held.value + cost <= options.sizeBytes

  const waitingBytes = () => lanes.reduce((sum, lane) => sum + lane.bytes + lane.length * ENTRY_BYTES, 0)

  function offer(batch: CheckedBatch): Offer {
    const lane = laneOf(batch.signal)
    const answer = probe(batch)
    if (answer === 'full') notices.full(batch.items, options.whenFull)
    if (answer === 'dropped') {
      lane.account.passed(batch.items, 'queue_full')
      notices.full(batch.items, options.whenFull)
    }
    if (answer === 'unsupported') lane.account.passed(batch.items, 'unsupported')
    if (answer !== 'taken') return answer
    const costBytes = sizeOf(batch) + ENTRY_BYTES
    while (!fits(costBytes)) evictOldest()
    lane.push({ batch, key: headerKey(batch.headers), costBytes, order: order++, sinceMs: world.monotonic() })
    lane.account.enqueued(batch.items)
    held.value += costBytes
    options.shared?.take(batch)
    // A timer that is set will come in time, unless there is enough to go now.
    if (timer === null || isReady(lane, world.monotonic())) pump()
    return 'taken'
  }

  /** The oldest, which is not going to be sent. */
  function takeOut(lane: Lane): CheckedBatch {
    const { batch, costBytes } = lane.shift()
    held.value -= costBytes
    options.shared?.release(batch)
    batch.loan?.letGo()
    return batch
  }

  function evictOldest() {
    const lane = oldestOf(lanes) as Lane
    const batch = takeOut(lane)
    lane.account.droppedFromQueue(batch.items, 'queue_full')
    notices.full(batch.items, options.whenFull)
  }

  /** Starts as many consumers as there is work for, and sets the timer for the rest. */
  function pump() {
    timer?.()
    timer = null
    while (busy.value < options.numConsumers) {
      const now = world.monotonic()
      const waiting = lanes.filter(lane => lane.length > 0)
      if (waiting.length === 0 || kill.signal.aborted) break
      if (now < shut.opensMs) {
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
      consume(lane, lane.takeRun(options.maxBatchBytes))
    }
    if (busy.value === 0) drained?.()
  }

  function isReady(lane: Lane, now: number): boolean {
    const { oldest, newest } = lane
    if (oldest === null || newest === null) return false
    return (
      closed !== null ||
      now - oldest.sinceMs >= options.lingerMs ||
      lane.bytes >= options.maxBatchBytes ||
      // Nothing that comes now could join them.
      oldest.key !== newest.key
    )
  }

  function consume(lane: Lane, run: readonly Entry[]) {
    const parts = run.map(({ batch }) => batch)
    const { signal, headers } = run[0].batch
    let cost = 0
    for (const { batch, costBytes } of run) {
      lane.account.taken(batch.items)
      cost += costBytes
    }
    busy.value++
    const done = () => {
      for (const { batch } of run) options.shared?.release(batch)
      if (kill.signal.aborted) return
      busy.value--
      held.value -= cost
      pace.note(cost)
      for (const { batch } of run) batch.loan?.letGo()
      notices.holds(held.value, options.sizeBytes)
      lane.unheard()
      pump()
    }
    deliver({ signal, headers, parts }).then(done, error => {
      log.error({ exporter: id, error }, 'a consumer of the sending queue failed')
      done()
    })
  }

  function heard(signal: Signal, supported: boolean) {
    const lane = laneOf(signal)
    const name = ITEM_NAMES[signal].replace('_', ' ')
    if (supported) {
      if (lane.supported()) log.info({ exporter: id, signal }, `the destination takes ${signal} now`)
      return
    }
    const state = lane.refused(world.monotonic())
    if (state === 'doubted') {
      log.warn(
        { exporter: id, signal },
        `the destination answered as if it did not take ${signal}, which it did before`,
      )
      return
    }
    let items = 0
    while (lane.length > 0) {
      const batch = takeOut(lane)
      lane.account.droppedFromQueue(batch.items, 'unsupported')
      items += batch.items
    }
    notices.holds(held.value, options.sizeBytes)
    if (state === 'news') {
      log.warn(
        { exporter: id, signal, dropped: items },
        `the destination does not take ${signal}; ${name} are kept from it, and it is asked again every five minutes`,
      )
    }
  }

  async function end(): Promise<readonly Undelivered[]> {
    await new Promise<void>(resolve => {
      const cancel = world.after(Math.max(0, deadlineMs - world.monotonic()), resolve)
      drained = () => {
        cancel()
        resolve()
      }
      // Nobody sleeps from now on for longer than a moment: a destination that comes back within the time gets everything.
      stop.abort()
      pump()
    })
    timer?.()
    timer = null
    for (const lane of lanes) {
      while (lane.length > 0) lane.account.droppedFromQueue(takeOut(lane).items, 'shutdown')
      lane.account.droppedInFlight(lane.account.inFlight, 'shutdown')
    }
    kill.abort()
    held.value = 0
    busy.value = 0
    await watched.close()
    return undelivered()
  }

  const undelivered = () =>
    lanes
      .map(({ signal, account }, at) => {
        const items = account.queued + account.inFlight + account.dropped('shutdown') - lostBefore[at]
        return { exporter: id, signal, items }
      })
      .filter(({ items }) => items > 0)

  function change(settings: QueueSettings) {
    options = { ...options, ...settings }
    capacity.value = options.sizeBytes
    notices.holds(held.value, options.sizeBytes)
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
    unsupported: () => lanes.filter(lane => lane.unsupported).map(lane => lane.signal),
    takes: signal => laneOf(signal).isProven,
    full: () => notices.isFull(),
    retryAfterMs: () => pace.retryAfterMs(held.value - options.sizeBytes * RELIEVED),
    undelivered,
    change,
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
