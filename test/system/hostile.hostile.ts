//! The whole service, in a process of its own, under hostile input and overload: its memory, its life, and what the others notice of it.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Child, child } from '../bench/child.ts'
import { load } from '../bench/load.ts'
import { READY_AFTER, requests, SPANS } from '../bench/traffic.ts'
import { differences, exporterBooks, imbalances } from '../kit/accounts.ts'
import { type Attack, type Seen, surprises } from './hostile/attack.ts'
import { ATTACKS } from './hostile/attacks.ts'
import type { Taken } from './hostile/backend.ts'
import type { Fared } from './hostile/bystander.ts'
import { type Offered, offer } from './hostile/overload.ts'
import { CAN_MEASURE, startTarget, type Target } from './hostile/service.ts'
import type { Looked } from './hostile/watch.ts'

/** What a run in CI has time for; without it everything is longer. */
const SHORT = process.env.CI !== undefined
const ATTACK_MS = SHORT ? 2500 : 15_000
const OVERLOAD_MS = SHORT ? 15_000 : 60_000
const QUEUE_MIB = SHORT ? 8 : 32
const RECOVERED_WITHIN_MS = 60_000
const FULL_RATE_MS = SHORT ? 3000 : 10_000

const LIMIT_MIB = 512
const PEAK_MIB = 614
/** Of what was resident before. */
const BACK_TO = 1.3
const BACK_WITHIN_MS = 30_000
const P99_MS = 1000
/** The bystander's requests, of which the machine may swallow a tenth. */
const SENT_PER_SECOND = 10
const SENT = 0.9
/** Of the rate that a load is to have, so much must have been sent; of what the backend takes, so much must have been taken. */
const OFFERED = 0.95
const TAKEN = 0.5
/** The receive deadline: every request is answered by then. */
const ANSWERED_WITHIN_MS = 10_000
/** Of the scrapes, one a second, so many must show the accounts: under attack one may be refused, or late. */
const SCRAPED = 0.7
const DELIVERED_WITHIN_MS = 60_000
/** What the warm-up itself has left behind is given back by then. */
const REST_MS = 15_000
/** More than anybody sends. */
const UNBOUNDED = 1_000_000_000
/** What the backend takes, and what is offered to it. */
const TAKEN_PER_SECOND = 2000
const OFFERED_PER_SECOND = 20_000

if (!CAN_MEASURE) console.log('SKIP: hostile input: this system has no /proc to tell of resident memory')

let backend: Child
let target: Target
let bystander: Child
let watch: Child
/** Spans that those who send here were told are taken; the bystander counts its own. */
let accepted: number

async function start(backendRate: number, settings: readonly string[]) {
  backend = child('../system/hostile/backend.ts', { args: [String(backendRate)] })
  const address = `127.0.0.1:${Number((await backend.said(/port (\d+)/))[1])}`
  target = await startTarget([
    `memory_limit_mib=${LIMIT_MIB}`,
    `exporters.otlp.endpoint=http://${address}`,
    ...settings,
  ])
  bystander = child('../system/hostile/bystander.ts', { args: [String(target.grpcPort)] })
  await bystander.said(/ready/)
  watch = child('../system/hostile/watch.ts', { args: [String(target.metricsPort), 'otlp'] })
  await watch.said(/ready/)
}

/** A service that has been at work: it knows 2,000 operations. */
async function warmUp() {
  const work = load(target.grpcPort, requests(16))
  accepted = await work.send(READY_AFTER, false)
  work.close()
  await sleep(REST_MS)
}

afterEach(async () => {
  await watch?.stop()
  await bystander?.stop()
  await target?.stop()
  await backend?.stop()
})

/** Resident memory, once it is back at `limitMib` or time is over. */
async function settled(limitMib: number): Promise<number> {
  const giveUpMs = performance.now() + BACK_WITHIN_MS
  while (target.isAlive() && target.resident() > limitMib && performance.now() < giveUpMs) await sleep(200)
  return target.resident()
}

