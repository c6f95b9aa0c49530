//! The sending queue of one destination: bounded in bytes, oldest first, small requests merged on their way out.
import { setMaxListeners } from 'node:events'
import type { Registry } from '../base/counters.ts'
import { Failure } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Cancel, World } from '../base/world.ts'
import { openAccount } from './accounts.ts'
import { type DeliveryOptions, delivery } from './delivery.ts'
import { type Entry, headerKey, Lane, oldestOf } from './lane.ts'
import { gate, type RetryOptions, retry } from './retry.ts'
import {
  type Answer,
  type CheckedBatch,
  type Exporter,
  ITEM_NAMES,
  SIGNALS,
  type Signal,
  sizeOf,
} from './sink.ts'

export type WhenFull = 'refuse' | 'drop_newest' | 'drop_oldest'

export interface QueueOptions extends DeliveryOptions {
  /** What the destination may hold, waiting and under way, with ENTRY_BYTES for each batch. */
  readonly sizeBytes: number
  readonly whenFull: WhenFull
  readonly numConsumers: number
  /** So long a batch waits for others to go with, unless they fill a request: fifteen in one cost a third of the CPU (measured). */
  readonly lingerMs: number
  readonly retry: RetryOptions
}

const MIB = 2 ** 20
/** The numbers of the conventions, for all but what is configured. */
export const QUEUE_LIMITS = { maxBatchBytes: 3.5 * MIB, maxRequestBytes: 64 * MIB, lingerMs: 20 }

/**
 * `taken`: it will be delivered, or stand in an account that says why not, and its loan is let go of. `full`: the sender is to come again.
 * `dropped`, `unsupported`: this destination passes it over.
 */
export type Offer = 'taken' | 'full' | 'dropped' | 'unsupported'

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
  offer(batch: CheckedBatch): Offer
  /** The signals that the destination is known not to take. */
  unsupported(): readonly Signal[]
  /** Whether the destination has taken this signal, and not turned it away since. */
  takes(signal: Signal): boolean
  /** Since it was full the last time, it has not been clearly below its bound. */
  full(): boolean
  /**
   * Takes nothing more, gives what it holds one attempt each, and ends at the monotonic time `deadlineMs` at the latest.
   * What is left then is dropped and told. Closes the exporter.
   */
  close(deadlineMs: number): Promise<readonly Undelivered[]>
}

/** What a batch weighs beside its bytes, so that even empty ones fill the queue. */
const ENTRY_BYTES = 256
/** The queue counts as full until it is below this share, or the log would tell of every request. */
const RELIEVED = 0.75

