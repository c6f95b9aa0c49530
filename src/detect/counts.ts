//! How many come: what is usual now, and how far the last windows of a place lie below it.
import { doubles } from '../base/doubles.ts'
import type { Judgement } from './judged.ts'
import { LAG_WINDOWS, SCALES, WINDOWS_KEPT } from './scales.ts'
import { RowTrack, Spread } from './spread.ts'

/** Traffic has its hours: what is usual follows it within this, unless told otherwise. */
const HALF_LIFE_MS = 15 * 60_000
/** Before so many windows a rate is not judged. */
const READY_WINDOWS = 30
const PRIOR_SPREAD = 0.3
const LEAST_SPREAD = 0.05
/** A window moves what is usual by no more than this factor of its weight. */
const CLIP = 2
/** What was usual is remembered so many times, every so many windows: for an hour. */
const REMEMBERED = 12
const REMEMBERED_EVERY = 30
/** What has become so many times as much within that is a surge: no hour of the day rises like that, and its end is no loss. */
const SURGE = 1.4

export class CountTrack extends RowTrack {
  /** Numbers of a row: the spread. */
  static readonly WIDTH = Spread.WIDTH
  readonly #ring = doubles(WINDOWS_KEPT)
  #at = 0
  /** What was usual in the last hour. */
  readonly #before = doubles(REMEMBERED).fill(Number.POSITIVE_INFINITY)
  #passed = 0
  /** Expected in a window. */
  expected = 0
  #unit = Number.NaN
  learned = 0
  readonly #halfLifeMs: number

  /** In a row of `numbers`. */
  constructor(
    numbers: Float32Array = new Float32Array(CountTrack.WIDTH),
    from = 0,
    halfLifeMs = HALF_LIFE_MS,
  ) {
    super(numbers, from, LEAST_SPREAD)
    this.spread.begin(PRIOR_SPREAD)
    this.#halfLifeMs = halfLifeMs
  }

  /** How many one that was counted stands for, on average over the last windows; 1 before anything was counted. */
  get unit(): number {
    return Number.isNaN(this.#unit) ? 1 : this.#unit
  }

  get isReady(): boolean {
    return this.learned >= READY_WINDOWS
  }

  /**
   * The next window.
   * @param count sum of the weights of what came
   * @param squares sum of their squares
   */
  push(count: number, squares: number, learn: boolean, windowMs: number): void {
    if (count > 0) {
      const unit = squares / count
      this.#unit = Number.isNaN(this.#unit) ? unit : this.#unit + (unit - this.#unit) / WINDOWS_KEPT
    }
    const old = this.#ring[(this.#at - LAG_WINDOWS + WINDOWS_KEPT) % WINDOWS_KEPT]
    if (learn) {
      if (!this.isReady) this.expected += (count - this.expected) / (this.learned + 1)
      else {
        const share = 1 - 0.5 ** (windowMs / this.#halfLifeMs)
        const bound = CLIP * this.expected + 3 * this.unit
        this.expected += share * (Math.min(bound, old) - this.expected)
      }
      this.learned = Math.min(READY_WINDOWS, this.learned + 1)
    }
    this.#ring[this.#at] = count
    this.#at = (this.#at + 1) % WINDOWS_KEPT
    if (this.isReady && ++this.#passed % REMEMBERED_EVERY === 0)
      this.#before[(this.#passed / REMEMBERED_EVERY) % REMEMBERED] = this.expected
  }

  /** What a drop is measured from: where a surge is over, what was usual before it. */
  get #usual(): number {
    let least = this.expected
    for (const before of this.#before) if (before < least) least = before
    return this.expected > SURGE * least ? least : this.expected
  }

  /** What was counted last may have been a part of a window only, because everything stopped: it is taken to be as usual. */
  excuse(windows: number): void {
    for (let back = 1; back <= windows; back++)
      this.#ring[(this.#at - back + WINDOWS_KEPT) % WINDOWS_KEPT] = this.expected
  }

  /** Only this part of what was usual is to come from now on. */
  scale(part: number): void {
    this.expected *= part
    for (const numbers of [this.#ring, this.#before])
      for (let at = 0; at < numbers.length; at++) numbers[at] *= part
  }

  /** What the last windows show becomes what is usual. */
  adopt(): void {
    let count = 0
    for (const each of this.#ring) count += each
    this.expected = count / WINDOWS_KEPT
  }

  /** The last windows are taken to have been as usual. */
  clear(): void {
    this.#ring.fill(this.expected)
  }

  /** What is kept over a restart. */
  store(): readonly number[] {
    return [this.expected, this.learned, ...this.spread.store()]
  }

  /** The windows before the restart are taken to have been as usual. */
  restore([expected, learned, ...spread]: readonly number[]): void {
    this.expected = expected
    this.learned = learned
    this.spread.restore(spread)
    this.#ring.fill(expected)
  }

  judge(into: readonly Judgement[], learn: boolean): void {
    if (learn) this.spread.next()
    let count = 0
    let late = 0
    let scale = 0
    const { unit } = this
    const expected = this.#usual
    for (let back = 1; back <= WINDOWS_KEPT && scale < SCALES.length; back++) {
      count += this.#ring[(this.#at - back + WINDOWS_KEPT) % WINDOWS_KEPT]
      if (2 * back === SCALES[scale]) late = count
      if (back < SCALES[scale]) continue
      const judged = into[scale]
      const usual = expected * back
      judged.n = usual / unit
      judged.level = usual
      judged.z = 0
      judged.shift = judged.sd = judged.later = judged.earlier = 0
      if (this.isReady && usual > 0) {
        const shift = Math.log((usual + unit) / (count + unit))
        const sampling = unit / (usual + unit)
        judged.shift = shift
        judged.sd = this.spread.sd(scale, sampling)
        judged.later = this.#half(scale, usual / 2, late)
        judged.earlier = this.#half(scale, usual / 2, count - late)
        judged.z = this.spread.judge(scale, shift, sampling, learn)
      }
      scale++
    }
  }

  #half(scale: number, usual: number, count: number): number {
    const { unit } = this
    return this.spread.z(scale, Math.log((usual + unit) / (count + unit)), unit / (usual + unit))
  }
}
