//! The self-test: faults into copies of the last real windows, and how many of them the learning plane of this deployment finds.
import { seeded } from '../../base/chance.ts'
import type { Registry } from '../../base/counters.ts'
import type { Log } from '../../base/log.ts'
import { clip } from '../../base/words.ts'
import type { World } from '../../base/world.ts'
import type { Bus } from '../../bus/bus.ts'
import {
  SEEDS,
  type Selftest,
  type SelftestReport,
  type SelftestRow,
  type SelftestState,
} from '../../bus/selftest.ts'
import type { PlaneOptions } from '../plane.ts'
import { faultsOf, SIZES, sizeWords, Traffic } from './candidates.ts'
import type { Fault } from './faults.ts'
import { Recorder, STRETCH_WINDOWS, type Stretch } from './recorder.ts'
import { type Lived, live, Slices, Stopped } from './shadow.ts'

/** A fault begins when the shadow has settled, and goes on for five minutes with windows of 10 s. */
const SETTLED_WINDOWS = 20
const FAULT_WINDOWS = 30
/** Faults of one kind and size. */
const TRIALS = 5
/** What has not been tried by then is left out, and that is said. */
const MOST_MS = 10 * 60_000

/** A fault, and the stretch and the window in which it begins. */
interface Trial {
  readonly row: number
  readonly stretch: Prepared
  readonly fault: Fault
  readonly onset: number
}

/** A stretch that was lived through as it is. */
interface Prepared {
  readonly stretch: Stretch
  readonly untouched: Lived
  readonly traffic: Traffic
}

interface Result {
  readonly row: number
  readonly detected: boolean
  readonly located: boolean
  readonly delayS: number
  readonly elsewhere: number
}

/** Everything of it but the result stays between it and who asks: it has a bus, a registry and a plane of its own. */
export class ShadowTest implements Selftest {
  readonly recorder: Recorder
  readonly #options: PlaneOptions
  readonly #bus: Bus
  readonly #world: World
  readonly #log: Log
  readonly #gauges: Readonly<
    Record<'recall' | 'located' | 'falseAlarms' | 'delay' | 'trials', { value: number }>
  >
  #slices: Slices | null = null
  #state: SelftestState = { state: 'idle' }

