//! Laws of the data plane's inspection: what is marked, what is not, and that nothing else changes.
import { describe, expect, test } from 'vitest'
import { attributesOf, decodeRequest } from '../kit/messages.ts'
import { metricsRequest, oddRequest, type PlainSpan, tracesRequest } from '../kit/odd.ts'
import { batchOf, DETECTING, recordedPlanes, spanAt } from '../kit/planes.ts'
import { forSeedsAsync, int, logNormal, pick, seeded } from '../kit/random.ts'
import { removeMarks } from '../oracle/marks.ts'

/** `count` ordinary spans, one every 50 ms. */
const ordinary = (count: number, fromMs = 0, more: Partial<PlainSpan> = {}) => {
  const random = seeded(7)
  return Array.from({ length: count }, (_, at) => spanAt(fromMs + at * 50, logNormal(random, 20, 0.3), more))
}

describe('an outlier', () => {
  test('after 300 ordinary spans a slow one carries a mark with a true reason, which names the samples behind it, and an event with its trace', async () => {
    const planes = recordedPlanes()
    const quiet = await planes.send(ordinary(300))
    expect(removeMarks(quiet.bytes).marks).toEqual([])
    const slow = spanAt(16_000, 1840, { traceId: 'ab'.repeat(16), spanId: 'cd'.repeat(8) })
    const request = tracesRequest([{ service: 'shop', namespace: 'eu', spans: ordinary(250, 15_000) }])
    await planes.inspector.send(batchOf(request))
    const { bytes } = await planes.send([slow])
    const { marks } = removeMarks(bytes)
    expect(marks).toHaveLength(1)
    const mark = marks[0].attributes
    expect(mark['otlier.anomaly.detected']).toBe(true)
    expect(mark['otlier.anomaly.kinds']).toEqual(['latency'])
    expect(mark['otlier.anomaly.reason']).toMatch(
      /^1\.84 s, normally \d+(\.\d+)? to \d+(\.\d+)? ms \(p50 \d+(\.\d+)? ms, 200 spans\) for POST \/pay$/,
    )
    expect(mark['otlier.anomaly.value']).toBe(1.84)
    expect(mark['otlier.anomaly.expected']).toBeGreaterThan(0.018)
    expect(mark['otlier.anomaly.expected']).toBeLessThan(0.022)
    expect(mark['otlier.anomaly.baseline.samples']).toBe(200)
    expect(mark['otlier.anomaly.score']).toBeGreaterThan(1)
    const [event] = planes.events
    expect(event).toMatchObject({
      name: 'otlier.span.outlier',
      traceId: 'ab'.repeat(16),
      spanId: 'cd'.repeat(8),
      severity: 17,
    })
    expect(event.resource).toEqual({ 'service.name': 'shop' })
    expect(event.timeNs).toBe(slow.startNs + BigInt(slow.durationNs))
  })

  test('is marked in the same request that made its series ready', async () => {
    const planes = recordedPlanes()
    const { bytes } = await planes.send([...ordinary(300), spanAt(15_000, 2000)])
    expect(removeMarks(bytes).marks.map(mark => mark.index)).toEqual([300])
  })

  test('a history whose requests overtake each other makes its series ready all the same', async () => {
    const planes = recordedPlanes()
    const spans = Array.from({ length: 300 }, (_, at) => spanAt(at * 8000, 10 + (at % 5)))
    for (const from of [200, 0, 100]) await planes.send(spans.slice(from, from + 100))
    expect(planes.registry.read('otlier.spans.late')).toBeGreaterThan(150)
    const { bytes } = await planes.send([spanAt(301 * 8000, 2000)])
    expect(removeMarks(bytes).marks).toHaveLength(1)
  })

  test('nothing is marked while its series is learning', async () => {
    const planes = recordedPlanes()
    const { bytes } = await planes.send([...ordinary(190), spanAt(10_000, 2000)])
    expect(removeMarks(bytes).marks).toEqual([])
    expect(planes.events).toEqual([])
  })

  test('a failure is marked in a series that never fails, and not in one that often does', async () => {
    const planes = recordedPlanes()
    const failing = { name: 'GET /often', status: 'error' } as const
    const often = ordinary(300).map((span, at) =>
      at % 10 === 0 ? { ...span, ...failing } : { ...span, name: 'GET /often' },
    )
    await planes.send([...ordinary(300), ...often])
    const { bytes } = await planes.send([
      spanAt(15_500, 20, { status: 'error' }),
      spanAt(15_500, 20, failing),
    ])
    const { marks } = removeMarks(bytes)
    expect(marks.map(mark => mark.index)).toEqual([0])
    expect(marks[0].attributes).toMatchObject({
      'otlier.anomaly.kinds': ['error'],
      'otlier.anomaly.reason': 'failed, normally 0 of 200 spans fail for POST /pay',
    })
  })

  test('a span that carries a mark already is forwarded as it came', async () => {
    const planes = recordedPlanes()
    await planes.send(ordinary(300))
    const request = tracesRequest([
      { service: 'shop', spans: [spanAt(15_000, 2000, { attributes: { 'otlier.anomaly.detected': true } })] },
    ])
    await planes.inspector.send(batchOf(request))
    expect(planes.forwarded.at(-1)?.bytes).toBe(request)
    expect(planes.events).toEqual([])
  })

  test('beyond five events of a series in a window the rest are counted, and told of by the next', async () => {
    const planes = recordedPlanes()
    await planes.send(ordinary(300))
    const { bytes } = await planes.send(Array.from({ length: 9 }, (_, at) => spanAt(20_000 + at, 3000)))
    expect(removeMarks(bytes).marks).toHaveLength(9)
    expect(planes.events).toHaveLength(5)
    expect(planes.registry.read('otlier.events.suppressed')).toBe(4)
    await planes.send([spanAt(31_000, 3000)])
    expect(planes.events.at(-1)?.attributes['otlier.anomaly.suppressed']).toBe(4n)
  })

  test('of 20,000 slow-downs every 200th span, all are marked and hardly any other', async () => {
    const random = seeded(3)
    const planes = recordedPlanes()
    const stepMs = (40 * 60_000) / 40_000
    let slow = 0
    let slowMarked = 0
    let others = 0
    for (let from = 0; from < 40_000; from += 500) {
      const spans: PlainSpan[] = []
      for (let n = from; n < from + 500; n++) {
        const isSlow = n >= 20_000 && n % 200 === 0
        spans.push(
          spanAt(n * stepMs, isSlow ? 1000 : logNormal(random, 10, 0.3), {
            spanId: n.toString(16).padStart(16, '0'),
          }),
        )
        if (isSlow) slow++
        if (n % 10 === 0)
          spans.push(spanAt(n * stepMs, 1000 * logNormal(random, 1, 0.1), { name: 'GET /report' }))
      }
      const { bytes } = await planes.send(spans)
      for (const mark of removeMarks(bytes).marks) {
        if (mark.attributes['otlier.anomaly.value'] === 1) slowMarked++
        else others++
      }
    }
    expect(slow).toBe(100)
    expect(slowMarked).toBe(100)
    expect(others / 40_000).toBeLessThan(0.001)
  })
})

