//! The law of the accounts: after every step of a random history each item stands in exactly one of them.
import { expect, test } from 'vitest'
import { Registry } from '../../src/base/counters.ts'
import { silentLog } from '../../src/base/log.ts'
import { type Queue, type QueueOptions, queue } from '../../src/flow/queue.ts'
import { RETRY_DEFAULTS } from '../../src/flow/retry.ts'
import { type Answer, ITEM_NAMES, SIGNALS, type Signal } from '../../src/flow/sink.ts'
import {
  BUSY,
  busyFor,
  DELIVERED,
  partial,
  REFUSED,
  type Seen,
  scriptedExporter,
  TOO_LARGE,
  UNSUPPORTED,
} from '../kit/exporter.ts'
import { between, chance, forSeedsAsync, int, pick, type Random } from '../kit/random.ts'
import { simulatedWorld } from '../kit/world.ts'
import { concat, delimited } from '../oracle/bytes.ts'

const REASONS = ['queue_full', 'unsupported', 'expired', 'too_large', 'returned', 'damaged', 'shutdown']

/** What the test itself has counted: of one signal, in items. */
interface Tally {
  taken: number
  passed: number
  delivered: number
}

test('enqueued = sent + rejected + dropped + queued + in flight, at every instant of any history', async () => {
  const seen = new Set<string>()
  await forSeedsAsync(40, async (random, seed) => {
    const world = simulatedWorld(seed)
    const registry = new Registry()
    const mood = { weights: moods(random) }
    const tallies = Object.fromEntries(
      SIGNALS.map(signal => [signal, { taken: 0, passed: 0, delivered: 0 }]),
    ) as Record<Signal, Tally>
    const exporter = scriptedExporter(world, async request => {
      await world.sleep(int(random, 3) * int(random, 4000))
      const answer = answerOf(random, mood.weights, request)
      if (answer.kind === 'delivered') {
        tallies[request.signal].delivered +=
          request.items - Math.min(request.items, Math.max(0, answer.rejectedItems))
      }
      balance()
      return answer
    })
    const options: QueueOptions = {
      sizeBytes: pick(random, [2000, 20_000]),
      whenFull: pick(random, ['refuse', 'drop_newest', 'drop_oldest']),
      numConsumers: between(random, 1, 4),
      maxBatchBytes: pick(random, [100, 400, 5000]),
      maxRequestBytes: pick(random, [300, 5000]),
      lingerMs: int(random, 10),
      retry: {
        ...RETRY_DEFAULTS,
        enabled: chance(random, 0.8),
        maxElapsedTimeMs: pick(random, [20_000, 300_000]),
      },
    }
    const sending = queue(exporter, world, silentLog, registry, options)

    function balance() {
      for (const signal of SIGNALS) checkBalance(registry, signal, tallies[signal], seen)
    }
    for (let steps = 0; steps < 100; steps++) {
      if (chance(random, 0.6)) offerOne(random, sending, tallies)
      else await world.advance(int(random, 2) * int(random, 5000))
      if (chance(random, 0.05)) mood.weights = moods(random)
      balance()
    }
    const closing = sending.close(world.monotonic() + int(random, 3) * 3000)
    await world.advance(6000)
    const lost = await closing
    balance()
    for (const signal of SIGNALS) {
      const read = reader(registry, signal)
      expect(read('queued') + read('in_flight')).toBe(0)
      expect(lost.find(one => one.signal === signal)?.items ?? 0).toBe(read('dropped', 'shutdown'))
    }
    expect(registry.read('otlier_exporter_queue_size', { exporter: exporter.id })).toBe(0)
    expect(world.timers(), 'timers left behind').toBe(exporter.open)
  })
  // The histories have been everywhere, or the balance says little. One seed alone need not have been.
  if (process.env['OTLIER_SEED'] !== undefined) return
  expect([...seen].sort()).toEqual([
    'expired',
    'in_flight',
    'queue_full',
    'queued',
    'rejected',
    'sent',
    'shutdown',
    'too_large',
    'unsupported',
  ])
})

