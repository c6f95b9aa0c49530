//! Laws of what the service does beside the path of requests: saving what it learned, and telling of events.
import { expect, test } from 'vitest'
import { realDisk, realWorld, type World } from '../../src/base/world.ts'
import { memoryBus } from '../../src/bus/memory.ts'
import { sendEvents } from '../../src/edge/events.ts'
import { recordingLog } from '../kit/log.ts'
import { startService } from '../kit/otlier.ts'
import { simulatedWorld } from '../kit/world.ts'

const MINUTE = 60_000

test('models are written once at a time, however slow the disk and whenever the stop comes', async () => {
  let writing = 0
  let most = 0
  let began = () => {}
  const first = new Promise<void>(resolve => {
    began = resolve
  })
  const world: World = {
    ...realWorld,
    // What happens once a minute happens at once.
    after: (delayMs, act) => realWorld.after(delayMs === MINUTE ? 1 : delayMs, act),
    disk: {
      ...realDisk,
      read: async () => null,
      lock: async () => () => {},
      list: async () => [],
      async writeAtomic() {
        most = Math.max(most, ++writing)
        began()
        await realWorld.sleep(30)
        writing--
      },
    },
  }
  const otlier = await startService([], { world, directory: '/nowhere' })
  await first
  expect(await otlier.stop()).toBe(0)
  expect(most).toBe(1)
  expect(writing).toBe(0)
})

test('a fault on the way of events ends nothing: they stand in the log', async () => {
  const world = simulatedWorld(1)
  const { log, lines } = recordingLog()
  const bus = memoryBus(error => {
    throw error
  })
  const broken = {
    async send(): Promise<never> {
      throw new TypeError('a bug')
    },
    async close() {},
    isProven: () => true,
  }
  const events = sendEvents(bus, broken, world, log, '0.0.0')
  bus.publish('event', 'a', {
    name: 'otlier.span.outlier',
    timeNs: 1n,
    observedMs: 1,
    severity: 13,
    body: 'shop: 3 s',
    traceId: '',
    spanId: '',
    resource: { 'service.name': 'shop' },
    attributes: {},
  })
  await events.stop()
  expect(lines.map(line => line.message)).toEqual([
    'events could not be sent; they stand in the log',
    'shop: 3 s',
  ])
})
