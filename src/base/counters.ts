//! Counters and gauges as plain fields, so that counting costs an addition; rendering reads them when somebody asks.

/** One time series of a counter or gauge. Add to `value` directly. */
export class Cell {
  value: number
  /** The trace that last moved it, for exemplars. */
  exemplar: Exemplar | null = null
  readonly labels: Labels
  constructor(labels: Labels, value = 0) {
    this.labels = labels
    this.value = value
  }
}

export type Labels = Readonly<Record<string, string>>
export interface Exemplar {
  readonly traceId: string
  readonly spanId: string
  readonly value: number
  readonly timeMs: number
}

export interface Family {
  /** Dotted as in the conventions, or with underscores where a name is ported from the Collector. Without `_total`. */
  readonly name: string
  readonly help: string
  /** UCUM: `{span}`, `By`, `s`. */
  readonly unit: string
  readonly kind: 'counter' | 'gauge' | 'updown'
  cells(): Iterable<Cell>
}

/** Time series a family may have. What comes after shares one whose labels are OVERFLOW: clients choose some of the labels. */
export const MAX_CELLS = 2000
export const OVERFLOW: Labels = Object.freeze({ 'otel.metric.overflow': 'true' })

/** Holds all families of the process. A name is registered once; asking again with the same labels gives the same cell. */
export class Registry {
  #refreshes: (() => void)[] = []
  /** By name and unit: what is normal of durations and of shares are two families of one name. */
  #families = new Map<string, { family: Family; cells: Map<string, Cell> }>()
  #readers = new Map<string, (() => Iterable<Cell>)[]>()

  counter(name: string, unit: string, help: string, labels: Labels = {}): Cell {
    return this.#cell(name, unit, help, 'counter', labels)
  }

  updown(name: string, unit: string, help: string, labels: Labels = {}): Cell {
    return this.#cell(name, unit, help, 'updown', labels)
  }

  /** A gauge that is set: write `value`. */
  gauge(name: string, unit: string, help: string, labels: Labels = {}): Cell {
    return this.#cell(name, unit, help, 'gauge', labels)
  }

  /** A gauge (or what `kind` says) that is read when somebody asks. `read` may return several cells, at most MAX_CELLS. */
  observe(
    name: string,
    unit: string,
    help: string,
    read: () => Iterable<Cell>,
    kind: Family['kind'] = 'gauge',
  ): void {
    const key = familyKey(name, unit)
    if (this.#families.has(key)) throw new Error(`metric ${name} is registered twice`)
    this.#families.set(key, { family: { name, unit, help, kind, cells: read }, cells: new Map() })
  }

  /**
   * A gauge that several read, without a bound of their own: their cells take turns. Of those beyond the bound of a family the
   * first stands for all, under OVERFLOW.
   */
  contribute(name: string, unit: string, help: string, read: () => Iterable<Cell>): void {
    const key = familyKey(name, unit)
    const readers = this.#readers.get(key)
    if (readers !== undefined) {
      readers.push(read)
      return
    }
    const all = [read]
    this.observe(name, unit, help, () => inTurns(all))
    this.#readers.set(key, all)
  }

  /** Called before every reading: for gauges that are cheaper to set than to keep. */
  beforeRead(refresh: () => void): void {
    this.#refreshes.push(refresh)
  }

  /** All families in the order of their registration. */
  *families(): Iterable<Family> {
    for (const refresh of this.#refreshes) refresh()
    for (const { family } of this.#families.values()) yield family
  }

  /** The value of one cell, 0 where it does not exist: for tests and the stop report. */
  read(name: string, labels: Labels = {}): number {
    for (const family of this.families())
      if (family.name === name)
        for (const cell of family.cells()) if (labelKey(cell.labels) === labelKey(labels)) return cell.value
    return 0
  }

  /** The sum over all cells of a family. */
  total(name: string): number {
    let sum = 0
    for (const { family } of this.#families.values())
      if (family.name === name) for (const cell of family.cells()) sum += cell.value
    return sum
  }

  #cell(name: string, unit: string, help: string, kind: Family['kind'], labels: Labels): Cell {
    let entry = this.#families.get(familyKey(name, unit))
    if (entry === undefined) {
      const cells = new Map<string, Cell>()
      entry = { family: { name, unit, help, kind, cells: () => cells.values() }, cells }
      this.#families.set(familyKey(name, unit), entry)
    }
    const known = entry.cells.get(labelKey(labels))
    if (known !== undefined) return known
    const kept = entry.cells.size < MAX_CELLS - 1 ? labels : OVERFLOW
    const key = labelKey(kept)
    let cell = entry.cells.get(key)
    if (cell === undefined) {
      cell = new Cell(kept)
      entry.cells.set(key, cell)
    }
    return cell
  }
}

/** The first of each, then the second of each, until MAX_CELLS are full. */
function* inTurns(readers: readonly (() => Iterable<Cell>)[]): Generator<Cell> {
  let open = readers.map(read => read()[Symbol.iterator]())
  for (let left = MAX_CELLS - 1; open.length > 0; ) {
    const going: Iterator<Cell>[] = []
    for (const one of open) {
      const { done, value } = one.next()
      if (done) continue
      if (left-- === 0) {
        yield new Cell(OVERFLOW, value.value)
        return
      }
      yield value
      going.push(one)
    }
    open = going
  }
}

const familyKey = (name: string, unit: string) => `${name} ${unit}`

const labelKey = (labels: Labels) =>
  Object.keys(labels)
    .sort()
    .map(name => `${name}=${labels[name]}`)
    .join('\0')
