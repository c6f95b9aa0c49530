//! The queue on disk against its model, over the first of the histories that `npm run test:model` goes through.
import { expect, test } from 'vitest'
import { histories } from './histories.ts'

test('200 random histories: never loses what was acknowledged, never delivers anything damaged, always starts, and its accounts balance', async () => {
  const { sent, acknowledged, boots, powerCuts, flips } = await histories(200)
  // The histories are not empty ones.
  expect(acknowledged).toBeGreaterThan(sent / 3)
  expect(boots).toBeGreaterThan(400)
  expect(powerCuts).toBeGreaterThan(50)
  expect(flips).toBeGreaterThan(20)
}, 60_000)
