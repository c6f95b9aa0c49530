//! Many histories, one after the other, each of which can be replayed by its seed.
import { forSeedsAsync } from '../../kit/random.ts'
import { type HistoryEnd, history } from './model.ts'

/** The sums of what happened in histories 1 to `count`. */
export async function histories(count: number): Promise<HistoryEnd> {
  const sums: { -readonly [K in keyof HistoryEnd]: number } = {
    sent: 0,
    acknowledged: 0,
    boots: 0,
    killedStarting: 0,
    powerCuts: 0,
    flips: 0,
    again: 0,
    damagedItems: 0,
  }
  await forSeedsAsync(count, async (_, seed) => {
    const end = await history(seed)
    for (const key of Object.keys(sums) as (keyof HistoryEnd)[]) sums[key] += end[key]
  })
  return sums
}