/** Whether the bystander went on sending, got no answers but these, and waits for none of them, open requests included. */
function expectUnharmed(fared: Fared, forMs: number, allowed: readonly string[], what: string) {
  const unexpected = Object.keys(fared.answers).filter(answer => !allowed.includes(answer))
  expect(unexpected, `${what}: ${JSON.stringify(fared.sentences)}`).toEqual([])
  expect(fared.sent, what).toBeGreaterThanOrEqual((SENT * SENT_PER_SECOND * forMs) / 1000)
  expect(fared.answers['grpc 0'] ?? 0, what).toBeGreaterThan(0)
  expect(fared.oldestMs, what).toBeLessThan(P99_MS)
  expect(fared.p99Ms, what).toBeLessThan(P99_MS)
}

/** Whether so many spans a second were really sent, each answered in time, and the backend kept at work. */
function expectOffered({ offered, tookMs, answeredAfterMs, taken }: Offered, perSecond: number) {
  expect((1000 * offered) / tookMs).toBeGreaterThan(OFFERED * perSecond)
  expect(answeredAfterMs).toBeLessThan(ANSWERED_WITHIN_MS)
  expect((1000 * taken * SPANS) / tookMs).toBeGreaterThan(TAKEN * TAKEN_PER_SECOND)
}

/** Whether the accounts were to be seen for `forMs`, and balanced whenever they were. */
function expectBalanced(looked: Looked, forMs: number, what: string) {
  expect(looked.unbalanced, what).toEqual([])
  const enough = Math.max(1, Math.floor((SCRAPED * forMs) / 1000))
  expect(looked.good, `${what}: ${JSON.stringify(looked.failed)}`).toBeGreaterThanOrEqual(enough)
}

/** Nobody sends any more, and everything is delivered: the accounts are what the senders were told and the backend has counted. */
async function expectTrue() {
  const ofBystander = (await bystander.ask<Fared>('halt')).accepted
  await backend.ask(`rate ${UNBOUNDED}`)
  const giveUpMs = performance.now() + DELIVERED_WITHIN_MS
  const isDelivered = async () => {
    const { queued, inFlight } = exporterBooks(await target.scrape(), 'otlp', 'traces')
    return queued + inFlight === 0
  }
  while (!(await isDelivered()) && performance.now() < giveUpMs) await sleep(200)
  const { spans } = await backend.ask<Taken>('taken')
  const counted = { accepted: accepted + ofBystander, sent: spans }
  print('counted by the others', counted)
  expect((await look()).unbalanced, 'afterwards').toEqual([])
  const scrape = await target.scrape()
  expect(imbalances(scrape)).toEqual([])
  const destinations = { otlp: { sent: spans, rejected: 0, queued: 0 } }
  expect(differences(scrape, 'traces', { accepted: counted.accepted, destinations })).toEqual([])
  expect(counted.sent).toBe(counted.accepted)
}

const print = (name: string, figures: object) => console.log(`${name}: ${JSON.stringify(figures)}`)
const look = () => watch.ask<Looked>('looked')
const rounded = (mib: number) => Math.round(mib)

describe.skipIf(!CAN_MEASURE)('hostile input', () => {
  beforeEach(async () => {
    await start(UNBOUNDED, [])
    await warmUp()
  })

  /** One attack, and what it must not do. */
  async function survive(attack: Attack) {
    target.forgetPeak()
    await bystander.ask<Fared>('fared')
    expect((await look()).unbalanced, 'before').toEqual([])
    const began = performance.now()
    const seen: Seen = new Map()
    await attack.run(target, performance.now() + ATTACK_MS, seen)
    const fared = await bystander.ask<Fared>('fared')
    const forMs = performance.now() - began
    const looked = await look()
    const peak = target.isAlive() ? target.peak() : Number.NaN
    print(attack.name, {
      peak: rounded(peak),
      bystander: fared,
      ...looked,
      seen: Object.fromEntries(seen),
    })
    expect(target.isAlive(), target.said()).toBe(true)
    expect(peak, attack.name).toBeLessThan(PEAK_MIB)
    expectUnharmed(fared, forMs, ['grpc 0'], attack.name)
    expect(surprises(attack, seen), attack.name).toEqual([])
    expectBalanced(looked, forMs, attack.name)
  }

  async function comeBack(startedMib: number, what: string) {
    const back = await settled(startedMib * BACK_TO)
    print(`after ${what}`, { started: rounded(startedMib), back: rounded(back) })
    expect(back / startedMib, what).toBeLessThan(BACK_TO)
    await expectTrue()
  }

  if (SHORT) {
    test('every attack in turn: memory stays bounded and comes back, nothing ends, and who did nothing notices nothing', async () => {
      const started = target.resident()
      for (const attack of ATTACKS) await survive(attack)
      await comeBack(started, 'all of them')
    })
  } else {
    test.each(ATTACKS)(
      '$name: memory stays bounded and comes back, nothing ends, and who did nothing notices nothing',
      async attack => {
        const started = target.resident()
        await survive(attack)
        await comeBack(started, attack.name)
      },
    )
  }
})

