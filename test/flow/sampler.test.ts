//! Laws of the spans that are drawn: which they are follows from the spans alone, they stand for all of them, and there are never many.
import { expect, test } from 'vitest'
import { assembling, drawn, type Sent, sent } from '../kit/assembly.ts'
import { tracesRequest } from '../kit/odd.ts'
import { batchOf, START_MS } from '../kit/planes.ts'
import { between, bytes, chance, forSeedsAsync, int, pick, type Random, seeded } from '../kit/random.ts'
import { arrivals } from '../kit/traces.ts'

const hex = (random: Random, length: number) => Buffer.from(bytes(random, length)).toString('hex')

/** Spans over a minute, those of one operation in two traces out of three, with attributes. */
function minute(random: Random, count: number): Sent[] {
  return Array.from({ length: count }, () => {
    const failed = chance(random, 0.1)
    return sent(
      random() * 60_000,
      1 + random() * 100,
      {
        name: pick(random, ['GET /', 'GET /', 'POST /pay']),
        traceId: hex(random, 16),
        spanId: hex(random, 8),
        status: failed ? 'error' : 'unset',
        attributes: {
          region: pick(random, ['eu', 'us']),
          retry: chance(random, 0.1),
          'order.id': hex(random, 4),
        },
      },
      { pod: `s-${int(random, 3)}`, machine: `m-${int(random, 2)}` },
    )
  })
}

test('which spans are drawn depends neither on their order within the lateness, nor on batches and workers', async () => {
  await forSeedsAsync(5, async random => {
    const spans = minute(random, 600)
    const runs = []
    for (const workers of [1, 4]) {
      const to = assembling({}, workers)
      const all = arrivals(random, spans, 10_000)
      for (let at = 0; at < all.length; ) {
        const size = between(random, 1, 60)
        await to.send(all.slice(at, at + size), int(random, workers))
        at += size
      }
      to.flush()
      runs.push(drawn(to.messages.filter(({ samples }) => samples.length > 0)))
    }
    expect(runs[1]).toEqual(runs[0])
    expect(runs[0].length).toBeGreaterThanOrEqual(6)
  })
})

test('of a series, window and outcome eight spans stand for all, and say what they and their resource carry', async () => {
  const to = assembling()
  const spans = minute(seeded(3), 900)
  await to.send(spans)
  to.flush()
  for (const { startMs, rows } of drawn(to.messages)) {
    for (const series of ['GET /', 'POST /pay']) {
      for (const failed of [0, 1]) {
        const own = rows.filter(row => row.series === series && row.failed === failed)
        const came = spans.filter(({ span }) => {
          const endMs = Number(span.startNs / 1000n) / 1000 + span.durationNs / 1e6
          const isOwn = span.name === series && (span.status === 'error') === (failed === 1)
          return isOwn && endMs >= startMs && endMs < startMs + 10_000
        })
        expect(own).toHaveLength(Math.min(8, came.length))
        expect(own.reduce((sum, { weight }) => sum + weight, 0)).toBeCloseTo(came.length, 6)
      }
    }
    for (const { said } of rows) {
      expect(said).toEqual(expect.arrayContaining([expect.stringMatching(/^region=(eu|us)$/)]))
      expect(said).toEqual(expect.arrayContaining([expect.stringMatching(/^retry=(true|false)$/)]))
      expect(said).toEqual(expect.arrayContaining([expect.stringMatching(/^k8s\.pod\.name=s-\d$/)]))
      expect(said.join()).not.toContain('service.name')
    }
  }
})

test('of a trace one span of a series is drawn, and one that comes twice counts once', async () => {
  const to = assembling()
  const random = seeded(4)
  const traceId = hex(random, 16)
  const spans = Array.from({ length: 5 }, () => sent(1_000, 10, { traceId, spanId: hex(random, 8) }))
  await to.send(spans)
  await to.send(spans.toReversed())
  to.flush()
  const rows = drawn(to.messages).flatMap(window => window.rows)
  expect(rows).toHaveLength(1)
})

test('however many series, spans and attributes there are, a window holds 1,024 spans and as many attributes', async () => {
  const to = assembling()
  const random = seeded(5)
  const spans = Array.from({ length: 6_000 }, (_, n) =>
    sent(int(random, 5_000), 10, {
      name: `op ${n % 3_000}`,
      traceId: hex(random, 16),
      spanId: hex(random, 8),
      attributes: { 'order.id': hex(random, 8), customer: `c${int(random, 1_500)}`, shared: 'yes' },
    }),
  )
  for (let at = 0; at < spans.length; at += 500) await to.send(spans.slice(at, at + 500))
  to.flush()
  const [{ samples }] = to.messages.filter(({ samples: { length } }) => length > 0)
  expect(samples.length).toBe(1024)
  // What one span alone has goes first.
  const keys = samples.attributes.map(([key]) => key)
  expect(keys.length).toBeLessThanOrEqual(1024)
  expect(new Set(keys)).toEqual(new Set(['shared', 'customer', 'k8s.pod.name', 'k8s.node.name']))
  expect(samples.weight.every(weight => weight >= 1)).toBe(true)
})

test('odd, long and cut-off attributes are passed over, and the rest is read', async () => {
  const to = assembling()
  const span = {
    name: 'op',
    kind: 'server' as const,
    traceId: 'ab'.repeat(16),
    spanId: 'cd'.repeat(8),
    startNs: BigInt(START_MS) * 1_000_000n,
    durationNs: 1e6,
    attributes: {
      first: 'one',
      number: 7,
      below: -1,
      list: ['x'],
      empty: '',
      long: 'x'.repeat(120),
      longer: 'x'.repeat(200),
      'otlier.anomaly.detected': true,
      [`k${'e'.repeat(100)}y`]: 'v',
      same: 'yes',
      // The span goes on far beyond what is kept of it.
      ...Object.fromEntries(Array.from({ length: 40 }, (_, n) => [`filler.${n}`, 'y'.repeat(60)])),
      last: 'never read',
    },
  }
  await to.sendBatch(batchOf(tracesRequest([{ service: 's', resource: { same: 'yes' }, spans: [span] }])))
  to.flush()
  const [{ said }] = drawn(to.messages).flatMap(window => window.rows)
  const own = said.filter(text => !text.startsWith('filler.'))
  expect(own.toSorted()).toEqual(['first=one', 'number=7', 'same=yes'])
  expect(said.length).toBeGreaterThan(own.length)
})
