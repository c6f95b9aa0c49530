//! Where a track of windows stands that is nothing but a view of its rows: of thousands of places each has numbers, and no objects beside them.
import { CountSlots } from '../base/slots.ts'
import { WINDOWS_KEPT } from './scales.ts'
import { RowTrack } from './spread.ts'

export interface TrackRow {
  /** Estimates. */
  readonly numbers: Float32Array
  readonly from: number
  /** Whole numbers. */
  readonly whole: Int32Array
  readonly wholeFrom: number
  /** What each of the last windows showed, as means: three digits are more than one window is worth. */
  readonly windows: Float16Array
  readonly windowsFrom: number
  /** What each of the last windows counted. */
  readonly counts: CountSlots
}

/** How much of each a track takes. */
export interface TrackWidths {
  readonly numbers: number
  readonly windows: number
  readonly counts: number
}

/** Where in the row of whole numbers they stand: the next window, how many of the last ones had nothing, and which row of counts is theirs. */
const AT = 0
const EMPTY = 1
const COUNTS = 2
export const TRACK_WHOLE = 3

/** Whether there is nothing in any window of the track that stands there. */
export const hasNothing = (whole: Int32Array, from: number): boolean => whole[from + EMPTY] >= WINDOWS_KEPT

/** Of a track by itself. */
export const rowOf = ({ numbers, windows, counts }: TrackWidths): TrackRow => ({
  numbers: new Float32Array(numbers),
  from: 0,
  whole: new Int32Array(TRACK_WHOLE),
  wholeFrom: 0,
  windows: new Float16Array(windows),
  windowsFrom: 0,
  counts: new CountSlots(counts),
})

/** What looks back over the last windows of a place. */
export class WindowTrack extends RowTrack {
  protected readonly row: TrackRow

  constructor(row: TrackRow, least: number) {
    super(row.numbers, row.from, least)
    this.row = row
  }

  /** Nothing is known yet, whatever the row held before. `prior`: the standard deviation from window to window that is believed at first. */
  protected beginWith(prior: number, width: number): void {
    this.numbers.fill(0, this.from, this.from + width)
    this.spread.begin(prior)
    this.#set(AT, 0)
    this.#set(EMPTY, WINDOWS_KEPT)
    this.counts = this.row.counts.take()
  }

  /** It has no windows any more: what they took up is used by others. */
  end(): void {
    this.row.counts.give(this.counts)
    this.#set(EMPTY, WINDOWS_KEPT)
  }

  /** Forgets the last windows, and nothing of what is usual. */
  clear(): void {
    this.end()
    this.counts = this.row.counts.take()
  }

  /** Whether there is nothing in any window: it need not be judged. */
  get isEmpty(): boolean {
    return hasNothing(this.row.whole, this.row.wholeFrom)
  }

  /** Where the next window is put. */
  protected get at(): number {
    return this.#get(AT)
  }

  /** Its row of counts, by number. */
  protected get counts(): number {
    return this.#get(COUNTS)
  }

  protected set counts(row: number) {
    this.#set(COUNTS, row)
  }

  /** A window is in its place. `isSeen`: there was something in it. */
  protected pass(isSeen: boolean): void {
    this.#set(AT, (this.at + 1) % WINDOWS_KEPT)
    this.#set(EMPTY, isSeen ? 0 : Math.min(WINDOWS_KEPT, this.#get(EMPTY) + 1))
  }

  #get(what: number): number {
    return this.row.whole[this.row.wholeFrom + what]
  }

  #set(what: number, value: number): void {
    this.row.whole[this.row.wholeFrom + what] = value
  }
}
