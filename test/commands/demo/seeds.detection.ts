//! The demo's score over ten seeded minutes on a virtual clock.
import { expect, test } from 'vitest'
import { FAULT_NAMES } from '../../../src/commands/demo/faults.ts'
import { virtualDemo } from './run.ts'

const TEN_MINUTES_MS = 600_000
/** Long enough for the first fault to be told of. */
const FIRST_MS = 40_000

test('in ten seeded minutes every fault is detected and located within a minute, without a false alarm', async () => {
  const { score } = await virtualDemo(1, TEN_MINUTES_MS)
  expect(score.faults.map(({ injection, located }) => [injection.name, located])).toEqual(
    FAULT_NAMES.map(name => [name, true]),
  )
  expect(score).toMatchObject({ injected: 6, detected: 6, located: 6, falseAlarms: 0 })
  for (const { delayMs } of score.faults) expect(delayMs).toBeLessThanOrEqual(60_000)
})

test('of the faults of other seeds hardly any is missed, and hardly anything is told without one', async () => {
  const scores = [2, 3].map(seed => virtualDemo(seed, TEN_MINUTES_MS))
  let [injected, detected, located, falseAlarms] = [0, 0, 0, 0]
  for (const { score } of await Promise.all(scores)) {
    injected += score.injected
    detected += score.detected
    located += score.located
    falseAlarms += score.falseAlarms
  }
  console.log(
    `seeds 2 and 3: injected ${injected}, detected ${detected}, located ${located}, false ${falseAlarms}`,
  )
  expect(injected).toBe(12)
  expect(detected).toBeGreaterThanOrEqual(11)
  expect(located).toBeGreaterThanOrEqual(11)
  expect(falseAlarms).toBeLessThanOrEqual(1)
})

test('the same seed says the same', async () => {
  const [one, other] = [await virtualDemo(7, FIRST_MS), await virtualDemo(7, FIRST_MS)]
  expect(one.said.some(({ said }) => said.event === 'otlier.incident.opened')).toBe(true)
  expect(other.said).toEqual(one.said)
})
