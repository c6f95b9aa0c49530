//! The remover of marks undoes marks that the test itself puts on, and touches nothing else.

import { expect, test } from 'vitest'
import { oddRequest, tracesRequest } from '../kit/odd.ts'
import { chance, forSeeds, int, pick, type Random, seeds } from '../kit/random.ts'
import { concat, delimited, fromHex, places, readVarint, sameBytes, toHex, varint } from './bytes.ts'
import { framing } from './framing.ts'
import { minimalPrefixes, removeMarks, spansOf, spansWithDetected } from './marks.ts'
import { attribute, Double } from './values.ts'

const DETECTED = attribute(9, 'otlier.anomaly.detected', true)

const FURTHER = [
  attribute(9, 'otlier.anomaly.kinds', ['latency', 'error']),
  attribute(9, 'otlier.anomaly.score', new Double(3.4)),
  attribute(9, 'otlier.anomaly.reason', '1.84 s, normally 40 to 95 ms'),
  attribute(9, 'otlier.anomaly.baseline.samples', 18_342),
  attribute(9, 'otlier.incident.id', '01J'),
  attribute(9, 'anomaly.is_anomaly', true),
  attribute(9, 'anomaly.isolation_score', new Double(0.7)),
  attribute(9, '@jaeger@warnings', ['slow']),
]

/**
 * Marks the chosen spans by other means than the remover: walks the three levels by hand and writes each length anew.
 */
function mark(bytes: Uint8Array, chosen: ReadonlySet<number>, run: Uint8Array): Uint8Array {
  let index = 0
  const rewrite = (parent: Uint8Array, numbers: readonly number[]): [Uint8Array, boolean] => {
    const [number, ...deeper] = numbers
    if (number === undefined) return chosen.has(index++) ? [concat([parent, run]), true] : [parent, false]
    let any = false
    const parts: Uint8Array[] = []
    for (const place of places(parent)) {
      const old = parent.slice(place.start, place.end)
      if (place.number !== number || place.wire !== 2) {
        parts.push(old)
        continue
      }
      const [content, changed] = rewrite(parent.slice(place.from, place.to), deeper)
      any ||= changed
      const tagEnd = readVarint(parent, place.start).end
      parts.push(changed ? concat([parent.slice(place.start, tagEnd), varint(content.length), content]) : old)
    }
    return [concat(parts), any]
  }
  return rewrite(bytes, [1, 2, 2])[0]
}

function chooseSpans(random: Random, request: Uint8Array): Set<number> {
  const sent = spansWithDetected(request)
  const share = pick(random, [0, 0.2, 1])
  const all = spansOf(request).map((_, index) => index)
  return new Set(all.filter(index => !sent.has(index) && chance(random, share)))
}

test('what is marked and unmarked again differs from what was sent in length prefixes above the marks alone', () => {
  let marked = 0
  forSeeds(1_000, random => {
    const request = oddRequest(random, 'traces', int(random, 12))
    const chosen = chooseSpans(random, request)
    const run = concat([DETECTED, ...FURTHER.filter(() => chance(random, 0.6))])
    const withMarks = mark(request, chosen, run)
    expect(framing('traces', withMarks)).toEqual(framing('traces', request))
    const removed = removeMarks(withMarks, { leaveAlone: spansWithDetected(request) })
    expect(removed.marks.map(one => one.index)).toEqual([...chosen])
    expect(sameBytes(removed.bytes, minimalPrefixes(request, chosen))).toBe(true)
    if (chosen.size === 0) expect(sameBytes(removed.bytes, request)).toBe(true)
    marked += chosen.size
  })
  if (seeds(1_000).length === 1_000) expect(marked).toBeGreaterThan(1_000)
})

test('minimal prefixes change nothing else: each span keeps its bytes, and doing it twice is doing it once', () => {
  forSeeds(200, random => {
    const request = oddRequest(random, 'traces', int(random, 12), { wildness: 0.4 })
    const chosen = chooseSpans(random, request)
    const minimal = minimalPrefixes(request, chosen)
    expect(spansOf(minimal)).toEqual(spansOf(request))
    expect(framing('traces', minimal)).toEqual(framing('traces', request))
    expect(minimalPrefixes(minimal, chosen)).toEqual(minimal)
  })
})

