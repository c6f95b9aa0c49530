//! The laws of memory on loan: it comes back once, after everybody who was given it has let go, and never before.
import { expect, test } from 'vitest'
import { Registry } from '../../src/base/counters.ts'
import { Loan } from '../../src/base/loan.ts'
import { silentLog } from '../../src/base/log.ts'
import { fanout } from '../../src/flow/fanout.ts'
import { QUEUE_LIMITS, type QueueOptions, queue } from '../../src/flow/queue.ts'
import { RETRY_DEFAULTS } from '../../src/flow/retry.ts'
import type { Answer, CheckedBatch } from '../../src/flow/sink.ts'
import { BUSY, DELIVERED, scriptedExporter, UNSUPPORTED } from '../kit/exporter.ts'
import { simulatedWorld } from '../kit/world.ts'

function lent() {
  const state = { returned: 0 }
  const loan = new Loan(() => state.returned++)
  const batch: CheckedBatch = {
    signal: 'traces',
    bytes: Uint8Array.of(10, 0),
    items: 1,
    receivedMs: 0,
    headers: {},
    loan,
  }
  return { state, batch, loan }
}

function scene(answers: Record<string, () => Answer | Promise<Answer>>, options: Partial<QueueOptions> = {}) {
  const world = simulatedWorld(1)
  const queues = Object.entries(answers).map(([id, answer]) =>
    queue(scriptedExporter(world, answer, id), world, silentLog, new Registry(), {
      ...QUEUE_LIMITS,
      sizeBytes: 600,
      whenFull: 'refuse',
      numConsumers: 1,
      retry: RETRY_DEFAULTS,
      ...options,
    }),
  )
  return { world, queues, sink: fanout({ routes: { traces: queues, metrics: queues, logs: queues } }) }
}

/** An answer that the test gives when it likes. */
function held() {
  let give: (answer: Answer) => void = () => {}
  const answer = new Promise<Answer>(resolve => {
    give = resolve
  })
  return { ask: () => answer, give: (given: Answer) => give(given) }
}

test('memory comes back when the last of two destinations has its answer', async () => {
  const slow = held()
  const { sink, world } = scene({ quick: () => DELIVERED, slow: slow.ask })
  const { state, batch } = lent()
  await sink.send(batch)
  await world.advance(1000)
  expect(state.returned).toBe(0)
  slow.give(DELIVERED)
  await world.settle()
  expect(state.returned).toBe(1)
})

test('while a destination is asked again, its memory stays', async () => {
  const answers: Answer[] = [BUSY, BUSY, DELIVERED]
  const { sink, world } = scene({ busy: () => answers.shift() as Answer })
  const { state, batch } = lent()
  await sink.send(batch)
  await world.advance(20)
  expect(answers.length).toBe(2)
  expect(state.returned).toBe(0)
  await world.advance(10_000)
  expect(answers.length).toBe(0)
  expect(state.returned).toBe(1)
})

test('a destination that passes a batch over does not hold it', async () => {
  const { sink, world } = scene({ traces: () => DELIVERED, none: () => UNSUPPORTED })
  const first = lent()
  await sink.send(first.batch)
  await world.advance(1000)
  const second = lent()
  await sink.send(second.batch)
  await world.advance(1000)
  expect([first.state.returned, second.state.returned]).toEqual([1, 1])
})

test('what a full queue drops for newer ones is let go of', async () => {
  const { sink, world } = scene(
    { hung: () => new Promise(() => {}) },
    { whenFull: 'drop_oldest', sizeBytes: 520 },
  )
  const all = [lent(), lent(), lent(), lent()]
  for (const { batch } of all) {
    await sink.send(batch)
    await world.advance(100)
  }
  // The first is under way and the last waits; the two between had to make room.
  expect(all.map(({ state }) => state.returned)).toEqual([0, 1, 1, 0])
})

test('with no destination it comes back at once, and a refused batch leaves its own to its sender', async () => {
  const nowhere = lent()
  await scene({}).sink.send(nowhere.batch)
  expect(nowhere.state.returned).toBe(1)
  const { sink } = scene({ hung: () => new Promise(() => {}) })
  const all = [lent(), lent(), lent()]
  for (const { batch } of all) await sink.send(batch)
  expect(all.map(({ state }) => state.returned)).toEqual([0, 0, 0])
})

test('memory that nobody lets go of, or that was given out twice, never comes back', () => {
  const forgotten = lent()
  forgotten.loan.share(2)
  forgotten.loan.letGo()
  expect(forgotten.state.returned).toBe(0)
  const twice = lent()
  twice.loan.share(1)
  twice.loan.share(1)
  for (let n = 0; n < 3; n++) twice.loan.letGo()
  expect(twice.state.returned).toBe(0)
})

test('letting go once too often brings nothing back a second time', () => {
  const { loan, state } = lent()
  loan.share(1)
  for (let n = 0; n < 3; n++) loan.letGo()
  expect(state.returned).toBe(1)
})
