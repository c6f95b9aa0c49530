//! What clients, operators and the machine do to Otlier, one fault a test: the others are served, and what was accepted arrives.
import type { Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, onTestFinished, test } from 'vitest'
import { realWorld, type World } from '../../../src/base/world.ts'
import { frame, GrpcClient, httpCall, PROTOBUF, rawCall } from '../../kit/client.ts'
import { run } from '../../kit/programs.ts'
import { seeded } from '../../kit/random.ts'
import { compareLogs } from '../load/books.ts'
import { requestWith } from '../load/ids.ts'
import { startOtlierProcess } from '../load/otlier.ts'
import { destination, startRecorder, startSender } from '../load/parts.ts'
import { temporaryFolder } from './files.ts'
import { countingBackend, quick, SPANS_PER_REQUEST, scene, twice, until } from './scene.ts'

const REQUESTS = 20
const ALL = REQUESTS * SPANS_PER_REQUEST
const MIB = 2 ** 20
/** The first bytes of a message that never comes whole. */
const BEGINNING = frame(Buffer.alloc(100_000, 1)).subarray(0, 1000)

/** The world, with timers and a clock that run so many times faster: a deadline of ten seconds comes after half of one. */
const hasty = (times: number): World => ({
  ...realWorld,
  monotonic: () => realWorld.monotonic() * times,
  after: (delayMs, act) => realWorld.after(delayMs / times, act),
  sleep: (delayMs, stop) => realWorld.sleep(delayMs / times, stop),
})
const HASTE = 20
/** The receive deadline in that haste, and what a busy machine may add to it. */
const DEADLINE_MS = 10_000 / HASTE
const LATE_MS = 1500
const DRIP_MS = 20

test('kill -9 at random points: of three lives nothing that was acknowledged is lost, and nothing comes again without a reason', async () => {
  const program = fileURLToPath(new URL('../crash/main.ts', import.meta.url))
  const { status, stdout } = await run(process.execPath, [program, '--kills', '3', '--seed', '1'], {
    timeoutMs: 240_000,
  })
  expect(stdout).toContain('the crash test is passed')
  expect(status).toBe(0)
})

test('SIGTERM under load: the exit is 0 within the deadline, and nothing that was acknowledged is lost', async () => {
  const folder = temporaryFolder()
  const recorder = await startRecorder(folder, 'backend', {
    behaviour: { reply: { kind: 'ok' }, delayMs: 50 },
  })
  const shutdownMs = 5000
  const otlier = await startOtlierProcess([
    'directory=none',
    `shutdown_timeout=${shutdownMs}ms`,
    ...destination(recorder),
  ])
  const sender = await startSender(folder, 'sender', {
    grpcPort: otlier.grpc,
    httpPort: otlier.http,
    spansPerSecond: 2000,
    spansPerRequest: 10,
    connections: 8,
    churnPerSecond: 20,
  })
  onTestFinished(async () => {
    await Promise.all([recorder.program, sender.program, otlier.process].map(each => each.stop()))
  })
  await sender.go()
  await sleep(3000)
  const beganMs = performance.now()
  otlier.process.kill('SIGTERM')
  expect(await otlier.process.ended).toBe(0)
  expect(performance.now() - beganMs).toBeLessThan(shutdownMs)
  await sender.halt()
  const { acknowledged, lost, again } = compareLogs([sender.log], recorder.log)
  expect(acknowledged).toBeGreaterThan(4000)
  expect(lost).toEqual([])
  expect(again.unexplained).toEqual([])
})

