//! Brings the windows of several workers together: each is handed on once, as the sum of all, when all of them have passed it.
import type { Cell, Registry } from '../base/counters.ts'
import type { FeatureWindow } from '../bus/bus.ts'
import { union } from './union.ts'

/** A worker that is so many windows behind the others is waited for no longer, until it is heard again. Bounds what waits, too. */
const MOST_BEHIND = 18
/** More workers than this are not told apart. */
const MOST_WORKERS = 1024

/**
 * Traces must be whole with one worker each, by a hash of their ids. Then all sums are the same as those of one worker that had all
 * traces: they are of exact numbers, and rows stand in the order of their ids.
 */
export class Workers {
  readonly #windowMs: number
  /** By worker, the end of its last window. */
  readonly #passed = new Map<string, number>()
  /** Windows that wait for a worker, by their start. */
  readonly #waiting = new Map<number, FeatureWindow[]>()
  /** How many workers must have passed a window. */
  #awaited: number
  readonly #isAlone: boolean
  #untilMs: number = Number.NEGATIVE_INFINITY
  readonly #late: Cell

  /** @param workers how many there are. One alone is waited for by nobody: its windows go through. */
  constructor(workers: number, windowMs: number, registry: Registry) {
    this.#awaited = workers
    this.#isAlone = workers === 1
    this.#windowMs = windowMs
    this.#late = registry.counter(
      'otlier.windows.late',
      '{window}',
      'Windows of a worker that was so far behind the others that they had been judged without it.',
    )
  }

  /** Takes what one worker says of a window; returns the windows that are whole by that, in order. */
  take(part: FeatureWindow): readonly FeatureWindow[] {
    if (this.#isAlone) return [part]
    const { worker = '' } = part
    if (!this.#passed.has(worker) && this.#passed.size >= MOST_WORKERS) return []
    this.#passed.set(worker, Math.max(part.endMs, this.#passed.get(worker) ?? part.endMs))
    this.#awaited = Math.max(this.#awaited, this.#passed.size)
    if (part.endMs <= this.#untilMs) {
      if (part.cells.length > 0) this.#late.value++
    } else {
      const parts = this.#waiting.get(part.startMs)
      if (parts === undefined) this.#waiting.set(part.startMs, [part])
      else parts.push(part)
    }
    return this.#emit(this.#wholeUntil())
  }

  /** All that waits, whole or not: at the end of a recording, and on stop. */
  flush(): readonly FeatureWindow[] {
    return this.#emit(Number.POSITIVE_INFINITY)
  }

  /** The end of the last window that nobody has to be waited for. */
  #wholeUntil(): number {
    const ends = [...this.#passed.values()]
    const firstMs = Math.max(...ends)
    const lastMs = ends.length < this.#awaited ? Number.NEGATIVE_INFINITY : Math.min(...ends)
    const boundMs = firstMs - MOST_BEHIND * this.#windowMs
    if (lastMs >= boundMs) return lastMs
    // Those that have never spoken are waited for as long as those that have ceased to.
    if (Math.min(...this.#waiting.keys()) >= boundMs) return lastMs
    for (const [worker, endMs] of this.#passed) if (endMs < boundMs) this.#passed.delete(worker)
    this.#awaited = this.#passed.size
    return Math.min(...this.#passed.values())
  }

  #emit(untilMs: number): readonly FeatureWindow[] {
    const starts = [...this.#waiting.keys()].filter(startMs => startMs + this.#windowMs <= untilMs)
    return starts
      .sort((a, b) => a - b)
      .map(startMs => {
        const parts = this.#waiting.get(startMs) as FeatureWindow[]
        this.#waiting.delete(startMs)
        this.#untilMs = startMs + this.#windowMs
        return union(parts)
      })
  }
}
