//! Shares of a whole (failures, calls, what is not seen): what is usual, and how far the last windows of a place lie beyond it.
import { doubles } from '../base/doubles.ts'
import type { Judged } from './judged.ts'
import { LAG_WINDOWS, SCALES, WINDOWS_KEPT } from './scales.ts'
import { Spread } from './spread.ts'

const HALF_LIFE_MS = 30 * 60_000
const KEPT_SAMPLES = 300
/** Before so many samples a share is not judged. */
const READY_SAMPLES = 40
/** No window raises what is usual by more than so many of its standard errors. */
const CLIP = 2.5

export interface ShareOptions {
  /** Whether more is worse, or less. */
  readonly worse: 'more' | 'less'
  /** The standard deviation of the share from window to window is never believed to be smaller. */
  readonly leastSpread: number
}

/** What a part is measured by: the whole that it belongs to. */
export type Usual = Pick<ShareTrack, 'usual' | 'isReady'>

export class ShareTrack {
  readonly #options: ShareOptions
  readonly #by: Usual | null
  /** Hits and whole per window. */
  readonly #ring = doubles(2 * WINDOWS_KEPT)
  #at = 0
  #empty = WINDOWS_KEPT
  #hits = 0
  #whole = 0
  readonly #spread: Spread

  /** `usual`: what is usual is learned elsewhere, by a larger whole. */
  constructor(options: ShareOptions, usual: Usual | null = null) {
    this.#options = options
    this.#by = usual
    this.#spread = new Spread(options.leastSpread, options.leastSpread)
  }

  get isEmpty(): boolean {
    return this.#empty >= WINDOWS_KEPT
  }

  get isReady(): boolean {
    return this.#whole >= READY_SAMPLES
  }

  /** What is usual, by Jeffreys' estimate. */
  get usual(): number {
    return (this.#hits + 0.5) / (this.#whole + 1)
  }

  /** The next window. `learn`: what is old enough teaches what is usual. */
  push(hits: number, whole: number, learn: boolean, windowMs: number): void {
    const ring = this.#ring
    if (!this.isReady) {
      // What is not judged need not wait.
      if (learn) this.#learn(hits, whole, windowMs)
    } else if (learn) {
      const old = ((this.#at - LAG_WINDOWS + WINDOWS_KEPT) % WINDOWS_KEPT) * 2
      this.#learn(ring[old], ring[old + 1], windowMs)
    }
    ring[2 * this.#at] = hits
    ring[2 * this.#at + 1] = whole
    this.#at = (this.#at + 1) % WINDOWS_KEPT
    this.#empty = whole > 0 ? 0 : Math.min(WINDOWS_KEPT, this.#empty + 1)
  }

  #learn(hits: number, whole: number, windowMs: number): void {
    if (!(whole > 0)) return
    if (this.#whole > KEPT_SAMPLES) {
      const factor = Math.max(KEPT_SAMPLES / this.#whole, 0.5 ** (windowMs / HALF_LIFE_MS))
      this.#hits *= factor
      this.#whole *= factor
    }
    let taught = hits
    if (this.isReady) {
      const usual = this.usual
      const bound = CLIP * Math.sqrt(usual * (1 - usual) * whole + 1 + this.#spread.variance * whole * whole)
      taught = Math.max(usual * whole - bound, Math.min(usual * whole + bound, hits))
    }
    this.#hits += Math.max(0, Math.min(whole, taught))
    this.#whole += whole
  }

  /** What the last windows show becomes what is usual. */
  adopt(): void {
    let hits = 0
    let whole = 0
    for (let at = 0; at < WINDOWS_KEPT; at++) {
      hits += this.#ring[2 * at]
      whole += this.#ring[2 * at + 1]
    }
    const scale = whole > 0 ? Math.max(1, KEPT_SAMPLES / whole) : 0
    this.#hits = hits * scale
    this.#whole = whole * scale
  }

  /** Forgets the last windows, and nothing of what is usual. */
  clear(): void {
    this.#ring.fill(0)
    this.#empty = WINDOWS_KEPT
  }

  /** What is kept over a restart. */
  store(): readonly number[] {
    return [this.#hits, this.#whole, ...this.#spread.store()]
  }

  restore([hits, whole, ...spread]: readonly number[]): void {
    this.#hits = hits
    this.#whole = whole
    this.#spread.restore(spread)
  }

  judge(into: Judged[], learn: boolean): void {
    const { worse } = this.#options
    const by = this.#by ?? this
    const { usual, isReady } = by
    const doubt = (usual * (1 - usual)) / ((this.#by === null ? this.#whole : 300) + 1)
    if (learn) this.#spread.next()
    let hits = 0
    let whole = 0
    let scale = 0
    for (let back = 1; back <= WINDOWS_KEPT && scale < SCALES.length; back++) {
      const at = ((this.#at - back + WINDOWS_KEPT) % WINDOWS_KEPT) * 2
      hits += this.#ring[at]
      whole += this.#ring[at + 1]
      if (back < SCALES[scale]) continue
      const judged = into[scale]
      judged.n = whole
      judged.level = usual
      judged.z = 0
      judged.shift = 0
      judged.sd = 0
      if (whole > 0 && isReady) {
        const shift = (hits / whole - usual) * (worse === 'more' ? 1 : -1)
        // 1/n: one item more or less is chance, however seldom it is.
        const sampling = (usual * (1 - usual)) / whole + 1 / (whole * whole) + doubt
        judged.shift = shift
        judged.sd = this.#spread.sd(scale, sampling)
        judged.z = this.#spread.judge(scale, shift, sampling, learn)
      }
      scale++
    }
  }
}
