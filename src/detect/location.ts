//! Where durations lie: the level of a series in logarithms, and how far the last windows of a place lie from the levels of its series.
import type { Judgement } from './judged.ts'
import { SCALES, WINDOWS_KEPT } from './scales.ts'
import { Spread } from './spread.ts'
import { rowOf, type TrackRow, type TrackWidths, WindowTrack } from './track-row.ts'

/** What is learned weighs half after this long: it follows the course of the day and the slower moods of a machine, and no fault of minutes. */
const HALF_LIFE_MS = 12 * 60_000
/** Below so many samples nothing is forgotten: a rare operation keeps what it has. */
const KEPT_SAMPLES = 150
/** Before so many samples a level is not judged by. */
export const READY_SAMPLES = 20
/** A window raises its level by no more than so many of its own standard errors, so that what is not seen as a fault teaches little. */
const CLIP = 2.5
/** The variance within windows is never believed to be smaller: clocks and logarithms have steps. */
const LEAST_VARIANCE = 0.02 ** 2

/** Of a first sample alone. */
const FIRST_VARIANCE = 0.5

/** What is normal for the logarithm of a duration in one series. */
export class Level {
  /** Numbers of a row that one takes. */
  static readonly WIDTH = 3
  protected numbers: Float32Array
  protected from: number

  /** In a row of `numbers`. */
  constructor(numbers: Float32Array = new Float32Array(Level.WIDTH), from = 0) {
    this.numbers = numbers
    this.from = from
    this.variance = FIRST_VARIANCE
  }

  /** Effective samples behind it. */
  get samples(): number {
    return this.numbers[this.from]
  }

  set samples(samples: number) {
    this.numbers[this.from] = samples
  }

  get mean(): number {
    return this.numbers[this.from + 1]
  }

  set mean(mean: number) {
    this.numbers[this.from + 1] = mean
  }

  /** Between samples of one window. */
  get variance(): number {
    return this.numbers[this.from + 2]
  }

  set variance(variance: number) {
    this.numbers[this.from + 2] = variance
  }

  get isReady(): boolean {
    return this.samples >= READY_SAMPLES
  }

  /**
   * Learns one window.
   * @param n effective number of samples
   * @param mean the middle of their logarithms
   * @param within their variance about it
   * @param spread standard deviation from window to window beyond what sampling explains
   */
  learn(n: number, mean: number, within: number, spread: number, windowMs: number): void {
    if (!(n > 0)) return
    if (this.samples === 0) {
      this.mean = mean
      this.variance = n > 1 ? Math.max(LEAST_VARIANCE, within) : FIRST_VARIANCE
      this.samples = n
      return
    }
    if (this.samples > KEPT_SAMPLES)
      this.samples = Math.max(KEPT_SAMPLES, this.samples * 0.5 ** (windowMs / HALF_LIFE_MS))
    this.samples += n
    const share = n / this.samples
    const step = mean - this.mean
    const bound = this.isReady
      ? CLIP * Math.sqrt(this.variance / n + spread * spread)
      : Number.POSITIVE_INFINITY
    // What gets faster is no fault, and a level that began too high would hide the next one.
    this.mean += share * Math.min(bound, step)
    // Spread about the old level, of which a jump of the whole window is no part.
    const about = n > 1 ? within : step * step
    this.variance += share * (Math.min(about, 4 * this.variance) - this.variance)
    if (this.variance < LEAST_VARIANCE) this.variance = LEAST_VARIANCE
  }
}

/** Between windows, as long as nothing is known: a fifth. And at least a hundredth. */
const PRIOR_SPREAD = 0.2
const LEAST_SPREAD = 0.01

/** What was adopted of a place follows what comes later as levels do, a window's share of it. */
const FOLLOWS = 0.01

/**
 * Where in the row of numbers they stand: by how much the place usually lies above the levels, and of its last windows how many samples they
 * count for, what is normal in them, and the variance of the levels as a part of that of their samples.
 */
const ABOVE = Spread.WIDTH
const LATELY = ABOVE + 1
const NORMAL = ABOVE + 2
const DOUBT = ABOVE + 3
/** These follow over so many windows with samples. */
const FOLLOWED_WINDOWS = 18

/** Of a window with samples: the mean residual, and variance. */
const PER_WINDOW = 2

/**
 * The variance of a mean by chance. One sample that lies a standard deviation out, more or less, is chance however few there are, as is one
 * item more or less of a share.
 * @param variance sum over samples of the variance in their series
 * @param doubt times as much, as their levels are not known for sure
 */
const samplingOf = (variance: number, n: number, doubt: number): number =>
  (variance * (doubt + 1 / n)) / (n * n)

/** How the last windows of one place lie against the levels of its series. */
export class LocationTrack extends WindowTrack {
  static readonly WIDTHS: TrackWidths = {
    numbers: DOUBT + 1,
    windows: WINDOWS_KEPT * PER_WINDOW,
    counts: WINDOWS_KEPT,
  }

