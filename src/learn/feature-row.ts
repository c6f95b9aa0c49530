//! The row in which a feature keeps its numbers: this window's sums, what was judged last, and what its track has learned.
import { CountSlots, type Slots, singleSlots } from '../base/slots.ts'
import { CountTrack } from '../detect/counts.ts'
import { DriftTrack } from '../detect/drift.ts'
import { JUDGED_WIDTH, type Judged, JudgedAt, type Judgement } from '../detect/judged.ts'
import { LocationTrack } from '../detect/location.ts'
import { SCALES } from '../detect/scales.ts'
import { ShareTrack } from '../detect/shares.ts'
import { CLASSES, type FeatureClass } from './places.ts'

/** Where in the row of a feature its numbers stand: how unusual it is, what was judged on each scale, this window's sums, and its track. */
const JUDGED = 1
const SUMS = JUDGED + SCALES.length * JUDGED_WIDTH
const MOST_SUMS = 5

type Form = 'location' | 'share' | 'other'
const SUMS_OF: Readonly<Record<Form, number>> = { location: MOST_SUMS, share: 2, other: MOST_SUMS }
const TRACK_WIDTHS: Readonly<Record<Form, number>> = {
  location: LocationTrack.WIDTH,
  share: ShareTrack.WIDTH,
  other: Math.max(CountTrack.WIDTH, DriftTrack.WIDTH),
}
const formOf = (name: FeatureClass): Form =>
  name === 'service drift' || CLASSES[name].kind === 'count' ? 'other' : (CLASSES[name].kind as Form)

/** The rows of all features. */
export class FeatureSlots {
  readonly numbers: Readonly<Record<Form, Slots<Float32Array>>> = {
    location: slotsOf('location'),
    share: slotsOf('share'),
    other: slotsOf('other'),
  }
  readonly counts = {
    location: new CountSlots(LocationTrack.COUNTS),
    share: new CountSlots(ShareTrack.COUNTS),
  } as const

  /** Rows that are in use. */
  get size(): number {
    const { location, share, other } = this.numbers
    return location.size + share.size + other.size
  }
}

const slotsOf = (form: Form) => singleSlots(SUMS + SUMS_OF[form] + TRACK_WIDTHS[form])

/** What of a feature is numbers. */
export class FeatureRow {
  readonly class: FeatureClass
  protected numbers: Float32Array
  #from: number
  readonly #slot: number

  constructor(featureClass: FeatureClass, slots: FeatureSlots) {
    this.class = featureClass
    const rows = slots.numbers[this.form]
    this.#slot = rows.take()
    this.numbers = rows.pieceOf(this.#slot)
    this.#from = rows.fromOf(this.#slot)
    this.surprise = Number.NEGATIVE_INFINITY
  }

  /** What it takes up is used by others from now on. What it showed last can still be read. */
  release(slots: FeatureSlots): void {
    const width = SUMS + SUMS_OF[this.form] + TRACK_WIDTHS[this.form]
    this.numbers = this.numbers.slice(this.#from, this.#from + width)
    this.#from = 0
    slots.numbers[this.form].give(this.#slot)
  }

  protected get form(): Form {
    return formOf(this.class)
  }

  /** Where what its track has learned begins. */
  protected get trackFrom(): number {
    return this.#from + SUMS + SUMS_OF[this.form]
  }

  /** The deciding statistic: how unusual the most unusual scale is, after persistence. */
  get surprise(): number {
    return this.numbers[this.#from]
  }

  set surprise(value: number) {
    this.numbers[this.#from] = value
  }

  /** By scale; they show what is judged then, and not only what is now. */
  get judged(): readonly Judged[] {
    return SCALES.map((_, scale) => new JudgedAt(this.numbers, this.#judgedAt(scale)))
  }

  /** The largest z on any scale. */
  get highestZ(): number {
    let highest = Number.NEGATIVE_INFINITY
    for (let scale = 0; scale < SCALES.length; scale++) {
      const z = this.numbers[this.#judgedAt(scale)]
      if (z > highest) highest = z
    }
    return highest
  }

  #judgedAt(scale: number): number {
    return this.#from + JUDGED + scale * JUDGED_WIDTH
  }

  /** This window's sums, in the form that the track takes; those of a share are `a` and `b` alone. */
  get a(): number {
    return this.numbers[this.#from + SUMS]
  }

  set a(sum: number) {
    this.numbers[this.#from + SUMS] = sum
  }

  get b(): number {
    return this.numbers[this.#from + SUMS + 1]
  }

  set b(sum: number) {
    this.numbers[this.#from + SUMS + 1] = sum
  }

  get c(): number {
    return this.numbers[this.#from + SUMS + 2]
  }

  set c(sum: number) {
    this.numbers[this.#from + SUMS + 2] = sum
  }

  get d(): number {
    return this.numbers[this.#from + SUMS + 3]
  }

  set d(sum: number) {
    this.numbers[this.#from + SUMS + 3] = sum
  }

  get e(): number {
    return this.numbers[this.#from + SUMS + 4]
  }

  set e(sum: number) {
    this.numbers[this.#from + SUMS + 4] = sum
  }

  /** The next window begins. */
  protected clearSums(): void {
    this.numbers.fill(0, this.#from + SUMS, this.trackFrom)
  }

  /** What was judged last: a track that judges once an hour leaves it as it is. */
  protected load(judged: readonly Judgement[]): void {
    for (let scale = 0; scale < SCALES.length; scale++) {
      const at = this.#judgedAt(scale)
      const into = judged[scale]
      into.z = into.later = into.earlier = this.numbers[at]
      into.shift = this.numbers[at + 1]
      into.sd = this.numbers[at + 2]
      into.level = this.numbers[at + 3]
      into.n = this.numbers[at + 4]
    }
  }

  /** What is judged now. */
  protected store(judged: readonly Judgement[]): void {
    for (let scale = 0; scale < SCALES.length; scale++) {
      const { z, shift, sd, level, n } = judged[scale]
      const at = this.#judgedAt(scale)
      this.numbers[at] = z
      this.numbers[at + 1] = shift
      this.numbers[at + 2] = sd
      this.numbers[at + 3] = level
      this.numbers[at + 4] = n
    }
  }
}
