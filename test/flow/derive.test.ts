//! Laws of what one trace says: own times, gaps, origins of failure, links, and each span once.
import { describe, expect, test } from 'vitest'
import { bucketOf, bucketsOf, cellOf, filled, id, sent, TRACE_ID as traceId, whole } from '../kit/assembly.ts'
import { START_MS } from '../kit/planes.ts'

describe('a trace', () => {
  test("self is a span's time less the union of its children's, and a client's time is its parent's no more", async () => {
    const to = await whole([
      sent(0, 100, { traceId, spanId: id(1), name: 'root' }),
      sent(10, 30, { traceId, spanId: id(2), parentSpanId: id(1), kind: 'client', name: 'a' }),
      sent(30, 20, { traceId, spanId: id(3), parentSpanId: id(1), kind: 'internal', name: 'b' }),
      sent(90, 30, { traceId, spanId: id(4), parentSpanId: id(1), kind: 'internal', name: 'c' }),
    ])
    expect(bucketsOf(cellOf(to, 'root'), 'self')).toEqual([bucketOf(50)])
    expect(bucketsOf(cellOf(to, 'a'), 'self')).toEqual([])
    expect(cellOf(to, 'root').timed).toBe(1)
  })

  test('a fan-out of thousands at once covers its parent once', async () => {
    const calls = Array.from({ length: 3000 }, (_, n) =>
      sent(10 + (n % 50), 20, {
        traceId,
        spanId: id(n + 2),
        parentSpanId: id(1),
        name: 'call',
        kind: 'client',
      }),
    )
    const to = await whole([sent(0, 100, { traceId, spanId: id(1), name: 'root' }), ...calls])
    expect(bucketsOf(cellOf(to, 'root'), 'self')).toEqual([bucketOf(31)])
    expect(filled(to)[0].links).toEqual([expect.objectContaining({ parents: 1, children: 3000, most: 3000 })])
    expect(cellOf(to, 'call')).toMatchObject({ spans: 3000, traces: 1, timed: 1, timedSquares: 1 })
  })

  test('nobody waits for a consumer or for what a producer calls, but both are links', async () => {
    const to = await whole([
      sent(0, 100, { traceId, spanId: id(1), name: 'root' }),
      sent(0, 90, { traceId, spanId: id(2), parentSpanId: id(1), kind: 'consumer', name: 'work' }),
      sent(10, 30, { traceId, spanId: id(3), parentSpanId: id(1), kind: 'producer', name: 'send' }),
      sent(10, 80, { traceId, spanId: id(4), parentSpanId: id(3), kind: 'consumer', name: 'take' }),
    ])
    expect(bucketsOf(cellOf(to, 'root'), 'self')).toEqual([bucketOf(70)])
    expect(filled(to)[0].links).toHaveLength(3)
  })

  test('gap is what a client waits beyond the server that it calls; without one there is none, and it is never below a microsecond', async () => {
    const to = await whole([
      sent(0, 100, { traceId, spanId: id(1), kind: 'client', name: 'seen' }),
      sent(500_000, 70, { traceId, spanId: id(2), parentSpanId: id(1), name: 'served' }, { machine: 'm-2' }),
      sent(0, 100, { traceId, spanId: id(3), kind: 'client', name: 'unseen' }),
      sent(0, 100, { traceId, spanId: id(4), kind: 'client', name: 'given up' }),
      sent(
        0,
        900,
        { traceId, spanId: id(5), parentSpanId: id(4), name: 'still at work' },
        { machine: 'm-2' },
      ),
    ])
    // The clock of m-2 is far off only where its trace would fall apart: there no gap is known.
    for (const name of ['seen', 'unseen']) {
      expect(cellOf(to, name).answered).toBe(0)
      expect(bucketsOf(cellOf(to, name), 'gap')).toEqual([])
    }
    expect(bucketsOf(cellOf(to, 'given up'), 'gap')).toEqual([bucketOf(0.001)])
    const near = await whole([
      sent(0, 100, { traceId, spanId: id(1), kind: 'client', name: 'seen' }),
      sent(-2000, 70, { traceId, spanId: id(2), parentSpanId: id(1), name: 'served' }, { machine: 'm-2' }),
    ])
    expect(bucketsOf(cellOf(near, 'seen'), 'gap')).toEqual([bucketOf(30)])
  })

  test('clocks of two machines that differ by seconds move neither self nor gap; on one machine they are believed', async () => {
    const child = (machine: string, skewMs: number) => [
      sent(0, 100, { traceId, spanId: id(1), name: 'root' }),
      sent(20 + skewMs, 40, { traceId, spanId: id(2), parentSpanId: id(1), name: 'child' }, { machine }),
    ]
    for (const skewMs of [-2000, -30, 0, 50, 2000]) {
      const to = await whole(child('m-2', skewMs))
      expect(bucketsOf(cellOf(to, 'root'), 'self')).toEqual([bucketOf(60)])
    }
    expect(bucketsOf(cellOf(await whole(child('m-1', 2000)), 'root'), 'self')).toEqual([bucketOf(100)])
  })

  test('a failure has its origin where nothing that was called has failed, and is away where a client saw no server', async () => {
    const failing = (unseen: boolean) => [
      sent(0, 100, { traceId, spanId: id(1), name: 'root', status: 'error' }),
      sent(0, 90, {
        traceId,
        spanId: id(2),
        parentSpanId: id(1),
        kind: 'client',
        name: 'call',
        status: 'error',
      }),
      ...(unseen ? [] : [sent(0, 80, { traceId, spanId: id(3), parentSpanId: id(2), name: 'served' })]),
    ]
    const away = await whole(failing(true))
    expect(cellOf(away, 'root')).toMatchObject({ origins: 0, away: 0 })
    expect(cellOf(away, 'call')).toMatchObject({ origins: 1, away: 1 })
    const near = await whole(failing(false))
    expect(cellOf(near, 'call')).toMatchObject({ origins: 1, away: 0 })
    expect(cellOf(near, 'served')).toMatchObject({ origins: 0, away: 0 })
  })

  test('an orphan and a parent that calls itself are counted, and are nobody’s child; only what has no parent is a root', async () => {
    const to = await whole([
      sent(0, 100, { traceId, spanId: id(1), name: 'root' }),
      sent(0, 50, { traceId, spanId: id(2), parentSpanId: id(9), name: 'orphan' }),
      sent(0, 50, { traceId, spanId: id(3), parentSpanId: id(3), name: 'own' }),
    ])
    expect(cellOf(to, 'root')).toMatchObject({ roots: 1 })
    expect(bucketsOf(cellOf(to, 'root'), 'self')).toEqual([bucketOf(100)])
    expect(cellOf(to, 'orphan')).toMatchObject({ spans: 1, roots: 0 })
    expect(bucketsOf(cellOf(to, 'own'), 'self')).toEqual([bucketOf(50)])
    expect(filled(to)[0].links).toEqual([])
  })

  test('a span that comes twice counts once, whichever of two versions comes first', async () => {
    const spans = [
      sent(0, 100, { traceId, spanId: id(1), name: 'one' }),
      sent(0, 100, { traceId, spanId: id(1), name: 'one', status: 'error' }),
      sent(0, 200, { traceId, spanId: id(1), name: 'one' }),
    ]
    const forward = await whole(spans)
    const backward = await whole(spans.toReversed())
    expect(filled(forward)).toEqual(filled(backward))
    expect(cellOf(forward, 'one').spans).toBe(1)
  })

  test('what ends further apart than a trace is waited for is two groups, whatever comes first', async () => {
    const spans = [
      sent(0, 100, { traceId, spanId: id(1), name: 'root' }),
      sent(12_000, 100, { traceId, spanId: id(2), parentSpanId: id(1), name: 'later' }),
    ]
    for (const order of [spans, spans.toReversed()]) {
      const to = await whole(order)
      expect(filled(to).map(({ startMs, links }) => [startMs - START_MS, links.length])).toEqual([
        [0, 0],
        [10_000, 0],
      ])
    }
  })

  test('sampled spans count for those that were not kept', async () => {
    const sampled = { traceState: 'ot=th:e666' }
    const to = await whole([
      sent(0, 100, { traceId, spanId: id(1), name: 'root', ...sampled }),
      sent(0, 50, {
        traceId,
        spanId: id(2),
        parentSpanId: id(1),
        name: 'child',
        ...sampled,
        status: 'error',
      }),
    ])
    expect(cellOf(to, 'root')).toMatchObject({
      spans: 10,
      roots: 10,
      traces: 10,
      timed: 10,
      timedSquares: 100,
    })
    expect(cellOf(to, 'child')).toMatchObject({ origins: 10 })
    expect(filled(to)[0].links).toMatchObject([{ parents: 10, children: 10, most: 1 }])
  })
})