describe('what is forwarded', () => {
  test('an unmarked request is the same bytes, whatever its signal and shape', async () => {
    await forSeedsAsync(60, async random => {
      const planes = recordedPlanes()
      const signal = pick(random, ['traces', 'metrics', 'logs'] as const)
      const bytes = oddRequest(random, signal, int(random, 10))
      expect(await planes.inspector.send(batchOf(bytes, signal))).toMatchObject({ kind: 'accepted' })
      expect(planes.forwarded[0].bytes).toBe(bytes)
    })
  })

  test('a malformed request is refused, and nothing of it goes on', async () => {
    const planes = recordedPlanes()
    for (const signal of ['traces', 'metrics', 'logs'] as const) {
      const outcome = await planes.inspector.send(batchOf(Buffer.from([0x0a, 0x05, 0x01]), signal))
      expect(outcome).toMatchObject({ kind: 'refused', cause: { code: 'OTLIER_MALFORMED' } })
    }
    expect(planes.forwarded).toEqual([])
  })

  test('a fault in detection costs no span: the request goes on as it came, and the fault is counted', async () => {
    const planes = recordedPlanes({}, () => {
      throw new Error('a bug')
    })
    const request = tracesRequest([{ service: 'shop', spans: ordinary(3) }])
    expect(await planes.inspector.send(batchOf(request))).toMatchObject({ kind: 'accepted' })
    expect(planes.forwarded[0].bytes).toBe(request)
    expect(planes.registry.total('otlier.detection.bypassed')).toBe(1)
  })

  test('a request that cannot be scanned costs no span', async () => {
    const planes = recordedPlanes()
    // The scan has columns for 262,144 spans.
    const request = Buffer.concat([
      Buffer.from([0x0a, 0x84, 0x80, 0x40, 0x12, 0x80, 0x80, 0x40]),
      Buffer.alloc(2 ** 20, Buffer.from([0x12, 0x00])),
    ])
    expect(await planes.inspector.send(batchOf(request))).toMatchObject({ kind: 'accepted' })
    expect(planes.forwarded[0]).toMatchObject({ bytes: request, items: 2 ** 19 })
    expect(planes.registry.read('otlier.detection.bypassed', { reason: 'error' })).toBe(1)
  })

  test('without the processor nothing is looked at, and broken framing is refused all the same', async () => {
    const planes = recordedPlanes({ detect: false })
    await planes.send([...ordinary(300), spanAt(15_000, 2000)])
    expect(removeMarks(planes.forwarded[0].bytes).marks).toEqual([])
    expect(planes.forwarded[0].items).toBe(301)
    expect(await planes.inspector.send(batchOf(Buffer.from([0x0a, 0x05, 0x01])))).toMatchObject({
      kind: 'refused',
    })
  })

  test('metrics and logs are counted by their points and records', async () => {
    const planes = recordedPlanes()
    const points = [
      { timeNs: 1n, value: 1 },
      { timeNs: 2n, value: 2 },
    ]
    const bytes = metricsRequest([
      { service: 'shop', metrics: [{ name: 'm', kind: 'sum', points }] },
    ] as never)
    await planes.inspector.send(batchOf(bytes, 'metrics'))
    expect(planes.forwarded[0].items).toBe(2)
    expect(decodeRequest('metrics', planes.forwarded[0].bytes).resource_metrics).toHaveLength(1)
  })
})

