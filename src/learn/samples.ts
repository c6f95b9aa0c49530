//! The drawn spans of several workers as if one had drawn them.
import {
  type FeatureWindow,
  MOST_SAMPLES,
  NO_SAMPLES,
  SAMPLES_KEPT,
  type Samples,
  type SeriesKey,
} from '../bus/bus.ts'

interface Row {
  readonly of: Samples
  readonly row: number
  readonly series: number
  readonly failed: number
  readonly hash: number
}

/**
 * Of each series and outcome the spans with the smallest hashes, of all the smallest: a worker has those of its traces. Where a worker has
 * more different attributes than it sends, some that it left out are missing here too.
 * @param series of the union. @param numbers by part, those of its series there
 */
export function unionOfSamples(
  parts: readonly FeatureWindow[],
  series: readonly SeriesKey[],
  numbers: readonly (readonly number[])[],
): Samples {
  const lines = new Map<string, { spans: number; rows: Row[] }>()
  for (const [part, { samples: of }] of parts.entries()) {
    for (let row = 0; row < of.length; row++) {
      const number = numbers[part][of.series[row]]
      const failed = of.failed[row]
      const key = `${number} ${failed}`
      let line = lines.get(key)
      if (line === undefined) lines.set(key, (line = { spans: 0, rows: [] }))
      line.spans += of.weight[row]
      line.rows.push({ of, row, series: number, failed, hash: of.hash[row] })
    }
  }
  if (lines.size === 0) return NO_SAMPLES
  const kept = [...lines.values()].flatMap(({ rows }) => rows.sort(byHash).slice(0, SAMPLES_KEPT))
  const rows = kept.sort(byHash).slice(0, MOST_SAMPLES)
  const idOf = (row: Row) => series[row.series].id
  rows.sort((a, b) =>
    idOf(a) === idOf(b) ? a.failed - b.failed || a.hash - b.hash : idOf(a) < idOf(b) ? -1 : 1,
  )
  const left = Map.groupBy(rows, row => `${row.series} ${row.failed}`)
  // Each worker's weights add up to a whole number of spans.
  const weightOf = (row: Row) => {
    const key = `${row.series} ${row.failed}`
    return Math.round(lines.get(key)?.spans ?? 0) / (left.get(key)?.length ?? 1)
  }
  const { attributes, from, attribute } = attributesOf(rows)
  return {
    length: rows.length,
    series: Int32Array.from(rows, row => row.series),
    failed: Uint8Array.from(rows, ({ failed }) => failed),
    durationNs: Float64Array.from(rows, ({ of, row }) => of.durationNs[row]),
    weight: Float64Array.from(rows, weightOf),
    hash: Uint32Array.from(rows, ({ hash }) => hash),
    attributes,
    from,
    attribute,
  }
}

const byHash = (a: Row, b: Row): number => a.hash - b.hash

/** What the rows say, in one table. */
function attributesOf(rows: readonly Row[]): Pick<Samples, 'attributes' | 'from' | 'attribute'> {
  const numbers = new Map<string, number>()
  const attributes: Samples['attributes'][number][] = []
  const attribute: number[] = []
  const from = new Int32Array(rows.length + 1)
  for (const [at, { of, row }] of rows.entries()) {
    for (let nth = of.from[row]; nth < of.from[row + 1]; nth++) {
      const plain = of.attributes[of.attribute[nth]]
      const key = JSON.stringify(plain)
      let number = numbers.get(key)
      if (number === undefined) {
        numbers.set(key, (number = attributes.length))
        attributes.push(plain)
      }
      attribute.push(number)
    }
    from[at + 1] = attribute.length
  }
  return { attributes, from, attribute: Uint16Array.from(attribute) }
}
