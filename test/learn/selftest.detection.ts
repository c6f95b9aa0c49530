//! A law of the self-test's seeds.
import { expect, test } from 'vitest'
import { STRETCH_WINDOWS } from '../../src/learn/selftest/recorder.ts'
import { scene } from './selftest-scene.ts'

test('another seed tries other things', async () => {
  // At a budget at which some of them are missed.
  const { run, report } = scene(44, { budgets: [1e-2] })
  run(2 * STRETCH_WINDOWS)
  const rows = new Set<string>()
  for (const seed of [7, 8, 9, 10]) rows.add(JSON.stringify((await report(seed)).rows))
  expect(rows.size).toBeGreaterThan(1)
})
