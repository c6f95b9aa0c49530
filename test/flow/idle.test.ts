//! Laws of forgetting: memory follows what is alive, what comes again is new, and nobody else notices.
import { describe, expect, test } from 'vitest'
import { Items } from '../../src/base/item.ts'
import type { SeriesModel } from '../../src/bus/bus.ts'
import { KEPT_HOURS } from '../../src/bus/idle.ts'
import { StreamClock } from '../../src/flow/clock.ts'
import { SeriesTable } from '../../src/flow/series.ts'
import { scanTraces } from '../../src/wire/scan.ts'
import { assembling, factOf, filled, rowsOf, sent } from '../kit/assembly.ts'
import { tracesRequest } from '../kit/odd.ts'
import { batchOf, recordedPlanes, spanAt } from '../kit/planes.ts'
import { between, forSeedsAsync, logNormal, seeded } from '../kit/random.ts'
import { featuresOf } from '../oracle/assembly.ts'
import { removeMarks } from '../oracle/marks.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
/** Days go by more quickly with large windows. */
const WINDOW_MS = 20 * MINUTE
const KEPT_MS = (KEPT_HOURS.series + 1) * HOUR

type Planes = Pick<ReturnType<typeof recordedPlanes>, 'registry' | 'learner' | 'plane'>

function days(maxSeries = 20_000) {
  const planes = recordedPlanes({ windowMs: WINDOW_MS, maxSeries })
  const random = seeded(7)
  /** One request: all of one machine, so that there is one clock. */
  async function send(service: string, name: string, atMs: number, durationsMs: readonly number[]) {
    const spans = durationsMs.map((ms, n) => spanAt(atMs + n, ms, { name }))
    const resource = { 'host.name': 'm-1' }
    await planes.inspector.send(batchOf(tracesRequest([{ service, resource, spans }])))
    return planes.forwarded.at(-1)?.bytes ?? new Uint8Array(0)
  }
  const usual = (count: number) => Array.from({ length: count }, () => logNormal(random, 20, 0.3))
  /** A window of what is always there. */
  const live = (atMs: number) => send('shop', 'POST /pay', atMs, usual(30))
  return { ...planes, send, usual, live }
}

const sizes = ({ registry, learner, plane }: Planes) => ({
  tracked: registry.read('otlier.series.tracked'),
  learned: learner.states.size,
  met: plane.evidence.landscape.series.size,
  services: plane.evidence.landscape.services.size,
  pods: plane.evidence.landscape.pods.size,
  models: ['learning', 'ready', 'frozen', 'stale'].reduce(
    (sum, state) => sum + registry.read('otlier.models', { state }),
    0,
  ),
})

test('ten times max_series of operations that come and go leave what is alive, and none of them goes without a series', async () => {
  const planes = days(50)
  const everyMs = 80 * MINUTE
  let features = 0
  for (let n = 0; n < 500; n++) {
    for (let atMs = n * everyMs; atMs < (n + 1) * everyMs; atMs += WINDOW_MS) {
      await planes.live(atMs)
      // Windows of services that are silent are closed by time alone.
      await planes.world.advance(WINDOW_MS)
      planes.inspector.passTime()
    }
    // Each in a service and a pod of its own.
    await planes.send(`job-${n}`, `run ${n}`, (n + 1) * everyMs - MINUTE, [5, 6, 7])
    if (n === 100) features = planes.plane.evidence.features.length
  }
  const alive = 1 + Math.ceil((KEPT_MS + HOUR) / everyMs)
  for (const [what, size] of Object.entries(sizes(planes)))
    expect([what, size <= alive && size > 1]).toEqual([what, true])
  expect(planes.registry.read('otlier.series.overflow')).toBe(0)
  expect(planes.plane.evidence.features.length).toBeLessThanOrEqual(features * 1.1)
  expect(planes.models.get('POST /pay')?.state).toBe('ready')
})

