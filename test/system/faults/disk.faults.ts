//! What a disk does to the queue on it, one fault a test, before the whole service: nothing that was acknowledged is lost, nothing damaged is delivered, it always starts.
import { expect, onTestFinished, test } from 'vitest'
import { realWorld } from '../../../src/base/world.ts'
import { exporterBooks, imbalances, type Scrape, scrapeAccounts } from '../../kit/accounts.ts'
import { type Reply, startBackend } from '../../kit/backend.ts'
import { GrpcClient } from '../../kit/client.ts'
import { type Machine, machine } from '../../kit/disk.ts'
import { startService } from '../../kit/otlier.ts'
import { seeded } from '../../kit/random.ts'
import { places } from '../../oracle/bytes.ts'
import { requestWith } from '../load/ids.ts'
import { until } from './scene.ts'

const DIRECTORY = '/state'
const SPANS = 10
const OK: Reply = { kind: 'ok' }
const AWAY: Reply = { kind: 'status', code: 14 }

/** A machine with a backend, on which the service is started, killed, and started again. */
async function laboratory(settings: readonly string[] = []) {
  const box = machine(seeded(1))
  const formatting = box.boot()
  await formatting.makeDirectory(DIRECTORY)
  await formatting.syncDirectory('/')
  /** What was sent, by its bytes, and what has come of it. */
  const requests = new Map<string, { readonly first: number; isAcknowledged: boolean; came: number }>()
  let strangers = 0
  let reply = AWAY
  let boots = 0
  const backend = await startBackend({
    raw: true,
    script({ signal, bytes, headers }) {
      if (signal !== 'traces') return OK
      // What is dead to the disk is dead to the network, too.
      if (headers['x-boot'] !== String(boots)) return AWAY
      if (reply.kind === 'ok') {
        for (const { start, end } of places(bytes)) {
          const request = requests.get(Buffer.from(bytes.subarray(start, end)).toString('latin1'))
          if (request === undefined) strangers++
          else request.came++
        }
      }
      return reply
    },
  })
  onTestFinished(() => backend.stop())
  let next = 1
  let running: { stop(): Promise<unknown>; client: GrpcClient; metricsPort: number } | null = null

  async function start() {
    boots++
    const service = await startService(
      [
        `directory=${DIRECTORY}`,
        'shutdown_timeout=300ms',
        // Marks would be bytes that nobody sent.
        'service.pipelines.traces.processors=[]',
        `exporters.otlp.endpoint=http://${backend.grpc}`,
        'exporters.otlp.compression=none',
        `exporters.otlp.headers.x-boot=${boots}`,
        'exporters.otlp.retry_on_failure.initial_interval=20ms',
        'exporters.otlp.retry_on_failure.max_interval=200ms',
        'exporters.otlp.sending_queue.storage=disk',
        ...settings,
      ],
      { world: { ...realWorld, disk: box.boot() }, directory: DIRECTORY },
    )
    running = { ...service, client: new GrpcClient(service.grpcPort) }
  }
  /** The old process is dead to the disk already; its sockets have to be closed as well. */
  async function end(how: (box: Machine) => void) {
    how(box)
    const was = running
    running = null
    was?.client.session.destroy()
    // What stops has no disk any more, and waits for it in vain.
    await Promise.race([was?.stop(), new Promise(resolve => setTimeout(resolve, 100))])
  }
  onTestFinished(() => end(() => {}))

  async function scrape(): Promise<Scrape> {
    if (running === null) throw new Error('nothing is running that could be scraped')
    const found = await scrapeAccounts(running.metricsPort)
    expect(imbalances(found)).toEqual([])
    return found
  }
  return {
    box,
    start,
    end,
    scrape,
    async send(count: number): Promise<number[]> {
      const codes: number[] = []
      for (let n = 0; n < count; n++) {
        const bytes = requestWith([next, next + SPANS - 1], Date.now(), seeded(next))
        const request = { first: next, isAcknowledged: false, came: 0 }
        requests.set(Buffer.from(bytes).toString('latin1'), request)
        next += SPANS
        const { code } = await (running as { client: GrpcClient }).client.export('traces', bytes)
        request.isAcknowledged = code === 0
        codes.push(code)
      }
      return codes
    },
    /** The backend takes what it gets from now on, until nothing waits. */
    async drain() {
      reply = OK
      await until('nothing waits', async () => {
        const { queued, inFlight } = exporterBooks(await scrape(), 'otlp', 'traces')
        return queued + inFlight === 0
      })
    },
    acknowledged: () => [...requests.values()].filter(({ isAcknowledged }) => isAcknowledged),
    lost: () => [...requests.values()].filter(({ isAcknowledged, came }) => isAcknowledged && came === 0),
    strangers: () => strangers,
  }
}

