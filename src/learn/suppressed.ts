//! Departures that would have been told of, and were not: counted by what held them back. Looks on, and decides nothing.
import type { Cell, Registry } from '../base/counters.ts'
import { SCALES } from '../detect/scales.ts'
import type { Evidence } from './evidence.ts'
import type { Feature } from './feature.ts'
import { type Incidents, isLive, JOIN_BELOW, MOST_OPEN } from './incidents.ts'
import { passesFloor } from './places.ts'

/**
 * `budget`: it was strong enough to belong to an incident, and too weak to open one.
 * `systemic`: ways that have no end in common were slow with it, or so many incidents are open that no more are begun.
 */
type Reason = 'budget' | 'systemic'

/** So many windows in a row: one alone may be chance. */
const PERSISTENCE = 2

export class Suppressed {
  readonly #cells: Readonly<Record<Reason, Cell>>
  /** Departures that no incident has, with the time of their beginning. Counted when they are over. */
  readonly #waiting = new Map<Feature, { readonly sinceMs: number; reason: Reason }>()
  /** Departures that an incident had, by the time of their beginning. */
  readonly #told = new WeakMap<Feature, number>()
  /** Ways that would have departed, had others not been slow: for so many windows. */
  readonly #shared = new WeakMap<Feature, number>()

  constructor(registry: Registry) {
    const cell = (reason: Reason) =>
      registry.counter(
        'otlier.incidents.suppressed',
        '{incident}',
        'Departures that opened no incident and belonged to none, by what held them back.',
        { reason },
      )
    this.#cells = { budget: cell('budget'), systemic: cell('systemic') }
  }

  /** After each window with traces, when all has been decided on it. */
  look(evidence: Evidence, { open, level }: Incidents): void {
    for (const { members } of open)
      for (const { feature, over } of members.values()) if (!over) this.#told.set(feature, feature.sinceMs)
    for (const [feature, { sinceMs, reason }] of this.#waiting) {
      const isTold = this.#told.get(feature) === sinceMs
      if (!isTold && feature.sinceMs === sinceMs) continue
      this.#waiting.delete(feature)
      if (!isTold) this.#cells[reason].value++
    }
    for (const feature of evidence.features) {
      if (feature.decisive >= Math.max(1, level - JOIN_BELOW) && isLive(feature)) {
        const { sinceMs } = feature
        const isFull = feature.decisive >= level && open.length >= MOST_OPEN
        const known = this.#waiting.get(feature)
        if (known !== undefined) known.reason = isFull ? 'systemic' : known.reason
        // What would open an incident and opened none beside it has been told with another.
        else if (this.#told.get(feature) !== sinceMs && (feature.decisive < level || isFull))
          this.#waiting.set(feature, { sinceMs, reason: isFull ? 'systemic' : 'budget' })
      }
      if (!isSetAside(feature, evidence, level)) this.#shared.delete(feature)
      else {
        const windows = (this.#shared.get(feature) ?? 0) + 1
        this.#shared.set(feature, windows)
        if (windows === PERSISTENCE) this.#cells.systemic.value++
      }
    }
  }
}

/** Whether it would be told of by itself, had not others that share no end with it been slow at the same time. */
function isSetAside(feature: Feature, { tails }: Evidence, level: number): boolean {
  if (feature.shared === 0) return false
  return SCALES.some(
    (_, scale) =>
      (feature.shared & (1 << scale)) !== 0 &&
      passesFloor(feature.class, feature.judged[scale]) &&
      feature.surpriseAt(scale, tails[feature.class]) >= level,
  )
}
