//! What is normal, as gauges that both planes fill: four families for each unit in which something is normal.
import { Cell, type Labels, type Registry } from './counters.ts'

/** One quantity of one place, in the unit of its families. NaN: it is not known. */
export interface Band {
  readonly labels: Labels
  readonly observed: number
  readonly expected: number
  readonly lower: number
  readonly upper: number
}

const FAMILIES = [
  ['observed', 'What was seen last.'],
  ['expected', 'What is normal.'],
  ['lower', 'Lower end of what is normal.'],
  ['upper', 'Upper end of what is normal.'],
] as const

/** @param read all bands of this unit, at each scrape; past the bound of a family, one stands for the rest */
export function registerBands(registry: Registry, unit: string, read: () => Iterable<Band>): void {
  for (const [which, help] of FAMILIES)
    registry.contribute(`otlier.baseline.${which}`, unit, help, () => cells(read(), which))
}

function* cells(bands: Iterable<Band>, which: (typeof FAMILIES)[number][0]): Generator<Cell> {
  for (const band of bands) if (!Number.isNaN(band[which])) yield new Cell(band.labels, band[which])
}
