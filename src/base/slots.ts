//! Rows of numbers for what there is of each of very many things: in pieces that many share, so that a row costs its numbers and nothing beside them.

/** Rows of one piece: a typed array costs 200 bytes beside its numbers. */
export const A_PIECE = 64

type Column = Float64Array | Float32Array | Uint16Array | Uint8Array

/** Rows in pieces. One that is given back is given out again, and nobody may use it in between; a piece of which none is in use is let go. */
export class Pieces<P> {
  readonly #make: (first: number) => P
  readonly #pieces: (P | null)[] = []
  /** By piece, how many of its rows are in use. */
  readonly #taken: number[] = []
  readonly #free: number[] = []
  #used = 0

  /** `make`: a piece of A_PIECE rows, of which the first has this number. */
  constructor(make: (first: number) => P) {
    this.#make = make
  }

  /** Rows that are in use. */
  get size(): number {
    return this.#used - this.#free.length
  }

  /** Pieces that there are for them. */
  get pieces(): number {
    return this.#pieces.filter(piece => piece !== null).length
  }

  /** The number of a row. It holds whatever it held before. */
  take(): number {
    const slot = this.#free.pop() ?? this.#used++
    const at = Math.floor(slot / A_PIECE)
    this.#pieces[at] ??= this.#make(at * A_PIECE)
    this.#taken[at] = (this.#taken[at] ?? 0) + 1
    return slot
  }

  give(slot: number): void {
    this.#free.push(slot)
    const at = Math.floor(slot / A_PIECE)
    if (--this.#taken[at] === 0) this.#pieces[at] = null
  }

  /** In which a row stands. It stays there until it is given back. */
  pieceOf(slot: number): P {
    return this.#pieces[Math.floor(slot / A_PIECE)] as P
  }
}

/** Rows of numbers, of one width. */
export class Slots<T extends Column> extends Pieces<T> {
  readonly #width: number

  constructor(width: number, make: (length: number) => T) {
    super(() => make(A_PIECE * width))
    this.#width = width
  }

  /** The number of a row of zeros. */
  override take(): number {
    const slot = super.take()
    const from = this.fromOf(slot)
    this.pieceOf(slot).fill(0, from, from + this.#width)
    return slot
  }

  /** Where in its piece the row begins. */
  fromOf(slot: number): number {
    return (slot % A_PIECE) * this.#width
  }
}

export const doubleSlots = (width: number): Slots<Float64Array> =>
  new Slots(width, length => new Float64Array(length))

/**
 * Of numbers that are estimates: logarithms, shares, variances, counts of samples. Seven digits are more than any of them is worth. Times
 * need more.
 */
export const singleSlots = (width: number): Slots<Float32Array> =>
  new Slots(width, length => new Float32Array(length))

/**
 * Rows of numbers that are nearly always small and whole, each in the narrowest column that holds all of it exactly: bytes, words, or
 * doubles.
 */
export class CountSlots {
  readonly #width: number
  readonly #columns: readonly [Slots<Uint8Array>, Slots<Uint16Array>, Slots<Float64Array>]

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
