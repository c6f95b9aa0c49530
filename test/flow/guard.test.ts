//! The laws of failing open: whatever detection does, telemetry goes on as it came, it is counted, and detection comes back.
import { describe, expect, test } from 'vitest'
import { Registry } from '../../src/base/counters.ts'
import type { SeriesModel } from '../../src/bus/bus.ts'
import { type Guard, guards, type Lap } from '../../src/flow/guard.ts'
import { emptyWindow } from '../kit/assembly.ts'
import { recordingLog } from '../kit/log.ts'
import { tracesRequest } from '../kit/odd.ts'
import { batchOf, recordedPlanes, spanAt } from '../kit/planes.ts'
import { simulatedWorld } from '../kit/world.ts'
import { removeMarks } from '../oracle/marks.ts'

function scene() {
  const world = simulatedWorld(1)
  const registry = new Registry()
  const { log, lines } = recordingLog()
  const all = guards(world, log, registry)
  const bypassed = (reason: string) => registry.read('otlier.detection.bypassed', { reason })
  return { world, registry, lines, all, batches: all.batches(), bypassed }
}

const fail = () => {
  throw new TypeError('a bug')
}
const work = () => 'done'

describe('a step', () => {
  test('that throws is left out and counted, and the next is tried', () => {
    const { batches, bypassed } = scene()
    expect(batches.attempt(fail)).toBe(undefined)
    expect(batches.attempt(work)).toBe('done')
    expect(bypassed('error')).toBe(1)
  })

  test('whose result is not a number is left out, and says so', () => {
    const { batches, bypassed } = scene()
    expect(batches.attempt(lap => lap.number(3) + lap.number(0))).toBe(3)
    expect(batches.attempt(lap => lap.number(0 / 0))).toBe(undefined)
    expect(bypassed('nan')).toBe(1)
  })

  test('that has had its time is ended at the next look at the clock', () => {
    const { world, batches, bypassed } = scene()
    let pieces = 0
    const slow = (lap: Lap) => {
      for (; pieces < 10_000; pieces++) {
        if (pieces % 100 === 0) lap.check(pieces)
        world.burn(0.1)
      }
    }
    expect(batches.attempt(slow)).toBe(undefined)
    expect(bypassed('time')).toBe(1)
    expect(pieces).toBe(300)
  })

  test('that ends too late is left out too: it would hold up each that follows', () => {
    const { world, batches, bypassed } = scene()
    expect(batches.attempt(() => world.burn(50))).toBe(undefined)
    expect(bypassed('time')).toBe(1)
  })

  test('may take longer the more it has to do', () => {
    const { world, batches, bypassed } = scene()
    const large = (lap: Lap) => {
      for (let pieces = 0; pieces <= 100_000; pieces += 256) {
        lap.check(pieces)
        world.burn(0.256)
      }
      return 'done'
    }
    expect(batches.attempt(large)).toBe('done')
    expect(bypassed('time')).toBe(0)
  })

  test('is not charged with the time of those inside it', () => {
    const { world, all, batches, bypassed, registry } = scene()
    const inner = all.step('a listener of summary')
    const outer = () => {
      for (let n = 0; n < 10; n++) inner.attempt(() => world.burn(15))
      world.burn(15)
      return 'done'
    }
    expect(batches.attempt(outer)).toBe('done')
    expect(bypassed('time')).toBe(0)
    expect(registry.total('otlier.detection.skipped')).toBe(0)
  })

  test('is not held to the clock, which goes on while the machine does something else', async () => {
    const { world, batches } = scene()
    expect(batches.attempt(work)).toBe('done')
    await world.advance(60_000)
    expect(batches.attempt(work)).toBe('done')
  })
})

