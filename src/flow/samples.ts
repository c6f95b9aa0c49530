//! Spans that were drawn as columns, in an order that depends on nothing but what they are, with each attribute once.
import { NO_SAMPLES, type Samples } from '../bus/bus.ts'

/** Different attributes in one message. Identifiers are the first to go, as each of them occurs but once. */
const MOST_ATTRIBUTES = 2048
/** What we say ourselves says nothing about who is hurt, and a series has but one service. */
const PASSED_OVER = /^(otlier\.|anomaly\.|service\.name$)/

/** One span with what it and its resource say: keys and values in turn. */
export interface Drawn {
  readonly series: number
  readonly failed: boolean
  readonly durationNs: number
  readonly weight: number
  readonly said: readonly (readonly string[])[]
}

interface Counted {
  readonly key: string
  readonly value: string
  count: number
  number: number
}

/** @param drawn of the same series and outcome by hash. @param ranks of series */
export function columnsOf(drawn: readonly Drawn[], ranks: Int32Array): Samples {
  if (drawn.length === 0) return NO_SAMPLES
  const rows = drawn.toSorted(
    (a, b) => ranks[a.series] - ranks[b.series] || Number(a.failed) - Number(b.failed),
  )
  const counted = new Map<string, Map<string, Counted>>()
  const said = rows.map(row => countAll(row, counted))
  const attributes = [...counted.values()]
    .flatMap(values => [...values.values()])
    .sort((a, b) => b.count - a.count || compare(a.key, b.key) || compare(a.value, b.value))
    .slice(0, MOST_ATTRIBUTES)
  for (const [number, each] of attributes.entries()) each.number = number
  const from = new Int32Array(rows.length + 1)
  const attribute: number[] = []
  for (const [row, all] of said.entries()) {
    for (const { number } of all) if (number >= 0) attribute.push(number)
    from[row + 1] = attribute.length
  }
  return {
    length: rows.length,
    series: Int32Array.from(rows, ({ series }) => series),
    failed: Uint8Array.from(rows, ({ failed }) => Number(failed)),
    durationNs: Float64Array.from(rows, ({ durationNs }) => durationNs),
    weight: Float64Array.from(rows, ({ weight }) => weight),
    attributes: attributes.map(({ key, value }) => [key, value] as const),
    from,
    attribute: Int32Array.from(attribute),
  }
}

/** The attributes of a span, each once. */
function countAll({ said }: Drawn, counted: Map<string, Map<string, Counted>>): Set<Counted> {
  const all = new Set<Counted>()
  for (const texts of said) {
    for (let at = 0; at < texts.length; at += 2) {
      const key = texts[at]
      const value = texts[at + 1]
      if (PASSED_OVER.test(key)) continue
      let values = counted.get(key)
      if (values === undefined) counted.set(key, (values = new Map()))
      let known = values.get(value)
      if (known === undefined) values.set(value, (known = { key, value, count: 0, number: -1 }))
      if (all.has(known)) continue
      known.count++
      all.add(known)
    }
  }
  return all
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
