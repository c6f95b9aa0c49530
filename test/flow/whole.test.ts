//! Laws of what a window waits for: a whole trace for nothing, and one of which something is missing for that.
import { describe, expect, test } from 'vitest'
import { assembling, cellOf, id, rowsOf, type Sent, sent, TRACE_ID as traceId } from '../kit/assembly.ts'
import { START_MS } from '../kit/planes.ts'

/** A half of a trace id that is kept however few are. */
const CHOSEN = '0000000000000f34'
/** Two senders whose clocks stand there. */
const both = (ms: number) => [sent(ms - 10, 10), sent(ms - 10, 10, {}, { machine: 'm-2' })]

describe('what a window waits for', () => {
  const parentId = id(7)
  /** By window: the spans of the one trace that it has. */
  async function windowsOf(spans: readonly Sent[]) {
    const to = assembling()
    await to.send(spans)
    await to.send(both(42_500))
    return rowsOf(to.messages).map(({ startMs, cells, links }) => ({
      second: (startMs - START_MS) / 1000,
      spans: cells.map(({ series, spans: of }) => `${of} ${JSON.parse(series)[4]}`).sort(),
      links: links.length,
    }))
  }
  const traced = (atMs: number, durationMs: number, more: Partial<Sent['span']>) =>
    sent(atMs, durationMs, { traceId, ...more })
  const root = (atMs: number, durationMs: number, kind: 'server' | 'producer' = 'server') =>
    traced(atMs, durationMs, { name: 'root', spanId: parentId, kind })
  const child = (atMs: number, durationMs: number, kind: 'client' | 'consumer' = 'client') =>
    traced(atMs, durationMs, { name: 'child', parentSpanId: parentId, kind })

  test('nothing, where nothing is missing: a trace belongs to the window in which its root ends', async () => {
    const windows = await windowsOf([root(8_000, 1_500), child(8_100, 1_000)])
    expect(windows[0]).toEqual({ second: 0, spans: ['1 child', '1 root'], links: 1 })
  })

  test('what ends a little behind the root, by its own clock or because nobody waits for it', async () => {
    const windows = await windowsOf([root(8_000, 1_500), child(8_100, 4_000)])
    expect(windows[0]).toEqual({ second: 0, spans: ['1 child', '1 root'], links: 1 })
    const later = await windowsOf([root(8_000, 1_500), child(8_100, 4_400)])
    expect(later.map(({ links }) => links)).toEqual([0, 0, 0])
  })

  test('the parent of a span that names one, as long as a trace is waited for', async () => {
    const windows = await windowsOf([child(8_100, 1_000), root(8_000, 9_000)])
    expect(windows.slice(0, 2)).toEqual([
      { second: 0, spans: [], links: 0 },
      { second: 10, spans: ['1 child', '1 root'], links: 1 },
    ])
    // Its root is there, and its own parent ends later.
    const spanId = id(9)
    const between = await windowsOf([
      root(8_000, 1_500),
      traced(8_200, 800, { name: 'grandchild', parentSpanId: spanId }),
      traced(8_100, 6_000, { name: 'child', spanId, parentSpanId: parentId }),
    ])
    expect(between.slice(0, 2)).toEqual([
      { second: 0, spans: [], links: 0 },
      { second: 10, spans: ['1 child', '1 grandchild', '1 root'], links: 2 },
    ])
    const alone = await windowsOf([child(8_100, 1_000)])
    expect(alone.map(({ spans }) => spans)).toEqual([[], ['1 child'], []])
  })

  test('whoever takes what was sent', async () => {
    const windows = await windowsOf([root(8_000, 1_500, 'producer'), child(9_000, 8_000, 'consumer')])
    expect(windows.slice(0, 2)).toEqual([
      { second: 0, spans: [], links: 0 },
      { second: 10, spans: ['1 child', '1 root'], links: 1 },
    ])
    const unseen = await windowsOf([root(8_000, 1_500, 'producer')])
    expect(unseen.map(({ spans }) => spans)).toEqual([[], ['1 root'], []])
  })
})

test('at the end windows for which late spans could still have come are said to be partial', async () => {
  const to = assembling()
  for (let ms = 5_000; ms <= 45_000; ms += 10_000) await to.send(both(ms))
  to.flush()
  const partial = () =>
    to.messages.map(({ startMs, isPartial }) => [(startMs - START_MS) / 1000, isPartial === true])
  expect(partial()).toEqual([
    [0, false],
    [10, false],
    [20, false],
    [30, true],
    [40, true],
  ])
})

test('what makes room when its own window is closed already stands in the next', async () => {
  const to = assembling({ maxSpans: 1024 })
  const orphan = (atMs: number, n: number, name = 'orphan') =>
    sent(atMs, 5, { traceId: `${id(n)}${CHOSEN}`, parentSpanId: id(1), name })
  await to.send([orphan(9_000, 1, 'early')])
  await to.send([sent(22_490, 10), sent(22_490, 10, {}, { machine: 'm-2' })])
  expect(to.messages.map(({ cells }) => cells.length)).toEqual([0])
  const spans = Array.from({ length: 2000 }, (_, n) => orphan(21_000, n + 2))
  for (let at = 0; at < spans.length; at += 100) await to.send(spans.slice(at, at + 100))
  expect(to.evicted('full')).toBeGreaterThan(0)
  to.flush()
  expect(cellOf(to, 'early').traces).toBeGreaterThan(0)
})
