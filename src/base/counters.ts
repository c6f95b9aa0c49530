//! Counters and gauges as plain fields, so that counting costs an addition; rendering reads them when somebody asks.

/** One time series of a counter or gauge. Add to `value` directly. */
export class Cell {
  value = 0
  /** The trace that last moved it, for exemplars. */
  exemplar: Exemplar | null = null
  readonly labels: Labels
  constructor(labels: Labels) {
    this.labels = labels
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
  #families = new Map<string, { family: Family; cells: Map<string, Cell> }>()

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
    if (this.#families.has(name)) throw new Error(`metric ${name} is registered twice`)
    this.#families.set(name, { family: { name, unit, help, kind, cells: read }, cells: new Map() })
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
    const entry = this.#families.get(name)
    if (entry === undefined) return 0
    for (const refresh of this.#refreshes) refresh()
    for (const cell of entry.family.cells()) if (labelKey(cell.labels) === labelKey(labels)) return cell.value
    return 0
  }

  /** The sum over all cells of a family. */
  total(name: string): number {
    let sum = 0
    for (const cell of this.#families.get(name)?.family.cells() ?? []) sum += cell.value
    return sum
  }

  #cell(name: string, unit: string, help: string, kind: Family['kind'], labels: Labels): Cell {
    let entry = this.#families.get(name)
    if (entry === undefined) {
      const cells = new Map<string, Cell>()
      entry = { family: { name, unit, help, kind, cells: () => cells.values() }, cells }
      this.#families.set(name, entry)
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

const labelKey = (labels: Labels) =>
  Object.keys(labels)
    .sort()
    .map(name => `${name}=${labels[name]}`)
    .join('\0')
