//! The row in which a feature keeps its numbers: this window's sums, what was judged last, what its tail is like, and what its track has learned.
import { A_PIECE, CountSlots, Pieces } from '../base/slots.ts'
import { CountTrack } from '../detect/counts.ts'
import { DriftTrack } from '../detect/drift.ts'
import { Excess } from '../detect/excess.ts'
import { type Judged, JudgedAt, type Judgement, judgedWidth } from '../detect/judged.ts'
import { LocationTrack } from '../detect/location.ts'
import { MINUTE, SCALES } from '../detect/scales.ts'
import { ShareTrack } from '../detect/shares.ts'
import { hasNothing, TRACK_WHOLE, type TrackRow } from '../detect/track-row.ts'
import { CLASSES, type FeatureClass, USUAL_EXCESS } from './places.ts'

/** Where in the row of a feature its numbers stand: how unusual it is, how often it departs, its standard deviation, what was judged on each scale, its tail, this window's sums, and its track. */
const DECISIVE = 1
const CALM_DEPARTURES = 2
const SD = 3
const JUDGED = 4
const EXCESS = JUDGED + judgedWidth(SCALES.length)
const SUMS = EXCESS + Excess.WIDTH
const MOST_SUMS = 5
const judgedAt = (from: number, scale: number): number => from + JUDGED + judgedWidth(scale)

/** And where its whole numbers: the scale that decides, which scales are set aside, hours without it, and its track. */
const SCALE = 0
const SHARED = 1
const IDLE_HOURS = 2
const TRACK = 3
const WHOLE = TRACK + TRACK_WHOLE

type Form = 'location' | 'share' | 'other'

/** Where in the row of each form its track begins, how long the row is, and that of its windows. */
interface Shape {
  readonly track: number
  readonly width: number
  readonly windows: number
}
const SHAPES: Readonly<Record<Form, Shape>> = {
  location: shapeOf(MOST_SUMS, LocationTrack.WIDTHS),
  share: shapeOf(2, ShareTrack.WIDTHS),
  other: shapeOf(MOST_SUMS, { numbers: Math.max(CountTrack.WIDTH, DriftTrack.WIDTH), windows: 0 }),
}

function shapeOf(sums: number, { numbers, windows }: { numbers: number; windows: number }): Shape {
  return { track: SUMS + sums, width: SUMS + sums + numbers, windows }
}

const formOf = (name: FeatureClass): Form =>
  name === 'service drift' || CLASSES[name].kind === 'count' ? 'other' : (CLASSES[name].kind as Form)

/** Rows of one form that stand together, and what they have in common: each feature names the piece and its place in it, and nothing else. */
interface Piece {
  readonly form: Form
  readonly shape: Shape
  /** The number of its first row. */
  readonly first: number
  readonly numbers: Float32Array
  readonly whole: Int32Array
  readonly windows: Float16Array
  readonly counts: CountSlots
  /** By row the tracks that are more than a view of it, which are few. */
  readonly tracks: (CountTrack | DriftTrack)[]
}

function piecesOf(form: Form, countsWidth: number): Pieces<Piece> {
  const shape = SHAPES[form]
  const counts = new CountSlots(countsWidth)
  return new Pieces(first => ({
    form,
    shape,
    first,
    numbers: new Float32Array(A_PIECE * shape.width),
    whole: new Int32Array(A_PIECE * WHOLE),
    windows: new Float16Array(A_PIECE * shape.windows),
    counts,
    tracks: [],
  }))
}

/** A row by itself, which no other has. Its windows are not needed any more. */
function alone({ numbers, whole, tracks, ...rest }: Piece, row: number): Piece {
  const from = row * rest.shape.width
  return {
    ...rest,
    first: 0,
    numbers: numbers.slice(from, from + rest.shape.width),
    whole: whole.slice(row * WHOLE, (row + 1) * WHOLE),
    windows: new Float16Array(0),
    tracks: tracks.slice(row, row + 1),
  }
}

