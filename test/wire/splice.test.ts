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

test('output with marks decodes with the official schema wherever the input does', () => {
  const items = new Items()
  let decoded = 0
  forSeeds(200, random => {
    const bytes = oddRequest(random, 'traces', int(random, 8))
    const count = scanTraces(bytes, items)
    if (count < 1) return
    let before: unknown
    try {
      before = decodeRequest('traces', bytes)
    } catch {
      return
    }
    decoded++
    const after = decodeRequest('traces', merge(splice(bytes, items, [count - 1], [MARK])))
    expect(after.resource_spans.length).toBe((before as typeof after).resource_spans.length)
  })
  expect(decoded).toBeGreaterThan(20)
})
