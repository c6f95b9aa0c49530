//! Laws of assembly: what whole traces say depends on the spans alone, and is what a slow and plain model says.
import { describe, expect, test } from 'vitest'
import { assembling, factOf, rowsOf, type Sent } from '../kit/assembly.ts'
import { START_MS } from '../kit/planes.ts'
import { between, forSeedsAsync, int, type Random, seeded, shuffled } from '../kit/random.ts'
import { arrivals, randomTraces } from '../kit/traces.ts'
import { featuresOf } from '../oracle/assembly.ts'

const WINDOW_MS = 10_000
const WAIT_MS = 10_000
const LATENESS_MS = 10_000

type Assembling = ReturnType<typeof assembling>

/** Sends everything in this order, in requests of random size by random workers. */
async function sendAll(to: Assembling, random: Random, sent: readonly Sent[], workers = 1) {
  for (let at = 0; at < sent.length; ) {
    const size = between(random, 1, 60)
    await to.send(sent.slice(at, at + size), int(random, workers))
    at += size
  }
}

const filled = (to: Assembling) => rowsOf(to.messages).filter(({ cells }) => cells.length > 0)
const expected = (sent: readonly Sent[]) => featuresOf(sent.map(factOf), WINDOW_MS, WAIT_MS)

let ids = 0
/** A span that begins `atMs` after the start of the recording. */
function sent(
  atMs: number,
  durationMs: number,
  more: Partial<Sent['span']> = {},
  at: Partial<Omit<Sent, 'span'>> = {},
): Sent {
  const span = {
    name: 'op',
    kind: 'server' as const,
    traceId: (++ids).toString(16).padStart(32, '0'),
    spanId: (++ids).toString(16).padStart(16, '0'),
    startNs: BigInt(Math.round((START_MS + atMs) * 1000)) * 1000n,
    durationNs: Math.round(durationMs * 1e6),
    ...more,
  }
  return { service: 's', pod: 's-1', machine: 'm-1', weight: 1, ...at, span }
}
const traceId = 'ab'.repeat(16)
const id = (n: number) => n.toString(16).padStart(16, '0')
const msOf = ({ n, y }: { n: number; y: number }) => Math.exp(y / n) / 1e6
/** The only cell of a series; `name` is its operation. */
const cellOf = (to: Assembling, name: string) => {
  const cells = filled(to).flatMap(window =>
    window.cells.filter(({ series }) => JSON.parse(series)[4] === name),
  )
  expect(cells).toHaveLength(1)
  return cells[0]
}
/** Spans of one trace, all at once, and all that is open afterwards. */
async function whole(spans: readonly Sent[]) {
  const to = assembling()
  await to.send(spans)
  to.flush()
  return to
}

describe('what is published', () => {
  test('is what the plain model says, in any order within the allowed lateness, in any batches, by one worker or four', async () => {
    await forSeedsAsync(15, async random => {
      const spans = randomTraces(random, 60, 90_000)
      const model = expected(spans)
      for (const workers of [1, 4, 4]) {
        const to = assembling({}, workers)
        await sendAll(to, random, arrivals(random, spans, LATENESS_MS), workers)
        to.flush()
        expect(filled(to)).toEqual(model)
        for (const [at, { startMs, endMs }] of to.messages.entries()) {
          expect(endMs - startMs).toBe(WINDOW_MS)
          if (at > 0) expect(startMs).toBe(to.messages[at - 1].endMs)
        }
        expect(to.registry.total('otlier.assembly.spans.late')).toBe(0)
        expect(to.registry.read('otlier.assembly.spans')).toBe(0)
      }
    })
  })

  test('is the same where every batch comes twice', async () => {
    await forSeedsAsync(5, async random => {
      const spans = arrivals(random, randomTraces(random, 60, 60_000), LATENESS_MS)
      const named = spans.filter(({ span }) => span.spanId !== '' && /[1-9a-f]/.test(span.traceId))
      const to = assembling()
      for (let at = 0; at < named.length; at += 20) {
        await to.send(named.slice(at, at + 20))
        await to.send(named.slice(at, at + 20))
      }
      to.flush()
      expect(filled(to)).toEqual(expected(named))
    })
  })

  test('closes with the stream clock at the end of the window, the wait for the trace and the lateness, and not before', async () => {
    const to = assembling()
    await to.send([sent(3_000, 100), sent(4_000, 100, {}, { machine: 'm-2' })])
    const endAt = (ms: number) => [sent(ms - 100, 100), sent(ms - 100, 100, {}, { machine: 'm-2' })]
    await to.send(endAt(29_999))
    expect(to.messages).toEqual([])
    await to.send(endAt(30_000))
    expect(to.messages.map(({ startMs }) => startMs - START_MS)).toEqual([0])
    expect(rowsOf(to.messages)[0].cells).toMatchObject([{ spans: 1 }, { spans: 1 }])
  })

  test('stands in the order of its ids, and a row has the trace of its slowest span and the smallest trace id', async () => {
    const trace = (n: number) => n.toString(16).padStart(32, '0')
    const spans = [30, 10, 20].flatMap(n => [
      sent(n, n === 20 ? 50 : 5, { traceId: trace(n), name: 'b' }),
      sent(n, 5, { traceId: trace(n), name: 'a' }, { pod: n === 10 ? 's-0' : 's-1' }),
    ])
    const to = await whole(spans)
    const [{ cells }] = filled(to)
    expect(cells.map(({ series, pod }) => [JSON.parse(series)[4], JSON.parse(pod)[3]])).toEqual([
      ['a', 's-0'],
      ['a', 's-1'],
      ['b', 's-1'],
    ])
    expect(cells[2]).toMatchObject({ slowTrace: trace(20), slowNs: 50e6, plainTrace: trace(10) })
  })

  test('names whom a client calls that is not seen, and what may set a pod apart', async () => {
    const to = assembling()
    const spans = [
      sent(0, 5, {
        name: 'SET',
        kind: 'client',
        attributes: { 'db.system': 'redis', 'server.address': 'cart-db' },
      }),
      sent(0, 5, { name: 'GET /' }),
    ]
    await to.send(spans)
    to.flush()
    const [{ series, peers, pods }] = to.messages
    expect(series.map(({ operation }, at) => [operation, peers[at]])).toEqual([
      ['SET', 'cart-db'],
      ['GET /', ''],
    ])
    expect(pods.map(({ name, attributes }) => ({ name, attributes }))).toEqual([
      { name: 's-1', attributes: { 'k8s.node.name': 'm-1' } },
    ])
  })
})

