//! Windows as they are kept for a self-test, packed: without samples and ids of traces.
import { promisify } from 'node:util'
import { constants, zstdCompress, zstdDecompressSync } from 'node:zlib'
import { type Bins, type Cells, type FeatureWindow, type Links, NO_SAMPLES } from '../../bus/bus.ts'

const squeeze = promisify(zstdCompress)
/** The fastest: most of these numbers are small and whole, and most of their bytes are zero. */
const FAST = { params: { [constants.ZSTD_c_compressionLevel]: 1 } }

type Tables = Pick<FeatureWindow, 'startMs' | 'endMs' | 'series' | 'peers' | 'pods'>
type Lengths = Readonly<Record<'cells' | 'bins' | 'links', number>>

/** Bytes that are kept small. */
export class Squeezed {
  #bytes: Uint8Array
  #isSmall = false

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get size(): number {
    return this.#bytes.length
  }

  /** Makes them small, beside this thread. Where that fails they stay as they were. */
  async squeeze(): Promise<void> {
    try {
      this.#bytes = await squeeze(this.#bytes, FAST)
      this.#isSmall = true
    } catch {
      // They are whole, and only larger.
    }
  }

  open(): Uint8Array {
    return this.#isSmall ? zstdDecompressSync(this.#bytes) : this.#bytes
  }
}

/** A window, packed. The tables of series and pods are those of the data plane. */
export class PackedWindow {
  readonly endMs: number
  readonly packed: Squeezed
  readonly #tables: Tables
  readonly #lengths: Lengths

  constructor({ startMs, endMs, series, peers, pods, cells, bins, links }: FeatureWindow) {
    this.endMs = endMs
    this.#tables = { startMs, endMs, series, peers, pods }
    this.#lengths = { cells: cells.length, bins: bins.length, links: links.length }
    const columns = [...wide(cells, bins, links), ...narrow(cells, bins, links)]
    this.packed = new Squeezed(
      Buffer.concat(
        columns.map(({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength)),
      ),
    )
  }

  /** A copy that belongs to the caller. There are no samples in it, and ids of traces are zero. */
  unpack(): FeatureWindow {
    // From the start of a buffer of its own: columns of eight bytes have to lie at multiples of eight.
    const { buffer } = Uint8Array.from(this.packed.open())
    const { cells: rows, bins, links } = this.#lengths
    let at = 0
    const take = <T>(
      make: new (from: ArrayBuffer, offset: number, length: number) => T,
      n: number,
      size: number,
    ) => {
      const column = new make(buffer, at, n)
      at += n * size
      return column
    }
    const doubles = (n: number) => take(Float64Array, n, 8)
    const ints = (n: number) => take(Int32Array, n, 4)
    const counts = {
      spans: doubles(rows),
      roots: doubles(rows),
      traces: doubles(rows),
      origins: doubles(rows),
      away: doubles(rows),
      timed: doubles(rows),
      answered: doubles(rows),
      timedSquares: doubles(rows),
      answeredSquares: doubles(rows),
    }
    const slowNs = doubles(rows)
    const weight = doubles(bins)
    const [parents, children] = [doubles(links), doubles(links)]
    const [series, pod, row, parent, child, most] = [rows, rows, bins, links, links, links].map(ints)
    const bucket = take(Int16Array, bins, 2)
    const measure = take(Uint8Array, bins, 1)
    return {
      ...this.#tables,
      cells: {
        length: rows,
        series,
        pod,
        ...counts,
        slowTrace: new Uint8Array(16 * rows),
        slowNs,
      },
      bins: { length: bins, row, measure, bucket, weight },
      links: { length: links, parent, child, parents, children, most },
      samples: NO_SAMPLES,
    }
  }
}

/** All that counts spans or traces. */
export const countsOf = (cells: Cells): readonly Float64Array[] => [
  cells.spans,
  cells.roots,
  cells.traces,
  cells.origins,
  cells.away,
  cells.timed,
  cells.answered,
  cells.timedSquares,
  cells.answeredSquares,
]

/** In the order in which `unpack` takes them: widest first. */
const wide = (cells: Cells, bins: Bins, links: Links) => [
  ...countsOf(cells),
  cells.slowNs,
  bins.weight,
  links.parents,
  links.children,
]
const narrow = (cells: Cells, bins: Bins, links: Links) => [
  cells.series,
  cells.pod,
  bins.row,
  links.parent,
  links.child,
  links.most,
  bins.bucket,
  bins.measure,
]