test('what lives is learned, marked and published byte for byte as if the others had never been', async () => {
  const run = async (others: boolean) => {
    const planes = days()
    const shop = ({ series }: { readonly series: { readonly service: string } }) => series.service === 'shop'
    const models: SeriesModel[] = []
    const rows: unknown[] = []
    planes.bus.listen('model', model => shop({ series: model.series }) && models.push(model))
    planes.bus.listen('features', window => {
      for (const cell of rowsOf([window])[0].cells)
        if (JSON.parse(cell.series)[1] === 'shop') rows.push([window.startMs, cell])
    })
    const bytes: string[] = []
    let hidden = 0
    for (let n = 0; n < 4 * 24 * 3; n++) {
      const atMs = n * WINDOW_MS
      // Of each hour the last window has one that is slow.
      const one = await (n % 3 === 2
        ? planes.send('shop', 'POST /pay', atMs, [...planes.usual(30), 900])
        : planes.live(atMs))
      bytes.push(Buffer.from(one).toString('base64'))
      if (!others) continue
      hidden++
      await planes.send(`job-${Math.floor(n / 2)}`, `run ${n}`, atMs + 100, [5, 6])
    }
    planes.inspector.flush()
    return { bytes, models, rows, hidden, tracked: planes.registry.read('otlier.series.tracked') }
  }
  const [alone, among] = [await run(false), await run(true)]
  expect(among.bytes).toEqual(alone.bytes)
  expect(among.models).toEqual(alone.models)
  expect(among.rows).toEqual(alone.rows)
  expect(alone.models.length).toBeGreaterThan(250)
  // Some of the others had been forgotten, or this says nothing.
  expect(among.tracked).toBeLessThan(0.6 * among.hidden)
})

describe('a series that comes again', () => {
  /** Marks of a span that is slow, after `restMs` in which others were there all the time, or nobody was. */
  const judged = async (restMs: number, isOthers: boolean) => {
    const planes = days()
    await planes.live(0)
    for (let n = 0; n < 10; n++) await planes.send('nightly', 'run', n * WINDOW_MS, planes.usual(30))
    const fromMs = 10 * WINDOW_MS
    for (let atMs = fromMs; isOthers && atMs < fromMs + restMs; atMs += WINDOW_MS) await planes.live(atMs)
    const untilMs = fromMs + restMs
    // Whatever is due after a silence is done.
    await planes.live(untilMs)
    await planes.live(untilMs + WINDOW_MS)
    const states = ['learning', 'ready', 'stale'].map(state =>
      planes.registry.read('otlier.models', { state }),
    )
    const bytes = await planes.send('nightly', 'run', untilMs + 2 * WINDOW_MS, [900])
    planes.inspector.flush()
    const found = [...planes.models.values()].find(({ series }) => series.service === 'nightly')
    return { marks: removeMarks(bytes).marks.length, states, state: found?.state }
  }

  test('within the time is judged by what it was, and counts as stale until then', async () => {
    const { marks, states } = await judged((KEPT_HOURS.series - 1) * HOUR, true)
    expect(marks).toBe(1)
    expect(states).toEqual([0, 1, 1])
  })

  test('after it is learning, like any that is new', async () => {
    const { marks, states, state } = await judged(KEPT_MS + HOUR, true)
    expect(marks).toBe(0)
    expect(states).toEqual([0, 1, 0])
    expect(state).toBe('learning')
  })

  test('that was restored, and never came, is forgotten in the same time', async () => {
    const before = days()
    for (let n = 0; n < 10; n++) await before.send('nightly', 'run', n * WINDOW_MS, before.usual(30))
    before.inspector.flush()
    for (const hoursAway of [KEPT_HOURS.series - 1, KEPT_HOURS.series + 2]) {
      const after = days()
      after.learner.restore([...before.learner.states.values()].map(state => ({ ...state })))
      for (let atMs = 0; atMs < hoursAway * HOUR; atMs += WINDOW_MS) await after.live(atMs)
      const bytes = await after.send('nightly', 'run', hoursAway * HOUR, [900])
      expect(removeMarks(bytes).marks).toHaveLength(hoursAway < KEPT_HOURS.series ? 1 : 0)
    }
  })

  test('after a silence of everybody, however long, is known', async () => {
    expect(await judged(9 * 24 * HOUR, false)).toMatchObject({ marks: 1 })
  })
})

