//! A running learning plane with a self-test beside it, fed by the little shop, on a clock of its own.
import { expect } from 'vitest'
import { Registry } from '../../src/base/counters.ts'
import type { EventRecord, FeatureWindow } from '../../src/bus/bus.ts'
import { memoryBus } from '../../src/bus/memory.ts'
import type { SelftestReport } from '../../src/bus/selftest.ts'
import { LearningPlane, type PlaneOptions } from '../../src/learn/plane.ts'
import { ShadowTest } from '../../src/learn/selftest/selftest.ts'
import { recordingLog } from '../kit/log.ts'
import { PLANE } from '../kit/plane.ts'
import { Shop, type Trouble } from '../kit/shop.ts'
import { simulatedWorld } from '../kit/world.ts'

export function scene(seed: number, more: Partial<PlaneOptions> = {}) {
  const options = { ...PLANE, ...more }
  const bus = memoryBus(error => {
    throw error
  })
  const events: EventRecord[] = []
  bus.listen('event', event => events.push(event))
  const world = simulatedWorld(seed)
  const registry = new Registry()
  const { log, lines } = recordingLog()
  const plane = new LearningPlane(bus, registry, options)
  const selftest = new ShadowTest(bus, world, log, registry, options)
  const { recorder } = selftest
  recorder.start(plane, bus)
  const shop = new Shop(seed)
  const said: FeatureWindow[] = []
  return {
    plane,
    selftest,
    recorder,
    world,
    registry,
    events,
    lines,
    options,
    said,
    /** The next windows of the shop. */
    run(windows: number, trouble?: Trouble) {
      for (let n = 0; n < windows; n++) {
        const window = shop.window(trouble)
        said.push(window)
        bus.publish('features', '', window)
      }
    },
    async report(seed: number | null = 1): Promise<SelftestReport> {
      expect(selftest.start(seed)).toEqual({ seed: seed ?? expect.any(Number) })
      await world.until(() => selftest.now().state !== 'running')
      const state = selftest.now()
      if (state.state !== 'done') throw new Error(JSON.stringify([state, lines]))
      return state.report
    },
  }
}
