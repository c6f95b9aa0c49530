//! The registry as text: names, escapes, exemplars, bounds, and what promtool thinks of it.
import { expect, test } from 'vitest'
import { Cell, MAX_CELLS, Registry } from '../../src/base/counters.ts'
import { negotiate, renderMetrics, type TextFormat } from '../../src/edge/prometheus.ts'
import { expectLinted } from '../kit/promtool.ts'

const IDENTITY = { version: '1.2.3', instanceId: 'abc' }
const render = (registry: Registry, format: TextFormat = 'prometheus') =>
  renderMetrics(registry, format, IDENTITY)
/** The lines about one metric. */
const about = (text: string, name: string) =>
  text.split('\n').filter(line => new RegExp(`^(# \\w+ )?${name}\\b`).test(line))

/** One family of every kind and of every way to be named. */
function sample(): Registry {
  const registry = new Registry()
  registry.counter('otlier_receiver_accepted_spans', '{span}', 'Spans taken.', {
    receiver: 'otlp',
    transport: 'grpc',
  }).value = 7
  registry.gauge('otlier_exporter_queue_size', '{batch}', 'Batches waiting.', {
    exporter: 'otlp/jaeger',
  }).value = 3
  registry.updown('otlier.incidents.open', '{incident}', 'Incidents that are open.', {
    severity: 'warning',
  }).value = 1
  registry.gauge('otlier.receiver.silence', 's', 'Seconds since anything came in.').value = 0.25
  const outliers = registry.counter('otlier.outliers', '{span}', 'Spans marked.', {
    'service.name': 'pay',
    kind: 'latency',
  })
  outliers.value = 2
  outliers.exemplar = {
    traceId: '1'.padStart(32, '0'),
    spanId: '00000000000000a1',
    value: 1,
    timeMs: 1_700_000_000_500,
  }
  registry.observe('otlier_process_memory_rss', 'By', 'Resident memory.', () => {
    const cell = new Cell({})
    cell.value = 1e21
    return [cell]
  })
  return registry
}

test('pipeline counters keep the names that dashboards of the Collector know, with _total in both formats', () => {
  const line =
    'otlier_receiver_accepted_spans_total{receiver="otlp",transport="grpc",service_instance_id="abc"} 7'
  expect(about(render(sample()), 'otlier_receiver_accepted_spans_total')).toEqual([
    '# HELP otlier_receiver_accepted_spans_total Spans taken.',
    '# TYPE otlier_receiver_accepted_spans_total counter',
    line,
  ])
  const openmetrics = render(sample(), 'openmetrics')
  expect(about(openmetrics, 'otlier_receiver_accepted_spans')).toEqual([
    '# HELP otlier_receiver_accepted_spans Spans taken.',
    '# TYPE otlier_receiver_accepted_spans counter',
  ])
  expect(about(openmetrics, 'otlier_receiver_accepted_spans_total')).toEqual([line])
})

test('dotted names become underscores with their unit, ported names stay as they are', () => {
  const text = render(sample(), 'openmetrics')
  expect(about(text, 'otlier_receiver_silence_seconds')).toEqual([
    '# HELP otlier_receiver_silence_seconds Seconds since anything came in.',
    '# TYPE otlier_receiver_silence_seconds gauge',
    '# UNIT otlier_receiver_silence_seconds seconds',
    'otlier_receiver_silence_seconds{service_instance_id="abc"} 0.25',
  ])
  expect(about(text, 'otlier_process_memory_rss').at(-1)).toBe(
    'otlier_process_memory_rss{service_instance_id="abc"} 1e+21',
  )
  expect(about(text, 'otlier_incidents_open')).toContain('# TYPE otlier_incidents_open gauge')
  expect(render(sample())).not.toContain('# UNIT')
})

test('an exemplar with its trace stands behind a counter in OpenMetrics, and nowhere in the older format', () => {
  const exemplar = '# {trace_id="00000000000000000000000000000001",span_id="00000000000000a1"} 1 1700000000.5'
  expect(about(render(sample(), 'openmetrics'), 'otlier_outliers_total')).toEqual([
    `otlier_outliers_total{service_name="pay",kind="latency",service_instance_id="abc"} 2 ${exemplar}`,
  ])
  expect(render(sample())).not.toContain('trace_id')
})

