//! The whole service, in a process of its own, under hostile input: its memory, its life, and what the others notice of it.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Child, child } from '../bench/child.ts'
import { type Answers, ATTACKS } from './hostile/attacks.ts'
import type { Fared } from './hostile/bystander.ts'
import { CAN_MEASURE, startTarget, type Target } from './hostile/service.ts'

/** What a run in CI has time for. */
const SHORT = process.env.CI !== undefined
const ATTACK_MS = SHORT ? 3000 : 15_000
const LIMIT_MIB = 512
const PEAK_MIB = 614
const BACK_TO = 1.3
const BACK_WITHIN_MS = 30_000

let backend: Child
let target: Target
let bystander: Child

beforeAll(async () => {
  backend = child('../system/hostile/backend.ts', { args: ['1000000'] })
  const address = `127.0.0.1:${Number((await backend.said(/port (\d+)/))[1])}`
  target = await startTarget([`memory_limit_mib=${LIMIT_MIB}`, `exporters.otlp.endpoint=http://${address}`])
  bystander = child('../system/hostile/bystander.ts', { args: [String(target.grpcPort)] })
  await bystander.said(/ready/)
  await sleep(2000)
})

afterAll(async () => {
  await bystander?.stop()
  await target?.stop()
  await backend?.stop()
})

test.each(ATTACKS)('$name', async attack => {
  target.forgetPeak()
  const started = target.resident()
  await bystander.ask<Fared>('fared')
  const answers: Answers = new Map()
  await attack.run(target, performance.now() + ATTACK_MS, answers)
  const fared = await bystander.ask<Fared>('fared')
  const peak = target.peak()
  const end = performance.now()
  while (
    target.isAlive() &&
    target.resident() > started * BACK_TO &&
    performance.now() < end + BACK_WITHIN_MS
  )
    await sleep(200)
  const back = target.resident()
  const heap = Math.round(
    ((await target.metrics()).get('otlier_process_runtime_heap_alloc_bytes') ?? 0) / 2 ** 20,
  )
  const cpu = (await target.metrics()).get('otlier_process_cpu_seconds_total')
  console.log(
    attack.name,
    JSON.stringify({
      heap,
      cpu,
      started,
      peak,
      back,
      backMs: Math.round(performance.now() - end),
      fared,
      answers: [...answers],
    }),
  )
  expect(target.isAlive(), target.said()).toBe(true)
})
