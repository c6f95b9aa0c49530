//! A destination that swallows everything costs the other one neither time nor telemetry, and catches up when it is back.
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { differences, exporterBooks, imbalances } from '../../kit/accounts.ts'
import { startProxy } from '../../kit/proxy.ts'
import { clockMs } from '../load/answering.ts'
import { compareLogs, quantile, told } from '../load/books.ts'
import { startOtlierProcess } from '../load/otlier.ts'
import { destination, startRecorder, startSender } from '../load/parts.ts'
import { temporaryFolder } from './files.ts'
import { until } from './scene.ts'

/** Ten minutes, or what OTLIER_HOLE_SECONDS says: a minute where everything is checked. */
const HOLE_MS = Number(process.env.OTLIER_HOLE_SECONDS ?? 600) * 1000
const CONTROL_MS = Math.min(60_000, HOLE_MS / 3)
/** The first seconds of a process are slower, whatever its destinations do. */
const WARM_UP_MS = 5000
const SPANS_PER_SECOND = 2000
const MEMORY_LIMIT_MIB = 512
/** Finding out that a connection is dead takes 40 s over gRPC, and there is a backlog to send. */
const DRAINED_MS = 180_000

test('with two destinations, one black-holed: the delay of the other stays, memory stays under the limit, and the backlog drains without a restart', async () => {
  const folder = temporaryFolder()
  const well = await startRecorder(folder, 'well')
  const ill = await startRecorder(folder, 'ill')
  const proxy = await startProxy(ill.grpcPort)
  const otlier = await startOtlierProcess([
    `directory=${folder}/state`,
    `memory_limit_mib=${MEMORY_LIMIT_MIB}`,
    ...destination(well, 'otlp/well', ['sending_queue.storage=disk']),
    ...destination({ grpcPort: proxy.port }, 'otlp/ill', ['sending_queue.storage=disk']),
  ])
  const sender = await startSender(folder, 'sender', {
    grpcPort: otlier.grpc,
    httpPort: otlier.http,
    spansPerSecond: SPANS_PER_SECOND,
    spansPerRequest: 10,
    connections: 8,
  })
  onTestFinished(async () => {
    await Promise.all([well.program, ill.program, sender.program, otlier.process].map(each => each.stop()))
    await proxy.stop()
  })

  const unbalanced: string[] = []
  let peakBytes = 0
  /** Lets time pass, with a look at the accounts and the memory every second. */
  async function pass(ms: number) {
    const fromMs = clockMs()
    while (clockMs() < fromMs + ms) {
      await sleep(1000)
      unbalanced.push(...imbalances(await otlier.scrape()))
      peakBytes = Math.max(peakBytes, (await otlier.gauges()).rssBytes)
    }
    return { fromMs, toMs: clockMs() }
  }
  await sender.go()
  await pass(WARM_UP_MS)
  const control = await pass(CONTROL_MS)
  proxy.weather = { kind: 'hole' }
  const hole = await pass(HOLE_MS)
  const backlog = exporterBooks(await otlier.scrape(), 'otlp/ill', 'traces')
  proxy.weather = { kind: 'pass' }
  await sender.halt()
  const sent = await sender.settled()
  const beganMs = clockMs()
  await until(
    'the backlog has drained',
    async () => {
      await pass(1000)
      const books = exporterBooks(await otlier.scrape(), 'otlp/ill', 'traces')
      return books.queued + books.inFlight === 0
    },
    DRAINED_MS,
  )
  const drainedMs = clockMs() - beganMs

  const before = compareLogs([sender.log], well.log, control)
  const during = compareLogs([sender.log], well.log, hole)
  const other = compareLogs([sender.log], ill.log)
  const [p99Control, p99Hole] = [quantile(before.delaysMs, 0.99), quantile(during.delaysMs, 0.99)]
  console.log(
    `p99 from sender to backend: ${p99Control.toFixed(1)} ms in ${CONTROL_MS / 1000} s of control, ${p99Hole.toFixed(1)} ms in ` +
      `${HOLE_MS / 1000} s beside a black hole; peak resident memory ${(peakBytes / 2 ** 20).toFixed(0)} MiB; ` +
      `backlog of ${backlog.queued + backlog.inFlight} spans drained in ${(drainedMs / 1000).toFixed(1)} s\n` +
      `well: ${told(during)}\nill: ${told(other)}`,
  )
  expect(unbalanced).toEqual([])
  expect(before.delaysMs.length).toBeGreaterThan((CONTROL_MS / 1000) * SPANS_PER_SECOND * 0.9)
  expect(during.delaysMs.length).toBeGreaterThan((HOLE_MS / 1000) * SPANS_PER_SECOND * 0.9)
  expect(backlog.queued + backlog.inFlight).toBeGreaterThan((HOLE_MS / 1000) * SPANS_PER_SECOND * 0.9)
  expect(p99Hole).toBeLessThanOrEqual(1.5 * p99Control + 20)
  expect(peakBytes).toBeLessThan(MEMORY_LIMIT_MIB * 2 ** 20)
  expect(during.lost).toEqual([])
  expect(during.again).toMatchObject({ waited: 0, resent: 0, unexplained: [] })
  expect(other.lost).toEqual([])
  expect(
    differences(await otlier.scrape(), 'traces', {
      accepted: sent.accepted,
      destinations: {
        'otlp/well': { sent: during.taken, rejected: 0, queued: 0 },
        'otlp/ill': { sent: other.taken, rejected: 0, queued: 0 },
      },
    }),
  ).toEqual([])
}, 1_200_000)
