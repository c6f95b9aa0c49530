//! The laws of dividing requests, against a joiner that knows the wire format alone.
import { describe, expect, test } from 'vitest'
import { check } from '../../src/wire/check.ts'
import { halve, type Part, split } from '../../src/wire/split.ts'
import { metricsRequest, oddRequest, plainRequest, tracesRequest } from '../kit/odd.ts'
import { forSeeds, int, pick, type Random } from '../kit/random.ts'
import { concat, delimited, type Signal, toHex, varintField } from '../oracle/bytes.ts'
import { linesOf } from '../oracle/lines.ts'

/** What the parts come to when they are joined: the same lines in the same order, only that envelopes are said again. */
function expectSame(signal: Signal, bytes: Uint8Array, parts: readonly Part[]) {
  const joined = parts.flatMap(part => linesOf(signal, part.bytes))
  expect(joined).toEqual(linesOf(signal, bytes))
  for (const part of parts) expect(part.items).toBe(check(signal, part.bytes))
  expect(parts.reduce((sum, part) => sum + part.items, 0)).toBe(check(signal, bytes))
}

const SIGNALS = ['traces', 'metrics', 'logs'] as const
const anyRequest = (random: Random, signal: Signal) => oddRequest(random, signal, int(random, 40))

/** Halves again and again, down to what cannot be halved. */
function atoms(signal: Signal, bytes: Uint8Array): Part[] {
  const halves = halve(signal, bytes)
  return halves === null
    ? [{ bytes, items: Math.max(0, check(signal, bytes)) }]
    : halves.flatMap(half => atoms(signal, half.bytes))
}

describe('a request in parts', () => {
  test.each(SIGNALS)(
    '%s: joined, has the same items and envelopes in order, whatever the size of the parts',
    signal => {
      forSeeds(80, random => {
        const bytes = anyRequest(random, signal)
        expectSame(signal, bytes, [...split(signal, bytes, 1 + int(random, bytes.length + 10))])
      })
    },
  )

  test.each(SIGNALS)('%s: is never larger than was asked, where its items and envelopes allow it', signal => {
    forSeeds(40, random => {
      const bytes = plain(signal, 20 + int(random, 60))
      const maxBytes = 1200 + int(random, 4000)
      const parts = [...split(signal, bytes, maxBytes)]
      for (const part of parts) expect(part.bytes.length).toBeLessThanOrEqual(maxBytes)
      expect(parts.length).toBeLessThanOrEqual(Math.ceil(bytes.length / (maxBytes / 4)) + 1)
    })
  })

  test('is cut between resources where that is enough: the parts are then the original bytes', () => {
    const bytes = concat(Array.from({ length: 20 }, () => plain('traces', 3)))
    const parts = [...split('traces', bytes, Math.ceil(bytes.length / 5))]
    expect(parts.length).toBeGreaterThan(4)
    expect(toHex(concat(parts.map(part => part.bytes)))).toBe(toHex(bytes))
  })

  test('is the request itself where it is small enough, and where it is empty', () => {
    const bytes = plain('logs', 3)
    expect([...split('logs', bytes, bytes.length)]).toEqual([{ bytes, items: 3 }])
    expect([...split('logs', new Uint8Array(0), 1)]).toEqual([{ bytes: new Uint8Array(0), items: 0 }])
  })

  test('an envelope that would fill most of every part is not repeated: its resource stays whole', () => {
    const resource = delimited(
      1,
      delimited(1, concat([delimited(1, 'k'), delimited(2, delimited(1, 'v'.repeat(900)))])),
    )
    const spans = Array.from({ length: 50 }, (_, n) => delimited(2, delimited(5, `span ${n}`)))
    const bytes = delimited(1, concat([resource, delimited(2, concat(spans))]))
    const parts = [...split('traces', bytes, 1000)]
    expect(parts).toHaveLength(1)
    expect(parts[0].items).toBe(50)
  })
})

