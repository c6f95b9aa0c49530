//! Laws of assembly: what whole traces say depends on the spans alone, and is what a slow and plain model says.
import { describe, expect, test } from 'vitest'
import {
  type Assembling,
  assembling,
  cellOf,
  factOf,
  filled,
  id,
  rowsOf,
  type Sent,
  sent,
  TRACE_ID as traceId,
  whole,
} from '../kit/assembly.ts'
import { DETECTING, START_MS } from '../kit/planes.ts'
import { between, bytes, forSeedsAsync, int, type Random, seeded } from '../kit/random.ts'
import { arrivals, randomTraces } from '../kit/traces.ts'
import { featuresOf } from '../oracle/assembly.ts'

const WINDOW_MS = 10_000
const WAIT_MS = 10_000
const LATENESS_MS = 10_000

/** Sends everything in this order, in requests of random size by random workers. */
async function sendAll(to: Assembling, random: Random, sent: readonly Sent[], workers = 1) {
  for (let at = 0; at < sent.length; ) {
    const size = between(random, 1, 60)
    await to.send(sent.slice(at, at + size), int(random, workers))
    at += size
  }
}

/** A half of a trace id that is kept however few are. */
const CHOSEN = '0000000000000f34'
const expected = (sent: readonly Sent[]) => featuresOf(sent.map(factOf), WINDOW_MS, WAIT_MS)