test('OpenMetrics ends with its mark, and the older format with a line feed alone', () => {
  expect(render(sample(), 'openmetrics')).toMatch(/\n# EOF\n$/)
  expect(render(sample())).toMatch(/\n[^#\n]+\n$/)
})

test('the target is described once, by version and instance', () => {
  const labels = '{service_name="otlier",service_version="1.2.3",service_instance_id="abc"} 1'
  expect(about(render(sample()), 'target_info').at(-1)).toBe(`target_info${labels}`)
  expect(render(sample(), 'openmetrics')).toContain(
    `# TYPE target info\n# HELP target What is being scraped.\ntarget_info${labels}\n`,
  )
})

test('quotes, backslashes and line feeds of a label cannot begin another sample, and half a surrogate pair is replaced', () => {
  const registry = new Registry()
  registry.counter('otlier.outliers', '{span}', 'a\\b\nc "d"', {
    'service.name': 'x"} 9\nfake 1 \\ \ud800',
  }).value = 1
  const text = render(registry)
  expect(text).toContain(
    'otlier_outliers_total{service_name="x\\"} 9\\nfake 1 \\\\ \ufffd",service_instance_id="abc"} 1\n',
  )
  expect(text).toContain('# HELP otlier_outliers_total a\\\\b\\nc "d"\n')
  expect(render(registry, 'openmetrics')).toContain('# HELP otlier_outliers a\\\\b\\nc \\"d\\"\n')
})

test('values that are no finite number are written as the format spells them', () => {
  const registry = new Registry()
  for (const [name, value] of Object.entries({ a: Number.NaN, b: Infinity, c: -Infinity }))
    registry.gauge(name, '', name).value = value
  const values = ['a', 'b', 'c'].map(name => about(render(registry), name).at(-1)?.split(' ').at(-1))
  expect(values).toEqual(['NaN', '+Inf', '-Inf'])
})

test('a family without samples is left out', () => {
  const registry = new Registry()
  registry.observe('otlier.baseline.expected', '', 'none yet', () => [])
  expect(render(registry)).not.toContain('baseline')
})

test('labels that clients choose make at most MAX_CELLS series: what is beyond shares one that says so, and no count is lost', () => {
  const registry = new Registry()
  for (let i = 0; i < MAX_CELLS + 500; i++)
    registry.counter('otlier.outliers', '{span}', 'x', { 'service.name': `s${i}` }).value++
  const lines = about(render(registry), 'otlier_outliers_total').filter(line => !line.startsWith('#'))
  expect(lines).toHaveLength(MAX_CELLS)
  expect(lines.at(-1)).toBe(
    'otlier_outliers_total{otel_metric_overflow="true",service_instance_id="abc"} 501',
  )
  expect(registry.read('otlier.outliers', { 'service.name': 's7' })).toBe(1)
})

test('an observed family is cut at the same bound', () => {
  const registry = new Registry()
  registry.observe('g', '', 'x', () =>
    Array.from({ length: MAX_CELLS + 5 }, (_, i) => new Cell({ i: String(i) })),
  )
  expect(about(render(registry), 'g').filter(line => !line.startsWith('#'))).toHaveLength(MAX_CELLS)
})

test('the format follows the Accept header', () => {
  const prometheus2 =
    'application/openmetrics-text;version=1.0.0;q=0.75,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2'
  const cases: [string | undefined, TextFormat][] = [
    [undefined, 'prometheus'],
    ['', 'prometheus'],
    ['*/*', 'prometheus'],
    ['text/html,application/xhtml+xml,*/*;q=0.8', 'prometheus'],
    [prometheus2, 'openmetrics'],
    ['application/openmetrics-text; version="1.0.0"; charset=utf-8', 'openmetrics'],
    ['APPLICATION/OpenMetrics-Text', 'openmetrics'],
    ['application/openmetrics-text;version=0.0.1', 'prometheus'],
    ['application/openmetrics-text;q=0', 'prometheus'],
    ['application/openmetrics-text;q=0.1,text/plain', 'prometheus'],
    ['application/openmetrics-text;q=what', 'prometheus'],
    [','.repeat(100_000), 'prometheus'],
  ]
  for (const [accept, format] of cases) expect([accept, negotiate(accept)]).toEqual([accept, format])
})

test('promtool finds nothing wrong with a scrape', context => expectLinted(render(sample()), context))