describe('a request in halves', () => {
  test.each(SIGNALS)('%s: joined, has the same items and envelopes in order', signal => {
    forSeeds(80, random => {
      const bytes = anyRequest(random, signal)
      const halves = halve(signal, bytes)
      if (halves !== null) expectSame(signal, bytes, halves)
    })
  })

  test.each(SIGNALS)('%s: halved to the end, comes to parts with one item at most', signal => {
    forSeeds(30, random => {
      const bytes = concat([plain(signal, 1 + int(random, 12)), plain(signal, int(random, 12))])
      const parts = atoms(signal, bytes)
      for (const part of parts) expect(part.items).toBeLessThanOrEqual(1)
      expectSame(signal, bytes, parts)
    })
  })

  test('a single item cannot be halved', () => {
    for (const signal of SIGNALS) expect(halve(signal, plain(signal, 1))).toBeNull()
    expect(halve('traces', new Uint8Array(0))).toBeNull()
  })

  test('the halves are about equal, so that halving ends soon', () => {
    const bytes = plain('traces', 1000)
    const halves = halve('traces', bytes)
    expect(Math.abs((halves?.[0].bytes.length ?? 0) / bytes.length - 0.5)).toBeLessThan(0.02)
  })

  test('a large request that is nearly all envelope is not halved', () => {
    const resource = delimited(
      1,
      delimited(1, concat([delimited(1, 'k'), delimited(2, delimited(1, 'v'.repeat(200_000)))])),
    )
    const spans = Array.from({ length: 50 }, (_, n) => delimited(2, delimited(5, `span ${n}`)))
    expect(halve('traces', delimited(1, concat([resource, delimited(2, concat(spans))])))).toBeNull()
  })

  test('a metric that carries two kinds of data stays whole: the last one counts, and a cut would change which', () => {
    const point = delimited(1, varintField(8, 1))
    const metric = concat([
      delimited(1, 'm'),
      delimited(5, concat([point, point])),
      delimited(7, concat([point, point])),
    ])
    const bytes = delimited(1, delimited(2, delimited(2, metric)))
    expect(check('metrics', bytes)).toBe(4)
    expect(halve('metrics', bytes)).toBeNull()
    expect([...split('metrics', bytes, 5)]).toHaveLength(1)
  })
})

test('a cut metric keeps what its points mean: name, unit, temporality and unknown fields stand in every part', () => {
  const unknown = varintField(99, 7)
  const points = Array.from({ length: 8 }, (_, n) => delimited(1, varintField(8, n)))
  const sum = concat([...points, varintField(2, 2), unknown, varintField(3, 1)])
  const metric = concat([delimited(1, 'm'), unknown, delimited(7, sum), delimited(3, 's')])
  const scope = concat([delimited(2, metric), unknown, delimited(1, delimited(1, 'scope'))])
  const bytes = delimited(1, concat([unknown, delimited(2, scope), delimited(1, new Uint8Array(0))]))
  const parts = atoms('metrics', bytes)
  expect(parts).toHaveLength(8)
  const envelopes = new Set(
    parts.flatMap(part => linesOf('metrics', part.bytes)).map(line => line.envelopes.join()),
  )
  expect(envelopes).toHaveLength(1)
  expect([...envelopes][0].split(toHex(unknown))).toHaveLength(5)
  expectSame('metrics', bytes, parts)
})

function plain(signal: Signal, items: number): Uint8Array {
  const timeNs = 1_700_000_000_000_000_000n
  const attributes = { 'http.route': '/pay', 'http.request.method': 'POST' }
  if (signal === 'traces') {
    const spans = Array.from({ length: items }, (_, n) => ({
      name: `op ${n}`,
      startNs: timeNs,
      durationNs: 5,
      attributes,
    }))
    return tracesRequest([{ service: 'shop', spans }])
  }
  if (signal === 'logs') {
    const line = (n: number) => delimited(2, delimited(5, delimited(1, `line ${n} ${'.'.repeat(40)}`)))
    return delimited(1, delimited(2, concat(Array.from({ length: items }, (_, n) => line(n)))))
  }
  const points = Array.from({ length: items }, (_, n) => ({ timeNs, value: n, attributes }))
  return metricsRequest([{ service: 'shop', metrics: [{ name: 'm', kind: 'gauge', points }] }])
}

test('the plain requests of the kit are divided alike', () => {
  forSeeds(20, random => {
    const bytes = plainRequest(random, { spans: 50 })
    expectSame('traces', bytes, [...split('traces', bytes, pick(random, [500, 2000, 8000]))])
  })
})