describe('series', () => {
  test('beyond max_series a service shares one overflow series, which is counted and never marked', async () => {
    const planes = recordedPlanes({ maxSeries: 10 })
    for (let n = 0; n < 30; n++) await planes.send(ordinary(20, n * 1000, { name: `GET /${n}` }))
    const { bytes } = await planes.send([spanAt(40_000, 9000, { name: 'GET /29' })])
    expect(removeMarks(bytes).marks).toEqual([])
    expect(planes.registry.read('otlier.series.overflow')).toBe(20 * 20 + 1)
    expect(planes.registry.read('otlier.series.tracked')).toBe(11)
  })

  test('with a larger max_series they get their own, and with a smaller one nobody loses his', async () => {
    const planes = recordedPlanes({ maxSeries: 2 })
    const send = async (names: readonly string[], atMs: number) => {
      for (const name of names) await planes.send(ordinary(3, atMs, { name }))
      return planes.registry.read('otlier.series.tracked')
    }
    expect(await send(['a', 'b', 'c', 'd'], 0)).toBe(3)
    planes.change({ ...DETECTING, maxSeries: 3 })
    expect(await send(['a', 'b', 'c', 'd'], 1000)).toBe(4)
    planes.change({ ...DETECTING, maxSeries: 1 })
    expect(await send(['a', 'b', 'c', 'd', 'e'], 2000)).toBe(4)
    expect([...planes.models.keys()].filter(name => name === 'e')).toEqual([])
  })

  test('the same operation of another namespace, environment or kind is another series', async () => {
    const planes = recordedPlanes()
    const spans = ordinary(5)
    const requests = [
      tracesRequest([{ service: 'shop', spans }]),
      tracesRequest([{ service: 'shop', namespace: 'eu', spans }]),
      tracesRequest([{ service: 'shop', environment: 'test', spans }]),
      tracesRequest([{ service: 'shop', spans: spans.map(span => ({ ...span, kind: 'client' as const })) }]),
      tracesRequest([{ service: 'shop', spans }]),
    ]
    for (const request of requests) await planes.inspector.send(batchOf(request))
    expect(planes.registry.read('otlier.series.tracked')).toBe(4)
  })

  test('a span that ends later than the clock allows is forwarded and not learned', async () => {
    const planes = recordedPlanes({}, () => 0)
    await planes.send(ordinary(300))
    expect(planes.registry.read('otlier.spans.future')).toBe(300)
    expect(planes.models.size).toBe(0)
  })
})

test('attributes of a mark read as the conventions name them', async () => {
  const planes = recordedPlanes({ isolationForest: true, jaegerWarnings: true })
  await planes.send(ordinary(300))
  const { bytes } = await planes.send([spanAt(15_500, 900, { status: 'error', attributes: { own: 'kept' } })])
  const [span] = decodeRequest('traces', bytes).resource_spans[0].scope_spans[0].spans
  const attributes = attributesOf(span.attributes)
  expect(Object.keys(attributes)).toEqual([
    'own',
    ...[
      'detected',
      'kinds',
      'score',
      'severity',
      'reason',
      'value',
      'expected',
      'lower',
      'upper',
      'unit',
    ].map(name => `otlier.anomaly.${name}`),
    'otlier.anomaly.baseline.samples',
    'otlier.anomaly.detector',
    'anomaly.is_anomaly',
    'anomaly.isolation_score',
    '@jaeger@warnings',
  ])
  expect(attributes['otlier.anomaly.kinds']).toEqual(['latency', 'error'])
  expect(String(attributes['otlier.anomaly.reason']).length).toBeLessThanOrEqual(200)
})