test('memory pressure: while memory is short every answer is UNAVAILABLE or 503 and says when to come again, and full service comes back by itself', async () => {
  // In the heap of this process, which is that of the service: above the limit with what is held below, and not by itself.
  const learned = Array.from({ length: (48 * MIB) / 8 }, (_, at) => at + 0.5)
  const heldBytes = 13 * MIB
  const backend = await countingBackend()
  backend.reply = () => ({ kind: 'status', code: 14 })
  const stage = await scene([
    'memory_limit_mib=64',
    ...quick('otlp', backend.addressOf('otlp'), '', ['sending_queue.size_mib=32']),
  ])
  const { grpcPort, httpPort } = stage.service
  expect(new Set(await stage.send(REQUESTS))).toEqual(new Set([0]))

  // It declares as much as may be, and does not go on.
  const holding = new GrpcClient(grpcPort)
  onTestFinished(() => holding.close())
  const held = holding.call({ body: [frame(Buffer.alloc(1000), 0, heldBytes)], open: true })
  const inFlight = async () => (await stage.scrape()).sum('otlier_receiver_in_flight')
  await until('it is held', async () => (await inFlight()) === heldBytes)
  expect(new Set(await stage.send(REQUESTS))).toEqual(new Set([14]))
  const one = requestWith([1e9, 1e9], Date.now(), seeded(1))
  expect(await stage.client.export('traces', one)).toMatchObject({
    code: 14,
    message: expect.stringContaining('The memory limit is reached.'),
    details: { retryMs: expect.toSatisfy((retryMs: number) => retryMs >= 1000) },
  })
  const http = await httpCall({ port: httpPort, headers: PROTOBUF, body: one })
  expect([http.status, Number(http.headers['retry-after']) >= 1]).toEqual([503, true])
  expect((await stage.service.health()).body).toContain('Memory is short')
  const short = await stage.scrape()
  const refused = (reason?: string) =>
    short.sum('otlier_receiver_refused_requests_total', reason === undefined ? {} : { reason })
  expect([refused('OTLIER_MEMORY'), refused()]).toEqual([REQUESTS + 2, REQUESTS + 2])
  // By the queue, which has room.
  expect(short.sum('otlier_receiver_refused_spans_total')).toBe(0)

  await holding.close()
  await held
  await until('it is held no more', async () => (await inFlight()) === 0)
  expect(new Set(await stage.send(REQUESTS))).toEqual(new Set([0]))
  backend.reply = () => ({ kind: 'ok' })
  await stage.settled('otlp')
  expect([stage.accepted, backend.came.size]).toEqual([2 * ALL, 2 * ALL])
  expect(await stage.compared('otlp', backend)).toEqual([])
  expect(learned.at(-1)).toBeGreaterThan(0)
})

test('full queue: every answer is success or UNAVAILABLE, and full service comes back by itself', async () => {
  const backend = await countingBackend()
  backend.reply = () => ({ kind: 'hang' })
  const stage = await scene([
    'memory_limit_mib=64',
    ...quick('otlp', backend.addressOf('otlp'), '', ['sending_queue.size_mib=1']),
  ])
  const before = await stage.send(400)
  expect(new Set(before)).toEqual(new Set([0, 14]))
  // All of them by the queue.
  const full = await stage.scrape()
  const refused = before.filter(code => code === 14).length
  expect(full.sum('otlier_receiver_refused_spans_total')).toBe(refused * SPANS_PER_REQUEST)
  expect(full.sum('otlier_receiver_refused_requests_total')).toBe(0)
  backend.reply = () => ({ kind: 'ok' })
  await stage.settled('otlp')
  expect(new Set(await stage.send(REQUESTS))).toEqual(new Set([0]))
  await stage.settled('otlp')
  expect(backend.came.size).toBe(stage.accepted)
  expect(await stage.compared('otlp', backend)).toEqual([])
})

