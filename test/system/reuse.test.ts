//! Memory that is used again never costs a byte: large requests through real sockets, to a quick destination and to a slow one.
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { fanout } from '../../src/flow/fanout.ts'
import { ACCEPTED, type Batch } from '../../src/flow/sink.ts'
import { type Backend, startBackend } from '../kit/backend.ts'
import { httpCall, PROTOBUF } from '../kit/client.ts'
import { startService, toGrpc, toHttp } from '../kit/otlier.ts'
import { int, type Random, bytes as randomBytes, seeded } from '../kit/random.ts'
import { grpcClient, startReceiver } from '../kit/receivers.ts'
import { checkingSink, recordingSink } from '../kit/sinks.ts'
import { concat, delimited, sameBytes } from '../oracle/bytes.ts'

const KIB = 2 ** 10

/** Log records of random bytes, `length` in all, and some of framing. */
function logs(random: Random, length: number): Uint8Array {
  const record = delimited(2, delimited(5, delimited(7, randomBytes(random, length))))
  return delimited(1, delimited(2, record))
}

const arrived = (backend: Backend) => concat(backend.requests.map(({ bytes }) => bytes))

test('both destinations get what was sent, although one is slow and has to be asked again', async () => {
  const random = seeded(7)
  const quick = await startBackend()
  // Requests wait here while later ones are received, and some are turned away at first.
  const slow = await startBackend({
    script: async (_, index) => {
      await sleep(15)
      return index % 5 === 1 ? { kind: 'http', status: 503, headers: { 'retry-after': '0' } } : { kind: 'ok' }
    },
  })
  const service = await startService([
    ...toGrpc(quick.grpc),
    ...toHttp(slow.http),
    'exporters.otlphttp.retry_on_failure.initial_interval=10ms',
  ])
  onTestFinished(async () => {
    await service.stop()
    await Promise.all([quick.stop(), slow.stop()])
  })
  const client = grpcClient(service.grpcPort)
  const sent: Uint8Array[] = []
  for (let request = 0; request < 80; request++) {
    // A few sizes, so that memory of each is there to be used again.
    const body = logs(random, [20, 60, 200, 300][int(random, 4)] * KIB + int(random, 100))
    sent.push(body)
    if (request % 2 === 0) expect((await client.export('logs', body)).code).toBe(0)
    else {
      const reply = await httpCall({ port: service.httpPort, path: '/v1/logs', headers: PROTOBUF, body })
      expect(reply.status).toBe(200)
    }
    if (request % 10 === 9) await sleep(40)
  }
  const wanted = concat(sent)
  await until(() => arrived(quick).length >= wanted.length)
  expect(sameBytes(arrived(quick), wanted)).toBe(true)
  // What was turned away came twice.
  const taken = () => concat(slow.requests.filter((_, index) => index % 5 !== 1).map(({ bytes }) => bytes))
  await until(() => taken().length >= wanted.length)
  expect(sameBytes(taken(), wanted)).toBe(true)
})

for (const transport of ['grpc', 'http'] as const) {
  test(`over ${transport} the memory of a request that has been let go of takes the next one`, async () => {
    const buffers: ArrayBufferLike[] = []
    const held: Batch[] = []
    const sink = recordingSink(batch => {
      buffers.push(batch.bytes.buffer)
      if (held.length < 2) {
        held.push(batch)
        batch.loan?.share(1)
      } else batch.loan?.share(0)
      return ACCEPTED
    })
    const { port } = await startReceiver(transport, sink)
    const client = grpcClient(transport === 'grpc' ? port : 1)
    const body = logs(seeded(1), 100 * KIB)
    const send = async () =>
      transport === 'grpc'
        ? expect((await client.export('logs', body)).code).toBe(0)
        : expect((await httpCall({ port, path: '/v1/logs', headers: PROTOBUF, body })).status).toBe(200)
    await send()
    await send()
    expect(buffers[1]).not.toBe(buffers[0])
    held[0].loan?.letGo()
    await send()
    await send()
    expect(buffers.slice(2)).toEqual([buffers[0], buffers[0]])
    expect(sameBytes(held[1].bytes, body)).toBe(true)
  })
}

test('where nothing is configured to receive it, the memory comes back at once', async () => {
  const buffers = new Set<ArrayBufferLike>()
  const next = checkingSink(fanout({ routes: { traces: [], metrics: [], logs: [] } }))
  const { port } = await startReceiver('grpc', {
    send(batch) {
      buffers.add(batch.bytes.buffer)
      return next.send(batch)
    },
    close: () => next.close(),
  })
  const client = grpcClient(port)
  for (let request = 0; request < 5; request++) await client.export('logs', logs(seeded(1), 100 * KIB))
  expect(buffers.size).toBe(1)
})

/** Fails by the test's own limit of time. */
async function until(done: () => boolean): Promise<void> {
  while (!done()) await sleep(5)
}