describe('after three faults in a row', () => {
  /** One batch each 100 ms for `forMs`; the times at which it was tried. */
  async function triedWithin(
    world: ReturnType<typeof scene>['world'],
    guard: Guard,
    forMs: number,
    act = fail,
  ) {
    const tried: number[] = []
    const untilMs = world.monotonic() + forMs
    while (world.monotonic() < untilMs) {
      guard.attempt(() => {
        tried.push(world.monotonic())
        return act()
      })
      await world.advance(100)
    }
    return tried
  }

  test('it is left out, and tried again ever more seldom, but every 15 s at the latest', async () => {
    const { world, batches, bypassed } = scene()
    const tried = await triedWithin(world, batches, 60_000)
    expect(tried).toEqual([0, 100, 200, 1200, 3200, 7200, 15_200, 30_200, 45_200])
    // Each batch stands in the counter, tried or not.
    expect(bypassed('error')).toBe(600)
  })

  test('it comes back within 15 s of the cure, whatever went before, and is then tried each time', async () => {
    const { world, batches, lines } = scene()
    await triedWithin(world, batches, 600_000)
    const curedMs = world.monotonic()
    const tried = await triedWithin(world, batches, 20_000, () => undefined as never)
    expect(tried[0] - curedMs).toBeLessThanOrEqual(15_000)
    expect(tried.slice(1).every((atMs, at) => atMs - tried[at] === 100)).toBe(true)
    expect(lines.at(-1)).toMatchObject({ level: 'info', message: 'detection works again' })
  })

  test('the log has a line now and then, not one for each batch', async () => {
    const { world, batches, lines } = scene()
    await triedWithin(world, batches, 60_000)
    expect(lines.length).toBeLessThan(10)
    expect(lines.filter(({ message }) => message.includes('3 times in a row'))).toHaveLength(1)
  })

  test('others that work are not left out because of it', async () => {
    const { world, all, batches } = scene()
    const other = all.step('the closing of windows')
    await triedWithin(world, batches, 1000)
    expect(other.attempt(work)).toBe('done')
  })

  test('what is to blame itself leaves out nothing but itself', () => {
    const { batches, bypassed } = scene()
    for (let n = 0; n < 10; n++) batches.leaveOut(new RangeError('too many spans'))
    expect(batches.attempt(work)).toBe('done')
    expect(bypassed('error')).toBe(10)
  })
})

test('steps that each keep their time, and together would take all of it, are left out now and then', async () => {
  const { world, batches, bypassed, lines } = scene()
  let done = 0
  // 100 a second are offered, of 15 ms each: one and a half times what there is.
  for (let n = 0; n < 6000; n++) {
    if (batches.attempt(() => world.burn(15) ?? 'done') !== undefined) done++
    await world.advance(10)
  }
  const share = (done * 15) / 60_000
  expect(share).toBeGreaterThan(0.75)
  expect(share).toBeLessThan(0.85)
  expect(bypassed('behind')).toBe(6000 - done)
  expect(lines.length).toBeLessThan(10)
  // It has caught up as soon as there is less to do.
  await world.advance(2000)
  const before = bypassed('behind')
  for (let n = 0; n < 100; n++) {
    batches.attempt(() => world.burn(5))
    await world.advance(10)
  }
  expect(bypassed('behind')).toBe(before)
})

