//! The histograms of one window, by row and by series, and their middles.
import { BINS_PER_E, type FeatureWindow } from '../bus/bus.ts'
import type { Level } from '../detect/location.ts'
import { Histogram, type Middle } from '../detect/robust.ts'
import { effective } from '../detect/significance.ts'
import type { LaggedLevel } from './lagged.ts'
import type { Series } from './series.ts'

const NONE = -1

export class Rows {
  readonly #histogram = new Histogram()
  #window: FeatureWindow | null = null
  /** Where the bins of each row begin. */
  #from = new Int32Array(1025)
  /** The rows of a series, as a chain. */
  #next = new Int32Array(1024)

  begin(window: FeatureWindow): void {
    const { cells, bins } = window
    this.#window = window
    if (this.#next.length < cells.length) {
      this.#next = new Int32Array(cells.length * 2)
      this.#from = new Int32Array(cells.length * 2 + 1)
    }
    let bin = 0
    for (let row = 0; row < cells.length; row++) {
      while (bin < bins.length && bins.row[bin] < row) bin++
      this.#from[row] = bin
    }
    this.#from[cells.length] = bins.length
  }

  /** The window has been read: nothing of it is kept. */
  end(): void {
    this.#window = null
  }

  /** The row counts for its series as a whole. */
  join(series: Series, row: number): void {
    this.#next[row] = series.row
    series.row = row
  }

  /** The middle of what a series has of one measure; goes into `lagged.now`. */
  middle(series: Series, measure: number, lagged: LaggedLevel): void {
    let n = 0
    let n2 = 0
    for (let row = series.row; row !== NONE; row = this.#next[row]) {
      const { weight, squares } = this.#gather(row, measure)
      n += weight
      n2 += squares
    }
    // What is asked for its middle takes up a row from then on.
    if (n > 0) this.#take(n, n2, lagged, lagged.now)
  }

  middleOfRow(row: number, measure: number, level: Level, into: Middle): void {
    const { weight, squares } = this.#gather(row, measure)
    this.#take(weight, squares, level, into)
  }

  #gather(row: number, measure: number): { weight: number; squares: number } {
    const { bins, cells } = this.#window as FeatureWindow
    let weight = 0
    for (let bin = this.#from[row]; bin < this.#from[row + 1]; bin++) {
      if (bins.measure[bin] !== measure) continue
      this.#histogram.add(bins.bucket[bin], bins.weight[bin])
      weight += bins.weight[bin]
    }
    // Weights of one row are alike: how many samples they stand for is known of its spans as a whole.
    const { timed, timedSquares } = cells
    return { weight, squares: timed[row] > 0 ? (weight * timedSquares[row]) / timed[row] : weight }
  }

  #take(weight: number, squares: number, { variance }: Level, into: Middle): void {
    this.#histogram.take(effective(weight, squares), Math.sqrt(variance) * BINS_PER_E, into)
    into.mean /= BINS_PER_E
    into.variance /= BINS_PER_E * BINS_PER_E
  }
}
