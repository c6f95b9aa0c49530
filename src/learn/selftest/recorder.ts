//! Keeps the last real windows for a self-test, in stretches of ten minutes, each with what had been learned before it.
import type { World } from '../../base/world.ts'
import type { Bus } from '../../bus/bus.ts'
import { storeParts } from '../keep.ts'
import type { LearningPlane } from '../plane.ts'
import { PackedWindow, Squeezed } from './copies.ts'

/** Windows of a stretch: ten minutes, unless they are configured to be of another length. */
export const STRETCH_WINDOWS = 60
/** So many are kept, beside the one that is being recorded. */
const STRETCHES = 3
/** Of all that is kept. */
const MAX_BYTES = 32 * 2 ** 20
/** A stretch whose end cannot be stored at once goes on until then, but not for ever. */
const MOST_WINDOWS = 2 * STRETCH_WINDOWS

/** Ids of a stretch. More open where something is wrong with all of it. */
const MOST_OPENED = 100

/** Parts of the learned state that are stored at once, each within milliseconds. */
const PARTS_AT_ONCE = 4

/** Windows in a row, and the learned state before the first of them. */
export interface Stretch {
  /** Nothing had been learned: what is injected here could not be found by anybody. */
  readonly cold: boolean
  /** As `storeParts` gives it, packed part by part. */
  readonly parts: readonly Squeezed[]
  readonly windows: PackedWindow[]
  /** Ids of incidents that the running service opened in it. */
  readonly opened: string[]
}

export const partsOf = ({ parts }: Stretch): string[] =>
  parts.map(part => new TextDecoder().decode(part.open()))

export class Recorder {
  readonly #world: World
  readonly #stretches: Stretch[] = []
  #current: Stretch | null = null
  #isStoring = false
  #tooLarge = false
  #unlisten = () => {}

  constructor(world: World) {
    this.#world = world
  }

  /** From now on. To be called when the plane has heard no window yet, or none since it was restored. */
  start(plane: LearningPlane, bus: Bus): void {
    this.#current = stretchOf(plane, [...storeParts(plane, plane.evidence.nowMs)])
    const still = bus.listen('features', window => this.#hear(plane, new PackedWindow(window)))
    const deaf = bus.listen('event', ({ name, attributes }) => {
      const opened = this.#current?.opened
      if (name === 'otlier.incident.opened' && opened !== undefined && opened.length < MOST_OPENED)
        opened.push(String(attributes['otlier.incident.id']))
    })
    this.#unlisten = () => {
      still()
      deaf()
    }
  }

  stop(): void {
    this.#unlisten()
    this.#stretches.length = 0
    this.#current = null
  }

  get isTooLarge(): boolean {
    return this.#tooLarge
  }

  /** What is kept, oldest first; the last may still be growing. */
  get stretches(): readonly Stretch[] {
    return this.#current === null ? this.#stretches : [...this.#stretches, this.#current]
  }

  /** Bytes that are kept. */
  get bytes(): number {
    let bytes = 0
    for (const { parts, windows } of this.stretches) {
      for (const { size } of parts) bytes += size
      for (const { packed } of windows) bytes += packed.size
    }
    return bytes
  }

  #hear(plane: LearningPlane, window: PackedWindow): void {
    const current = this.#current
    if (current === null) return
    if (current.windows.length < MOST_WINDOWS) {
      current.windows.push(window)
      void window.packed.squeeze()
    }
    if (current.windows.length >= STRETCH_WINDOWS) this.#turn(plane)
    while (this.bytes > MAX_BYTES && this.#stretches.length > 0) this.#stretches.shift()
    if (this.bytes > MAX_BYTES) {
      this.stop()
      this.#tooLarge = true
    }
  }

  /**
   * Ends the stretch, and begins another with what has been learned until now. That is stored piece by piece where it is much; should
   * a window come in between, what was stored is neither before nor after it: again, with the next.
   */
  #turn(plane: LearningPlane): void {
    if (this.#isStoring) return
    const ended = this.#current
    const { evidence } = plane
    const { nowMs } = evidence
    const parts = storeParts(plane, nowMs)
    const texts: string[] = []
    const step = () => {
      this.#isStoring = false
      if (ended === null || this.#current !== ended) return
      if (plane.evidence !== evidence || evidence.nowMs !== nowMs) return
      for (let n = 0; n < PARTS_AT_ONCE; n++) {
        const next = parts.next()
        if (next.done) {
          this.#stretches.push(ended)
          if (this.#stretches.length > STRETCHES) this.#stretches.shift()
          this.#current = stretchOf(plane, texts)
          return
        }
        texts.push(next.value)
      }
      this.#isStoring = true
      this.#world.after(0, step)
    }
    step()
  }
}

function stretchOf({ evidence }: LearningPlane, texts: readonly string[]): Stretch {
  const parts = texts.map(text => new Squeezed(new TextEncoder().encode(text)))
  for (const part of parts) void part.squeeze()
  return { cold: evidence.features.length === 0, parts, windows: [], opened: [] }
}