test('clock jump: a wall clock that goes a day forth and two days back loses nothing and delays nothing', async () => {
  // Over HTTP: the library for gRPC reads the machine's own clock, which no test can move.
  let offsetMs = 0
  const backend = await countingBackend()
  const stage = await scene(quick('otlphttp', backend.addressOf('otlphttp')), {
    world: { ...realWorld, now: () => realWorld.now() + offsetMs },
  })
  let calls = 0
  backend.reply = () => (++calls % 3 === 0 ? { kind: 'http', status: 503 } : { kind: 'ok' })
  for (const jumpMs of [86_400_000, -172_800_000, 86_400_000]) {
    expect(new Set(await stage.send(REQUESTS))).toEqual(new Set([0]))
    offsetMs += jumpMs
  }
  await stage.settled('otlphttp')
  expect(twice(backend)).toEqual([])
  expect(backend.came.size).toBe(3 * ALL)
  expect(await stage.compared('otlphttp', backend)).toEqual([])
})

describe('with deadlines', () => {
  async function hastyScene() {
    const backend = await countingBackend()
    const stage = await scene(quick('otlp', backend.addressOf('otlp'), '', ['timeout=60s']), {
      world: hasty(HASTE),
    })
    return { backend, stage }
  }

  /** Writes a byte now and then, so that it is never silent for long. Stops when it is cut. */
  function drip(stream: Writable) {
    let at = 0
    const dripping = setInterval(() => stream.write(BEGINNING.subarray(at, ++at)), DRIP_MS)
    stream.on('error', () => {})
    stream.on('close', () => clearInterval(dripping))
  }

  /** What came of it, and how long after its beginning. */
  async function timed<T>(work: Promise<T>) {
    const beganMs = performance.now()
    return { ended: await work, tookMs: performance.now() - beganMs }
  }

  /** Not before its time, by a clock that may be a little ahead, and not much later. */
  function expectAtDeadline(tookMs: number) {
    expect(tookMs).toBeGreaterThan(DEADLINE_MS - 20)
    expect(tookMs).toBeLessThan(DEADLINE_MS + LATE_MS)
  }

  test('slow client: an upload that drips is cut at its deadline, over both transports, and nobody else notices', async () => {
    const { backend, stage } = await hastyScene()
    const slow = new GrpcClient(stage.service.grpcPort)
    onTestFinished(() => slow.close())
    const overGrpc = timed(slow.call({ body: [BEGINNING], open: true, onWritten: drip }))
    const overHttp = timed(
      rawCall(
        stage.service.httpPort,
        [
          'POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 100000\r\n\r\n',
        ],
        drip,
      ),
    )
    expect(new Set(await stage.send(REQUESTS))).toEqual(new Set([0]))
    const [grpc, http] = await Promise.all([overGrpc, overHttp])
    // DEADLINE_EXCEEDED, and ended by the server.
    expect(grpc.ended).toMatchObject({ code: 4, reset: 0 })
    expectAtDeadline(grpc.tookMs)
    expect(http.ended).toMatch(/^HTTP\/1\.1 503 /)
    expectAtDeadline(http.tookMs)
    await stage.settled('otlp')
    expect(backend.came.size).toBe(ALL)
    expect(await stage.compared('otlp', backend)).toEqual([])
  })

  test('half-open streams: 200 requests that never end hold nobody up, are cut at their deadline, and do not keep it from stopping', async () => {
    const { backend, stage } = await hastyScene()
    const idle = new GrpcClient(stage.service.grpcPort)
    onTestFinished(() => idle.close())
    const open = Array.from({ length: 200 }, () => timed(idle.call({ body: [BEGINNING], open: true })))
    expect(new Set(await stage.send(REQUESTS))).toEqual(new Set([0]))
    const { status } = await httpCall({
      port: stage.service.httpPort,
      headers: PROTOBUF,
      body: requestWith([1e9, 1e9], Date.now(), seeded(1)),
    })
    expect(status).toBe(200)
    for (const { ended, tookMs } of await Promise.all(open)) {
      expect(ended).toMatchObject({ code: 4, reset: 0 })
      expectAtDeadline(tookMs)
    }
    const late = idle.call({ body: [BEGINNING], open: true })
    expect(await stage.stop()).toBe(0)
    await late
    await until('everything has arrived', () => backend.came.size === ALL + 1)
  })
})
