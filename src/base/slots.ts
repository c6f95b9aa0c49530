//! Rows of numbers for what there is of each of very many things: in pieces that many share, so that a row costs its numbers and nothing beside them.

/** Rows of one piece: a typed array costs 200 bytes beside its numbers. */
const A_PIECE = 64

type Column = Float64Array | Uint16Array | Uint8Array

/** Rows of one width. A row that is given back is given out again; nobody may use it in between. */
export class Slots<T extends Column = Float64Array> {
  readonly #width: number
  readonly #make: (length: number) => T
  readonly #pieces: T[] = []
  readonly #free: number[] = []
  #used = 0

  constructor(width: number, make: (length: number) => T) {
    this.#width = width
    this.#make = make
  }

  /** Rows that are in use. */
  get size(): number {
    return this.#used - this.#free.length
  }

  /** The number of a row of zeros. */
  take(): number {
    const given = this.#free.pop()
    if (given !== undefined) {
      const from = this.fromOf(given)
      this.pieceOf(given).fill(0, from, from + this.#width)
      return given
    }
    if (this.#used === this.#pieces.length * A_PIECE) this.#pieces.push(this.#make(A_PIECE * this.#width))
    return this.#used++
  }

  give(slot: number): void {
    this.#free.push(slot)
  }

  /** The array in which a row stands. It stays there until it is given back. */
  pieceOf(slot: number): T {
    return this.#pieces[Math.floor(slot / A_PIECE)]
  }

  /** Where in it the row begins. */
  fromOf(slot: number): number {
    return (slot % A_PIECE) * this.#width
  }
}

/** Slots of doubles. */
export const doubleSlots = (width: number): Slots => new Slots(width, length => new Float64Array(length))

/**
 * Rows of numbers that are nearly always small and whole, each in the narrowest column that holds all of it exactly: bytes, words, or
 * doubles.
 */
export class CountSlots {
  readonly #width: number
  readonly #columns: readonly [Slots<Uint8Array>, Slots<Uint16Array>, Slots]

  constructor(width: number) {
    this.#width = width
    this.#columns = [
      new Slots(width, length => new Uint8Array(length)),
      new Slots(width, length => new Uint16Array(length)),
      doubleSlots(width),
    ]
  }

  get size(): number {
    return this.#columns.reduce((sum, { size }) => sum + size, 0)
  }

  /** A row of zeros. Its number says in which column it stands, and changes with it. */
  take(): number {
    return this.#columns[0].take() * COLUMNS
  }

  give(row: number): void {
    this.#columns[row % COLUMNS].give(Math.floor(row / COLUMNS))
  }

  pieceOf(row: number): Column {
    return this.#columns[row % COLUMNS].pieceOf(Math.floor(row / COLUMNS))
  }

  fromOf(row: number): number {
    return this.#columns[row % COLUMNS].fromOf(Math.floor(row / COLUMNS))
  }

  /** Puts a number in its place. Returns the row's number from now on. */
  put(row: number, nth: number, value: number): number {
    const piece = this.pieceOf(row)
    const at = this.fromOf(row) + nth
    piece[at] = value
    return piece[at] === value ? row : this.#widen(row, nth, value)
  }

  #widen(row: number, nth: number, value: number): number {
    const column = (row % COLUMNS) + 1
    // What is no number fits nowhere else.
    if (column === COLUMNS) return row
    const wider = this.#columns[column].take() * COLUMNS + column
    const [narrow, from] = [this.pieceOf(row), this.fromOf(row)]
    const [wide, to] = [this.pieceOf(wider), this.fromOf(wider)]
    for (let at = 0; at < this.#width; at++) wide[to + at] = narrow[from + at]
    this.give(row)
    return this.put(wider, nth, value)
  }
}

const COLUMNS = 3
