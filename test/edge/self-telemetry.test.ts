//! Otlier's own metrics and spans through the OpenTelemetry SDK: what is sent, how seldom, and what a refusal does.
import { afterEach, expect, test } from 'vitest'
import { Registry } from '../../src/base/counters.ts'
import { Failure } from '../../src/base/errors.ts'
import { type Log, silentLog } from '../../src/base/log.ts'
import { realWorld } from '../../src/base/world.ts'
import { type SelfTelemetry, startSelfTelemetry } from '../../src/edge/self-telemetry.ts'
import {
  ACCEPTED,
  type CheckedBatch,
  type ExportRequest,
  NO_HEADERS,
  type Outcome,
} from '../../src/flow/sink.ts'
import { attributesOf, decodeRequest } from '../kit/messages.ts'
import { framing } from '../oracle/framing.ts'

const HOUR_MS = 3_600_000
const running: SelfTelemetry[] = []
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop()
})

interface Setup {
  registry?: Registry
  intervalMs?: number
  random?: () => number
  monotonic?: () => number
  log?: Log
  answer?: () => Promise<Outcome>
}

async function start(setup: Setup = {}) {
  const sent: CheckedBatch[] = []
  const options = {
    registry: setup.registry ?? new Registry(),
    identity: { version: '1.2.3', instanceId: 'abc' },
    intervalMs: setup.intervalMs ?? HOUR_MS,
    deliver: async (batch: CheckedBatch) => {
      sent.push(batch)
      return setup.answer?.() ?? ACCEPTED
    },
  }
  const world = {
    ...realWorld,
    random: setup.random ?? (() => 0),
    monotonic: setup.monotonic ?? realWorld.monotonic,
  }
  const telemetry = await startSelfTelemetry(options, world, setup.log ?? silentLog)
  running.push(telemetry)
  return { telemetry, sent }
}

interface Metric {
  name: string
  unit: string
  sum?: { data_points: Point[]; is_monotonic?: boolean }
  gauge?: { data_points: Point[] }
}
interface Point {
  attributes?: []
  as_int?: string
  as_double?: number
}

function metricsOf(batch: CheckedBatch): { resource: Record<string, unknown>; metrics: Map<string, Metric> } {
  const [group] = decodeRequest('metrics', batch.bytes).resource_metrics
  const metrics: Metric[] = group.scope_metrics[0].metrics
  return {
    resource: attributesOf(group.resource.attributes),
    metrics: new Map(metrics.map(metric => [metric.name, metric])),
  }
}

const exporter = (kind: 'delivered' | 'refused' = 'delivered') => ({
  id: 'otlp/jaeger',
  export: async () =>
    kind === 'delivered'
      ? ({ kind, rejectedItems: 0, message: '' } as const)
      : ({ kind, cause: new Failure('OTLIER_DESTINATION_REFUSED') } as const),
  close: async () => {},
})
const REQUEST: ExportRequest = { signal: 'traces', parts: [], headers: NO_HEADERS, items: 1 }

test('every family arrives with its kind, unit, labels and present value, under the instance that speaks', async () => {
  const registry = new Registry()
  const spans = registry.counter('otlier_receiver_accepted_spans', '{span}', 'x', { receiver: 'otlp' })
  registry.updown('otlier.incidents.open', '{incident}', 'x').value = 2
  registry.gauge('otlier.receiver.silence', 's', 'x').value = 0.5
  const { telemetry, sent } = await start({ registry })
  spans.value = 7
  await telemetry.stop()
  const [batch] = sent
  expect(framing('metrics', batch.bytes)).toEqual({ ok: true, items: batch.items })
  expect([batch.signal, batch.items]).toEqual(['metrics', 3])
  const { resource, metrics } = metricsOf(batch)
  expect(resource).toEqual({
    'service.name': 'otlier',
    'service.version': '1.2.3',
    'service.instance.id': 'abc',
  })
  const accepted = metrics.get('otlier_receiver_accepted_spans')
  expect([accepted?.sum?.is_monotonic, accepted?.unit]).toEqual([true, '{span}'])
  expect(accepted?.sum?.data_points[0].as_int).toBe('7')
  expect(attributesOf(accepted?.sum?.data_points[0].attributes)).toEqual({ receiver: 'otlp' })
  expect(metrics.get('otlier.incidents.open')?.sum?.is_monotonic ?? false).toBe(false)
  expect(metrics.get('otlier.receiver.silence')?.gauge?.data_points[0].as_double).toBe(0.5)
})