describe('a trace', () => {
  test("self is a span's time less the union of its children's, and a client's time is its parent's no more", async () => {
    const to = await whole([
      sent(0, 100, { traceId, spanId: id(1), name: 'root' }),
      sent(10, 30, { traceId, spanId: id(2), parentSpanId: id(1), kind: 'client', name: 'a' }),
      sent(30, 20, { traceId, spanId: id(3), parentSpanId: id(1), kind: 'internal', name: 'b' }),
      sent(90, 30, { traceId, spanId: id(4), parentSpanId: id(1), kind: 'internal', name: 'c' }),
    ])
    expect(msOf(cellOf(to, 'root').self)).toBeCloseTo(50, 0)
    expect(cellOf(to, 'a').self.n).toBe(0)
    expect(cellOf(to, 'root').duration.n).toBe(1)
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
    expect(msOf(cellOf(to, 'root').self)).toBeCloseTo(31, 0)
    expect(filled(to)[0].links).toEqual([expect.objectContaining({ parents: 1, children: 3000 })])
    expect(cellOf(to, 'call')).toMatchObject({ spans: 3000, traces: 1, duration: { n: 1 } })
  })

  test('nobody waits for a consumer or for what a producer calls, but both are links', async () => {
    const to = await whole([
      sent(0, 100, { traceId, spanId: id(1), name: 'root' }),
      sent(0, 90, { traceId, spanId: id(2), parentSpanId: id(1), kind: 'consumer', name: 'work' }),
      sent(10, 10, { traceId, spanId: id(3), parentSpanId: id(1), kind: 'producer', name: 'send' }),
      sent(10, 80, { traceId, spanId: id(4), parentSpanId: id(3), kind: 'consumer', name: 'take' }),
    ])
    expect(msOf(cellOf(to, 'root').self)).toBeCloseTo(90, 0)
    expect(filled(to)[0].links).toHaveLength(3)
  })

  test('gap is what a client waits beyond the server that it calls; without one there is none, and it is never below a microsecond', async () => {
    const to = await whole(
      [
        sent(0, 100, { traceId, spanId: id(1), kind: 'client', name: 'seen' }),
        sent(
          500_000,
          70,
          { traceId, spanId: id(2), parentSpanId: id(1), name: 'served' },
          { machine: 'm-2' },
        ),
        sent(0, 100, { traceId, spanId: id(3), kind: 'client', name: 'unseen' }),
        sent(0, 100, { traceId, spanId: id(4), kind: 'client', name: 'given up' }),
        sent(
          0,
          900,
          { traceId, spanId: id(5), parentSpanId: id(4), name: 'still at work' },
          { machine: 'm-2' },
        ),
      ].map(one => ({ ...one, span: { ...one.span, startNs: one.span.startNs } })),
    )
    // The clock of m-2 is far off only where its trace would fall apart: there no gap is known.
    expect(cellOf(to, 'seen').gap.n).toBe(0)
    expect(cellOf(to, 'unseen').gap.n).toBe(0)
    expect(msOf(cellOf(to, 'given up').gap)).toBeCloseTo(0.001, 5)
    const near = await whole([
      sent(0, 100, { traceId, spanId: id(1), kind: 'client', name: 'seen' }),
      sent(-2000, 70, { traceId, spanId: id(2), parentSpanId: id(1), name: 'served' }, { machine: 'm-2' }),
    ])
    expect(msOf(cellOf(near, 'seen').gap)).toBeCloseTo(30, 0)
  })

  test('clocks of two machines that differ by seconds move neither self nor gap; on one machine they are believed', async () => {
    const child = (machine: string, skewMs: number) => [
      sent(0, 100, { traceId, spanId: id(1), name: 'root' }),
      sent(20 + skewMs, 40, { traceId, spanId: id(2), parentSpanId: id(1), name: 'child' }, { machine }),
    ]
    for (const skewMs of [-2000, -30, 0, 50, 2000]) {
      const to = await whole(child('m-2', skewMs))
      expect(msOf(cellOf(to, 'root').self)).toBeCloseTo(60, 0)
    }
    expect(msOf(cellOf(await whole(child('m-1', 2000)), 'root').self)).toBeCloseTo(100, 0)
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
    expect(cellOf(away, 'root')).toMatchObject({ failures: 1, origins: 0, away: 0 })
    expect(cellOf(away, 'call')).toMatchObject({ failures: 1, origins: 1, away: 1 })
    const near = await whole(failing(false))
    expect(cellOf(near, 'call')).toMatchObject({ failures: 1, origins: 1, away: 0 })
    expect(cellOf(near, 'served')).toMatchObject({ failures: 0, origins: 0 })
  })

  test('an orphan and a parent that calls itself are counted, and are nobody’s child; only what has no parent is a root', async () => {
    const to = await whole([
      sent(0, 100, { traceId, spanId: id(1), name: 'root' }),
      sent(0, 50, { traceId, spanId: id(2), parentSpanId: id(9), name: 'orphan' }),
      sent(0, 50, { traceId, spanId: id(3), parentSpanId: id(3), name: 'own' }),
    ])
    expect(cellOf(to, 'root')).toMatchObject({ roots: 1 })
    expect(msOf(cellOf(to, 'root').self)).toBeCloseTo(100, 0)
    expect(cellOf(to, 'orphan')).toMatchObject({ spans: 1, roots: 0 })
    expect(msOf(cellOf(to, 'own').self)).toBeCloseTo(50, 0)
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
      duration: { n: 10, n2: 100 },
    })
    expect(cellOf(to, 'child')).toMatchObject({ failures: 10, origins: 10 })
    expect(filled(to)[0].links).toMatchObject([{ parents: 10, children: 10 }])
  })
})

