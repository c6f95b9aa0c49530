//! Shares of a whole (failures, calls, what is not seen): what is usual, and how far the last windows of a place lie beyond it.
import type { Judgement } from './judged.ts'
import { LAG_WINDOWS, SCALES, WINDOWS_KEPT } from './scales.ts'
import { Spread } from './spread.ts'
import { rowOf, type TrackRow, type TrackWidths, WindowTrack } from './track-row.ts'

const HALF_LIFE_MS = 30 * 60_000
const KEPT_SAMPLES = 300
/** Before so many samples a share is not judged. */
const READY_SAMPLES = 40
/** No window raises what is usual by more than so many of its standard errors. */
const CLIP = 2.5

/** What was adopted beside a usual that is learned elsewhere follows what comes later, a window's share of it. */
const FOLLOWS = 0.01

/** So many times as many as usual are more than the usual ones, if they are so many standard errors more as well. */
const ON_TOP = 1.25
/** In what is usual no window counts for more than so many times as many, once each is but a small part of it. */
const MOST_OFTEN = 2
const RUSH_PART = 1 / 30
/** By so many standard errors more calls are believed to be made than were counted. */
const ERRORS = 2

/**
 * What is done in a part of the requests only goes by what they ask for, and that changes. Until so many windows are known, as many again
 * are believed in which the share has this part of the spread of a single request.
 */
const MIX_WINDOWS = 360
const MIX_SPREAD = 0.2

export interface ShareOptions {
  /** Whether more is worse, or less. */
  readonly worse: 'more' | 'less'
  /** The standard deviation of the share from window to window is never believed to be smaller. */
  readonly leastSpread: number
}

/** Where in the row of numbers they stand. */
const HITS = Spread.WIDTH
const WHOLE = HITS + 1
const OFTEN = HITS + 2
const WINDOWS = HITS + 3
/** By how much it usually lies above what is measured elsewhere. */
const ABOVE = HITS + 4

/** What a part is measured by: the whole that it belongs to. */
export type Usual = Pick<ShareTrack, 'usual' | 'isReady'>

export class ShareTrack extends WindowTrack {
  /** Of counts: hits and whole per window. */
  static readonly WIDTHS: TrackWidths = { numbers: ABOVE + 1, windows: 0, counts: 2 * WINDOWS_KEPT }
  readonly #options: ShareOptions
  readonly #by: Usual | null

  /**
   * The one that stands in a row; without one it begins in a row of its own.
   * @param usual what is usual is learned elsewhere, by a larger whole
   */
  constructor(options: ShareOptions, usual: Usual | null = null, row?: TrackRow) {
    super(row ?? rowOf(ShareTrack.WIDTHS), options.leastSpread)
    this.#options = options
    this.#by = usual
    if (row === undefined) this.begin()
  }

  /** Nothing is known yet. */
  begin(): void {
    this.beginWith(this.least, ShareTrack.WIDTHS.numbers)
  }