describe.skipIf(!CAN_MEASURE)('overload', () => {
  beforeEach(async () => {
    await start(UNBOUNDED, [`exporters.otlp.sending_queue.size_mib=${QUEUE_MIB}`])
    await warmUp()
    await backend.ask(`rate ${TAKEN_PER_SECOND}`)
  })

  test('G6 and H11 of ten times what the backend takes, each answer is success, UNAVAILABLE with RetryInfo or 503 with Retry-After, and then all is taken again', async () => {
    const started = target.resident()
    target.forgetPeak()
    await bystander.ask<Fared>('fared')
    expect((await look()).unbalanced, 'before').toEqual([])
    const began = performance.now()
    const seen = await offer(target, OFFERED_PER_SECOND, OVERLOAD_MS)
    const fared = await bystander.ask<Fared>('fared')
    const forMs = performance.now() - began
    const looked = await look()
    const peak = target.peak()
    const health = await target.health()
    print('overload', {
      peak: rounded(peak),
      bystander: fared,
      ...looked,
      ...seen,
      health: health.body.trim(),
    })
    expectOffered(seen, OFFERED_PER_SECOND)
    expect(seen.others).toEqual([])
    expect(seen.refusedGrpc).toBeGreaterThan(0)
    expect(seen.refusedHttp).toBeGreaterThan(0)
    expect(seen.delaysMs.every(delay => delay >= 1000 && delay <= 6000)).toBe(true)
    expect(health).toMatchObject({ status: 200, body: expect.stringContaining('degraded') })
    expectUnharmed(fared, forMs, ['grpc 0', 'grpc 14'], 'overload')
    expect(peak).toBeLessThan(PEAK_MIB)
    expectBalanced(looked, forMs, 'overload')
    accepted += seen.taken * SPANS
    const over = performance.now()
    // What was taken goes out by itself; then as much is taken as the backend takes.
    let again: Offered
    let faredAgain: Fared
    do {
      await sleep(2000)
      await bystander.ask<Fared>('fared')
      again = await offer(target, TAKEN_PER_SECOND, FULL_RATE_MS)
      faredAgain = await bystander.ask<Fared>('fared')
      accepted += again.taken * SPANS
    } while (again.refusedGrpc + again.refusedHttp > 0 && performance.now() - over < RECOVERED_WITHIN_MS)
    const afterMs = performance.now() - over
    print('60 s later at the latest', { afterMs: rounded(afterMs), ...again, bystander: faredAgain })
    expectBalanced(await look(), afterMs, 'after the overload')
    expect(again.others).toEqual([])
    expect(again.refusedGrpc + again.refusedHttp).toBe(0)
    expectOffered(again, TAKEN_PER_SECOND)
    expectUnharmed(faredAgain, FULL_RATE_MS, ['grpc 0'], 'after the overload')
    const back = await settled(started * BACK_TO)
    print('after the overload', { started: rounded(started), back: rounded(back) })
    expect(back / started).toBeLessThan(BACK_TO)
    expect(target.isAlive(), target.said()).toBe(true)
    expect((await target.health()).status).toBe(200)
    await expectTrue()
  })
})
