//! What the bench measures is what it says: every span is counted, and one in a hundred is marked.
import { expect, test } from 'vitest'
import { assembling } from './assembling.ts'
import { deployment, SERIES_A_SERVICE, traffic } from './large.ts'
import { scoring } from './scoring.ts'
import { requests, SPANS } from './traffic.ts'

test('the scan bench scores every span, and marks one in a hundred once the models are ready', async () => {
  const plane = await scoring(requests(8))
  await plane.score(1600, false)
  const before = plane.seen()
  expect(before.spans).toBe(1600 * SPANS)
  await plane.score(40, true)
  const after = plane.seen()
  expect(after.spans - before.spans).toBe(40 * SPANS)
  expect((after.marked - before.marked) / (40 * SPANS)).toBeGreaterThan(0.008)
  expect((after.marked - before.marked) / (40 * SPANS)).toBeLessThan(0.012)
})

test('the assembly bench publishes every span that it takes, but for those that wait', () => {
  const plane = assembling()
  plane.assemble(400)
  expect(plane.waiting()).toBeGreaterThan(70_000)
  expect(plane.seen() + plane.waiting()).toBe(400 * plane.spans)
})

test('the learning bench has 25 series a service, learns every window but those that wait, and watches places of each', async () => {
  const [services, windows] = [20, 12]
  const plane = deployment()
  const made = traffic(services)
  let heard = 0
  for (let n = 0; n < windows; n++) {
    await plane.send(made)
    heard += plane.learn()
  }
  expect(plane.registry.read('otlier.series.tracked')).toBe(services * SERIES_A_SERVICE)
  expect(heard).toBe(windows - 2)
  expect(plane.features()).toBeGreaterThan(2 * services * SERIES_A_SERVICE)
})
