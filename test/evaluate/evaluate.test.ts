//! The harness itself, with a detector of a few lines: a run finds a gross fault, tells it from calm, and repeats itself to the letter.

import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { drawFault } from '../world/faults.ts'
import { measureFaults } from '../world/measure.ts'
import { makeWorld } from '../world/world.ts'
import { change } from './ablations.ts'
import { LearningPlane } from './fake.ts'
import { calmFigures, faultFigures, kindsTable } from './figures.ts'
import { incidentsOf } from './incidents.ts'
import { type Job, runJob } from './jobs.ts'
import { live } from './live.ts'
import { score } from './score.ts'
import { DEFAULTS, loadSubject } from './subject.ts'
import { truthOf } from './truths.ts'

const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000
const FAKE = fileURLToPath(new URL('./fake.ts', import.meta.url))

const job: Job = {
  what: 'calm',
  options: { ...DEFAULTS, budgets: [1, 5] },
  subject: FAKE,
  level: 'windows',
  sampled: false,
  services: 8,
  explain: true,
  seed: 7,
  historyMs: 0.25 * HOUR_MS,
  countedMs: 0.25 * HOUR_MS,
}

describe('a fault', () => {
  const world = makeWorld(2, { services: 8, days: 2 })
  const fromMs = 10 * HOUR_MS
  const busiest = world.topology.operations
    .filter(({ service }) => service.tier > 2)
    .sort((a, b) => b.rate - a.rate)[0]
  const drawn = drawFault(world.topology, 'slow dependency', fromMs + 20 * MINUTE_MS, 5 * MINUTE_MS, 1, 8)
  const fault = { ...drawn, service: busiest.service, answer: { service: busiest.service.name } }
  const stretch = { fromMs, toMs: fromMs + 27 * MINUTE_MS, faults: [fault] }

  test('that is gross is clear, found, and found at the right place', async () => {
    const lived = await live(LearningPlane, [DEFAULTS], world, stretch, 'windows')
    const [measured] = measureFaults(world, [fault])
    expect(measured.size).toBe('clear')
    const truth = truthOf(measured, lived.badPods)
    const said = incidentsOf(lived.events[0]).filter(one => one.states[0].suspects[0] === truth.service)
    const { faults } = score([truth], said)
    expect(faults[0]).toMatchObject({ detected: true, located: true })
    expect(faults[0].delayMs).toBeLessThan(90_000)
    expect(score([truth], []).faults[0].detected).toBe(false)
  })
})

describe('a job', () => {
  test('gives the same again, and counts nothing of its history', async () => {
    let days = 0
    const done = await runJob(job, () => days++)
    const again = await runJob(job, () => {})
    expect(again.budgets).toEqual(done.budgets)
    expect(done.spans).toBeGreaterThan(20_000)
    expect(done.budgets.map(({ budget }) => budget)).toEqual([1, 5])
    // A detector that knows no budget says the same at each.
    expect(done.budgets[0].strays).toBe(done.budgets[1].strays)
    const nothing = await runJob({ ...job, historyMs: 0.5 * HOUR_MS, countedMs: 0 }, () => {})
    expect(nothing.budgets[0].strays).toBe(0)
    expect(days).toBe(0)
    expect(calmFigures([done], 1, 0.25 * HOUR_MS)[0].value).toBe(done.budgets[0].strays * 96)
  })

  test('gives what a part is worth: another subject beside it changes nothing, and one like it says the same', async () => {
    const done = await runJob(job, () => {})
    const both = await runJob({ ...job, beside: ['floors', 'hours'] }, () => {})
    expect(both.budgets).toEqual(done.budgets)
    // The detector of this test has no such parts.
    expect(both.without).toEqual([done.budgets, done.budgets])
    await expect(runJob({ ...job, level: 'spans', beside: ['floors'] }, () => {})).rejects.toThrow(
      'one variant',
    )
  })

  test('of a module without a learning plane is refused', async () => {
    await expect(loadSubject(fileURLToPath(new URL('./score.ts', import.meta.url)))).rejects.toThrow(
      'LearningPlane',
    )
  })
})

describe('the worth of a part', () => {
  test('is told from pairs of one world: what differs between worlds falls out', () => {
    const { mean, error, worse } = change([10, 20, 30, Number.NaN], [12.1, 22, 31.9, 5], -1)
    expect(mean).toBeCloseTo(2)
    expect(error).toBeCloseTo(0.1 / Math.sqrt(3))
    expect(worse).toBe(true)
    expect(change([10, 20, 30], [12.1, 22, 31.9], 1).worse).toBe(false)
    expect(change([10, 20, 30], [12, 18, 31], -1).worse).toBe(false)
  })
})

test('misses stay in the denominators', () => {
  const truth = truthOf(
    {
      fault: drawFault(makeWorld(2, { days: 1 }).topology, 'error burst', 0, MINUTE_MS, 3),
      size: 'clear',
      shift: 8,
      affected: 20,
      feature: '',
      exceedsMs: 0,
    },
    new Map(),
  )
  const event = (name: string) => ({
    name,
    timeNs: 0n,
    observedMs: truth.fromMs + 20_000,
    severity: 13 as const,
    body: '',
    traceId: '',
    spanId: '',
    resource: {},
    attributes: { 'otlier.incident.id': '1', 'otlier.incident.suspects': [truth.service] },
  })
  const found = score([truth], incidentsOf([event('otlier.incident.opened')])).faults[0]
  const missed = score([truth], []).faults[0]
  const outcome = {
    budget: 1,
    faults: [found, missed, missed, missed].map(one => ({ truth, score: one })),
    strays: 0,
    shifts: 0,
    notes: [],
  }
  const done = [{ job, spans: 0, simulatedMs: 0, cpuMs: 0, budgets: [outcome], without: [] }]
  const value = (name: string) => faultFigures(done, 1).find(one => one.name === name)?.value
  expect(value('clear: detected')).toBe(0.25)
  expect(value('clear: within 120 s')).toBe(0.25)
  expect(value('clear: right first suspect')).toBe(0.25)
  expect(value('clear: median delay')).toBe(Number.POSITIVE_INFINITY)
  expect(kindsTable(outcome.faults)).toContain('| error burst | clear | 4 | 25.0 %')
})