/** The rows of all features. */
export class FeatureSlots {
  readonly pieces: Readonly<Record<Form, Pieces<Piece>>> = {
    location: piecesOf('location', LocationTrack.WIDTHS.counts),
    share: piecesOf('share', ShareTrack.WIDTHS.counts),
    other: piecesOf('other', 0),
  }

  /** Rows that are in use. */
  get size(): number {
    const { location, share, other } = this.pieces
    return location.size + share.size + other.size
  }
}

/** What of a feature is numbers. No private methods here: each class that has some costs every one of its objects a word. */
export class FeatureRow {
  readonly class: FeatureClass
  #piece: Piece
  #row: number

  constructor(featureClass: FeatureClass, slots: FeatureSlots) {
    this.class = featureClass
    const pieces = slots.pieces[formOf(featureClass)]
    const slot = pieces.take()
    this.#piece = pieces.pieceOf(slot)
    this.#row = slot % A_PIECE
    this.numbers.fill(0, this.from, this.from + this.#piece.shape.width)
    this.#piece.whole.fill(0, this.#row * WHOLE, (this.#row + 1) * WHOLE)
    this.surprise = this.decisive = Number.NEGATIVE_INFINITY
    if (this.form === 'other') {
      const Track = featureClass === 'service drift' ? DriftTrack : CountTrack
      this.#piece.tracks[this.#row] = new Track(this.numbers, this.trackRow.from)
    }
  }

  /** What it takes up is used by others from now on. What it showed last can still be read. */
  release(slots: FeatureSlots): void {
    const piece = this.#piece
    const slot = piece.first + this.#row
    this.#piece = alone(piece, this.#row)
    this.#row = 0
    this.ownTrack?.release(this.numbers, this.trackRow.from)
    slots.pieces[piece.form].give(slot)
  }

  protected get form(): Form {
    return this.#piece.form
  }

  private get numbers(): Float32Array {
    return this.#piece.numbers
  }

  private get from(): number {
    return this.#row * this.#piece.shape.width
  }

  /** Where its track keeps what it has learned. */
  protected get trackRow(): TrackRow {
    const { shape, numbers, whole, windows, counts } = this.#piece
    return {
      numbers,
      from: this.#row * shape.width + shape.track,
      whole,
      wholeFrom: this.#row * WHOLE + TRACK,
      windows,
      windowsFrom: this.#row * shape.windows,
      counts,
    }
  }

  /** Whether none of the last windows has anything of it; never of what needs none to say so. */
  protected get isQuiet(): boolean {
    const { form, whole } = this.#piece
    return form !== 'other' && hasNothing(whole, this.#row * WHOLE + TRACK)
  }

  /** Its track, where that is more than a view of the row. */
  protected get ownTrack(): CountTrack | DriftTrack | undefined {
    return this.#piece.tracks[this.#row]
  }

  /** The scale that decides. */
  get scale(): number {
    return this.#piece.whole[this.#row * WHOLE + SCALE]
  }

  set scale(scale: number) {
    this.#piece.whole[this.#row * WHOLE + SCALE] = scale
  }

  /** A bit by scale: set aside because others that have nothing to do with it depart at the same time. */
  get shared(): number {
    return this.#piece.whole[this.#row * WHOLE + SHARED]
  }

  set shared(scales: number) {
    this.#piece.whole[this.#row * WHOLE + SHARED] = scales
  }

  /** Hours since a window had anything of it. */
  get idleHours(): number {
    return this.#piece.whole[this.#row * WHOLE + IDLE_HOURS]
  }

  set idleHours(hours: number) {
    this.#piece.whole[this.#row * WHOLE + IDLE_HOURS] = hours
  }

  /** The deciding statistic: how unusual the most unusual scale is, after persistence. */
  get surprise(): number {
    return this.numbers[this.from]
  }

  set surprise(value: number) {
    this.numbers[this.from] = value
  }

  /** The same with what backs it at other places. */
  get decisive(): number {
    return this.numbers[this.from + DECISIVE]
  }

  set decisive(value: number) {
    this.numbers[this.from + DECISIVE] = value
  }

  /** How often it has departed in calm times, of late. */
  get calmDepartures(): number {
    return this.numbers[this.from + CALM_DEPARTURES]
  }

  set calmDepartures(count: number) {
    this.numbers[this.from + CALM_DEPARTURES] = count
  }

  /** The standard deviation of a departure over a minute, where one was judged; otherwise 0. */
  get sd(): number {
    return this.numbers[this.from + SD]
  }

  /** By scale; they show what is judged then, and not only what is now. */
  get judged(): readonly Judged[] {
    const { numbers } = this
    const from = this.from + JUDGED
    return SCALES.map((windows, scale) => new JudgedAt(numbers, from, scale, this.isCount ? windows : 1))
  }

  /** How far beyond the usual it goes now and then. */
  get excess(): Excess {
    const { kind } = CLASSES[this.class]
    const usual = USUAL_EXCESS[kind]
    // Failures come in bursts: that there were none proves nothing.
    return new Excess(this.numbers, this.from + EXCESS, usual, kind === 'location' ? 0 : usual)
  }

  /** Of what is counted twice as much is usual in twice as many windows. */
  protected get isCount(): boolean {
    return CLASSES[this.class].kind === 'count'
  }

  /** What is judged on one scale rests on so much. */
  samplesAt(scale: number): number {
    return this.numbers[judgedAt(this.from, scale) + 2]
  }

  /** The largest z on any scale. */
  get highestZ(): number {
    let highest = Number.NEGATIVE_INFINITY
    for (let scale = 0; scale < SCALES.length; scale++) {
      const z = this.numbers[judgedAt(this.from, scale)]
      if (z > highest) highest = z
    }
    return highest
  }

  /** This window's sums, in the form that the track takes; those of a share are `a` and `b` alone. */
  get a(): number {
    return this.numbers[this.from + SUMS]
  }

  set a(sum: number) {
    this.numbers[this.from + SUMS] = sum
  }

  get b(): number {
    return this.numbers[this.from + SUMS + 1]
  }

  set b(sum: number) {
    this.numbers[this.from + SUMS + 1] = sum
  }

  get c(): number {
    return this.numbers[this.from + SUMS + 2]
  }

  set c(sum: number) {
    this.numbers[this.from + SUMS + 2] = sum
  }

  get d(): number {
    return this.numbers[this.from + SUMS + 3]
  }

  set d(sum: number) {
    this.numbers[this.from + SUMS + 3] = sum
  }

  get e(): number {
    return this.numbers[this.from + SUMS + 4]
  }

  set e(sum: number) {
    this.numbers[this.from + SUMS + 4] = sum
  }

  /** The next window begins. */
  protected clearSums(): void {
    this.numbers.fill(0, this.from + SUMS, this.from + this.#piece.shape.track)
  }

  /** What was judged last: a track that judges once an hour leaves it as it is. */
  protected load(judged: readonly Judgement[]): void {
    const { isCount } = this
    const level = this.numbers[this.from + JUDGED]
    judged[MINUTE].sd = this.sd
    for (let scale = 0; scale < SCALES.length; scale++) {
      const at = judgedAt(this.from, scale)
      const into = judged[scale]
      into.z = into.later = into.earlier = this.numbers[at]
      into.shift = this.numbers[at + 1]
      into.n = this.numbers[at + 2]
      into.level = level * (isCount ? SCALES[scale] : 1)
    }
  }

  /** What is judged now. */
  protected store(judged: readonly Judgement[]): void {
    for (let scale = 0; scale < SCALES.length; scale++) {
      const { z, shift, n } = judged[scale]
      const at = judgedAt(this.from, scale)
      this.numbers[at] = z
      this.numbers[at + 1] = shift
      this.numbers[at + 2] = n
    }
    this.numbers[this.from + SD] = judged[MINUTE].sd
    this.numbers[this.from + JUDGED] = judged[0].level / (this.isCount ? SCALES[0] : 1)
  }
}
