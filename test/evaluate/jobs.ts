//! The pieces of work of an evaluation: each lives through one world by itself, so that processes can share them out.
import type { EventRecord } from '../../src/bus/bus.ts'
import type { Part } from '../../src/learn/parts.ts'
import type { PlaneOptions } from '../../src/learn/plane.ts'
import { DAY_MS } from '../world/almanac.ts'
import { named, under, unit } from '../world/draws.ts'
import { drawFault, drawFaults, type Fault } from '../world/faults.ts'
import type { Measured } from '../world/measure.ts'
import type { Service } from '../world/topology.ts'
import { BEGINNING_MS, makeWorld, type SimulatedWorld, type Span } from '../world/world.ts'
import { explainFault, explainStray } from './explain.ts'
import { type Incident, incidentsOf, stateAt } from './incidents.ts'
import { type Level, live } from './live.ts'
import { type FaultScore, score, type Truth } from './score.ts'
import { atBudget, loadSubject } from './subject.ts'
import { sizesOf, truthOf } from './truths.ts'

const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000

/** What all jobs of a run have in common. */
export interface Common {
  readonly options: PlaneOptions
  /** Parts that are switched off one at a time, each in a subject of its own beside the whole one. By windows only. */
  readonly beside?: readonly Part[]
  /** The module of the subject; '' for the learning plane. */
  readonly subject: string
  readonly level: Level
  readonly sampled: boolean
  readonly services: number
  readonly explain: boolean
}

export type Job = Common &
  (
    | { readonly what: 'faults'; readonly seed: number; readonly count: number; readonly historyMs: number }
    | { readonly what: 'calm'; readonly seed: number; readonly historyMs: number; readonly countedMs: number }
    | { readonly what: 'cold'; readonly seed: number; readonly slow: boolean }
    | { readonly what: 'level' | 'drift'; readonly seed: number; readonly historyMs: number }
  )

export interface Done {
  readonly job: Job
  readonly spans: number
  readonly simulatedMs: number
  /** Of this process, the sizing of faults left out. */
  readonly cpuMs: number
  /** By budget, in the order of the options. */
  readonly budgets: readonly Outcome[]
  /** The same without each part of `beside`. */
  readonly without: readonly (readonly Outcome[])[]
}

/** What came of a job at one budget. */
export interface Outcome {
  readonly budget: number
  readonly faults: readonly { readonly truth: Truth; readonly score: FaultScore }[]
  /** Openings of incidents that are about no fault, in the time that counts. */
  readonly strays: number
  /** New levels that were adopted in that time; where one service changes for good, of that service. */
  readonly shifts: number
  readonly notes: readonly string[]
}

/** Part `part` of a run: a world of its own, found by others from the same seed. */
export const worldSeed = (seed: number, what: string, part: number) =>
  part === 0 ? seed : under(named(seed, what), part)

/** `onDay` hears of every simulated day that is over. */
export async function runJob(job: Job, onDay: () => void): Promise<Done> {
  const world = makeWorld(job.seed, { services: job.services })
  const plan = planOf(job, world)
  const before = process.cpuUsage()
  const make = await loadSubject(job.subject)
  const { options, beside = [] } = job
  const variants = [options, ...beside.map(part => ({ ...options, ablate: [part] }))]
  const lived = await live(make, variants, world, { ...plan.span, sampled: job.sampled }, job.level, onDay)
  const { user, system } = process.cpuUsage(before)
  const measured = plan.sized ?? []
  const truths = measured.map(one => truthOf(one, lived.badPods))
  const [budgets, ...without] = lived.events.map(events =>
    options.budgets.map(budget =>
      outcome(job, plan, world, truths, measured, atBudget(events, budget), budget),
    ),
  )
  return {
    job,
    spans: lived.spans,
    simulatedMs: plan.span.toMs - plan.span.fromMs,
    cpuMs: (user + system) / 1_000,
    budgets,
    without,
  }
}

interface Plan {
  readonly span: Span
  /** What opens before this counts for nothing. In ms since the world began. */
  readonly countedMs: number
  readonly sized?: readonly Measured[]
}

function outcome(
  job: Job,
  plan: Plan,
  world: SimulatedWorld,
  truths: readonly Truth[],
  measured: readonly Measured[],
  events: readonly EventRecord[],
  budget: number,
): Outcome {
  const fromMs = BEGINNING_MS + plan.countedMs
  const incidents = incidentsOf(events)
  const isLong = job.what === 'level' || job.what === 'drift'
  // What lasts for days must be named: others have incidents of their own meanwhile.
  const isAbout = (one: Incident) =>
    !isLong || one.states.some(({ suspects }) => suspects.includes(truths[0].service))
  const since = incidents.filter(({ openedMs }) => openedMs >= fromMs)
  const scored = score(truths, since.filter(isAbout))
  const faults = scored.faults
  const strays = [...scored.strays, ...since.filter(one => !isAbout(one))]
  const counted = (one: Incident) => one.turns.filter(({ open, atMs }) => open && atMs >= fromMs).length
  // An incident from before that opens again counts too.
  const again = incidents.filter(({ openedMs }) => openedMs < fromMs)
  const notes: string[] = []
  if (job.explain) {
    for (const [n, one] of faults.entries())
      if (truths[n].size !== 'faint' && (!one.located || one.delayMs > 120_000))
        notes.push(explainFault(measured[n], truths[n], one, events))
    for (const stray of strays) notes.push(explainStray(world, stray, events))
  }
  if (isLong) notes.push(...history(since.filter(isAbout), fromMs))
  const shifts = events.filter(
    ({ name, observedMs, resource }) =>
      name === 'otlier.baseline.shift' &&
      observedMs >= fromMs &&
      (!isLong || resource['service.name'] === truths[0].service),
  )
  return {
    budget,
    faults: faults.map((one, n) => ({ truth: truths[n], score: one })),
    strays: [...strays, ...again].reduce((sum, one) => sum + counted(one), 0),
    shifts: shifts.length,
    notes,
  }
}

