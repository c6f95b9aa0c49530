//! What an operation calls, and the steps that a release puts between the two: the call is made as before, and is not missing.
import type { Feature } from './feature.ts'
import type { Series } from './series.ts'

/** What one operation calls. */
export interface Call {
  readonly child: Series
  /** In so many of its spans, in this window. */
  parents: number
  /** In how many windows so far, until it is known. */
  windows: number
  /** Where it is told of that it is missing; null until it was looked up. */
  missing: Feature | null
  /** A step makes it that an operation made itself before. */
  isMoved: boolean
  /** Hours since there was one. */
  idleHours: number
}

/** A call that was there in so many windows is known. */
const KNOWN_WINDOWS = 30

export const newCall = (child: Series): Call => ({
  child,
  parents: 0,
  windows: 0,
  missing: null,
  isMoved: false,
  idleHours: 0,
})

/** At the end of a window. */
export function endWindow(call: Call): void {
  if (call.parents > 0 && call.windows < KNOWN_WINDOWS) call.windows++
  call.parents = 0
}

/** Whether the child is a part of its parent's work, and no call. */
export const isStep = ({ service }: Series, child: Series): boolean =>
  !child.isCall && child.service === service

/** An operation, and in how many of its spans it has a step. */
interface Above {
  readonly operation: Series
  readonly spans: number
}

/** The steps of one window. */
export class Steps {
  readonly #above = new Map<Series, Above[]>()

  get size(): number {
    return this.#above.size
  }

  clear(): void {
    this.#above.clear()
  }

  note(operation: Series, step: Series, spans: number): void {
    const known = this.#above.get(step)
    if (known === undefined) this.#above.set(step, [{ operation, spans }])
    else known.push({ operation, spans })
  }

  /**
   * A step has called in so many of its spans. Where its operation was known to do the same itself before, the call has moved, and
   * counts for the operation too: of several operations in proportion to how often they have the step.
   */
  credit(step: Series, child: Series, spans: number): void {
    const above = this.#above.get(step)
    // Of most links the parent is no step.
    const call = above && callTo(step, child)
    if (above === undefined || call === undefined) return
    const before = above.map(({ operation }) => callTo(operation, child))
    if (call.windows === 0 && before.some(known => (known?.windows ?? 0) >= KNOWN_WINDOWS))
      call.isMoved = true
    if (!call.isMoved) return
    const whole = above.reduce((sum, each) => sum + each.spans, 0)
    for (const [at, known] of before.entries())
      if (known !== undefined) known.parents += (spans * above[at].spans) / whole
  }
}

const callTo = ({ calls }: Series, child: Series): Call | undefined =>
  calls.find(call => call.child === child)
