//! The receivers' side of the accounts: what was accepted, and what was turned away.
import type { Registry } from '../base/counters.ts'
import type { World } from '../base/world.ts'
import { type Batch, type CheckedBatch, ITEM_NAMES, SIGNALS, type Signal, type Sink } from './sink.ts'

/** Counts the items of what `next` accepts, and of what it turns away. */
export function counted(next: Sink<CheckedBatch>, world: World, registry: Registry): Sink<CheckedBatch> {
  let lastMs = world.monotonic()
  const silence = registry.gauge(
    'otlier.receiver.silence',
    's',
    'Time since telemetry came in, or since the start.',
  )
  registry.beforeRead(() => {
    silence.value = (world.monotonic() - lastMs) / 1000
  })
  const cells = SIGNALS.map(signal => ({
    accepted: itemCounter(registry, 'receiver_accepted', signal, 'that were accepted'),
    refused: itemCounter(registry, 'receiver_refused', signal, 'that were turned away'),
  }))
  return {
    async send(batch) {
      lastMs = world.monotonic()
      const { accepted, refused } = cells[SIGNALS.indexOf(batch.signal)]
      let isTaken = false
      const outcome = await next.send(batch, () => {
        isTaken = true
        accepted.value += batch.items
      })
      // What was taken and then handed back stands in the accounts of the destinations.
      if (!isTaken) refused.value += batch.items
      return outcome
    },
    close: () => next.close(),
  }
}

/** Counts what Otlier itself puts into the pipelines, where it is taken. */
export function generated(next: Sink<CheckedBatch>, registry: Registry): Sink<CheckedBatch> {
  const cells = SIGNALS.map(signal =>
    itemCounter(registry, 'generated', signal, 'that Otlier itself has put into the pipelines'),
  )
  return {
    async send(batch) {
      return next.send(batch, () => {
        cells[SIGNALS.indexOf(batch.signal)].value += batch.items
      })
    },
    close: () => next.close(),
  }
}

/** Counts requests that were refused before their items could be. */
export function refusedRequests(registry: Registry): (signal: Signal | null, reason: string) => void {
  return (signal, reason) => {
    registry.counter(
      'otlier_receiver_refused_requests',
      '{request}',
      'Requests that were refused before their items could be counted: too large, malformed, or of no known kind.',
      { signal: signal ?? 'none', reason },
    ).value++
  }
}

/** Passes batches on, and tells of those whose bytes are not OTLP. */
export function watchMalformed(next: Sink, refused: (signal: Signal, reason: string) => void): Sink {
  return {
    async send(batch: Batch) {
      const outcome = await next.send(batch)
      if (outcome.kind === 'refused' && outcome.cause.code === 'OTLIER_MALFORMED')
        refused(batch.signal, outcome.cause.code)
      return outcome
    },
    close: () => next.close(),
  }
}

const UNITS = { traces: '{span}', metrics: '{datapoint}', logs: '{log_record}' } as const

const itemCounter = (registry: Registry, what: string, signal: Signal, help: string) =>
  registry.counter(
    `otlier_${what}_${ITEM_NAMES[signal]}`,
    UNITS[signal],
    `Number of ${ITEM_NAMES[signal].replace('_', ' ')} ${help}.`,
  )