describe('bounds', () => {
  test('without room the oldest traces are taken for whole, and every span is counted all the same', async () => {
    await forSeedsAsync(3, async random => {
      const to = assembling({ maxSpans: 1024 })
      const spans = Array.from({ length: 6000 }, (_, n) =>
        sent(n, 5, { traceId: id(Math.floor(n / 3) + 1).padStart(32, 'f') }),
      )
      const shuffledSpans = shuffled(random, spans)
      for (let at = 0; at < spans.length; at += 100) {
        await to.send(shuffledSpans.slice(at, at + 100))
        expect(to.registry.read('otlier.assembly.spans')).toBeLessThanOrEqual(1024)
      }
      to.flush()
      expect(to.evicted('full')).toBeGreaterThan(1000)
      const counted = filled(to)
        .flatMap(({ cells }) => cells)
        .reduce((sum, { spans }) => sum + spans, 0)
      expect(counted + to.registry.total('otlier.assembly.spans.late')).toBe(6000)
    })
  })

  test('a trace without end is derived in parts', async () => {
    const to = assembling()
    for (let at = 0; at < 20_000; at += 500) {
      await to.send(
        Array.from({ length: 500 }, (_, n) => sent(at / 100, 5, { traceId, parentSpanId: id(n) })),
      )
    }
    to.flush()
    expect(to.evicted('long')).toBe(2)
    expect(cellOf(to, 'op')).toMatchObject({ spans: 20_000, traces: 3 })
  })

  test('spans of more windows than may be open are left out, and counted', async () => {
    const to = assembling()
    await to.send(Array.from({ length: 100 }, (_, n) => sent(n * 60_000, 5, { traceId: '' })))
    expect(to.registry.read('otlier.assembly.refused')).toBe(36)
  })

  test('spans without a usable trace id are traces of their own', async () => {
    const to = await whole([
      sent(0, 10, { traceId: '' }),
      sent(0, 10, { traceId: '0'.repeat(32) }),
      sent(0, 10, { traceId: 'abcd' }),
    ])
    expect(cellOf(to, 'op')).toMatchObject({ spans: 3, traces: 3, slowTrace: '', plainTrace: '' })
  })

  test('no spans may wait: assembly is off', async () => {
    const to = assembling({ maxSpans: 0 })
    await to.send([sent(0, 10)])
    to.flush()
    expect(to.messages).toEqual([])
  })
})

