//! How Otlier did in the demo: which faults were detected, where they were located, how soon, and what was told without a fault.
import { FAULTS, type Injection } from './faults.ts'
import type { Said } from './said.ts'

/** What opens so long after the end of a fault is still because of it: windows close late, and what was slow ends late. */
const AFTER_MS = 30_000
/** One that names the culprit of a fault which ended so recently is about that one still, whatever has begun since. */
const SAME_AFTER_MS = 90_000
/** More incidents than this are not kept. */
const MOST_INCIDENTS = 10_000

interface Told {
  readonly id: string
  readonly openedMs: number
  /** Whom it suspected first when it opened. */
  readonly suspect: string
}

export interface FaultScore {
  readonly injection: Injection
  /** From its beginning to the opening of the first incident; null where there was none. */
  readonly delayMs: number | null
  /** Whom the first of its incidents suspected first; empty where there was none. */
  readonly suspect: string
  readonly located: boolean
}

export interface Score {
  readonly faults: readonly FaultScore[]
  readonly injected: number
  readonly detected: number
  readonly located: number
  /** Null where nothing was detected. */
  readonly medianDelayMs: number | null
  readonly incidents: number
  /** Incidents of a fault that had been told of before. */
  readonly again: number
  /** Incidents that opened while nothing was wrong. */
  readonly falseAlarms: number
}

export class Scorecard {
  readonly injections: Injection[] = []
  readonly #told: Told[] = []

  inject(injection: Injection): void {
    this.injections.push(injection)
  }

  /** Whatever Otlier says, and when it was heard, in milliseconds since 1970. */
  hear({ event, incident, suspects }: Said, atMs: number): void {
    if (event !== 'otlier.incident.opened' || this.#told.length >= MOST_INCIDENTS) return
    this.#told.push({ id: incident, openedMs: atMs, suspect: suspects[0] ?? '' })
  }

  /**
   * The score so far. An incident belongs to the latest fault whose culprit it suspects first, if that was there when it opened
   * or not long before, else to the latest that was there or had just ended. A fault is detected by its first incident, and located where that one suspects
   * the culprit first. A fault that began less than half a minute before `nowMs`, and is not detected yet, does not count.
   */
  score(nowMs: number): Score {
    const first = new Map<Injection, Told>()
    let again = 0
    let falseAlarms = 0
    for (const told of this.#told) {
      const cause = this.#causeOf(told)
      if (cause === undefined) falseAlarms++
      else if (first.has(cause)) again++
      else first.set(cause, told)
    }
    const faults = this.injections
      .filter(injection => first.has(injection) || nowMs - injection.beginMs >= AFTER_MS)
      .map(injection => {
        const told = first.get(injection)
        return {
          injection,
          delayMs: told === undefined ? null : told.openedMs - injection.beginMs,
          suspect: told?.suspect ?? '',
          located: told?.suspect === culpritOf(injection),
        }
      })
    const delays = faults.flatMap(({ delayMs }) => (delayMs === null ? [] : [delayMs])).sort((a, b) => a - b)
    return {
      faults,
      injected: faults.length,
      detected: delays.length,
      located: faults.filter(({ located }) => located).length,
      medianDelayMs: delays.length === 0 ? null : middle(delays),
      incidents: this.#told.length,
      again,
      falseAlarms,
    }
  }

  #causeOf({ openedMs, suspect }: Told): Injection | undefined {
    const within = (afterMs: number) => (injection: Injection) =>
      injection.beginMs <= openedMs && openedMs <= injection.endMs + afterMs
    const named = this.injections.filter(within(SAME_AFTER_MS)).filter(each => culpritOf(each) === suspect)
    return named.at(-1) ?? this.injections.findLast(within(AFTER_MS))
  }
}

const culpritOf = ({ name }: Injection): string => FAULTS[name].culprit

/** The median of an ascending list that is not empty. */
function middle(sorted: readonly number[]): number {
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2
}
