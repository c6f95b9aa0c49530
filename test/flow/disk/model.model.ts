//! The queue on disk against its model over 10,000 random histories: torn and lost writes, bit flips, full disks, errors of every call, kills and losses of power.
import { expect, test } from 'vitest'
import { histories } from './histories.ts'

/** Or as many as OTLIER_HISTORIES says. */
const HISTORIES = Number(process.env.OTLIER_HISTORIES ?? 10_000)

test(`${HISTORIES} random histories: never loses what was acknowledged, never delivers anything damaged, always starts, and its accounts balance`, async () => {
  const ends = await histories(HISTORIES)
  console.log(`seeds 1 to ${HISTORIES}: ${JSON.stringify(ends)}`)
  expect(ends.acknowledged).toBeGreaterThan(ends.sent / 3)
}, 1_200_000)
