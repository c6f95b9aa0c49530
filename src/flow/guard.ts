//! Keeps a fault of detection away from telemetry: what throws, takes too long or finds no number is left out and counted, and tried again later.
import type { Cell, Registry } from '../base/counters.ts'
import type { Log } from '../base/log.ts'
import { seldom } from '../base/seldom.ts'
import type { World } from '../base/world.ts'

/** Why a step was left out: it threw, took too long, found something that is no number, or all of them together take too much. */
type Fault = 'error' | 'time' | 'nan' | 'behind'
const FAULTS: readonly Fault[] = ['error', 'time', 'nan', 'behind']

/** What one step may cost, in CPU time of this thread. */
interface Budget {
  readonly stepMs: number
  /** And so much more for each piece of work that it has reported. */
  readonly pieceMs: number
}
/** A span costs half a microsecond, ten times that with a mark (measured): what exceeds this is a fault and no load. */
const BATCH_BUDGET: Budget = { stepMs: 20, pieceMs: 0.002 }
/** Steps beside the requests, and listeners on the bus, hold up requests all the same: there is one thread. */
const STEP_BUDGET: Budget = { stepMs: 200, pieceMs: 0 }

/** Pieces of work between two looks at the clock, which costs half a microsecond (measured). A power of two. */
export const CHECK_EVERY = 256

/** So many faults in a row, and the step is left out for a while. */
const STRIKES = 3
const FIRST_PAUSE_MS = 1000
/** The longest while: a cure is noticed within this. */
const LONGEST_PAUSE_MS = 15_000
/** All steps of a guard may have this share of the time. One that has taken more in advance waits until it is paid back. */
const SHARE = 0.8
/** What may be taken in advance. */
const CREDIT_MS = 1000

/** The hands of a guard inside its step. */
export interface Lap {
  /** To be called every CHECK_EVERY pieces of work or so. Ends the step where it has had its time. `done` counts from its beginning. */
  check(done: number): void
  /** The same number. Ends the step where it is NaN: what comes of it would be nonsense, and nobody would notice. */
  number(value: number): number
}

export interface Guard {
  /** What `step` returns, or undefined where it was left out, whatever the reason: then it has been counted. Never throws. */
  attempt<T>(step: (lap: Lap) => T): T | undefined
  /** Counts something that no step can be tried with: it is to blame itself, so others are not left out because of it. */
  leaveOut(error: unknown): void
}

export interface Guards {
  /** For the detection of batches: what it leaves out is forwarded as it came. */
  batches(): Guard
  /**
   * For a step of detection beside the path of requests, or a listener on the bus. `name` comes from a closed list. `stepMs` is
   * the CPU time that one may take, where it is not that of most.
   */
  step(name: string, stepMs?: number): Guard
}

/** Thrown inside a step to end it, and caught by its guard. */
class Ended extends Error {
  readonly fault: Fault
  constructor(fault: Fault, message: string) {
    super(message)
    this.name = 'Ended'
    this.fault = fault
  }
}

/** The guards of one process. Steps may hold others: the time of an inner one is not charged to the outer one. */
export function guards(world: World, log: Log, registry: Registry): Guards {
  /** CPU time of all steps that have ended, for those around them. */
  let endedMs = 0

  function guard(name: string, budget: Budget, counters: Readonly<Record<Fault, Cell>>): Guard {
    const now = seldom<Fault>(world)
    let strikes = 0
    let pauseMs = FIRST_PAUSE_MS
    /** Why nothing is tried before `resumeMs`; null while all is well. */
    let pausedFor: Fault | null = null
    let resumeMs = 0
    let skipped = 0
    let creditMs = CREDIT_MS
    let creditAtMs = world.monotonic()

    function skip(fault: Fault): undefined {
      counters[fault].value++
      skipped++
    }

    /** Whether the time that earlier steps took is paid back. */
    function isPaidBack(nowMs: number): boolean {
      creditMs = Math.min(CREDIT_MS, creditMs + (nowMs - creditAtMs) * SHARE)
      creditAtMs = nowMs
      return creditMs > 0
    }

    function leaveOut(fault: Fault, error: unknown) {
      skip(fault)
      now(fault, suppressed =>
        log.error({ error, reason: fault, suppressed }, `${name} failed; telemetry goes on as it came`),
      )
    }

    function failed(fault: Fault, error: unknown): undefined {
      leaveOut(fault, error)
      if (++strikes < STRIKES) return
      pausedFor = fault
      resumeMs = world.monotonic() + pauseMs
      if (strikes === STRIKES) {
        log.error(
          { reason: fault, longest_pause_s: LONGEST_PAUSE_MS / 1000 },
          `${name} failed ${STRIKES} times in a row; it is left out and tried again now and then`,
        )
      }
      pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)
    }

    function succeeded() {
      if (pausedFor !== null) log.info({ skipped }, `${name} works again`)
      strikes = 0
      pauseMs = FIRST_PAUSE_MS
      pausedFor = null
      skipped = 0
    }

    return {
      leaveOut: error => leaveOut('error', error),
      attempt(step) {
        const nowMs = world.monotonic()
        if (pausedFor !== null && nowMs < resumeMs) return skip(pausedFor)
        if (!isPaidBack(nowMs)) {
          now('behind', suppressed =>
            log.warn(
              { reason: 'behind', share: SHARE, suppressed },
              `${name} takes too much of the time; it is left out now and then`,
            ),
          )
          return skip('behind')
        }
        const startedMs = world.cpu()
        const innerMs = endedMs
        const spent = () => world.cpu() - startedMs - (endedMs - innerMs)
        let allowedMs = budget.stepMs
        const lap: Lap = {
          check(done) {
            allowedMs = budget.stepMs + done * budget.pieceMs
            if (spent() > allowedMs) throw new Ended('time', 'it takes too long')
          },
          number(value) {
            if (Number.isNaN(value)) throw new Ended('nan', 'a result is not a number')
            return value
          },
        }
        try {
          const result = step(lap)
          // Its end comes too late to save this step's time, but one that is late each time holds up all that follow.
          if (spent() > allowedMs) return failed('time', new Ended('time', 'it took too long'))
          succeeded()
          return result
        } catch (error) {
          return failed(error instanceof Ended ? error.fault : 'error', error)
        } finally {
          creditMs -= spent()
          endedMs = innerMs + world.cpu() - startedMs
        }
      },
    }
  }

  const countersOf = (metric: string, unit: string, help: string, labels = {}) =>
    Object.fromEntries(
      FAULTS.map(reason => [reason, registry.counter(metric, unit, help, { ...labels, reason })]),
    ) as Record<Fault, Cell>

  return {
    batches: () =>
      guard(
        'detection',
        BATCH_BUDGET,
        countersOf('otlier.detection.bypassed', '{batch}', 'Batches forwarded without detection.'),
      ),
    step: (name, stepMs = STEP_BUDGET.stepMs) =>
      guard(
        name,
        { ...STEP_BUDGET, stepMs },
        countersOf(
          'otlier.detection.skipped',
          '{step}',
          'Steps of detection beside the requests, and messages between the planes, that failed or were left out.',
          { step: name },
        ),
      ),
  }
}