/** Each opening since then, for people: how long after, and what it said. */
function history(incidents: readonly Incident[], fromMs: number): string[] {
  return incidents.flatMap(incident =>
    incident.turns
      .filter(({ open, atMs }) => open && atMs >= fromMs)
      .map(({ atMs }) => {
        const { title, suspects } = stateAt(incident, atMs + MINUTE_MS)
        return `after ${((atMs - fromMs) / HOUR_MS).toFixed(2)} h: ${title} [${suspects.slice(0, 3).join(', ')}]`
      }),
  )
}

function planOf(job: Job, world: SimulatedWorld): Plan {
  const bits = named(job.seed, 'evaluate')
  // Any hour of the first two weeks, so that each world has its own weekday and time of day.
  const startMs = Math.floor(unit(under(bits, 1)) * 14 * 24) * HOUR_MS
  switch (job.what) {
    case 'calm':
      return { span: { fromMs: 0, toMs: job.historyMs + job.countedMs }, countedMs: job.historyMs }
    case 'faults': {
      const fromMs = startMs + job.historyMs
      const faults = drawFaults(job.seed, world.topology, { fromMs, count: job.count })
      const toMs = Math.max(...faults.map(one => one.toMs)) + 10 * MINUTE_MS
      return {
        span: { fromMs: startMs, toMs, faults },
        countedMs: fromMs,
        sized: sizesOf(world, faults, job.sampled),
      }
    }
    case 'cold': {
      const span = { fromMs: startMs, toMs: startMs + HOUR_MS }
      if (!job.slow) return { span, countedMs: startMs }
      const sized = clearSlowDown(job, world, startMs + 10 * MINUTE_MS, under(bits, 2))
      return { span: { ...span, faults: [sized.fault] }, countedMs: startMs, sized: [sized] }
    }
    case 'level':
    case 'drift':
      return changeForGood(job, world, under(bits, 3))
  }
}

/** A service at random that becomes x5 slower for a quarter of an hour; the first that is drawn and asked often enough for it to be clear. */
function clearSlowDown({ sampled }: Job, world: SimulatedWorld, fromMs: number, bits: number): Measured {
  for (let n = 0; n < 40; n++) {
    const fault = drawFault(world.topology, 'slow dependency', fromMs, 15 * MINUTE_MS, under(bits, n), 5)
    const [sized] = sizesOf(world, [fault], sampled)
    if (sized.size === 'clear') return sized
  }
  throw new Error('no service of this world is asked often enough')
}

/** A service becomes x2 slower with a deploy and stays so for two days, or 1 % slower with each hour of three days. */
function changeForGood(job: Job & { historyMs: number }, world: SimulatedWorld, bits: number): Plan {
  const { almanac, topology } = world
  // Busy enough for anybody to notice.
  const often = ({ operations, tier }: Service) => tier > 0 && operations.some(({ rate }) => rate > 0.5)
  const deploys = almanac.deploys.filter(
    ({ fromMs, service }) =>
      fromMs >= job.historyMs && fromMs < job.historyMs + 7 * DAY_MS && often(topology.services[service]),
  )
  const deploy = deploys[Math.floor(unit(bits) * deploys.length)]
  const fromMs = deploy.fromMs
  const lastsMs = (job.what === 'level' ? 2 : 3) * DAY_MS
  const service = topology.services[deploy.service]
  const fault: Fault = {
    kind: job.what === 'level' ? 'slow dependency' : 'slow drift',
    fromMs,
    toMs: fromMs + lastsMs,
    size: job.what === 'level' ? 2 : 1 + 0.01 * (lastsMs / HOUR_MS),
    service,
    pod: 0,
    fails: false,
    mute: false,
    calls: [],
    answer: { service: service.name },
  }
  const span = { fromMs: fromMs - job.historyMs, toMs: fromMs + lastsMs, faults: [fault] }
  const sized: Measured = {
    fault,
    size: 'clear',
    shift: Number.NaN,
    affected: Number.NaN,
    feature: '',
    exceedsMs: fromMs,
  }
  return { span, countedMs: fromMs, sized: [sized] }
}
