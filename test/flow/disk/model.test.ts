//! The queue on disk against its model, over the first of the histories that `npm run test:model` goes through.
import { expect, test } from 'vitest'
import { histories } from './histories.ts'

test('60 random histories: never loses what was acknowledged, never delivers anything damaged, always starts, and its accounts balance', async () => {
  const { sent, acknowledged, boots, killedStarting, powerCuts, flips } = await histories(60)
  // The histories are not empty ones.
  expect(acknowledged).toBeGreaterThan(sent / 3)
  expect(boots).toBeGreaterThan(120)
  expect(killedStarting).toBeGreaterThan(10)
  expect(powerCuts).toBeGreaterThan(15)
  expect(flips).toBeGreaterThan(5)
}, 60_000)
