//! The laws of asking a busy destination again, on a simulated clock.
import { expect, test } from 'vitest'
import { gate, RETRY_DEFAULTS, retry } from '../../src/flow/retry.ts'
import type { Answer } from '../../src/flow/sink.ts'
import {
  BUSY,
  busyFor,
  DELIVERED,
  REFUSED,
  scriptedExporter,
  TOO_LARGE,
  UNSUPPORTED,
} from '../kit/exporter.ts'
import { simulatedWorld } from '../kit/world.ts'

const REQUEST = { signal: 'traces', parts: [Uint8Array.of(10, 0)], headers: {}, items: 1 } as const

function scene(answers: readonly Answer[], options: Partial<typeof RETRY_DEFAULTS> = {}, seed = 1) {
  const world = simulatedWorld(seed)
  let next = 0
  const exporter = scriptedExporter(world, () => answers[Math.min(next++, answers.length - 1)])
  const stop = new AbortController()
  const kill = new AbortController()
  const again = new AbortController()
  const ending = {
    stop: stop.signal,
    kill: kill.signal,
    again: () => again.signal,
    deadlineMs: () => deadline.ms,
  }
  const deadline = { ms: Number.POSITIVE_INFINITY }
  const shut = gate(world)
  const send = retry(exporter, world, () => ({ ...RETRY_DEFAULTS, ...options }), shut, ending)
  return { world, exporter, stop, kill, again, deadline, shut, send }
}

const gaps = (times: readonly number[]) => times.slice(1).map((time, at) => time - times[at])

test('every answer but busy is final', async () => {
  for (const answer of [DELIVERED, REFUSED, TOO_LARGE, UNSUPPORTED]) {
    const { send, exporter } = scene([answer])
    expect(await send(REQUEST)).toBe(answer)
    expect(exporter.seen).toHaveLength(1)
  }
})

test('waits grow by the multiplier up to the longest, each drawn from the whole range', async () => {
  const draws: number[][] = []
  for (let seed = 1; seed <= 200; seed++) {
    const { world, send, exporter } = scene([BUSY], {}, seed)
    void send(REQUEST)
    await world.until(() => exporter.seen.length === 14)
    draws.push(gaps(exporter.seen.map(({ atMs }) => atMs)))
  }
  for (let at = 0; at < 13; at++) {
    const most = Math.min(30_000, 1000 * 1.5 ** at)
    const waits = draws.map(waited => waited[at])
    expect(Math.max(...waits)).toBeLessThanOrEqual(most)
    expect(Math.max(...waits)).toBeGreaterThan(most * 0.9)
    expect(Math.min(...waits)).toBeLessThan(most * 0.1)
  }
})

test('a request is given up when the next wait would exceed max_elapsed_time, and says why', async () => {
  const { world, send, exporter } = scene([BUSY])
  const settled = send(REQUEST)
  await world.until(() => world.timers() === 0)
  expect(await settled).toEqual({ kind: 'expired', cause: (BUSY as { cause: Error }).cause })
  expect(exporter.seen.at(-1)?.atMs).toBeLessThanOrEqual(300_000)
  expect(exporter.seen.at(-1)?.atMs).toBeGreaterThan(200_000)
})

test('max_elapsed_time 0 never gives up; enabled false gives up at once', async () => {
  const patient = scene([BUSY], { maxElapsedTimeMs: 0 })
  void patient.send(REQUEST)
  await patient.world.advance(3_000_000)
  expect(patient.exporter.seen.length).toBeGreaterThan(150)

  const { send, exporter } = scene([BUSY], { enabled: false })
  expect((await send(REQUEST)).kind).toBe('expired')
  expect(exporter.seen).toHaveLength(1)
})

test('the wait is the larger of the backoff and what the destination asked for', async () => {
  for (let seed = 1; seed <= 50; seed++) {
    const { world, send, exporter } = scene([busyFor(600), DELIVERED], {}, seed)
    const settled = send(REQUEST)
    await world.until(() => exporter.seen.length === 2)
    const [wait] = gaps(exporter.seen.map(({ atMs }) => atMs))
    expect(wait).toBeGreaterThanOrEqual(600)
    expect(wait).toBeLessThanOrEqual(1000)
    await settled
  }
})

test('a destination that asks for longer than is left is not waited for', async () => {
  const { send } = scene([busyFor(301_000)])
  expect((await send(REQUEST)).kind).toBe('expired')
})

test('one hostile wish does not silence a destination for longer than an hour', async () => {
  const { world, shut } = scene([DELIVERED])
  shut.shut(Number.MAX_SAFE_INTEGER)
  expect(shut.opensMs - world.monotonic()).toBe(3_600_000)
  shut.shut(5)
  expect(shut.opensMs - world.monotonic()).toBe(3_600_000)
})

test('while the destination has asked one to wait, none of the others sends', async () => {
  const { world, send, exporter } = scene([busyFor(10_000), BUSY, BUSY, BUSY, DELIVERED])
  const all = [send(REQUEST)]
  await world.advance(1000)
  for (let n = 0; n < 5; n++) all.push(send(REQUEST))
  await world.advance(8999)
  expect(exporter.seen).toHaveLength(1)
  await world.until(() => exporter.open === 0 && world.timers() === 0)
  for (const { atMs } of exporter.seen.slice(1)) expect(atMs).toBeGreaterThanOrEqual(10_000)
  for (const settled of await Promise.all(all)) expect(settled.kind).toBe('delivered')
})

test('when stopping begins, a wait ends in one more attempt, and short ones follow until the deadline', async () => {
  const { world, send, exporter, stop, deadline } = scene([BUSY])
  const settled = send(REQUEST)
  await world.advance(120_000)
  const before = exporter.seen.length
  deadline.ms = world.monotonic() + 20_000
  stop.abort()
  await world.settle()
  expect(exporter.seen).toHaveLength(before + 1)
  await world.until(() => world.timers() === 0)
  expect((await settled).kind).toBe('stopped')
  expect(world.monotonic()).toBeLessThanOrEqual(140_000)
  expect(Math.max(...gaps(exporter.seen.slice(before).map(({ atMs }) => atMs)))).toBeLessThanOrEqual(1000)
  expect(exporter.seen.at(-1)?.atMs).toBeGreaterThan(139_000)
})

test('where there is reason to ask again, waits end at once, and wishes to wait are taken back', async () => {
  const { world, send, exporter, shut, again } = scene([busyFor(3_000_000), DELIVERED], {
    maxElapsedTimeMs: 0,
  })
  const settled = send(REQUEST)
  await world.advance(1000)
  expect(exporter.seen).toHaveLength(1)
  shut.open()
  again.abort()
  expect((await settled).kind).toBe('delivered')
  expect(exporter.seen[1].atMs).toBe(1000)
  expect(world.timers()).toBe(0)
})

test('when stopping, a destination that asked to wait beyond the end is not asked again', async () => {
  const { world, send, exporter, stop, deadline } = scene([busyFor(30_000)])
  const settled = send(REQUEST)
  await world.settle()
  deadline.ms = world.monotonic() + 20_000
  stop.abort()
  expect((await settled).kind).toBe('stopped')
  expect(exporter.seen).toHaveLength(1)
})

test('when stopping, a destination that asked for less is waited for', async () => {
  const { world, send, exporter, stop, deadline } = scene([busyFor(15_000), DELIVERED])
  const settled = send(REQUEST)
  await world.settle()
  deadline.ms = world.monotonic() + 20_000
  stop.abort()
  await world.until(() => exporter.seen.length === 2)
  expect((await settled).kind).toBe('delivered')
  expect(exporter.seen[1].atMs).toBe(15_000)
})
