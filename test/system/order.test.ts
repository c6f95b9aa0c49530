//! Laws of order: the same spans open the same incidents, however they come, by whom and how fast; and nothing is known before its time.
import { beforeAll, describe, expect, test } from 'vitest'
import { seeded } from '../kit/random.ts'
import { type Arrival, exportsOf, receiving, type Sent } from '../kit/stretch.ts'
import { SEED, sameInWorld, tell, trouble } from './order.ts'

/** Moments, one in each part of the time, at which a replay is cut off here; on a recording there are fifty. */
const CUTS = 3

sameInWorld(10)

describe('the same to the byte, whatever the clock on the wall says', () => {
  let exported: Arrival[]
  let usual: readonly string[]
  beforeAll(async () => {
    exported = exportsOf(trouble(24))
    usual = await tell(exported)
  })

  test.each([
    ['at half the speed', { speed: 2 }],
    ['as a replay, without any clock', { speed: 0, tickMs: null }],
  ])('when all is sent %s', async (_, way) => {
    expect(await tell(exported, way)).toEqual(usual)
  })
})

test('a replay that is cut off has told what the whole one tells up to that moment, byte for byte, outliers included', async () => {
  const latest = (spans: readonly Sent[]) => Math.max(...spans.map(({ endMs }) => endMs))
  const lines = exportsOf(trouble(24))
    .map(({ spans }) => ({ spans, atMs: latest(spans) }))
    .sort((a, b) => a.atMs - b.atMs)
  const whole = await replayed(lines)
  const random = seeded(SEED + 3)
  const [first, last] = [lines[0].atMs, lines[lines.length - 1].atMs]
  let most = 0
  for (let n = 0; n < CUTS; n++) {
    const moment = first + ((n + random()) / CUTS) * (last - first)
    const known = lines.filter(({ atMs }) => atMs <= moment)
    const cut = await replayed(known)
    // Windows are closed by spans: what a later one has to close was waiting still.
    const streamMs = known[known.length - 1].atMs
    expect(cut.all).toEqual(whole.all.filter((_, at) => whole.observedMs[at] <= streamMs))
    most = Math.max(most, cut.told.length)
  }
  expect(most).toBeGreaterThan(0)
})

/** What is told while requests come, and not because they have come to an end. */
async function replayed(lines: readonly Arrival[]) {
  const to = receiving('one', false)
  for (const { atMs, spans } of lines) await to.send(atMs, [spans])
  return to
}
