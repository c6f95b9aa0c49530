//! Laws of learning: what becomes normal, what does not, and what outlives a restart.
import { zstdCompressSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { Registry } from '../../src/base/counters.ts'
import { silentLog } from '../../src/base/log.ts'
import { memoryBus } from '../../src/bus/memory.ts'
import { Summary } from '../../src/detect/summary.ts'
import { Learner, newState, type SeriesState } from '../../src/learn/learner.ts'
import {
  decodeSnapshot,
  encodeSnapshot,
  restoreSnapshot,
  saveSnapshot,
  seal,
} from '../../src/learn/snapshot.ts'
import { recordedPlanes, spanAt } from '../kit/planes.ts'
import { logNormal, seeded } from '../kit/random.ts'
import { simulatedWorld } from '../kit/world.ts'

type Planes = ReturnType<typeof recordedPlanes>
const MINUTE = 60_000

/** Sends ten spans a second of event time, a request every five seconds. */
async function run(planes: Planes, fromMs: number, toMs: number, medianMs: number, more = {}) {
  const random = seeded(fromMs + 11)
  for (let at = fromMs; at < toMs; at += 5000) {
    await planes.send(
      Array.from({ length: 50 }, (_, n) => spanAt(at + n * 100, logNormal(random, medianMs, 0.3), more)),
    )
  }
}
const p50 = (planes: Planes) => (planes.models.get('POST /pay')?.latency.p50Ns ?? 0) / 1e6

describe('the poison guard', () => {
  test('a fault of ten minutes is not learned, and what comes after it is normal as before', async () => {
    const planes = recordedPlanes()
    await run(planes, 0, 10 * MINUTE, 20)
    const before = planes.models.get('POST /pay')
    await run(planes, 10 * MINUTE, 20 * MINUTE, 200)
    const during = planes.models.get('POST /pay')
    expect(during?.state).toBe('frozen')
    expect(during?.latency.limitNs).toBeLessThan((before?.latency.limitNs ?? 0) * 1.1)
    await run(planes, 20 * MINUTE, 25 * MINUTE, 20)
    expect(planes.models.get('POST /pay')?.state).toBe('ready')
    expect(p50(planes)).toBeGreaterThan(18)
    expect(p50(planes)).toBeLessThan(22)
    expect(planes.events.filter(event => event.name === 'otlier.baseline.shift')).toEqual([])
  })

  test('a shift within the limit but clearly beyond the band is not learned either', async () => {
    const planes = recordedPlanes()
    await run(planes, 0, 10 * MINUTE, 20)
    await run(planes, 10 * MINUTE, 20 * MINUTE, 34)
    expect(p50(planes)).toBeLessThan(22)
  })

  test('a level that stays for rebaseline_after is adopted, once, with an event that says from what to what', async () => {
    const planes = recordedPlanes({ rebaselineMs: 15 * MINUTE })
    await run(planes, 0, 10 * MINUTE, 20)
    await run(planes, 10 * MINUTE, 40 * MINUTE, 200)
    const shifts = planes.events.filter(event => event.name === 'otlier.baseline.shift')
    expect(shifts).toHaveLength(1)
    expect(shifts[0].attributes).toMatchObject({
      'otlier.anomaly.feature': 'self',
      'otlier.anomaly.unit': 's',
    })
    expect(shifts[0].attributes['otlier.baseline.before']).toBeCloseTo(0.02, 2)
    expect(shifts[0].attributes['otlier.baseline.after']).toBeCloseTo(0.2, 1)
    expect(p50(planes)).toBeGreaterThan(180)
    const told = planes.events.length
    await run(planes, 40 * MINUTE, 45 * MINUTE, 200)
    expect(planes.events).toHaveLength(told)
  })

  test('a job that is slow for a while each night is no new level, however often it comes', async () => {
    const planes = recordedPlanes()
    const night = 24 * 60 * MINUTE
    await run(planes, 0, 10 * MINUTE, 20)
    for (const at of [night, 2 * night, 3 * night]) {
      await run(planes, at, at + 5 * MINUTE, 900)
      expect(planes.models.get('POST /pay')?.state).toBe('frozen')
    }
    expect(p50(planes)).toBeLessThan(22)
    expect(planes.events.filter(event => event.name === 'otlier.baseline.shift')).toEqual([])
  })

  test('a burst of failures is not learned, and a rate of failures that stays is', async () => {
    const planes = recordedPlanes({ rebaselineMs: 15 * MINUTE })
    await run(planes, 0, 10 * MINUTE, 20)
    await run(planes, 10 * MINUTE, 15 * MINUTE, 20, { status: 'error' })
    expect(planes.models.get('POST /pay')?.failure.rare).toBe(true)
    await run(planes, 15 * MINUTE, 35 * MINUTE, 20, { status: 'error' })
    expect(planes.models.get('POST /pay')?.failure.rate).toBeGreaterThan(0.9)
  })

  test('rare slow spans widen the limit in the end, without moving the level', async () => {
    const planes = recordedPlanes()
    const random = seeded(5)
    for (let at = 0; at < 60 * MINUTE; at += 5000) {
      await planes.send(
        Array.from({ length: 50 }, (_, n) =>
          spanAt(at + n * 100, random() < 0.006 ? 400 : logNormal(random, 20, 0.3)),
        ),
      )
    }
    const model = planes.models.get('POST /pay')
    expect(p50(planes)).toBeLessThan(22)
    expect((model?.latency.limitNs ?? 0) / 1e6).toBeGreaterThan(400)
  })

  test('an outlier of a minute says no more about the limit than one of a second', async () => {
    const limitAfter = async (slowMs: number) => {
      const planes = recordedPlanes()
      await run(planes, 0, 10 * MINUTE, 20)
      const random = seeded(5)
      for (let at = 10 * MINUTE; at < 40 * MINUTE; at += 5000) {
        await planes.send(
          Array.from({ length: 50 }, (_, n) =>
            spanAt(at + n * 100, random() < 0.0025 ? slowMs : logNormal(random, 20, 0.3)),
          ),
        )
      }
      return planes.models.get('POST /pay')?.latency.limitNs
    }
    expect(await limitAfter(60_000)).toBe(await limitAfter(1000))
  })
})

const atOnce = async () => {}

describe('a snapshot', () => {
  async function learned() {
    const planes = recordedPlanes()
    await run(planes, 0, 5 * MINUTE, 20)
    await run(planes, 5 * MINUTE, 6 * MINUTE, 200)
    return planes
  }

  test('gives the data plane after a restart the models that it had, holds included', async () => {
    const before = await learned()
    const bytes = await encodeSnapshot(before.learner.states.values(), 1000, atOnce)
    const after = recordedPlanes()
    const snapshot = decodeSnapshot(bytes)
    if ('wrong' in snapshot) throw new Error(snapshot.wrong)
    after.learner.restore(snapshot.states)
    const model = after.models.get('POST /pay')
    expect(model?.state).toBe('frozen')
    expect(model?.latency.samples).toBe(before.models.get('POST /pay')?.latency.samples)
    expect(model?.latency.limitNs).toBeCloseTo(before.models.get('POST /pay')?.latency.limitNs ?? 0, -3)
    await after.send([spanAt(7 * MINUTE, 3000)])
    expect(after.events).toHaveLength(1)
  })

  test.each([
    ['empty', () => new Uint8Array(0)],
    ['of another program', () => Buffer.from('PNG and so on, long enough to be read')],
    [
      'of an older format',
      (whole: Uint8Array) => Buffer.concat([Buffer.from('OTLMOD00'), whole.subarray(8)]),
    ],
    ['cut short', (whole: Uint8Array) => whole.subarray(0, whole.length - 7)],
    [
      'with a body that is not its own',
      (whole: Uint8Array) => {
        const body = zstdCompressSync(JSON.stringify({ savedMs: 0, series: [] }))
        return Buffer.concat([whole.subarray(0, 12), body])
      },
    ],
    ['with one bit flipped', (whole: Uint8Array) => whole.map((byte, at) => (at === 200 ? byte ^ 4 : byte))],
  ])('%s is set aside with a line that says why, and never stops the start', async (_, damage) => {
    const world = simulatedWorld(1)
    const whole = await encodeSnapshot((await learned()).learner.states.values(), world.now(), atOnce)
    world.disk.files.set('/state/models.otlier', damage(whole))
    const lines: string[] = []
    const log = { ...silentLog, warn: (_fields: object, message: string) => void lines.push(message) }
    expect(await restoreSnapshot('/state', 100, world, log)).toEqual([])
    expect(lines).toEqual(['the saved models were set aside; learning starts anew'])
    expect([...world.disk.files.keys()]).toEqual([`/state/models.otlier.unreadable-${world.now()}`])
  })

  test('a disk that fails is told of, and neither start nor save is stopped by it', async () => {
    const world = simulatedWorld(1)
    world.disk.failure = new Error('EIO')
    const lines: string[] = []
    const log = { ...silentLog, warn: (_fields: object, message: string) => void lines.push(message) }
    expect(await restoreSnapshot('/state', 100, world, log)).toEqual([])
    await saveSnapshot('/state', [], world, log)
    expect(lines).toHaveLength(2)
  })

  test('survives being saved and restored, and is too old after two weeks', async () => {
    const world = simulatedWorld(1)
    await saveSnapshot('/state', (await learned()).learner.states.values(), world, silentLog)
    expect(await restoreSnapshot('/state', 100, world, silentLog)).toHaveLength(1)
    world.jump(15 * 24 * 3600_000)
    expect(await restoreSnapshot('/state', 100, world, silentLog)).toEqual([])
  })
})

describe('with many series', () => {
  const stateOf = (id: string, untilMs: number): SeriesState => ({
    ...newState({
      id,
      service: 's',
      operation: id,
      kind: 2,
      namespace: '',
      environment: '',
      overflow: false,
    }),
    untilMs,
  })

  test('a snapshot restores those seen last, and no more than there may be', async () => {
    const world = simulatedWorld(1)
    const states = [3, 1, 4, 2].map(seen => stateOf(`op${seen}`, seen))
    await saveSnapshot('/state', states, world, silentLog)
    const restored = await restoreSnapshot('/state', 2, world, silentLog)
    expect(restored.map(state => state.key.id)).toEqual(['op4', 'op3'])
  })

  test('saving them gives whatever waits its turn in between', async () => {
    const states = Array.from({ length: 1000 }, (_, n) => stateOf(`op${n}`, n))
    let turns = 0
    const bytes = await encodeSnapshot(states, 0, async () => void turns++)
    expect(turns).toBe(10)
    const snapshot = decodeSnapshot(bytes)
    expect('states' in snapshot && snapshot.states.length).toBe(1000)
  })
})

test.each([
  ['begins below the first bucket', [-1, 1]],
  ['goes on beyond the last bucket', [700, ...new Array(200).fill(1)]],
  ['holds what is no number', [3, null]],
])('a snapshot with a histogram that %s is damaged', async (_, within) => {
  const failure = { spans: 1, failures: 0 }
  const series = (held: unknown) => ({
    key: { id: 'a' },
    generation: 1,
    untilMs: 0,
    latency: { within: held, beyond: [0], limitNs: null },
    failure,
    latencyHold: null,
    failureHold: null,
  })
  const decoded = async (held: unknown) =>
    decodeSnapshot(await seal('OTLMOD01', JSON.stringify({ savedMs: 0, series: [series(held)] })))
  expect(await decoded([3, 1])).toHaveProperty('states')
  expect(await decoded(within)).toHaveProperty('wrong', expect.stringContaining('a histogram is damaged'))
})

test('a window whose spans have no usable times shows no median', () => {
  const bus = memoryBus(error => {
    throw error
  })
  const medians: number[] = []
  bus.listen('model', model => medians.push(model.observedNs))
  const summary = new Summary()
  summary.count = 7
  const { key } = newState({
    id: 'a',
    service: 's',
    operation: 'o',
    kind: 2,
    namespace: '',
    environment: '',
    overflow: false,
  })
  new Learner(bus, new Registry(), { rebaselineMs: MINUTE }).hear({
    series: key,
    windowStartMs: 0,
    windowEndMs: 10_000,
    summary,
  })
  expect(medians).toEqual([Number.NaN])
})

test('a generation only rises, over restarts too', () => {
  const bus = memoryBus(error => {
    throw error
  })
  const generations: number[] = []
  bus.listen('model', model => generations.push(model.generation))
  const first = new Learner(bus, new Registry(), { rebaselineMs: MINUTE })
  const series = {
    id: 'a',
    service: 's',
    operation: 'o',
    kind: 2,
    namespace: '',
    environment: '',
    overflow: false,
  }
  for (let window = 0; window < 3; window++) {
    first.hear({
      series,
      windowStartMs: window * 10_000,
      windowEndMs: window * 10_000 + 10_000,
      summary: new Summary(),
    })
  }
  first.close()
  const second = new Learner(bus, new Registry(), { rebaselineMs: MINUTE })
  second.restore(first.states.values())
  expect(generations).toEqual([1, 2, 3, 4])
})