describe('what is published', () => {
  test('is what the plain model says, in any order within the allowed lateness, in any batches, by one worker or four', async () => {
    await forSeedsAsync(8, async random => {
      const spans = randomTraces(random, 60, 90_000)
      const model = expected(spans)
      for (const workers of [1, 4, 4]) {
        const to = assembling({}, workers)
        await sendAll(to, random, arrivals(random, spans, LATENESS_MS), workers)
        to.flush()
        expect(filled(to)).toEqual(model)
        for (const [at, { startMs, endMs, bins }] of to.messages.entries()) {
          expect(bins.row).toEqual(bins.row.toSorted())
          expect(endMs - startMs).toBe(WINDOW_MS)
          if (at > 0) expect(startMs).toBe(to.messages[at - 1].endMs)
        }
        expect(to.registry.total('otlier.assembly.spans.late')).toBe(0)
        expect(to.registry.read('otlier.assembly.spans')).toBe(0)
      }
    })
  })

  test('has every span once, and every window once, also where the waits change in between', async () => {
    await forSeedsAsync(3, async random => {
      // What comes twice may be found so only within one wait.
      const ids = new Set<string>()
      const once = randomTraces(random, 120, 180_000).filter(({ span: { traceId, spanId } }) => {
        const isNew = !ids.has(traceId + spanId)
        ids.add(traceId + spanId)
        return isNew
      })
      const spans = arrivals(random, once, LATENESS_MS)
      const waits = { ...DETECTING }
      const to = assembling({}, 1, waits)
      for (let at = 0; at < spans.length; at += 20) {
        Object.assign(waits, {
          traceWaitMs: between(random, 1, 30) * 1000,
          latenessMs: between(random, 10, 30) * 1000,
        })
        await to.send(spans.slice(at, at + 20))
      }
      to.flush()
      for (const [at, { startMs }] of to.messages.entries())
        if (at > 0) expect(startMs).toBe(to.messages[at - 1].endMs)
      const sum = (of: Iterable<number>) => [...of].reduce((total, one) => total + one, 0)
      const model = expected(spans).flatMap(({ cells }) => cells.map(cell => cell.spans))
      expect(sum(to.messages.flatMap(({ cells }) => [...cells.spans]))).toBe(sum(model))
      expect(to.registry.total('otlier.assembly.spans.late')).toBe(0)
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

  test('closes with the stream clock at the end of the window, a quarter of the wait for the trace and the lateness, and not before', async () => {
    const to = assembling()
    await to.send([sent(3_000, 100), sent(4_000, 100, {}, { machine: 'm-2' })])
    const endAt = (ms: number) => [sent(ms - 100, 100), sent(ms - 100, 100, {}, { machine: 'm-2' })]
    await to.send(endAt(22_499))
    expect(to.messages).toEqual([])
    await to.send(endAt(22_500))
    expect(to.messages.map(({ startMs }) => startMs - START_MS)).toEqual([0])
    expect(rowsOf(to.messages)[0].cells).toMatchObject([{ spans: 1 }, { spans: 1 }])
  })

  test('stands in the order of its ids, and a row has the trace of its slowest span', async () => {
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
    expect(cells[2]).toMatchObject({ slowTrace: trace(20), slowNs: 50e6 })
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

test('whom a series calls that calls several is the same in any order within the allowed lateness', async () => {
  await forSeedsAsync(5, async random => {
    const spans = Array.from({ length: 300 }, () =>
      sent(int(random, 60_000), 5, {
        name: 'GET',
        kind: 'client',
        spanId: id(1 + int(random, 2 ** 31)),
        attributes: { 'server.address': `db-${int(random, 40)}` },
      }),
    )
    const named = new Set<string>()
    for (let n = 0; n < 3; n++) {
      const to = assembling()
      await sendAll(to, random, arrivals(random, spans, LATENESS_MS))
      to.flush()
      named.add(to.messages[0].peers[0])
    }
    expect(named.size).toBe(1)
    expect([...named][0]).toMatch(/^db-/)
  })
})

describe('bounds', () => {
  test('without room for all traces some stand for the others: they stay whole, what waits stays bounded, and sums stay what they are', async () => {
    await forSeedsAsync(2, async random => {
      const to = assembling({ maxSpans: 1024 })
      const [traces, overMs] = [8000, 80_000]
      for (let at = 0; at < traces; at += 200) {
        const batch = Array.from({ length: 200 }, (_, n) => {
          const own = { traceId: Buffer.from(bytes(random, 16)).toString('hex') }
          const ms = ((at + n) / traces) * overMs
          const parent = sent(ms, 5, { ...own, name: 'root' }, { machine: 'm-2' })
          return [parent, sent(ms, 5, { ...own, name: 'child', parentSpanId: parent.span.spanId })]
        })
        // Children come in a request of their own, some seconds after their parents.
        await to.send(batch.map(([parent]) => parent))
        await to.send(batch.map(([, child]) => child))
        expect(to.registry.read('otlier.assembly.spans')).toBeLessThanOrEqual(1024)
      }
      to.flush()
      expect(to.registry.read('otlier.assembly.thinned')).toBeGreaterThan(traces)
      expect(to.evicted('full')).toBe(0)
      const rows = filled(to).flatMap(({ cells }) => cells)
      const spans = rows.reduce((sum, each) => sum + each.spans, 0)
      expect(spans / (2 * traces)).toBeGreaterThan(0.9)
      expect(spans / (2 * traces)).toBeLessThan(1.1)
      const children = filled(to).reduce((sum, { links }) => sum + (links[0]?.children ?? 0), 0)
      // Only where more are kept again may a trace that goes on at that moment be in parts.
      expect(Math.abs(children / (spans / 2) - 1)).toBeLessThan(0.001)
    })
  })

  test('ids that are chosen so that none is left out are taken for whole, the oldest first, and what waits stays bounded', async () => {
    const to = assembling({ maxSpans: 1024 })
    for (let at = 0; at < 12_000; at += 100) {
      // Of each id the half that decides is the same.
      const spans = Array.from({ length: 100 }, (_, n) =>
        sent(at + n, 5, { traceId: `${id(at + n + 1)}${CHOSEN}` }),
      )
      await to.send(spans)
      expect(to.registry.read('otlier.assembly.spans')).toBeLessThanOrEqual(1024)
    }
    to.flush()
    expect(to.evicted('full')).toBeGreaterThan(1000)
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
    expect(cellOf(to, 'op')).toMatchObject({ spans: 3, traces: 3, slowTrace: '' })
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
    expect(starts(to)).toEqual([0, ...silent, 900, 910, 920])
    expect(to.messages.map(({ cells }) => cells.length)).toEqual([2, ...silent.map(() => 0), 2, 0, 0])
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