  /** The one that stands in a row; without one it begins in a row of its own. */
  constructor(row?: TrackRow) {
    super(row ?? rowOf(LocationTrack.WIDTHS), LEAST_SPREAD)
    if (row === undefined) this.begin()
  }

  /** Nothing is known yet. */
  begin(): void {
    this.beginWith(PRIOR_SPREAD, LocationTrack.WIDTHS.numbers)
  }

  /** By how much the place usually lies above the levels: only where it has none of its own to adopt. */
  get #above(): number {
    return this.numbers[this.from + ABOVE]
  }

  set #above(above: number) {
    this.numbers[this.from + ABOVE] = above
  }

  /**
   * The next window.
   * @param residual sum over samples of y - level
   * @param variance sum over samples of the variance in their series
   * @param doubt the same of n * n * variance / samples behind the level
   * @param n samples
   * @param level sum over samples of the level
   */
  push(residual: number, variance: number, doubt: number, n: number, level: number): void {
    const { windows, windowsFrom, counts } = this.row
    const { at: nth } = this
    if (n > 0) {
      const at = windowsFrom + nth * PER_WINDOW
      windows[at] = residual / n - this.#above
      windows[at + 1] = variance / n
      this.#follow(n, level / n, variance > 0 ? doubt / variance : 0)
    }
    this.counts = counts.put(this.counts, nth, n)
    this.pass(n > 0)
  }

  /** What is normal changes with the operations that are asked for, and by little. */
  #follow(n: number, level: number, doubt: number): void {
    const { numbers, from } = this
    const before = this.isEmpty ? 0 : numbers[from + LATELY] * (1 - 1 / FOLLOWED_WINDOWS)
    const part = n / (before + n)
    numbers[from + LATELY] = before + n
    numbers[from + NORMAL] += part * (level - numbers[from + NORMAL])
    numbers[from + DOUBT] += part * (doubt - numbers[from + DOUBT])
  }

  /** So far above what was usual until now the place lies for good. */
  adopt(shift: number): void {
    this.#above = Math.max(0, this.#above + shift)
  }

  /** What is kept over a restart: how much is usual from window to window, and how far above the levels. */
  store(): readonly number[] {
    return [...this.spread.store(), this.#above]
  }

  restore(kept: readonly number[]): void {
    this.spread.restore(kept)
    this.#above = kept[Spread.WIDTH] ?? 0
  }

  /** Judges the last windows on every scale. `learn`: they also teach how much is usual from window to window. */
  judge(into: readonly Judgement[], learn: boolean): void {
    const { windows, windowsFrom } = this.row
    const counts = this.row.counts.pieceOf(this.counts)
    const countsFrom = this.row.counts.fromOf(this.counts)
    const { at: next } = this
    let residual = 0
    let variance = 0
    let n = 0
    let scale = 0
    const { numbers, from } = this
    const normal = numbers[from + NORMAL]
    const doubt = numbers[from + DOUBT]
    let [lateResidual, lateVariance, lateN] = [0, 0, 0]
    if (learn) this.spread.next()
    for (let back = 1; back <= WINDOWS_KEPT && scale < SCALES.length; back++) {
      const window = (next - back + WINDOWS_KEPT) % WINDOWS_KEPT
      const count = counts[countsFrom + window]
      if (count > 0) {
        const at = windowsFrom + window * PER_WINDOW
        residual += count * windows[at]
        variance += count * windows[at + 1]
        n += count
      }
      if (2 * back === SCALES[scale]) {
        lateResidual = residual
        lateVariance = variance
        lateN = n
      }
      if (back < SCALES[scale]) continue
      const judged = into[scale]
      judged.n = n
      judged.level = normal
      // Each half is as uncertain by its levels as it would be alone.
      const half = 1 + (back / 2) * doubt
      judged.later = this.#half(scale, lateResidual, lateVariance, lateN, half)
      judged.earlier = this.#half(scale, residual - lateResidual, variance - lateVariance, n - lateN, half)
      if (n > 0) {
        const shift = residual / n
        const sampling = samplingOf(variance, n, 1 + back * doubt)
        judged.sd = this.spread.sd(scale, sampling)
        judged.z = this.spread.judge(scale, shift, sampling, learn)
        judged.shift = shift
      } else {
        judged.z = 0
        judged.shift = 0
        judged.sd = 0
      }
      scale++
    }
    if (learn && this.#above > 0)
      this.#above = Math.max(0, this.#above + FOLLOWS * into[SCALES.length - 1].shift)
  }

  #half(scale: number, residual: number, variance: number, n: number, doubt: number): number {
    return n > 0 ? this.spread.z(scale, residual / n, samplingOf(variance, n, doubt)) : 0
  }
}
