//! Keeps the last real windows for a self-test, in stretches of ten minutes, each with what had been learned before it.
import { promisify } from 'node:util'
import { zstdCompress, zstdDecompressSync } from 'node:zlib'
import type { Log } from '../../base/log.ts'
import type { World } from '../../base/world.ts'
import type { Bus } from '../../bus/bus.ts'
import { storeParts } from '../keep.ts'
import type { LearningPlane } from '../plane.ts'
import { PackedWindow } from './copies.ts'

/** Windows of a stretch: ten minutes, unless they are configured to be of another length. */
export const STRETCH_WINDOWS = 60
/** So many are kept, beside the one that is being recorded. */
const STRETCHES = 3
/** Of all that is kept. A deployment of 300 series takes about a tenth. */
const MAX_BYTES = 32 * 2 ** 20
/** A stretch whose end cannot be stored at once goes on until then, but not for ever. */
const MOST_WINDOWS = 2 * STRETCH_WINDOWS

/** Ids of a stretch. More open where something is wrong with all of it. */
const MOST_OPENED = 100

const squeeze = promisify(zstdCompress)

/** Windows in a row, and the learned state before the first of them. */
export interface Stretch {
  /** Nothing had been learned: what is injected here could not be found by anybody. */
  readonly cold: boolean
  /** As `storeParts` gives it, packed part by part. */
  readonly parts: readonly Uint8Array[]
  readonly windows: PackedWindow[]
  /** The end of the last window before it. */
  readonly sinceMs: number
  /** Ids of incidents that the running service opened in it. */
  readonly opened: string[]
}

export const partsOf = ({ parts }: Stretch): string[] =>
  parts.map(part => zstdDecompressSync(part).toString())

export class Recorder {
  readonly #world: World
  readonly #log: Log
  readonly #stretches: Stretch[] = []
  #current: Stretch | null = null
  #storing = false
  #tooLarge = false
  #unlisten = () => {}

  constructor(world: World, log: Log) {
    this.#world = world
    this.#log = log
  }

  /** From now on. To be called when the plane has heard no window yet, or none since it was restored. */
  async start(plane: LearningPlane, bus: Bus): Promise<void> {
    const first = await this.#store(plane)
    const still = bus.listen('features', window => this.#hear(plane, new PackedWindow(window)))
    const deaf = bus.listen('event', ({ name, attributes }) => {
      const opened = this.#current?.opened
      if (name === 'otlier.incident.opened' && opened !== undefined && opened.length < MOST_OPENED)
        opened.push(String(attributes['otlier.incident.id']))
    })
    this.#current = first
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
      for (const part of parts) bytes += part.length
      for (const { size } of windows) bytes += size
    }
    return bytes
  }

  #hear(plane: LearningPlane, window: PackedWindow): void {
    const current = this.#current
    if (current === null || current.windows.length >= MOST_WINDOWS) return
    current.windows.push(window)
    // Nobody waits for it: where it fails, the window stays as large as it was.
    void window.squeeze().catch(() => {})
    if (current.windows.length >= STRETCH_WINDOWS) void this.#turn(plane)
    while (this.bytes > MAX_BYTES && this.#stretches.length > 0) this.#stretches.shift()
    if (this.bytes > MAX_BYTES) {
      this.stop()
      this.#tooLarge = true
    }
  }

  /** Ends the stretch, and begins another with what has been learned until now. */
  async #turn(plane: LearningPlane): Promise<void> {
    if (this.#storing) return
    this.#storing = true
    const ended = this.#current
    try {
      const next = await this.#store(plane)
      // Windows that came meanwhile are in the old stretch, and what was stored is neither before them nor after: again, with the next.
      const { nowMs } = plane.evidence
      if (next?.sinceMs !== nowMs || ended === null || this.#current !== ended) return
      this.#stretches.push(ended)
      if (this.#stretches.length > STRETCHES) this.#stretches.shift()
      this.#current = next
    } catch (error) {
      this.#log.error({ error }, 'windows could not be kept for self-tests')
    } finally {
      this.#storing = false
    }
  }

  /** The learned state, stored piece by piece; null where a window came in between. */
  async #store(plane: LearningPlane): Promise<Stretch | null> {
    const { evidence } = plane
    const { nowMs } = evidence
    const cold = evidence.features.length === 0
    const parts: Uint8Array[] = []
    for (const part of storeParts(plane, nowMs)) {
      parts.push(await squeeze(part))
      await this.#world.sleep(0)
      if (plane.evidence !== evidence || evidence.nowMs !== nowMs) return null
    }
    return { cold, parts, windows: [], sinceMs: nowMs, opened: [] }
  }
}
