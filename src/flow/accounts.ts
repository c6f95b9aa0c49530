//! The accounts of one destination and signal: every item that it was given stands in exactly one of them at every instant.
import type { Cell, Registry } from '../base/counters.ts'
import { ITEM_NAMES, type Signal } from './sink.ts'

/** Why something left the queue undelivered. `returned`: its sender has been told so. `damaged`: the disk has not kept it. */
export type Dropped =
  | 'queue_full'
  | 'unsupported'
  | 'expired'
  | 'too_large'
  | 'returned'
  | 'damaged'
  | 'shutdown'
/** Why something never entered it, although it was accepted. */
export type Passed = 'queue_full' | 'unsupported'

/** `enqueued + recovered = sent + rejected + dropped + queued + in_flight`, in items. Each method is one step of it. */
export interface Account {
  /** Passed over: it was accepted, and this destination does not get it. */
  passed(items: number, reason: Passed): void
  enqueued(items: number): void
  /** Found in the queue on disk at the start. */
  recovered(items: number): void
  /** Out of the queue, on its way. */
  taken(items: number): void
  /** The destination has answered for `items` in flight, and rejected some of them. */
  sent(items: number, rejected: number): void
  /** On its way when the service stops, and still on disk. */
  kept(items: number): void
  droppedFromQueue(items: number, reason: Dropped): void
  droppedInFlight(items: number, reason: Dropped): void
  readonly queued: number
  readonly inFlight: number
  /** Dropped so far for this reason. */
  dropped(reason: Dropped): number
}

const UNITS = { traces: '{span}', metrics: '{datapoint}', logs: '{log_record}' } as const

/** Registers the metrics of one destination and signal, all of them at zero, so that a rate can be taken of the first. */
export function openAccount(registry: Registry, exporter: string, signal: Signal): Account {
  const name = ITEM_NAMES[signal]
  const words = name.replace('_', ' ')
  const counter = (what: string, help: string, reason?: string) =>
    registry.counter(`otlier_exporter_${what}_${name}`, UNITS[signal], help, {
      exporter,
      ...(reason === undefined ? {} : { reason }),
    })
  const gauge = (what: string, help: string) =>
    registry.gauge(`otlier_exporter_${what}_${name}`, UNITS[signal], help, { exporter })

  const enqueued = counter('enqueued', `Number of ${words} that the sending queue has taken.`)
  const recovered = counter('recovered', `Number of ${words} found in the queue on disk at the start.`)
  const sent = counter('sent', `Number of ${words} that the destination has taken.`)
  const rejected = counter('rejected', `Number of ${words} that the destination refused for good.`)
  const sendFailed = counter('send_failed', `Number of ${words} rejected or dropped.`)
  const queued = gauge('queued', `Number of ${words} in the sending queue.`)
  const inFlight = gauge('in_flight', `Number of ${words} on their way, or waiting to be sent again.`)
  const byReason = <R extends string>(reasons: readonly R[], what: string, help: string) =>
    Object.fromEntries(reasons.map(reason => [reason, counter(what, help, reason)])) as Record<R, Cell>
  const failed = byReason<Passed>(
    ['queue_full', 'unsupported'],
    'enqueue_failed',
    `Number of ${words} that were accepted and never entered the sending queue.`,
  )
  const dropped = byReason<Dropped>(
    ['queue_full', 'unsupported', 'expired', 'too_large', 'returned', 'damaged', 'shutdown'],
    'dropped',
    `Number of ${words} that left the sending queue undelivered.`,
  )

  function drop(items: number, reason: Dropped, from: Cell) {
    from.value -= items
    dropped[reason].value += items
    sendFailed.value += items
  }
  return {
    passed: (items, reason) => void (failed[reason].value += items),
    enqueued(items) {
      enqueued.value += items
      queued.value += items
    },
    recovered(items) {
      recovered.value += items
      queued.value += items
    },
    kept(items) {
      inFlight.value -= items
      queued.value += items
    },
    taken(items) {
      queued.value -= items
      inFlight.value += items
    },
    sent(items, refused) {
      inFlight.value -= items
      sent.value += items - refused
      rejected.value += refused
      sendFailed.value += refused
    },
    droppedFromQueue: (items, reason) => drop(items, reason, queued),
    droppedInFlight: (items, reason) => drop(items, reason, inFlight),
    get queued() {
      return queued.value
    },
    get inFlight() {
      return inFlight.value
    },
    dropped: reason => dropped[reason].value,
  }
}

/** What a queue of `sizeBytes` shows of itself beside its accounts. */
export function openGauges(
  registry: Registry,
  exporter: string,
  sizeBytes: number,
): { held: Cell; busy: Cell; capacity: Cell } {
  const held = registry.gauge(
    'otlier_exporter_queue_size',
    'By',
    'Bytes that the queue holds, waiting and under way.',
    { exporter },
  )
  const capacity = registry.gauge('otlier_exporter_queue_capacity', 'By', 'Bytes that the queue may hold.', {
    exporter,
  })
  const busy = registry.gauge(
    'otlier_exporter_in_flight_requests',
    '{request}',
    'Consumers with a request under way.',
    { exporter },
  )
  capacity.value = sizeBytes
  return { held, busy, capacity }
}
