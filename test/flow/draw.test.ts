//! Laws of one draw: it keeps what a list of all that came would say, however many lines come and go in between.
import { expect, test } from 'vitest'
import type { Items } from '../../src/base/item.ts'
import { MOST_SAMPLES, SAMPLES_KEPT } from '../../src/bus/bus.ts'
import { Draw } from '../../src/flow/draw.ts'
import { int, seeded } from '../kit/random.ts'

test('of each line the smallest hashes are kept, of all lines the smallest, and each stands for the others of its line', () => {
  const random = seeded(3)
  const draw = new Draw()
  // The second window finds what the first one left.
  for (const lines of [20_000, 30, 3000]) {
    draw.begin(lines)
    const came = Map.groupBy(
      Array.from({ length: 30_000 }, () => ({ line: int(random, lines), hash: int(random, 2 ** 32) })),
      ({ line }) => line,
    )
    for (const { line, hash } of [...came.values()].flat().sort(() => random() - 0.5))
      if (draw.wants(line, hash)) draw.add(line, hash, 0, spanOf(hash), () => [])
    const drawn = [...came.values()]
      .flatMap(spans => spans.toSorted((a, b) => a.hash - b.hash).slice(0, SAMPLES_KEPT))
      .sort((a, b) => a.hash - b.hash)
      .slice(0, MOST_SAMPLES)
    const left = Map.groupBy(drawn, ({ line }) => line)
    const expected = drawn.map(({ line, hash }) => {
      const weight = (came.get(line)?.length ?? 0) / (left.get(line)?.length ?? 1)
      return `${line} ${hash} ${weight} ${hash.toString(16)}`
    })
    const seen = [...draw.drawn()].map(({ series, failed, hash, weight, bytes, at }) => {
      const trace = new DataView(bytes.buffer, at).getUint32(0).toString(16)
      return `${2 * series + Number(failed)} ${hash} ${weight} ${trace}`
    })
    expect(seen.sort()).toEqual(expected.sort())
    const used = new Set<number>()
    draw.forEachUse(series => used.add(series))
    expect(used).toEqual(new Set([...came.keys()].map(line => line >> 1)))
  }
})

/** One span whose trace and first bytes are its hash. */
function spanOf(hash: number): Parameters<Draw['add']>[3] {
  const bytes = new Uint8Array(24)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, hash)
  const items = { traceIdAt: [0], spanIdAt: [16], durationNs: [1], contentAt: [0], endAt: [24] }
  return { view, bytes, items: items as unknown as Items }
}
