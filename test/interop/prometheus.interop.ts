//! A real Prometheus scrapes /metrics, in OpenMetrics as it asks for by itself, and gives back what was counted.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Registry } from '../../src/base/counters.ts'
import { silentLog } from '../../src/base/log.ts'
import { realWorld } from '../../src/base/world.ts'
import { registerProcessMetrics, startAdmin } from '../../src/edge/admin.ts'
import { begin, run } from '../kit/programs.ts'
import { until } from './service.ts'

const TRACE = '0123456789abcdef0123456789abcdef'
const ODD = 'q"uote \\ back\nline'

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  return port
}

/** Starts Prometheus on the target, and gives back its query API. */
async function prometheus(target: number) {
  const folder = await mkdtemp(join(tmpdir(), 'otlier-prometheus-'))
  const config = `global: {scrape_interval: 200ms}\nscrape_configs:\n- job_name: otlier\n  static_configs: [{targets: ['127.0.0.1:${target}']}]\n`
  await writeFile(join(folder, 'prometheus.yml'), config)
  const port = await freePort()
  const program = begin('prometheus', [
    `--config.file=${join(folder, 'prometheus.yml')}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
    '--enable-feature=exemplar-storage',
  ])
  onTestFinished(async () => {
    program.child.kill('SIGKILL')
    await program.ended
    await rm(folder, { recursive: true, force: true })
  })
  await program.line(/ready to receive web requests/)
  return async (path: string, query: string) => {
    const url = new URL(`http://127.0.0.1:${port}/api/v1/${path}`)
    url.searchParams.set('query', query)
    url.searchParams.set('start', String(Date.now() / 1000 - 3600))
    url.searchParams.set('end', String(Date.now() / 1000 + 3600))
    // biome-ignore lint/suspicious/noExplicitAny: an answer is looked into by field names.
    const { status, data } = (await (await fetch(url)).json()) as any
    expect(status).toBe('success')
    return data
  }
}

test('Prometheus takes the scrape whole: values, labels as they were, and the exemplar with its trace', async context => {
  if ((await run('prometheus', ['--version'])).status !== 0) {
    console.log('SKIP: prometheus is not installed (Debian: apt-get install prometheus)')
    return context.skip()
  }
  const registry = new Registry()
  registerProcessMetrics(registry, realWorld)
  registry.counter('otlier_receiver_accepted_spans', '{span}', 'Spans taken.', { receiver: 'otlp' }).value = 7
  registry.gauge('otlier.receiver.silence', 's', 'Since anything came in.').value = 0.25
  registry.gauge('otlier.baseline.expected', '', 'With a "quote", a \\ and\na line.', {
    operation: ODD,
  }).value = Number.POSITIVE_INFINITY
  const outliers = registry.counter('otlier.outliers', '{span}', 'Spans marked.', {
    'service.name': 'pay',
    kind: 'latency',
  })
  outliers.value = 2
  outliers.exemplar = { traceId: TRACE, spanId: '0123456789abcdef', value: 1, timeMs: Date.now() }

  const at = { host: '127.0.0.1', port: 0 }
  const identity = { version: '1.2.3', instanceId: 'abc' }
  const health = () => ({ state: 'ready', reasons: [] }) as const
  const admin = await startAdmin({ metrics: at, health: null, identity }, registry, health, silentLog)
  onTestFinished(() => admin.stop())
  const ask = await prometheus(admin.ports.metrics)

  // Of all scrapes so far: on a busy machine one may come too late.
  const sample = async (query: string) => (await ask('query', `max_over_time(${query}[1h])`)).result[0]
  await until('Prometheus has scraped', async () => (await sample('up'))?.value[1] === '1')
  expect((await sample('scrape_samples_scraped')).value[1]).toBe('9')
  expect((await sample('otlier_receiver_accepted_spans_total{receiver="otlp"}')).value[1]).toBe('7')
  expect((await sample('otlier_receiver_silence_seconds')).value[1]).toBe('0.25')
  const baseline = await sample('otlier_baseline_expected')
  expect([baseline.metric.operation, baseline.value[1]]).toEqual([ODD, '+Inf'])
  expect((await sample('otlier_outliers_total')).metric).toMatchObject({
    service_name: 'pay',
    service_instance_id: 'abc',
  })
  expect((await sample('target_info')).metric).toMatchObject({
    service_name: 'otlier',
    service_version: '1.2.3',
  })
  const [{ exemplars }] = await ask('query_exemplars', 'otlier_outliers_total')
  expect(exemplars[0].labels).toEqual({ trace_id: TRACE, span_id: '0123456789abcdef' })
})
