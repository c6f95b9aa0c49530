//! Laws of what no client can do to the others through what it sends: use up memory or time, or silence events.
import { describe, expect, test } from 'vitest'
import type { SeriesSummary } from '../../src/bus/bus.ts'
import { memoryBus } from '../../src/bus/memory.ts'
import { Tally } from '../../src/flow/tally.ts'
import { batchOf, recordedPlanes, START_MS, spanAt } from '../kit/planes.ts'
import { logNormal, seeded } from '../kit/random.ts'

const delimited = (field: number, bytes: Uint8Array) => {
  const length = []
  let rest = bytes.length
  for (; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest % 128) | 128)
  return Buffer.concat([Buffer.from([(field << 3) | 2, ...length, rest]), bytes])
}

/** A request of one resource whose spans have these bytes as names. */
const requestOf = (names: readonly Uint8Array[]) =>
  batchOf(
    delimited(
      1,
      delimited(2, Buffer.concat(names.map(name => delimited(2, delimited(5, name))))),
    ) as Uint8Array,
  )

const ordinary = (count: number, fromMs = 0) => {
  const random = seeded(7)
  return Array.from({ length: count }, (_, at) => spanAt(fromMs + at * 50, logNormal(random, 20, 0.3)))
}

describe('names', () => {
  test('that are no UTF-8, read the same and differ without end take no more room than max_series names', async () => {
    const planes = recordedPlanes({ maxSeries: 10 })
    const names = Array.from({ length: 60 }, (_, n) => Buffer.from([0x80 | n, 0x80, 0x80]))
    await planes.inspector.send(requestOf(names))
    expect(planes.registry.read('otlier.series.overflow')).toBe(50)
    expect(planes.registry.read('otlier.series.tracked')).toBe(2)
  })

  test('chosen to collide are overflow after some hundreds, not a walk through all of them for every span', async () => {
    const planes = recordedPlanes()
    // Two changes that cancel out in the hash: of sixteen pairs of words each may have them or not.
    const names = Array.from({ length: 2000 }, (_, n) => {
      const name = Buffer.alloc(128, 0x41)
      for (let pair = 0; pair < 16; pair++) {
        if (((n >> pair) & 1) === 0) continue
        name.writeUInt32LE(0xc1414141, pair * 8)
        name.writeUInt32LE(0xc1404141, pair * 8 + 4)
      }
      return name
    })
    await planes.inspector.send(requestOf(names))
    expect(planes.registry.read('otlier.series.tracked')).toBeLessThan(300)
    expect(planes.registry.read('otlier.series.overflow')).toBeGreaterThan(1700)
  })
})

describe('times', () => {
  test('years of one series in a single request are handed over as they come, and every span is counted once', () => {
    const key = {
      id: 'a',
      service: 's',
      operation: 'o',
      kind: 2,
      namespace: '',
      environment: '',
      overflow: false,
    }
    const bus = memoryBus(error => {
      throw error
    })
    const heard: SeriesSummary[] = []
    bus.listen('summary', summary => heard.push(summary))
    const tally = new Tally(bus, { keys: [key], groupOf: [0] }, { windowMs: 10_000, latenessMs: 10_000 })
    // Latest first, so that each window stands before all that are open.
    for (let n = 5000; n > 0; n--) tally.add(0, false, 1e6, n * 10_000 + 1, false, false)
    expect(heard.length).toBeGreaterThan(4900)
    tally.endOfBatch(0)
    tally.flush()
    expect(heard.reduce((sum, { summary }) => sum + summary.count, 0)).toBe(5000)
    expect(heard.every(({ summary, windowStartMs }) => summary.count === 1 && windowStartMs >= 10_000)).toBe(
      true,
    )
  })

  test('of a clock that is centuries off do not silence the events of the series', async () => {
    let latestMs = START_MS + 30_000
    const planes = recordedPlanes({}, () => latestMs)
    await planes.send(ordinary(300))
    await planes.send(Array.from({ length: 5 }, () => spanAt(1e13, 3000)))
    expect(planes.events).toHaveLength(5)
    expect(planes.events[4].observedMs).toBe(latestMs)
    latestMs += 30_000
    await planes.send([spanAt(45_000, 3000)])
    expect(planes.events).toHaveLength(6)
  })
})

test('one request grows by no more than 16 MiB of marks, and what goes without is counted', async () => {
  const planes = recordedPlanes()
  await planes.send(ordinary(300))
  const slow = Array.from({ length: 40_000 }, () => spanAt(20_000, 3000, { traceId: '', spanId: '' }))
  const { bytes } = await planes.send(slow)
  const unmarked = planes.registry.read('otlier.outliers.unmarked')
  expect(unmarked).toBeGreaterThan(0)
  expect(unmarked).toBeLessThan(40_000)
  expect(bytes.length).toBeLessThan(40_000 * 60 + 17 * 2 ** 20)
})

test('millions of spans of two bytes are forwarded, counted, and not looked at', async () => {
  const planes = recordedPlanes()
  const spans = Buffer.alloc(2 * 300_000)
  for (let at = 0; at < spans.length; at += 2) spans[at] = 0x12
  const batch = batchOf(delimited(1, delimited(2, spans)))
  await planes.inspector.send(batch)
  expect(planes.forwarded.at(-1)?.bytes).toBe(batch.bytes)
  expect(planes.forwarded.at(-1)?.items).toBe(300_000)
  expect(planes.registry.read('otlier.detection.bypassed', { reason: 'error' })).toBe(1)
})

test('a wall clock that jumps ahead closes no window', async () => {
  const planes = recordedPlanes()
  await planes.send(ordinary(300))
  planes.world.jump(3_600_000)
  planes.inspector.passTime()
  await planes.send(ordinary(100, 15_000))
  expect(planes.registry.read('otlier.spans.late')).toBe(0)
})