describe('numbers that stand for others', () => {
  /** Each is heard of by the next request, which may hold nothing. */
  const hours = async (to: ReturnType<typeof assembling>, count: number) => {
    for (let n = 0; n < count; n++) {
      to.bus.publish('hour', '', { endMs: 0 })
      await to.send([])
    }
  }

  test('never make a window of one pod or series that of another, neither one that waits nor one that was published', async () => {
    await forSeedsAsync(4, async random => {
      const to = assembling()
      const all = []
      for (let window = 0; window < 60; window++) {
        for (let n = 0; n < 12; n++) {
          // Of the last few windows, so that some are new and some are gone, and of a few that come again.
          const which = between(random, 0, 5) === 0 ? between(random, 0, 9) : window - between(random, 0, 3)
          // In no order.
          const name = `${(which * 7919) % 101}`
          const at = window * 10_000 + between(random, 0, 9_000)
          const one = sent(at, between(random, 1, 50), { name }, { pod: `pod-${name}`, machine: 'm-1' })
          all.push(one)
          await to.send([one])
          if (between(random, 0, 5) === 0) await hours(to, between(random, 0, 60))
        }
      }
      to.flush()
      expect(filled(to)).toEqual(featuresOf(all.map(factOf), 10_000, 10_000))
      // There were sixty of each.
      expect(to.messages.at(-1)?.pods.length).toBeLessThan(30)
      expect(to.messages.at(-1)?.series.length).toBeLessThan(50)
    })
  })

  test('do so neither where an operation has come too late for long', async () => {
    const to = assembling()
    const at = (ms: number, name: string, machine = 'm-1') => sent(ms, 5, { name }, { machine })
    // Two machines, so that the clock goes.
    const timely = [at(1_000, 'x'), at(101_000, 'always'), at(101_000, 'always', 'm-2')]
    for (const one of timely) await to.send([one])
    for (let n = 0; n <= KEPT_HOURS.series; n++) {
      await hours(to, 1)
      await to.send([at(500, 'x')])
    }
    const later = [at(102_000, 'y'), at(102_500, 'x')]
    for (const one of later) await to.send([one])
    to.flush()
    expect(to.registry.total('otlier.assembly.spans.late')).toBe(KEPT_HOURS.series + 1)
    expect(filled(to)).toEqual(featuresOf([...timely, ...later].map(factOf), 10_000, 10_000))
  })

  test('are those of what is gone: with many pods that come and go the table stays small', async () => {
    const to = assembling()
    for (let n = 0; n < 500; n++) {
      await to.send([sent(n * 10_000, 5, { name: `op ${n}` }, { pod: `pod-${n}`, machine: `m-${n}` })])
      await to.send([sent(n * 10_000, 5, { name: 'always' }, { pod: 'steady', machine: 'n-1' })])
      await hours(to, 1)
    }
    to.flush()
    expect(to.messages.at(-1)?.pods.length).toBeLessThan(20)
    expect(to.messages.at(-1)?.series.length).toBeLessThan(70)
    expect(to.registry.read('otlier.clock.jumps')).toBe(0)
  })
})

test('a sender by whom the clock goes is not forgotten, and others are', () => {
  const clock = new StreamClock({ windowMs: 10_000, traceWaitMs: 10_000 })
  for (const [sender, ms] of [
    [0, 5_000],
    [1, 9_000],
    [2, 8_000],
  ]) {
    clock.saw(sender, ms)
    clock.settle(0)
  }
  expect([0, 1, 2, 3].map(sender => clock.forget(sender))).toEqual([true, false, false, true])
  expect(clock.nowMs).toBe(9_000)
})

test('a service that reads the same as another keeps its number as long as its names lead to the other', () => {
  const table = new SeriesTable({ maxSeries: 100 }, () => {})
  const items = new Items()
  const seriesOf = (service: string, resource: Record<string, string> = {}, name = 'GET /health') => {
    const bytes = tracesRequest([
      { service, resource, spans: [{ name, startNs: 1_000_000_000n, durationNs: 1_000_000 }] },
    ])
    expect(scanTraces(bytes, items)).toBeGreaterThan(0)
    table.intern(bytes, items)
    return items.series[0]
  }
  const shop = seriesOf('shop')
  // An empty namespace reads as none.
  expect(seriesOf('shop', { 'service.namespace': '' })).toBe(shop)
  const idle = seriesOf('shop', {}, 'GET /once')
  table.forget(series => series === idle)
  for (const service of ['cart', 'pay', 'mail']) expect(seriesOf(service)).not.toBe(shop)
  expect(seriesOf('shop', { 'service.namespace': '' })).toBe(shop)
})