export function queue(
  exporter: Exporter,
  world: World,
  log: Log,
  registry: Registry,
  options: QueueOptions,
): Queue {
  const { id } = exporter
  const lanes = SIGNALS.map(signal => new Lane(signal, openAccount(registry, id, signal)))
  const laneOf = (signal: Signal) => lanes[SIGNALS.indexOf(signal)]
  const held = registry.gauge(
    'otlier_exporter_queue_size',
    'By',
    'Bytes that the queue holds, waiting and under way.',
    { exporter: id },
  )
  const capacity = registry.gauge('otlier_exporter_queue_capacity', 'By', 'Bytes that the queue may hold.', {
    exporter: id,
  })
  const busy = registry.gauge(
    'otlier_exporter_in_flight_requests',
    '{request}',
    'Consumers with a request under way.',
    { exporter: id },
  )
  capacity.value = options.sizeBytes

  let order = 0
  let fullItems: number | null = null
  let timer: Cancel | null = null
  let closed: Promise<readonly Undelivered[]> | null = null
  let deadlineMs = Number.POSITIVE_INFINITY
  let drained: (() => void) | null = null
  const stop = new AbortController()
  const kill = new AbortController()
  for (const { signal } of [stop, kill]) setMaxListeners(0, signal)

  const shut = gate(world)
  const ending = { stop: stop.signal, kill: kill.signal, deadlineMs: () => deadlineMs }
  let away = false
  const watched: Exporter = {
    id,
    async export(request) {
      try {
        const answer = await exporter.export(request)
        noteAnswer(answer)
        return answer
      } catch (error) {
        // A bug in an exporter costs the request, not the service.
        log.error({ exporter: id, error }, 'the exporter failed on a request')
        return { kind: 'refused', cause: new Failure('OTLIER_INTERNAL', undefined, error) }
      }
    },
    close: () => exporter.close(),
  }

  /** Tells when the destination stops taking requests, and when it begins again. */
  function noteAnswer(answer: Answer) {
    if (closed !== null || away === (answer.kind === 'busy')) return
    away = answer.kind === 'busy'
    if (answer.kind !== 'busy') return log.info({ exporter: id }, 'the destination answers again')
    log.warn(
      { exporter: id, cause: answer.cause.message },
      'the destination is away or busy; what is for it waits',
    )
  }

  const deliver = delivery(
    {
      id,
      attempt: retry(watched, world, options.retry, shut, ending),
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
    if (answer === 'full') noteFull(batch.items)
    if (answer === 'dropped') {
      lane.account.passed(batch.items, 'queue_full')
      noteFull(batch.items)
    }
    if (answer === 'unsupported') lane.account.passed(batch.items, 'unsupported')
    if (answer !== 'taken') return answer
    const costBytes = sizeOf(batch) + ENTRY_BYTES
    while (!fits(costBytes)) evictOldest()
    lane.push({ batch, key: headerKey(batch.headers), costBytes, order: order++, sinceMs: world.monotonic() })
    lane.account.enqueued(batch.items)
    held.value += costBytes
    if (fullItems !== null && held.value < options.sizeBytes * RELIEVED) noteRelieved()
    // A timer that is set will come in time, unless there is enough to go now.
    if (timer === null || isReady(lane, world.monotonic())) pump()
    return 'taken'
  }

  function noteFull(items: number) {
    if (fullItems === null) {
      const consequence =
        options.whenFull === 'refuse' ? 'senders are asked to come again' : 'telemetry is being lost'
      log.warn({ exporter: id, when_full: options.whenFull }, `the sending queue is full; ${consequence}`)
    }
    fullItems = (fullItems ?? 0) + items
  }

  function noteRelieved() {
    const what = options.whenFull === 'refuse' ? 'refused' : 'dropped'
    log.info({ exporter: id, [what]: fullItems }, 'the sending queue has room again')
    fullItems = null
  }

  function evictOldest() {
    const lane = oldestOf(lanes) as Lane
    const { batch, costBytes } = lane.shift()
    held.value -= costBytes
    batch.loan?.letGo()
    lane.account.droppedFromQueue(batch.items, 'queue_full')
    noteFull(batch.items)
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
      if (kill.signal.aborted) return
      busy.value--
      held.value -= cost
      for (const { batch } of run) batch.loan?.letGo()
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
      const { batch, costBytes } = lane.shift()
      held.value -= costBytes
      batch.loan?.letGo()
      lane.account.droppedFromQueue(batch.items, 'unsupported')
      items += batch.items
    }
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
      // Retries first: then each of the waiting batches gets its attempt instead of waiting out a dead destination.
      stop.abort()
      pump()
    })
    timer?.()
    timer = null
    for (const lane of lanes) {
      while (lane.length > 0) lane.account.droppedFromQueue(lane.shift().batch.items, 'shutdown')
      lane.account.droppedInFlight(lane.account.inFlight, 'shutdown')
    }
    kill.abort()
    held.value = 0
    busy.value = 0
    await exporter.close()
    return lanes
      .map(({ signal, account }) => ({ exporter: id, signal, items: account.dropped('shutdown') }))
      .filter(({ items }) => items > 0)
  }

  return {
    id,
    probe,
    offer,
    unsupported: () => lanes.filter(lane => lane.unsupported).map(lane => lane.signal),
    takes: signal => laneOf(signal).isProven,
    full: () => fullItems !== null,
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
