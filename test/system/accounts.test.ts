//! The accounts of the running service, through everything that can become of an item: they balance at every scrape, and are what others have counted.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { SIGNALS } from '../../src/flow/sink.ts'
import {
  acceptedItems,
  differences,
  exporterBooks,
  imbalances,
  type Scrape,
  scrapeAccounts,
} from '../kit/accounts.ts'
import { type Backend, type Recorded, type Reply, startBackend } from '../kit/backend.ts'
import { GrpcClient } from '../kit/client.ts'
import { oddRequest, type PlainSpan, tracesRequest } from '../kit/odd.ts'
import { startService } from '../kit/otlier.ts'
import { itemsOf, waitingRecords } from '../kit/queue-walk.ts'
import { seeded } from '../kit/random.ts'
import { spansOf } from '../oracle/marks.ts'

const stops: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

const OK: Reply = { kind: 'ok' }
const span = (startMs: number, durationMs: number, filler = ''): PlainSpan => ({
  name: 'GET /basket',
  kind: 'server',
  startNs: BigInt(Math.round(startMs * 1000)) * 1000n,
  durationNs: Math.round(durationMs * 1e6),
  ...(filler === '' ? {} : { attributes: { filler } }),
})
const request = (spans: readonly PlainSpan[]) => tracesRequest([{ service: 'shop', spans }])
/** Four of them fill a queue of one MiB. */
const big = () => request([span(Date.now(), 5, 'x'.repeat(250_000)), span(Date.now(), 5)])
const small = (count = 3) => request(Array.from({ length: count }, () => span(Date.now(), 5)))

/** A destination whose answers a test writes. */
async function destination(name: string, settings: readonly string[]) {
  const backend = await startBackend({ raw: true })
  stops.push(() => backend.stop())
  const all = [
    `endpoint=http://${backend.grpc}`,
    'compression=none',
    'timeout=500ms',
    'retry_on_failure.initial_interval=5ms',
    'retry_on_failure.max_interval=20ms',
    'sending_queue.num_consumers=1',
    'sending_queue.size_mib=1',
    ...settings,
  ]
  return { backend, settings: all.map(setting => `exporters.otlp/${name}.${setting}`) }
}

async function running(settings: readonly string[]) {
  const service = await startService(['shutdown_timeout=500ms', ...settings])
  const client = new GrpcClient(service.grpcPort)
  let stopped: Promise<number> | null = null
  const stop = () => {
    client.session.destroy()
    stopped ??= service.stop()
    return stopped
  }
  stops.push(stop)
  let accepted = 0
  let refused = 0

  async function scrape(): Promise<Scrape> {
    const found = await scrapeAccounts(service.metricsPort)
    expect(imbalances(found)).toEqual([])
    // No request is open here: what was accepted and refused is what the sender was told.
    expect(acceptedItems(found, 'traces')).toBe(accepted)
    expect(found.sum('otlier_receiver_refused_spans_total')).toBe(refused)
    return found
  }
  return {
    stop,
    scrape,
    async send(bytes: Uint8Array, items: number) {
      const { code } = await client.export('traces', bytes)
      if (code === 0) accepted += items
      else refused += items
      await scrape()
      return code
    },
    async settled(exporter: string) {
      for (;;) {
        const { queued, inFlight } = exporterBooks(await scrape(), exporter, 'traces')
        if (queued + inFlight === 0) return
        await new Promise(resolve => setTimeout(resolve, 5))
      }
    },
  }
}

const scripted = (backend: Backend, reply: () => Reply) => {
  backend.script = ({ signal }) => (signal === 'traces' ? reply() : OK)
}

test('every way of an item stands in the accounts at every scrape', async () => {
  const newest = await destination('newest', ['sending_queue.when_full=drop_newest'])
  const oldest = await destination('oldest', ['sending_queue.when_full=drop_oldest'])
  const hasty = await destination('hasty', ['retry_on_failure.max_elapsed_time=1s'])
  const otlier = await running([...newest.settings, ...oldest.settings, ...hasty.settings])
  const dropped = async (reason: string) =>
    (await otlier.scrape()).sum('otlier_exporter_dropped_spans_total', { reason })

  // An outlier, so that Otlier has an event of its own to send.
  const history = Array.from({ length: 300 }, (_, n) => span(Date.now() - 60_000 + n * 100, 10 + (n % 5)))
  await otlier.send(request(history), 300)
  await otlier.send(request([span(Date.now() - 5000, 3000)]), 1)
  await expect.poll(async () => (await otlier.scrape()).sum('otlier_generated_log_records_total')).toBe(1)

  // Taken, asked again, rejected, rejected in part; and then too large.
  const replies: Reply[] = [
    OK,
    { kind: 'status', code: 14 },
    { kind: 'status', code: 3 },
    { kind: 'partial', rejected: 1, message: 'one too many' },
  ]
  let at = 0
  scripted(newest.backend, () => replies[at++ % replies.length])
  for (let n = 0; n < 12; n++) {
    await otlier.send(small(), 3)
    await otlier.settled('otlp/newest')
  }
  scripted(newest.backend, () => ({ kind: 'status', code: 8 }))
  await otlier.send(small(), 3)
  await otlier.settled('otlp/newest')
  const { rejected } = exporterBooks(await otlier.scrape(), 'otlp/newest', 'traces')
  expect(rejected).toBeGreaterThan(0)
  expect(await dropped('too_large')).toBeGreaterThan(0)

  // Full: one drops what comes, another what has waited longest, and for the third time is up.
  scripted(newest.backend, () => ({ kind: 'hang' }))
  scripted(oldest.backend, () => ({ kind: 'hang' }))
  scripted(hasty.backend, () => ({ kind: 'hang' }))
  // The one consumer is busy with a small request: what comes now waits, and can be given up.
  await otlier.send(small(), 3)
  const isUnderWay = async () => exporterBooks(await otlier.scrape(), 'otlp/oldest', 'traces').inFlight > 0
  await expect.poll(isUnderWay).toBe(true)
  for (let n = 0; n < 8; n++) await otlier.send(big(), 2)
  const full = await otlier.scrape()
  expect(full.sum('otlier_exporter_enqueue_failed_spans_total', { reason: 'queue_full' })).toBeGreaterThan(0)
  expect(await dropped('queue_full')).toBeGreaterThan(0)
  await expect.poll(() => dropped('expired'), { timeout: 10_000 }).toBeGreaterThan(0)

  // Not taken at all.
  scripted(oldest.backend, () => ({ kind: 'status', code: 12 }))
  await otlier.settled('otlp/oldest')
  for (let n = 0; n < 4; n++) {
    await otlier.send(small(), 3)
    await otlier.settled('otlp/oldest')
  }
  expect(await dropped('unsupported')).toBeGreaterThan(0)
  const last = await otlier.scrape()
  expect(last.sum('otlier_exporter_enqueue_failed_spans_total', { reason: 'unsupported' })).toBeGreaterThan(0)
})

