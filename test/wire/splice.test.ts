//! The law of the splice: what it adds can be taken off again, and nothing else has changed.
import { expect, test } from 'vitest'
import { Items } from '../../src/base/item.ts'
import { keyValue } from '../../src/wire/attributes.ts'
import { merge } from '../../src/wire/merge.ts'
import { scanTraces } from '../../src/wire/scan.ts'
import { splice } from '../../src/wire/splice.ts'
import { decodeRequest } from '../kit/messages.ts'
import { oddRequest } from '../kit/odd.ts'
import { chance, forSeeds, int } from '../kit/random.ts'
import { concat, delimited, toHex } from '../oracle/bytes.ts'
import { framing } from '../oracle/framing.ts'
import { minimalPrefixes, removeMarks, spansWithDetected } from '../oracle/marks.ts'

const MARK = concat([
  delimited(9, keyValue('otlier.anomaly.detected', true)),
  delimited(9, keyValue('otlier.anomaly.reason', 'x'.repeat(150))),
])

test('a remover written apart restores every odd request byte for byte, but for prefixes that were not minimal above a marked span', () => {
  const items = new Items()
  let marks = 0
  forSeeds(400, random => {
    const bytes = oddRequest(random, 'traces', int(random, 15))
    const count = scanTraces(bytes, items)
    expect(count).toBeGreaterThanOrEqual(0)
    const sent = spansWithDetected(bytes)
    const marked = Array.from({ length: count }, (_, at) => at).filter(
      at => !sent.has(at) && chance(random, 0.4),
    )
    const out =
      marked.length === 0
        ? bytes
        : merge(
            splice(
              bytes,
              items,
              marked,
              marked.map(() => MARK),
            ),
          )
    expect(framing('traces', out)).toEqual({ ok: true, items: count })
    const removed = removeMarks(out, { leaveAlone: sent })
    expect(removed.marks.map(mark => mark.index)).toEqual(marked)
    expect(toHex(removed.bytes)).toBe(toHex(minimalPrefixes(bytes, marked)))
    marks += marked.length
  })
  expect(marks).toBeGreaterThan(0)
})

const MARK_KEYS = ['otlier.anomaly.detected', 'otlier.anomaly.reason']
/** The library refuses lengths of more bytes, and text that is none. */
const READABLE = { lengthBytes: 5, invalidText: false }

test('output with marks decodes with the official schema to the message that came in, and the marks', () => {
  const items = new Items()
  let marks = 0
  forSeeds(200, random => {
    const bytes = oddRequest(random, 'traces', 1 + int(random, 15), READABLE)
    const count = scanTraces(bytes, items)
    const marked = Array.from({ length: count }, (_, at) => at).filter(() => chance(random, 0.4))
    const additions = marked.map(() => MARK)
    const after = decodeRequest('traces', merge(splice(bytes, items, marked, additions)))
    const spans = (after.resource_spans ?? []).flatMap((resource: { scope_spans?: { spans?: object[] }[] }) =>
      (resource.scope_spans ?? []).flatMap(scope => scope.spans ?? []),
    )
    for (const at of marked) {
      const own = spans[at].attributes.splice(-MARK_KEYS.length)
      expect(own.map(({ key }: { key: string }) => key)).toEqual(MARK_KEYS)
      // A message says nothing of a list that is empty.
      if (spans[at].attributes.length === 0) delete spans[at].attributes
    }
    expect(after).toEqual(decodeRequest('traces', bytes))
    marks += marked.length
  })
  expect(marks).toBeGreaterThan(0)
})