const SPAN = { name: 'GET /', startNs: 1n, durationNs: 5, traceId: 'aa'.repeat(16), spanId: 'bb'.repeat(8) }
const PLAIN = tracesRequest([{ service: 'pay', spans: [SPAN, { ...SPAN, spanId: 'cc'.repeat(8) }] }])

test('a mark tells its span and its attributes in plain values', () => {
  const { bytes, marks } = removeMarks(mark(PLAIN, new Set([1]), concat([DETECTED, ...FURTHER])))
  expect(bytes).toEqual(PLAIN)
  expect(marks).toEqual([
    {
      index: 1,
      traceId: 'aa'.repeat(16),
      spanId: 'cc'.repeat(8),
      attributes: {
        'otlier.anomaly.detected': true,
        'otlier.anomaly.kinds': ['latency', 'error'],
        'otlier.anomaly.score': 3.4,
        'otlier.anomaly.reason': '1.84 s, normally 40 to 95 ms',
        'otlier.anomaly.baseline.samples': 18_342,
        'otlier.incident.id': '01J',
        'anomaly.is_anomaly': true,
        'anomaly.isolation_score': 0.7,
        '@jaeger@warnings': ['slow'],
      },
    },
  ])
})

test('what is no mark stays', () => {
  const rows: Record<string, Uint8Array[]> = {
    'a run that does not begin with detected': FURTHER,
    'a run with a foreign key in it': [DETECTED, attribute(9, 'http.route', '/')],
    'a run that another field interrupts': [DETECTED, delimited(5, 'name')],
    'a run that another field follows': [DETECTED, ...FURTHER, delimited(17, '')],
    'detected that is false': [attribute(9, 'otlier.anomaly.detected', false)],
    'detected that is text': [attribute(9, 'otlier.anomaly.detected', 'true')],
    'a key that only begins alike': [DETECTED, attribute(9, 'otlier.anomaly', 1)],
    'detected twice': [DETECTED, ...FURTHER, DETECTED, ...FURTHER],
    'detected first, then a sender, then a run': [DETECTED, attribute(9, 'a', 1), DETECTED],
  }
  for (const [name, run] of Object.entries(rows)) {
    const request = mark(PLAIN, new Set([0]), concat(run))
    expect(removeMarks(request), name).toEqual({ bytes: request, marks: [] })
  }
})

test('the test chooses which spans lose their run: by ids, by index', () => {
  const request = mark(PLAIN, new Set([0, 1]), DETECTED)
  const one = mark(PLAIN, new Set([0]), DETECTED)
  const byId = removeMarks(request, { onlyWhere: (_trace, span) => span === 'cc'.repeat(8) })
  expect(byId.bytes).toEqual(one)
  expect(byId.marks.map(found => found.index)).toEqual([1])
  expect(removeMarks(request, { leaveAlone: new Set([0]) }).bytes).toEqual(one)
  expect(removeMarks(request, { onlyWhere: (_trace, _span, index) => index === 1 }).bytes).toEqual(one)
  expect(spansWithDetected(one)).toEqual(new Set([0]))
})

test('prefixes become minimal above the named spans only', () => {
  const stretched = { length: 5 }
  const span = (id: string) => delimited(2, delimited(2, Buffer.from(id, 'hex')), stretched)
  const envelope = (...spans: Uint8Array[]) => {
    return delimited(1, delimited(2, concat(spans), stretched), { ...stretched, tag: 3 })
  }
  const request = concat([envelope(span('01'), span('02')), envelope(span('03'))])
  const minimal = concat([
    fromHex('8a8000 10' + '12 0e' + '1283808080 00120101' + '12 03 120102'),
    envelope(span('03')),
  ])
  expect(toHex(minimalPrefixes(request, ['02']))).toBe(toHex(minimal))
  expect(minimalPrefixes(request, [1])).toEqual(minimalPrefixes(request, ['02']))
  expect(minimalPrefixes(request, [])).toEqual(request)
})
