//! The faults of a run with their sizes and answers. Sizes do not depend on what is evaluated, so they are measured once and kept.
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { BAD_VERSION, type Fault } from '../world/faults.ts'
import { type Measured, measureFaults } from '../world/measure.ts'
import { BEGINNING_MS, type SimulatedWorld } from '../world/world.ts'
import type { Truth } from './score.ts'

const WORLD = fileURLToPath(new URL('../world/', import.meta.url))
const CACHE = fileURLToPath(new URL('../.cache/sizes/', import.meta.url))

type Kept = Omit<Measured, 'fault'>

/** The size of every fault. Kept on disk under what it depends on: the world's own code, the world, and the plan. */
export function sizesOf(world: SimulatedWorld, faults: readonly Fault[], sampled: boolean): Measured[] {
  const key = createHash('sha256')
  for (const name of readdirSync(WORLD).sort())
    if (/^[a-z]+\.ts$/.test(name)) key.update(name).update(readFileSync(join(WORLD, name)))
  const plan = faults.map(({ kind, fromMs, toMs, size, service, pod, calls }) => [
    kind,
    fromMs,
    toMs,
    size,
    service.id,
    pod,
    calls.map(({ id }) => id),
  ])
  key.update(JSON.stringify([world.seed, world.topology.services.length, world.days, sampled, plan]))
  const path = join(CACHE, `${key.digest('hex').slice(0, 32)}.json`)
  let kept: Kept[] | null = null
  try {
    kept = JSON.parse(readFileSync(path, 'utf8')) as Kept[]
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  if (kept !== null) return kept.map((one, n) => ({ ...one, fault: faults[n] }))
  const measured = measureFaults(world, faults, sampled)
  mkdirSync(CACHE, { recursive: true })
  // JSON knows no Infinity; no shift is one.
  writeFileSync(`${path}.${process.pid}`, JSON.stringify(measured.map(({ fault: _, ...rest }) => rest)))
  renameSync(`${path}.${process.pid}`, path)
  return measured
}

const TIMED = ['silence', 'slow drift', 'bad release']

/** What must be said of a fault. `badPods`: the pods that ran bad releases, by service. */
export function truthOf(one: Measured, badPods: ReadonlyMap<string, readonly string[]>): Truth {
  const { fault, size, shift, affected, exceedsMs } = one
  const { kind, answer } = fault
  const fromMs = BEGINNING_MS + fault.fromMs
  const pods = badPods.get(answer.service) ?? []
  return {
    kind,
    size,
    shift,
    affected,
    fromMs,
    toMs: BEGINNING_MS + fault.toMs,
    timedMs: TIMED.includes(kind) ? BEGINNING_MS + exceedsMs : fromMs,
    service: answer.service,
    named:
      answer.version === undefined
        ? []
        : [
            `service.version=${BAD_VERSION}`,
            ...pods.flatMap(pod => [`k8s.pod.name=${pod}`, `service.instance.id=${pod}`]),
          ],
    among: answer.among ?? '',
  }
}
