//! What rises too slowly for anybody to see it begin: the level of a place hour by hour, against the same hours of the days before.
import { clearJudged, type Judgement } from './judged.ts'
import { SCALES } from './scales.ts'
import { RowTrack, Spread } from './spread.ts'

const DAY = 24
/** A week of days to compare with, and the day itself. */
const HOURS_KEPT = 8 * DAY
/** Before so many days there is nothing to compare with: one day alone may have been the odd one. */
const READY_DAYS = 2
/** By the middle of so many hours: single ones are up and down, and a fault is over by then. */
const LASTS = 12
/** From one day to the next, as long as nothing is known, and at least. Standard deviations of the logarithm. */
const PRIOR_SPREAD = 0.1
const LEAST_SPREAD = 0.05
/** A drift is taken to have begun where the level was last no further above what is normal than this part of what it is now. */
const BEGUN = 0.1
/** From this z on it is asked since when. */
const TOLD_Z = 2
/** Spread keeps one variance for each scale; of hours there is one scale. */
const ONLY = 0

/**
 * An index that moves as the level moves, one value an hour. What is normal is the median of the same hour over the last seven days: it
 * follows the hours of the day, and a drift only after four days of it. A level that is adopted moves the index of all hours.
 */
export class DriftTrack extends RowTrack {
  /** Numbers of a row: the spread. */
  static readonly WIDTH = Spread.WIDTH
  readonly #ring = new Float32Array(HOURS_KEPT).fill(Number.NaN)
  /** Hours since 1970. */
  #hour = Number.NaN
  #index = 0
  #level = 0
  #fresh = false
  #forgotten = false

  /** In a row of `numbers`. */
  constructor(numbers: Float32Array = new Float32Array(DriftTrack.WIDTH), from = 0) {
    super(numbers, from, LEAST_SPREAD)
    this.spread.begin(PRIOR_SPREAD)
  }

  /**
   * At the end of an hour.
   * @param moved by how much the level has moved in it, as a logarithm
   * @param hour hours since 1970; NaN in the windows between, when nothing happens
   * @param level where it is now, as a logarithm
   */
  push(moved: number, hour: number, level: number): void {
    if (Number.isNaN(hour) || hour === this.#hour) return
    this.#fresh = true
    this.#level = level
    this.#index += moved
    for (let skipped = Math.max(this.#hour + 1, hour - HOURS_KEPT); skipped < hour; skipped++)
      this.#ring[skipped % HOURS_KEPT] = Number.NaN
    this.#ring[hour % HOURS_KEPT] = this.#index
    this.#hour = hour
  }

  /** The level of now is normal: as if all hours had been so. */
  adopt(): void {
    for (let at = 0; at < HOURS_KEPT; at++) if (!Number.isNaN(this.#ring[at])) this.#ring[at] = this.#index
  }

  /** What was judged last holds no more. */
  clear(): void {
    this.#fresh = false
    this.#forgotten = true
  }

  /** Between the hours what was judged last holds. */
  judge(into: readonly Judgement[], learn: boolean): void {
    if (this.#forgotten) into.forEach(clearJudged)
    this.#forgotten = false
    if (!this.#fresh) return
    this.#fresh = false
    const shift = median(Array.from({ length: LASTS }, (_, back) => this.#beyond(back)))
    if (learn) this.spread.next()
    const z = this.spread.judge(ONLY, shift, 0, learn)
    const n = z >= TOLD_Z ? this.#hoursSince(shift) : 1
    for (let scale = 0; scale < SCALES.length; scale++) {
      const judged = into[scale]
      judged.z = judged.later = judged.earlier = z
      judged.shift = shift
      judged.sd = this.spread.sd(ONLY, 0)
      judged.level = this.#level - shift
      judged.n = n
    }
  }

  /** How far the hour so many hours ago lies above the same hours of the seven days before it; 0 where that is not known. */
  #beyond(back: number): number {
    const same: number[] = []
    for (let day = back + DAY; day < HOURS_KEPT && day <= back + 7 * DAY; day += DAY) {
      const value = this.#at(day)
      if (!Number.isNaN(value)) same.push(value)
    }
    const value = this.#at(back)
    return Number.isNaN(value) || same.length < READY_DAYS ? 0 : value - median(same)
  }

  #at(back: number): number {
    return this.#ring[(this.#hour - back + HOURS_KEPT) % HOURS_KEPT]
  }

  /** It began where more than a few hours in a row were hardly above what is normal. */
  #hoursSince(shift: number): number {
    let since = 1
    for (let back = 1; back < HOURS_KEPT && back - since < LASTS / 2; back++)
      if (this.#beyond(back) > BEGUN * shift) since = back + 1
    return since
  }

  /** What is kept over a restart. */
  store(): readonly (number | null)[] {
    const kept = [...this.#ring].map(value => (Number.isNaN(value) ? null : value))
    const hour = Number.isNaN(this.#hour) ? null : this.#hour
    return [hour, this.#index, this.#level, ...this.spread.store(), ...kept]
  }

  /** The last hour is judged anew: a drift that was told of goes on. */
  restore([hour, index, level, ...rest]: readonly (number | null)[]): void {
    const own = Spread.WIDTH
    this.#hour = hour ?? Number.NaN
    this.#index = index ?? 0
    this.#level = level ?? 0
    this.#fresh = !Number.isNaN(this.#hour)
    this.spread.restore(rest.slice(0, own) as number[])
    this.#ring.set(rest.slice(own).map(value => value ?? Number.NaN))
  }
}

function median(values: number[]): number {
  values.sort((a, b) => a - b)
  return (values[(values.length - 1) >> 1] + values[values.length >> 1]) / 2
}