describe('in the data plane', () => {
  type Poison = (model: SeriesModel, planes: ReturnType<typeof recordedPlanes>) => Partial<SeriesModel>
  const onMark = (act: () => void, { series }: SeriesModel) => ({
    series: new Proxy(series, {
      get(target, key) {
        if (key === 'operation') act()
        return Reflect.get(target, key)
      },
    }),
  })
  const POISONS: readonly [string, string, Poison][] = [
    ['throws', 'error', model => onMark(fail, model)],
    ['burns 50 ms a batch', 'time', (model, { world }) => onMark(() => world.burn(50), model)],
    ['returns NaN', 'nan', ({ latency }) => ({ latency: { ...latency, limitNs: Number.NaN } })],
    [
      'finds a failure rate of NaN',
      'nan',
      ({ failure }) => ({ failure: { ...failure, rate: Number.NaN, rare: true } }),
    ],
    ['expects NaN', 'nan', ({ latency }) => ({ latency: { ...latency, p50Ns: Number.NaN } })],
  ]

  test.each(POISONS)(
    'a scorer that %s costs nothing but marks, which come back within 30 s of the cure',
    async (_, reason, poison) => {
      const planes = recordedPlanes()
      await planes.send(Array.from({ length: 300 }, (_, n) => spanAt(n * 50, 10 + (n % 5))))
      const model = planes.models.get('POST /pay') as SeriesModel
      const slow = tracesRequest([{ service: 'shop', spans: [spanAt(15_000, 3000, { status: 'error' })] }])
      const marks = async () => {
        const before = planes.forwarded.length
        expect(await planes.inspector.send(batchOf(slow))).toEqual({ kind: 'accepted', rejectedItems: 0 })
        expect(planes.forwarded).toHaveLength(before + 1)
        const { bytes } = planes.forwarded[before]
        const found = removeMarks(bytes).marks.length
        if (found === 0) expect(bytes).toBe(slow)
        return found
      }
      expect(await marks()).toBe(1)

      const ill = { ...model, generation: model.generation + 1, ...poison(model, planes) }
      planes.bus.publish('model', model.series.id, ill)
      for (let n = 0; n < 600; n++) {
        expect(await marks()).toBe(0)
        await planes.world.advance(100)
      }
      expect(planes.registry.read('otlier.detection.bypassed', { reason })).toBe(600)

      planes.bus.publish('model', model.series.id, { ...model, generation: model.generation + 2 })
      const curedMs = planes.world.monotonic()
      while ((await marks()) === 0) await planes.world.advance(100)
      expect(planes.world.monotonic() - curedMs).toBeLessThanOrEqual(30_000)
      expect(await marks()).toBe(1)
    },
  )

  test('a listener on the bus that throws or takes its time costs no mark, and loses messages itself', async () => {
    const planes = recordedPlanes()
    let heard = 0
    planes.bus.listen('event', () => {
      heard++
      planes.world.burn(500)
      fail()
    })
    await planes.send(Array.from({ length: 300 }, (_, n) => spanAt(n * 50, 10 + (n % 5))))
    // As many as have their event in one window.
    for (let n = 0; n < 5; n++) {
      const { bytes } = await planes.send([spanAt(15_000 + n, 3000)])
      expect(removeMarks(bytes).marks).toHaveLength(1)
      await planes.world.advance(100)
    }
    expect(planes.registry.total('otlier.detection.bypassed')).toBe(0)
    expect(planes.events).toHaveLength(5)
    expect(heard).toBe(3)
    expect(planes.registry.total('otlier.detection.skipped')).toBe(5)
  })

  test('a listener of windows, which are of everything at once, may take half a second, and another a fifth of one', () => {
    const event = { name: '', attributes: {} }
    for (const [topic, mayMs, message] of [
      ['features', 500, emptyWindow('', 0)],
      ['event', 200, event],
    ] as const) {
      const { bus, world, registry } = recordedPlanes()
      let takesMs = mayMs - 20
      bus.listen(topic, () => world.burn(takesMs))
      const skipped = () =>
        registry.read('otlier.detection.skipped', { step: `a listener of ${topic}`, reason: 'time' })
      const publish = () => bus.publish(topic, '', message as never)
      publish()
      expect(skipped()).toBe(0)
      takesMs = mayMs + 20
      publish()
      expect(skipped()).toBe(1)
    }
  })

  test('a batch whose scoring takes too long is ended after 256 spans', async () => {
    const planes = recordedPlanes()
    await planes.send(Array.from({ length: 300 }, (_, n) => spanAt(n * 50, 10 + (n % 5))))
    const model = planes.models.get('POST /pay') as SeriesModel
    let scored = 0
    const poisoned = onMark(() => {
      scored++
      planes.world.burn(0.5)
    }, model)
    planes.bus.publish('model', model.series.id, { ...model, generation: model.generation + 1, ...poisoned })
    const slow = Array.from({ length: 2000 }, (_, n) => spanAt(15_000 + n, 3000))
    const { bytes } = await planes.send(slow)
    expect(removeMarks(bytes).marks).toEqual([])
    expect(planes.registry.read('otlier.detection.bypassed', { reason: 'time' })).toBe(1)
    expect(scored).toBeLessThan(2000)
  })

  test('a fault in the closing of windows ends nothing', async () => {
    const planes = recordedPlanes()
    await planes.send([spanAt(0, 10)])
    planes.bus.listen('summary', fail)
    await planes.world.advance(60_000)
    planes.inspector.passTime()
    planes.inspector.flush()
    expect(planes.registry.total('otlier.detection.skipped')).toBe(1)
  })
})