  constructor(bus: Bus, world: World, log: Log, registry: Registry, options: PlaneOptions) {
    this.recorder = new Recorder(world)
    this.#options = options
    this.#bus = bus
    this.#world = world
    this.#log = log
    const gauge = (name: string, unit: string, help: string) => {
      const cell = registry.gauge(`otlier.selftest.${name}`, unit, help)
      // No number until there has been one: zero would be a bad result.
      cell.value = Number.NaN
      return cell
    }
    this.#gauges = {
      recall: gauge('recall', '1', 'Share of the faults of the last self-test that were detected.'),
      located: gauge('located', '1', 'Share of them of which the right service was suspected first.'),
      falseAlarms: gauge(
        'false_alarms',
        '{incident}',
        'Incidents in the windows of the last self-test as they were.',
      ),
      delay: gauge(
        'delay',
        's',
        'From the onset of a fault to its incident: the median of the last self-test.',
      ),
      trials: gauge('trials', '{fault}', 'Faults that the last self-test injected.'),
    }
  }

  now(): SelftestState {
    return this.#state
  }

  start(wanted: number | null): { readonly seed: number } | { readonly wrong: string } {
    if (this.#state.state === 'running') {
      const { done, planned } = this.#state
      return { wrong: `A self-test is running already, with ${done} of ${planned} faults behind it.` }
    }
    const stretches = this.recorder.stretches.filter(isFit)
    if (stretches.length === 0) return { wrong: this.#whyNone() }
    const seed = wanted ?? Math.floor(this.#world.random() * SEEDS)
    this.#state = { state: 'running', seed, done: 0, planned: 0 }
    void this.#run(seed, stretches.map(frozen))
    return { seed }
  }

  /** Ends what is running, and keeps nothing more. */
  stop(): void {
    if (this.#slices !== null) this.#slices.stopped = true
    this.recorder.stop()
  }

  #whyNone(): string {
    if (this.recorder.isTooLarge)
      return 'The windows of this deployment are too large for ten minutes of them to be kept.'
    const { stretches } = this.recorder
    const has = stretches.reduce((sum, { windows }) => sum + windows.length, 0)
    const needs = (stretches[0]?.cold === false ? 0 : STRETCH_WINDOWS) + SETTLED_WINDOWS + FAULT_WINDOWS
    const minutes = (windows: number) => Math.floor((windows * this.#options.windowMs) / 6_000) / 10
    if (has >= needs)
      return 'What was learned could not be stored between two windows yet. Try again in a while.'
    return `A self-test needs ${minutes(needs)} minutes of traffic since the start; there are ${minutes(has)} so far.`
  }

  async #run(seed: number, stretches: readonly Stretch[]): Promise<void> {
    const slices = new Slices(this.#world)
    this.#slices = slices
    const untilMs = this.#world.monotonic() + MOST_MS
    try {
      const prepared: Prepared[] = []
      for (const stretch of stretches) prepared.push(await this.#prepare(stretch, slices))
      const random = seeded(seed)
      const trials = plan(prepared, random)
      const results: Result[] = []
      for (const trial of trials) {
        if (this.#world.monotonic() >= untilMs) break
        this.#state = { state: 'running', seed, done: results.length, planned: trials.length }
        results.push(await this.#try(trial, slices, Math.floor(random() * SEEDS)))
      }
      const report = this.#report(seed, prepared, results, trials.length)
      this.#state = { state: 'done', report }
      this.#tell(report)
      const { totalMs, longestMs } = slices
      this.#log.info({ cpu_ms: totalMs, longest_slice_ms: longestMs, seed }, 'a self-test ended')
    } catch (error) {
      if (error instanceof Stopped) return
      this.#state = { state: 'failed', seed, wrong: 'The self-test failed; the log says why.' }
      this.#log.error({ error }, 'a self-test failed')
    } finally {
      this.#slices = null
    }
  }

  async #prepare(stretch: Stretch, slices: Slices): Promise<Prepared> {
    const untouched = await live(stretch, stretch.windows.length, null, this.#options, slices)
    const traffic = new Traffic()
    for (const window of stretch.windows) await slices.slice(() => traffic.add(window.unpack()))
    return { stretch, untouched, traffic }
  }

  async #try({ row, stretch, fault, onset }: Trial, slices: Slices, seed: number): Promise<Result> {
    const { windows } = stretch.stretch
    const injection = { fault, onset, random: seeded(seed) }
    const { opened } = await live(stretch.stretch, onset + FAULT_WINDOWS, injection, this.#options, slices)
    // What the windows open without the fault says nothing about it.
    const without = new Set(stretch.untouched.opened.map(({ id }) => id))
    const because = opened.filter(({ id }) => !without.has(id))
    const found = because.find(({ suspects }) => suspects.includes(fault.service))
    const onsetMs = windows[onset].endMs - this.#options.windowMs
    return {
      row,
      detected: found !== undefined,
      located: found?.suspects[0] === fault.service,
      delayS: found === undefined ? Number.NaN : (found.toldMs - onsetMs) / 1000,
      elsewhere: because.filter(({ suspects }) => !suspects.includes(fault.service)).length,
    }
  }

  #report(
    seed: number,
    prepared: readonly Prepared[],
    results: readonly Result[],
    planned: number,
  ): SelftestReport {
    const { windowMs } = this.#options
    const first = prepared[0].stretch.windows[0]
    const last = prepared[prepared.length - 1].stretch.windows.at(-1) ?? first
    const rows = SIZES.map(
      (size, row): SelftestRow => ({
        kind: size.kind,
        size: sizeWords(size),
        ...sumsOf(results.filter(result => result.row === row)),
      }),
    )
    const sum = (of: (prepared: Prepared) => number) => prepared.reduce((total, one) => total + of(one), 0)
    const report = {
      seed,
      fromMs: first.endMs - windowMs,
      untilMs: last.endMs,
      windows: sum(({ stretch }) => stretch.windows.length),
      windowMs,
      rows,
      ...sumsOf(results),
      elsewhere: results.reduce((total, { elsewhere }) => total + elsewhere, 0),
      falseAlarms: sum(({ untouched }) => untouched.opened.length),
      openedForReal: sum(({ stretch }) => stretch.opened.length),
    }
    const concerned = sum(({ untouched }) => untouched.concerned.size)
    return { ...report, limits: limitsOf(report, planned, concerned) }
  }

  #tell(report: SelftestReport): void {
    const { seed, trials, detected, located, delayS, falseAlarms, windows } = report
    const share = (of: number) => (trials === 0 ? Number.NaN : of / trials)
    const gauges = this.#gauges
    gauges.recall.value = share(detected)
    gauges.located.value = share(located)
    gauges.falseAlarms.value = falseAlarms
    gauges.delay.value = delayS ?? Number.NaN
    gauges.trials.value = trials
    const observedMs = this.#world.now()
    this.#bus.publish('event', 'selftest', {
      name: 'otlier.selftest.result',
      timeNs: BigInt(Math.round(observedMs)) * 1_000_000n,
      observedMs,
      severity: 9,
      body: clip(
        `Self-test: ${detected} of ${trials} faults detected, ${located} with the right service first${
          delayS === null ? '' : `, in the middle after ${delayS} s`
        }; ${falseAlarms} false alarms in ${windows} windows as they were`,
        400,
      ),
      traceId: '',
      spanId: '',
      resource: { 'service.name': 'otlier' },
      attributes: {
        ...(trials === 0
          ? {}
          : { 'otlier.selftest.recall': share(detected), 'otlier.selftest.located': share(located) }),
        'otlier.selftest.false_alarms': BigInt(falseAlarms),
        ...(delayS === null ? {} : { 'otlier.selftest.delay': delayS }),
        'otlier.selftest.trials': BigInt(trials),
        'otlier.selftest.windows': BigInt(windows),
        'otlier.selftest.seed': BigInt(seed),
      },
    })
  }
}

/** What was learned before it is something, and a fault has room in it. */
const isFit = ({ cold, windows }: Stretch): boolean =>
  !cold && windows.length >= SETTLED_WINDOWS + FAULT_WINDOWS

/** As it is now: the last one goes on growing. */
const frozen = (stretch: Stretch): Stretch => ({
  ...stretch,
  windows: [...stretch.windows],
  opened: [...stretch.opened],
})

/** What is tried where, row after row in turn, so that what is cut short has some of everything. */
function plan(prepared: readonly Prepared[], random: () => number): Trial[] {
  const byRow = SIZES.map((size, row) => {
    const fits = prepared.flatMap(stretch =>
      faultsOf(size, stretch.untouched, stretch.traffic).map(fault => ({ stretch, fault })),
    )
    const drawn: Trial[] = []
    while (drawn.length < TRIALS && fits.length > 0) {
      const [{ stretch, fault }] = fits.splice(Math.floor(random() * fits.length), 1)
      const room = stretch.stretch.windows.length - FAULT_WINDOWS - SETTLED_WINDOWS
      drawn.push({ row, stretch, fault, onset: SETTLED_WINDOWS + Math.floor(random() * (room + 1)) })
    }
    return drawn
  })
  return Array.from({ length: TRIALS }, (_, at) => byRow.flatMap(row => row[at] ?? [])).flat()
}

function sumsOf(results: readonly Result[]): Pick<SelftestRow, 'trials' | 'detected' | 'located' | 'delayS'> {
  const found = results.filter(({ detected }) => detected)
  const delays = found.map(({ delayS }) => delayS).sort((a, b) => a - b)
  const half = delays.length / 2
  return {
    trials: results.length,
    detected: found.length,
    located: found.filter(({ located }) => located).length,
    delayS: delays.length === 0 ? null : (delays[Math.ceil(half) - 1] + delays[Math.floor(half)]) / 2,
  }
}

function limitsOf(report: Omit<SelftestReport, 'limits'>, planned: number, concerned: number): string[] {
  const limits: string[] = []
  if (planned === 0) limits.push('No place has traffic enough for a fault: ten hurt spans a minute.')
  if (report.trials < planned)
    limits.push(`After ten minutes it was ended: ${report.trials} of ${planned} faults were tried.`)
  if (concerned > 0)
    limits.push(
      'Incidents were open in these windows: services that they are about, and those next to them, got no fault.',
    )
  if (report.openedForReal > 0)
    limits.push(
      `The running service had opened ${report.openedForReal} incidents in these windows itself: what was wrong then is no false alarm.`,
    )
  return limits
}
