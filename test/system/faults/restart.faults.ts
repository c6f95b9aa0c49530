//! A restart with a full queue on the machine's own disk: the accounts balance at every scrape, and what was acknowledged arrives.
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { differences, exporterBooks, imbalances, type Scrape, scrapeAccounts } from '../../kit/accounts.ts'
import { GrpcClient } from '../../kit/client.ts'
import { itemsOf, waitingRecords } from '../../kit/queue-walk.ts'
import { seeded } from '../../kit/random.ts'
import { requestWith } from '../load/ids.ts'
import { type OtlierProcess, startOtlierProcess } from '../load/otlier.ts'
import { temporaryFolder } from './files.ts'
import { countingBackend, quick, twice, until } from './scene.ts'

const SPANS = 50
/** A queue of one MiB has room for less. */
const MOST_REQUESTS = 200
const UNAVAILABLE = 14
const REFUSALS = 5

test('restart with a full disk queue: after a kill everything is found again, stands in the accounts at every scrape, and arrives once', async () => {
  const directory = temporaryFolder()
  const backend = await countingBackend()
  backend.reply = () => ({ kind: 'status', code: UNAVAILABLE })
  const inFull = ['sending_queue.storage=disk', 'sending_queue.size_mib=1']
  const settings = [`directory=${directory}`, ...quick('otlp', backend.addressOf('otlp'), '', inFull)]
  const walk = () => itemsOf([...waitingRecords(join(directory, 'queue', 'otlp'))])[0]
  const random = seeded(1)
  const acknowledged: number[] = []
  let nextId = 1

  /** Sends `requests` one after the other, or as many as are taken. Returns how many were refused since. */
  async function send(client: GrpcClient, requests: number, refusals = 1): Promise<number> {
    let refused = 0
    for (let n = 0; n < requests && refused < refusals; n++) {
      const ids = Array.from({ length: SPANS }, () => nextId++)
      const bytes = requestWith([ids[0], ids[SPANS - 1]], Date.now(), random)
      const { code, message } = await client.export('traces', bytes)
      if (code === 0) acknowledged.push(...ids)
      else {
        expect([code, message]).toEqual([UNAVAILABLE, expect.stringContaining('queue is full')])
        refused++
      }
    }
    return refused
  }
  function clientOf(otlier: OtlierProcess) {
    const client = new GrpcClient(otlier.grpc)
    onTestFinished(async () => {
      await client.close()
      await otlier.process.stop()
    })
    return client
  }
  const waitingIn = (scrape: Scrape) => {
    const { queued, inFlight } = exporterBooks(scrape, 'otlp', 'traces')
    return queued + inFlight
  }

  const first = await startOtlierProcess(settings)
  const watched = watch(first.metrics)
  const client = clientOf(first)
  expect(await send(client, MOST_REQUESTS, REFUSALS)).toBe(REFUSALS)
  const full = await first.scrape()
  expect([waitingIn(full), walk()]).toEqual([acknowledged.length, acknowledged.length])
  const goodBefore = watched.seen.good
  watched.isDown = true
  first.process.kill('SIGKILL')
  await first.process.ended
  expect(walk()).toBe(acknowledged.length)

  // From its first moment on: what cannot be read yet is counted, and is no scrape.
  const second = await startOtlierProcess(settings, { ports: first })
  watched.isDown = false
  const ready = await second.scrape()
  expect(exporterBooks(ready, 'otlp', 'traces').recovered).toBe(acknowledged.length)
  expect([waitingIn(ready), walk()]).toEqual([acknowledged.length, acknowledged.length])
  const again = clientOf(second)
  expect(await send(again, 1)).toBe(1)
  expect(waitingIn(await second.scrape())).toBe(acknowledged.length)

  const found = acknowledged.length
  backend.reply = () => ({ kind: 'ok' })
  await until('everything has left', async () => waitingIn(await second.scrape()) === 0)
  expect(await send(again, 10)).toBe(0)
  await until('what came later has left', async () => waitingIn(await second.scrape()) === 0)
  await watched.end()
  const { good, none, wrong } = watched.seen
  console.log(
    `${found} spans in the queue at the restart; ${good} scrapes, and ${none} times nothing to read`,
  )
  expect(acknowledged.filter(id => !backend.came.has(id))).toEqual([])
  expect(twice(backend)).toEqual([])
  expect(wrong).toEqual([])
  expect(goodBefore).toBeGreaterThan(0)
  expect(good).toBeGreaterThan(goodBefore)
  expect(
    differences(await second.scrape(), 'traces', {
      accepted: acknowledged.length - found,
      destinations: { otlp: { sent: backend.came.size, rejected: 0, queued: walk() } },
    }),
  ).toEqual([])
  expect(walk()).toBe(0)
})

/** Scrapes a port again and again, whoever is behind it. Nothing to read is a fault unless it `isDown` before or after. */
function watch(port: number) {
  const seen = { good: 0, none: 0, wrong: [] as string[] }
  let isOver = false
  async function work() {
    while (!isOver) {
      const wasDown = watched.isDown
      try {
        seen.wrong.push(...imbalances(await scrapeAccounts(port)))
        seen.good++
      } catch (error) {
        if (wasDown || watched.isDown) seen.none++
        else seen.wrong.push(String(error))
      }
      await sleep(5)
    }
  }
  const watched = {
    isDown: false,
    seen,
    async end() {
      isOver = true
      await working
    },
  }
  const working = work()
  onTestFinished(watched.end)
  return watched
}
