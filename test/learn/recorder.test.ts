//! Laws of what is kept for self-tests: windows come back as they were, what was learned is of one moment, and all of it is bounded.
import { expect, test } from 'vitest'
import { Registry } from '../../src/base/counters.ts'
import { memoryBus } from '../../src/bus/memory.ts'
import { storePlane } from '../../src/learn/keep.ts'
import { LearningPlane } from '../../src/learn/plane.ts'
import { PackedWindow } from '../../src/learn/selftest/copies.ts'
import { partsOf, STRETCH_WINDOWS } from '../../src/learn/selftest/recorder.ts'
import { ShadowTest } from '../../src/learn/selftest/selftest.ts'
import { recordingLog } from '../kit/log.ts'
import { Shop } from '../kit/shop.ts'
import { simulatedWorld } from '../kit/world.ts'
import { scene } from './selftest-scene.ts'

test('a packed window comes back with all that is read of it, squeezed or not, and each time as a copy', async () => {
  const window = new Shop(50).window()
  const packed = new PackedWindow(window)
  const large = packed.packed.size
  const before = packed.unpack()
  await packed.packed.squeeze()
  expect(packed.packed.size).toBeLessThan(large / 2)
  const after = packed.unpack()
  expect(after).toEqual(before)
  after.cells.traces.fill(0)
  for (const { cells, bins, links, startMs, endMs } of [before, packed.unpack()]) {
    expect([startMs, endMs, bins, links]).toEqual([window.startMs, window.endMs, window.bins, window.links])
    expect({ ...cells, slowTrace: window.cells.slowTrace }).toEqual(window.cells)
  }
})

test('what is kept is bounded: old stretches go, and windows of which ten minutes have no room are not kept at all', async () => {
  const { run, recorder, selftest, options } = scene(51)
  run(5 * STRETCH_WINDOWS)
  expect(recorder.stretches.map(({ windows }) => windows.length)).toEqual([60, 60, 60, 0])
  const bus = memoryBus(error => {
    throw error
  })
  const silent = new LearningPlane(
    memoryBus(() => {}),
    new Registry(),
    options,
  )
  const world = simulatedWorld(1)
  const large = new ShadowTest(bus, world, recordingLog().log, new Registry(), options)
  large.recorder.start(silent, bus)
  const shop = new Shop(52)
  const { bins, ...window } = shop.window()
  const length = 2 ** 18
  const weight = Float64Array.from({ length }, (_, at) => Math.sin(at))
  const many = {
    length,
    row: new Int32Array(length),
    measure: new Uint8Array(length),
    bucket: new Int16Array(length),
    weight,
  }
  for (let n = 0; n < 20; n++) bus.publish('features', '', { ...window, bins: many })
  expect(bins.length).toBeGreaterThan(0)
  expect([large.recorder.isTooLarge, large.recorder.stretches]).toEqual([true, []])
  expect(large.start(1)).toMatchObject({ wrong: expect.stringContaining('too large') })
  selftest.stop()
  expect(recorder.stretches).toEqual([])
})

test('what is much to store is stored in pieces, and again where a window comes in between', async () => {
  const { run, plane, recorder, world } = scene(54)
  run(1)
  const [service] = plane.evidence.landscape.services.values()
  for (let n = 0; n < 2500; n++) plane.evidence.feature('call missing', service, { detail: String(n) })
  run(STRETCH_WINDOWS)
  const lengths = () => recorder.stretches.map(({ windows }) => windows.length)
  expect(lengths()).toEqual([STRETCH_WINDOWS + 1])
  await world.advance(1)
  expect(lengths()).toEqual([STRETCH_WINDOWS + 1])
  run(1)
  await world.advance(1)
  expect(lengths()).toEqual([STRETCH_WINDOWS + 2, 0])
  expect(partsOf(recorder.stretches[1]).join('\n')).toBe(storePlane(plane, plane.evidence.nowMs))
})