test('what is turned away stands in no account but its own', async () => {
  const only = await destination('only', [])
  scripted(only.backend, () => ({ kind: 'hang' }))
  const otlier = await running(only.settings)
  const codes: number[] = []
  for (let n = 0; n < 6; n++) codes.push(await otlier.send(big(), 2))
  expect(new Set(codes)).toEqual(new Set([0, 14]))
})

test('what is told to wait on disk is what a walk over the queue finds while it runs, before, between and after deliveries', async () => {
  const { backend, settings } = await destination('only', ['sending_queue.storage=disk'])
  let taken = 0
  const delivered: Recorded[] = []
  backend.script = request => {
    if (taken-- <= 0) return { kind: 'status', code: 14 }
    delivered.push(request)
    return OK
  }
  const directory = mkdtempSync(join(tmpdir(), 'otlier-accounts-'))
  stops.push(async () => rmSync(directory, { recursive: true }))
  const service = await startService([...settings, 'shutdown_timeout=500ms', `directory=${directory}`], {
    directory,
  })
  stops.push(() => service.stop())
  const client = new GrpcClient(service.grpcPort)
  stops.push(async () => client.session.destroy())
  /** By a walk, and what of it the accounts tell differently. */
  async function waiting() {
    const walked = itemsOf([...waitingRecords(join(directory, 'queue', 'otlp%2Fonly'))])
    const scrape = await scrapeAccounts(service.metricsPort)
    const wrong = SIGNALS.flatMap((signal, at) =>
      differences(scrape, signal, { destinations: { 'otlp/only': { queued: walked[at] } } }),
    )
    return { walked, wrong: [...imbalances(scrape), ...wrong] }
  }

  expect(await waiting()).toEqual({ walked: [0, 0, 0], wrong: [] })
  const items = { traces: 3, metrics: 5, logs: 7 }
  for (let n = 0; n < 4; n++)
    for (const signal of SIGNALS) {
      const { code } = await client.export(
        signal,
        oddRequest(seeded(n), signal, items[signal], { wildness: 0 }),
      )
      expect(code).toBe(0)
      expect((await waiting()).wrong).toEqual([])
    }
  await backend.received(10)
  expect(await waiting()).toEqual({ walked: [12, 20, 28], wrong: [] })
  // The one consumer has the first traces: one request, or more where it was late. What is delivered is marked a moment after its answer.
  taken = 1
  await expect.poll(() => delivered.length, { timeout: 10_000 }).toBe(1)
  expect(delivered[0].signal).toBe('traces')
  const spans = spansOf(delivered[0].bytes).length
  expect([3, 6, 9, 12]).toContain(spans)
  await expect.poll(waiting, { timeout: 10_000 }).toEqual({ walked: [12 - spans, 20, 28], wrong: [] })
  taken = Number.POSITIVE_INFINITY
  await expect.poll(waiting, { timeout: 10_000 }).toEqual({ walked: [0, 0, 0], wrong: [] })
})

test('traces of a pipeline that names no exporters are taken, learned from and let go, whoever takes the logs', async () => {
  const { backend, settings } = await destination('logs', [])
  const service = await startService([...settings, 'service.pipelines.traces.exporters=[]'])
  stops.push(() => service.stop())
  const client = new GrpcClient(service.grpcPort)
  stops.push(async () => client.session.destroy())
  const now = Date.now()
  const history = Array.from({ length: 300 }, (_, n) => span(now - 60_000 + n * 100, 10 + (n % 5)))
  expect((await client.export('traces', request(history))).code).toBe(0)
  expect((await client.export('traces', request([span(now - 4000, 3000)]))).code).toBe(0)
  // What was learned is told: the event of the outlier goes where logs go, and no span anywhere.
  await expect.poll(() => backend.requests.map(({ signal }) => signal)).toEqual(['logs'])
  const metrics = await service.metrics()
  expect(metrics.get('otlier_receiver_accepted_spans_total')).toBe(301)
  expect(metrics.get('otlier_receiver_refused_spans_total')).toBe(0)
})