describe('time', () => {
  const both = (ms: number) => [sent(ms - 10, 10), sent(ms - 10, 10, {}, { machine: 'm-2' })]
  const starts = (to: Assembling) => to.messages.map(({ startMs }) => (startMs - START_MS) / 1000)

  test('a gap in a recording is walked through window by window, for three minutes, and then passed over with one line that says so', async () => {
    const to = assembling()
    await to.send(both(5_000))
    await to.send(both(905_000))
    await to.send(both(945_000))
    const silent = Array.from({ length: 18 }, (_, n) => 10 + 10 * n)
    expect(starts(to)).toEqual([0, ...silent, 900, 910])
    expect(to.messages.map(({ cells }) => cells.length)).toEqual([2, ...silent.map(() => 0), 2, 0])
    expect(to.lines.filter(({ level }) => level === 'info')).toHaveLength(1)
  })

  test('in silence windows are closed as time passes', async () => {
    const to = assembling()
    await to.send(both(5_000))
    for (let second = 0; second < 35; second++) {
      await to.world.advance(1000)
      to.passTime()
    }
    expect(starts(to)).toEqual([0, 10])
    expect(rowsOf(to.messages)[0].cells).toMatchObject([{ spans: 1 }, { spans: 1 }])
    expect(to.messages[1].cells.length).toBe(0)
  })

  test('a host whose clock is an hour ahead closes nothing, and is told of', async () => {
    const to = assembling()
    for (let ms = 1000; ms <= 60_000; ms += 1000) {
      await to.send([...both(ms), sent(3_600_000 + ms, 10, {}, { machine: 'm-3' })])
    }
    expect(starts(to)).toEqual([0, 10, 20, 30])
    const counts = rowsOf(to.messages).map(({ cells }) => cells.map(({ spans }) => spans))
    expect(counts).toEqual([
      [9, 9],
      [10, 10],
      [10, 10],
      [10, 10],
    ])
    expect(to.late('ahead')).toBeGreaterThan(40)
    expect(to.late('age')).toBe(0)
    expect(to.registry.read('otlier.clock.offset', { sender: 'm-3' })).toBeCloseTo(3600, -1)
    expect(to.registry.read('otlier.clock.offset', { sender: 'm-1' })).toBe(0)
  })

  test('what comes too late is counted by its reason and forms no cell: its age, its sender’s clock, or its sender’s history', async () => {
    const to = assembling()
    const behind = (ms: number) => sent(ms, 10, {}, { machine: 'm-3' })
    await to.send([...both(5_000), behind(5_000)])
    await to.send(both(65_000))
    const before = starts(to).length
    await to.send([sent(20_000, 10)])
    expect([to.late('age'), to.late('clock'), to.late('history')]).toEqual([1, 0, 0])
    for (let n = 0; n < 6; n++) await to.send([behind(10_000 + n * 1000)])
    expect(to.late('clock')).toBeGreaterThan(1)
    await to.send([sent(1_000, 10, {}, { machine: 'm-4' }), sent(2_000, 10, {}, { machine: 'm-4' })])
    expect(to.late('history')).toBe(2)
    expect(to.registry.read('otlier.clock.offset', { sender: 'm-3' })).toBeLessThan(-40)
    to.flush()
    expect(starts(to).length).toBeGreaterThan(before)
    expect(
      filled(to)
        .flatMap(({ cells }) => cells)
        .reduce((sum, { spans }) => sum + spans, 0),
    ).toBe(5)
  })

  test('a span that ends later than the wall clock allows is not taken', async () => {
    const to = assembling()
    to.limit.ms = START_MS + 6_000
    await to.send([...both(5_000), ...both(500_000)])
    to.limit.ms = Number.POSITIVE_INFINITY
    to.flush()
    expect(starts(to)).toEqual([0])
  })
})

test('seeded trace ids of every kind leave nothing behind', async () => {
  const random = seeded(5)
  const to = assembling({ maxSpans: 4096 })
  for (let round = 0; round < 40; round++) {
    const spans = Array.from({ length: 400 }, (_, n) =>
      sent(round * 1000 + n, 5, { traceId: id(int(random, 50) + 1).padStart(32, n % 2 === 0 ? '0' : 'f') }),
    )
    await to.send(spans)
  }
  to.flush()
  expect(to.registry.read('otlier.assembly.spans')).toBe(0)
})