function reader(registry: Registry, signal: Signal) {
  return (what: string, reason?: string) =>
    registry.read(`otlier_exporter_${what}_${ITEM_NAMES[signal]}`, {
      exporter: 'otlp/test',
      ...(reason === undefined ? {} : { reason }),
    })
}

function checkBalance(registry: Registry, signal: Signal, tally: Tally, seen: Set<string>) {
  const read = reader(registry, signal)
  const dropped = REASONS.map(reason => read('dropped', reason))
  const sum = dropped.reduce((total, items) => total + items, 0)
  const [sent, rejected, queued, inFlight] = ['sent', 'rejected', 'queued', 'in_flight'].map(what =>
    read(what),
  )
  const broken =
    (read('enqueued') !== tally.taken && 'enqueued is not what was taken') ||
    (read('enqueue_failed', 'queue_full') + read('enqueue_failed', 'unsupported') !== tally.passed &&
      'enqueue_failed') ||
    (sent + rejected + sum + queued + inFlight !== tally.taken && 'the accounts do not balance') ||
    (read('send_failed') !== rejected + sum && 'send_failed is not what failed') ||
    // An answer is counted a moment after it was given, or not at all once the queue is closed.
    (sent > tally.delivered && 'more is sent than was delivered') ||
    (Math.min(sent, rejected, queued, inFlight, ...dropped) < 0 && 'an account is below zero')
  if (broken)
    expect.fail(
      `${signal}: ${broken}: ${JSON.stringify({ sent, rejected, queued, inFlight, dropped, tally })}`,
    )
  for (const [what, items] of Object.entries({ sent, rejected, queued, in_flight: inFlight }))
    if (items > 0) seen.add(what)
  for (const [at, items] of dropped.entries()) if (items > 0) seen.add(REASONS[at])
}

function offerOne(random: Random, sending: Queue, tallies: Record<Signal, Tally>) {
  const signal = pick(random, SIGNALS)
  const items = int(random, 12)
  // Spans, metrics with one point, and records, all of them with some filling.
  const content = {
    traces: () => delimited(5, '.'.repeat(int(random, 80))),
    metrics: () => concat([delimited(1, '.'.repeat(int(random, 80))), delimited(5, delimited(1, ''))]),
    logs: () => delimited(3, '.'.repeat(int(random, 80))),
  }[signal]
  const inside = concat(Array.from({ length: items }, () => delimited(2, content())))
  const bytes = delimited(1, delimited(2, inside))
  const headers: Record<string, string> = chance(random, 0.2) ? { tenant: pick(random, ['x', 'y']) } : {}
  const foreseen = sending.probe({ signal, bytes, items, receivedMs: 0, headers })
  const answer = sending.offer({ signal, bytes, items, receivedMs: 0, headers })
  expect(answer).toBe(foreseen)
  if (answer === 'taken') tallies[signal].taken += items
  else if (answer !== 'full') tallies[signal].passed += items
}

type Weights = readonly number[]
/** How likely each answer is for a while: mostly well, or mostly something else. */
const moods = (random: Random): Weights =>
  Array.from({ length: 7 }, (_, at) => (at === 0 ? 2 : chance(random, 0.3) ? random() * 4 : 0.05))

function answerOf(random: Random, weights: Weights, { items, bytes }: Seen): Answer {
  const answers: readonly Answer[] = [
    DELIVERED,
    BUSY,
    REFUSED,
    bytes.length > 60 ? TOO_LARGE : DELIVERED,
    UNSUPPORTED,
    busyFor(int(random, 20_000)),
    partial(between(random, -1, items + 1)),
  ]
  let draw = random() * weights.reduce((sum, weight) => sum + weight, 0)
  return answers.find((_, at) => (draw -= weights[at]) < 0) ?? DELIVERED
}