test('what is registered after the start is part of the next collection', async () => {
  const registry = new Registry()
  registry.gauge('first', '', 'x').value = 1
  const { telemetry, sent } = await start({ registry })
  registry.gauge('second', '', 'x').value = 1
  await telemetry.stop()
  expect([...metricsOf(sent[0]).metrics.keys()]).toEqual(['first', 'second'])
})

test('the metrics are sent again and again', async () => {
  const registry = new Registry()
  registry.gauge('first', '', 'x').value = 1
  const { sent } = await start({ registry, intervalMs: 20 })
  while (sent.length < 3) await realWorld.sleep(5)
})

test('a destination that refuses is a line in the log, and stop still ends', async () => {
  const registry = new Registry()
  registry.gauge('first', '', 'x').value = 1
  const warned: string[] = []
  const log = { ...silentLog, warn: (_: object, message: string) => void warned.push(message) }
  const refused: Outcome = { kind: 'refused', cause: new Failure('OTLIER_SIGNAL_UNSUPPORTED') }
  const { telemetry, sent } = await start({ registry, log, answer: async () => refused })
  await telemetry.stop()
  expect(sent).toHaveLength(1)
  expect(warned[0]).toBe('own telemetry was not taken')
})

test('a fault on the way out ends neither the process nor the stop', async () => {
  const registry = new Registry()
  registry.gauge('first', '', 'x').value = 1
  const { telemetry } = await start({ registry, answer: () => Promise.reject(new Error('a bug')) })
  await telemetry.stop()
})

test('of its own requests at most one a second has a span, which says how it ended', async () => {
  let nowMs = 0
  const { telemetry, sent } = await start({ monotonic: () => nowMs })
  const good = telemetry.exporter(exporter())
  const bad = telemetry.exporter(exporter('refused'))
  const receiver = telemetry.receiver('grpc', { send: async () => ACCEPTED, close: async () => {} })
  for (let i = 0; i < 100; i++) await good.export(REQUEST)
  nowMs = 1_000
  expect(await bad.export(REQUEST)).toMatchObject({ kind: 'refused' })
  nowMs = 2_000
  expect(
    await receiver.send({ signal: 'logs', bytes: new Uint8Array(), receivedMs: 0, headers: NO_HEADERS }),
  ).toBe(ACCEPTED)
  await telemetry.stop()
  const traces = sent.filter(batch => batch.signal === 'traces')
  expect(traces.map(batch => batch.items)).toEqual([3])
  const [group] = decodeRequest('traces', traces[0].bytes).resource_spans
  expect(attributesOf(group.resource.attributes)['service.instance.id']).toBe('abc')
  const spans = group.scope_spans[0].spans as {
    name: string
    kind: number
    status: { code?: number }
    attributes: []
  }[]
  expect(spans.map(span => [span.name, span.kind, span.status?.code ?? 0])).toEqual([
    ['export traces', 3, 0],
    ['export traces', 3, 2],
    ['receive logs', 2, 0],
  ])
  expect(attributesOf(spans[1].attributes)).toEqual({
    'otlier.exporter': 'otlp/jaeger',
    'error.type': 'refused',
  })
})

test('most requests have no span, so that exporting own spans does not beget spans for ever', async () => {
  const { telemetry, sent } = await start({ random: () => 0.01, monotonic: () => 0 })
  const wrapped = telemetry.exporter(exporter())
  for (let i = 0; i < 10; i++) await wrapped.export(REQUEST)
  await telemetry.stop()
  expect(sent.filter(batch => batch.signal === 'traces')).toEqual([])
})

test('it can be started again in the same process', async () => {
  for (let round = 0; round < 2; round++) {
    const registry = new Registry()
    registry.gauge('round', '', 'x').value = round
    const { telemetry, sent } = await start({ registry })
    await telemetry.stop()
    expect(metricsOf(sent[0]).metrics.get('round')?.gauge?.data_points[0].as_double).toBe(round)
  }
})
