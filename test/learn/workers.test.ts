//! Laws of several workers: a window is the sum of what all say of it, told once, in order, and nobody is waited for without end.
import { expect, test } from 'vitest'
import { Registry } from '../../src/base/counters.ts'
import type { FeatureWindow } from '../../src/bus/bus.ts'
import { Workers } from '../../src/learn/workers.ts'
import { assembling, drawn, emptyWindow, filled, type Sent, sent } from '../kit/assembly.ts'
import { forSeedsAsync, int, shuffled } from '../kit/random.ts'
import { arrivals, randomTraces } from '../kit/traces.ts'

const WINDOW_MS = 10_000

/** What each of so many workers publishes of the traces that fall to it. Spans without a trace are anybody's. */
async function shared(spans: readonly Sent[], workers: number): Promise<FeatureWindow[][]> {
  const to = Array.from({ length: workers }, (_, n) => assembling({ worker: `w${n}` }))
  const workerOf = ({ span }: Sent) => Number.parseInt(span.traceId.slice(-4) || '0', 16) % workers
  for (const one of spans) await to[workerOf(one)].send([one])
  for (const each of to) each.flush()
  return to.map(({ messages }) => messages)
}

function merging(workers: number) {
  const registry = new Registry()
  const whole = new Workers(workers, WINDOW_MS, registry)
  return { whole, late: () => registry.read('otlier.windows.late') }
}

/** In some order in which each worker's own windows keep theirs. */
function inTurn(random: () => number, parts: readonly FeatureWindow[][]): FeatureWindow[] {
  const turns = shuffled(
    random,
    parts.flatMap((own, worker) => own.map(() => worker)),
  )
  const next = parts.map(() => 0)
  return turns.map(worker => parts[worker][next[worker]++])
}

test('what four workers say is what one says that has all traces, in whatever order they say it', async () => {
  await forSeedsAsync(4, async random => {
    // Whom a series calls is another with each span.
    const named = randomTraces(random, 60, 90_000).map(({ span, ...from }) => {
      const attributes = { 'server.address': `db-${int(random, 1000)}` }
      return { ...from, span: { ...span, attributes } }
    })
    const spans = arrivals(random, named, WINDOW_MS)
    const alone = assembling()
    for (const one of spans) await alone.send([one])
    alone.flush()
    const { whole } = merging(4)
    const windows = inTurn(random, await shared(spans, 4)).flatMap(part => whole.take(part))
    windows.push(...whole.flush())
    expect(filled({ messages: windows })).toEqual(filled(alone))
    expect(peersOf(windows)).toEqual(peersOf(alone.messages))
    const ofSpans = (each: ReturnType<typeof drawn>) => each.filter(({ rows }) => rows.length > 0)
    expect(ofSpans(drawn(windows))).toEqual(ofSpans(drawn(alone.messages)))
  })
})

/** Of the window in which a series is first seen: that is what counts. */
const peersOf = (windows: readonly FeatureWindow[]) =>
  new Map(
    windows.flatMap(({ series, peers }) => series.map(({ id }, at) => [id, peers[at]] as const)).toReversed(),
  )

const numbers = (windows: readonly FeatureWindow[]) => windows.map(({ startMs }) => startMs / WINDOW_MS)

test('a window waits for the last worker, and one without a worker of its own goes through at once', () => {
  const { whole } = merging(2)
  expect(numbers(whole.take(emptyWindow('a', 0)))).toEqual([])
  expect(numbers(whole.take(emptyWindow('a', 1)))).toEqual([])
  expect(numbers(whole.take(emptyWindow('b', 0)))).toEqual([0])
  // A worker whose traces begin later has passed what comes before them.
  expect(numbers(whole.take(emptyWindow('b', 2)))).toEqual([1])
  expect(numbers(whole.flush())).toEqual([2])
  const alone = merging(1)
  expect(numbers(alone.whole.take(emptyWindow('', 7)))).toEqual([7])
})

test('a worker that has stopped, or has never spoken, holds up three minutes and no more; what it says later is counted', async () => {
  for (const spoken of [true, false]) {
    const { whole, late } = merging(2)
    if (spoken) whole.take(emptyWindow('b', 0))
    const told = Array.from({ length: 40 }, (_, n) => numbers(whole.take(emptyWindow('a', n))))
    expect(told.slice(0, spoken ? 1 : 18).flat()).toEqual(spoken ? [0] : [])
    expect(told.flat()).toEqual(Array.from({ length: 40 }, (_, n) => n))
    expect(told[39]).toEqual([39])
    expect(late()).toBe(0)
    const messages = await shared([sent(0, 5)], 1)
    const part = { ...messages[0][0], worker: 'b', startMs: 0, endMs: WINDOW_MS }
    expect(whole.take(part)).toEqual([])
    expect(late()).toBe(1)
    // It is there again, and waited for.
    expect(numbers(whole.take(emptyWindow('a', 40)))).toEqual([])
    expect(numbers(whole.take(emptyWindow('b', 40)))).toEqual([40])
  }
})

test('what waits is bounded, however many windows one worker is ahead', () => {
  const { whole } = merging(3)
  let waiting = 0
  let most = 0
  for (let n = 0; n < 500; n++) {
    waiting += 1 - whole.take(emptyWindow('w0', n)).length
    most = Math.max(most, waiting)
  }
  expect(most).toBeLessThanOrEqual(19)
})