  get #above(): number {
    return this.numbers[this.from + ABOVE]
  }

  set #above(above: number) {
    this.numbers[this.from + ABOVE] = above
  }

  get #hits(): number {
    return this.numbers[this.from + HITS]
  }

  set #hits(hits: number) {
    this.numbers[this.from + HITS] = hits
  }

  get #whole(): number {
    return this.numbers[this.from + WHOLE]
  }

  set #whole(whole: number) {
    this.numbers[this.from + WHOLE] = whole
  }

  /** The whole of a usual window, of those in which there is anything. */
  get #often(): number {
    return this.numbers[this.from + OFTEN]
  }

  set #often(often: number) {
    this.numbers[this.from + OFTEN] = often
  }

  get #windows(): number {
    return this.numbers[this.from + WINDOWS]
  }

  set #windows(windows: number) {
    this.numbers[this.from + WINDOWS] = windows
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
    const { counts } = this.row
    const { at } = this
    if (!this.isReady) {
      // What is not judged need not wait.
      if (learn) {
        this.#learn(hits, whole, windowMs)
        this.#follow(whole, windowMs)
      }
    } else if (learn) {
      const ring = counts.pieceOf(this.counts)
      const old = counts.fromOf(this.counts) + ((at - LAG_WINDOWS + WINDOWS_KEPT) % WINDOWS_KEPT) * 2
      this.#learn(ring[old], ring[old + 1], windowMs)
      this.#follow(ring[old + 1], windowMs)
    }
    this.counts = counts.put(this.counts, 2 * at, hits)
    this.counts = counts.put(this.counts, 2 * at + 1, whole)
    this.pass(whole > 0)
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
      const bound = CLIP * Math.sqrt(usual * (1 - usual) * whole + 1 + this.spread.variance * whole * whole)
      taught = Math.max(usual * whole - bound, Math.min(usual * whole + bound, hits))
    }
    this.#hits += Math.max(0, Math.min(whole, taught))
    this.#whole += whole
  }

  /** More came in so many windows than usual, and not by chance. */
  #hasOnTop(whole: number, windows: number): boolean {
    const expected = this.#often * windows
    return expected > 0 && whole >= Math.max(ON_TOP * expected, expected + ERRORS * Math.sqrt(expected))
  }

  #follow(whole: number, windowMs: number): void {
    if (!(whole > 0)) return
    this.#windows++
    const part = Math.max(1 / this.#windows, 1 - 0.5 ** (windowMs / HALF_LIFE_MS))
    // A rush of minutes must not soon be what is usual.
    const most = part > RUSH_PART ? whole : Math.min(whole, MOST_OFTEN * this.#often)
    this.#often += (most - this.#often) * part
  }

  /** What the last windows show becomes what is usual. */
  adopt(): void {
    let hits = 0
    let whole = 0
    let active = 0
    const ring = this.row.counts.pieceOf(this.counts)
    const from = this.row.counts.fromOf(this.counts)
    for (let at = from; at < from + ShareTrack.WIDTHS.counts; at += 2) {
      hits += ring[at]
      whole += ring[at + 1]
      if (ring[at + 1] > 0) active++
    }
    this.#often = whole / Math.max(1, active)
    const scale = whole > 0 ? Math.max(1, KEPT_SAMPLES / whole) : 0
    this.#hits = hits * scale
    this.#whole = whole * scale
    if (this.#by !== null && whole > 0) this.#above = Math.max(0, hits / whole - this.#by.usual)
  }

  /** What is kept over a restart. */
  store(): readonly number[] {
    return [this.#hits, this.#whole, this.#often, this.#windows, ...this.spread.store(), this.#above]
  }

  restore([hits, whole, often, windows, ...rest]: readonly number[]): void {
    this.#hits = hits
    this.#whole = whole
    this.#often = often
    this.#windows = windows
    this.spread.restore(rest)
    this.#above = rest[Spread.WIDTH] ?? 0
  }

  judge(into: readonly Judgement[], learn: boolean): void {
    const { worse } = this.#options
    const by = this.#by ?? this
    const usual = Math.min(1, by.usual + this.#above)
    const { isReady } = by
    const single = usual * (1 - usual)
    const mix = worse === 'less' ? (MIX_SPREAD ** 2 * MIX_WINDOWS) / (MIX_WINDOWS + this.#windows) : 0
    const doubt = single / ((this.#by === null ? this.#whole : 300) + 1) + mix * single
    if (learn) this.spread.next()
    const ring = this.row.counts.pieceOf(this.counts)
    const from = this.row.counts.fromOf(this.counts)
    const { at: next } = this
    let hits = 0
    let whole = 0
    let lateHits = 0
    let lateWhole = 0
    let scale = 0
    let active = 0
    const z = (some: number, of: number) => {
      if (!(of > 0)) return 0
      const shift = (some / of - usual) * (worse === 'more' ? 1 : -1)
      return this.spread.z(scale, shift, samplingOf(usual, of) + doubt)
    }
    for (let back = 1; back <= WINDOWS_KEPT && scale < SCALES.length; back++) {
      const at = from + ((next - back + WINDOWS_KEPT) % WINDOWS_KEPT) * 2
      hits += ring[at]
      whole += ring[at + 1]
      if (ring[at + 1] > 0) active++
      if (2 * back === SCALES[scale]) {
        lateHits = hits
        lateWhole = whole
      }
      if (back < SCALES[scale]) continue
      const judged = into[scale]
      judged.n = whole
      judged.level = usual
      judged.z = 0
      judged.shift = judged.sd = judged.later = judged.earlier = 0
      if (whole > 0 && isReady) {
        const shift = (hits / whole - usual) * (worse === 'more' ? 1 : -1)
        const sampling = samplingOf(usual, whole) + doubt
        // Many that come on top, and need none, lower the share too; but what is no longer done is done less often.
        const onTop = worse === 'less' && this.#hasOnTop(whole, active)
        const calls = this.usual * this.#often * active
        const part = onTop && shift > 0 ? fewer(hits, calls, shift / usual) : 1
        // No share of more requests says more than their number alone.
        const most = onTop ? Math.max(0, (calls - hits) / Math.sqrt(calls)) : Number.POSITIVE_INFINITY
        judged.shift = part * shift
        judged.sd = this.spread.sd(scale, sampling)
        judged.later = Math.min(most, part * z(lateHits, lateWhole))
        judged.earlier = Math.min(most, part * z(hits - lateHits, whole - lateWhole))
        judged.z = Math.min(most, part * this.spread.judge(scale, shift, sampling, learn))
      }
      scale++
    }
    if (learn && this.#above > 0)
      this.#above = Math.max(0, this.#above + FOLLOWS * into[SCALES.length - 1].shift)
  }
}

/**
 * How much of a departure it is that fewer calls are made. A few less are chance.
 * @param calls that are usual
 * @param departed part of what is usual that is missing
 */
const fewer = (hits: number, calls: number, departed: number): number =>
  Math.max(0, Math.min(1, (1 - (hits + ERRORS * Math.sqrt(calls)) / calls) / departed))

/** 1/n: one item more or less is chance, however seldom it is. */
const samplingOf = (usual: number, n: number): number => (usual * (1 - usual)) / n + 1 / (n * n)