test('disk full: senders are asked to come again, nothing is lost, and with room it takes everything again', async () => {
  const lab = await laboratory()
  await lab.start()
  expect(new Set(await lab.send(10))).toEqual(new Set([0]))
  lab.box.capacityBytes =
    lab.box.paths().reduce((sum, path) => sum + (lab.box.content(path)?.length ?? 0), 0) + 9000
  const codes = await lab.send(10)
  expect(new Set(codes.slice(-5))).toEqual(new Set([14]))
  lab.box.capacityBytes = Number.POSITIVE_INFINITY
  await expect.poll(async () => (await lab.send(1))[0], { timeout: 10_000 }).toBe(0)
  await lab.drain()
  expect(lab.lost()).toEqual([])
  expect(lab.strangers()).toBe(0)
})

test.each([
  ['write', 'EIO'],
  ['sync', 'EIO'],
  ['open', 'EACCES'],
  ['open', 'EMFILE'],
] as const)(
  'EIO and its kin, %s fails with %s: what is not safe is not acknowledged, and it goes on by itself',
  async (op, code) => {
    const lab = await laboratory(['exporters.otlp.sending_queue.size_mib=1'])
    await lab.start()
    await lab.send(10)
    lab.box.fault = call =>
      call.op === op && call.path.includes('/queue/') ? { code, wroteBytes: 100 } : null
    const codes = await lab.send(op === 'open' ? 60 : 10)
    expect(codes.at(-1)).toBe(14)
    lab.box.fault = null
    await lab.drain()
    await expect.poll(async () => (await lab.send(1))[0], { timeout: 10_000 }).toBe(0)
    await lab.drain()
    expect(lab.lost()).toEqual([])
    expect(lab.strangers()).toBe(0)
  },
)

test('EIO while reading: what only the disk has is read again until it can be', async () => {
  const lab = await laboratory()
  await lab.start()
  await lab.send(20)
  await lab.end(box => box.kill())
  await lab.start()
  lab.box.fault = ({ op }) => (op === 'read' ? { code: 'EIO' } : null)
  await lab.send(5)
  await new Promise(resolve => setTimeout(resolve, 1500))
  lab.box.fault = null
  await lab.drain()
  expect(lab.lost()).toEqual([])
})

test('read-only: a disk that takes no writes lets it start, deliver what is there, and acknowledge nothing', async () => {
  const lab = await laboratory()
  await lab.start()
  await lab.send(20)
  await lab.end(box => box.kill())
  const reads = ['read', 'list', 'size', 'close', 'lock', 'syncDirectory']
  // What is there can be opened, and a directory that is there need not be made.
  const isThere = (path: string) => lab.box.paths().some(each => each === path || each.startsWith(`${path}/`))
  lab.box.fault = ({ op, path }) =>
    reads.includes(op) || ((op === 'open' || op === 'makeDirectory') && isThere(path))
      ? null
      : { code: 'EROFS' }
  await lab.start()
  expect(new Set(await lab.send(3))).toEqual(new Set([14]))
  await lab.drain()
  expect(lab.lost()).toEqual([])
  lab.box.fault = null
  await expect.poll(async () => (await lab.send(1))[0], { timeout: 10_000 }).toBe(0)
})

test('torn write: after a loss of power everything that was acknowledged is there, and no piece of anything else is delivered', async () => {
  const lab = await laboratory()
  for (let round = 0; round < 3; round++) {
    await lab.start()
    expect(new Set(await lab.send(10))).toEqual(new Set([0]))
    lab.box.syncing = () => new Promise(() => {})
    const unsynced = lab.send(1)
    await new Promise(resolve => setTimeout(resolve, 50))
    await lab.end(box => box.powerCut(seeded(round)))
    lab.box.syncing = null
    await unsynced
  }
  await lab.start()
  await lab.drain()
  expect(lab.lost()).toEqual([])
  expect(lab.strangers()).toBe(0)
  expect(lab.acknowledged()).toHaveLength(30)
})

test('corrupted metadata: with bits turned in every file it starts, delivers nothing damaged, and says how much is', async () => {
  for (const seed of [1, 2]) {
    const random = seeded(seed)
    const lab = await laboratory(['exporters.otlp.sending_queue.size_mib=1'])
    await lab.start()
    await lab.send(100)
    await lab.end(box => box.kill())
    const paths = lab.box.paths()
    expect(paths.length).toBeGreaterThan(0)
    for (const path of paths)
      lab.box.flip(path, Math.floor(random() * (lab.box.content(path)?.length ?? 0)), 3)
    await lab.start()
    await lab.drain()
    const found = await lab.scrape()
    expect(lab.strangers()).toBe(0)
    const damaged = found.sum('otlier_exporter_dropped_spans_total', { reason: 'damaged' })
    expect(lab.lost().length * SPANS).toBeLessThanOrEqual(damaged + SPANS * paths.length)
    expect(lab.acknowledged().length - lab.lost().length).toBeGreaterThan(0)
    expect(new Set(await lab.send(3))).toEqual(new Set([0]))
  }
})
