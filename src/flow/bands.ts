//! What is normal, as gauges: for each series its band, and what its last window showed.
import { Cell, type Labels, MAX_CELLS, OVERFLOW, type Registry } from '../base/counters.ts'
import type { SeriesModel } from '../bus/bus.ts'

type Read = (model: SeriesModel) => number
const BANDS: readonly (readonly [string, string, Read])[] = [
  ['otlier.baseline.observed', 'Median of the last window.', model => model.observedNs],
  ['otlier.baseline.expected', 'Median of what is normal.', model => model.latency.p50Ns],
  [
    'otlier.baseline.lower',
    'Lower end of the band in which 98 of 100 spans lie.',
    model => model.latency.lowerNs,
  ],
  [
    'otlier.baseline.upper',
    'Upper end of the band in which 98 of 100 spans lie.',
    model => model.latency.upperNs,
  ],
]

/** Registers the gauges. Past the bound of a family, one cell stands for the rest. */
export function registerBands(registry: Registry, models: () => Iterable<SeriesModel>): void {
  for (const [name, help, read] of BANDS) {
    registry.observe(name, 's', help, () => cells(models(), read))
  }
}

function* cells(models: Iterable<SeriesModel>, read: Read): Generator<Cell> {
  let left = MAX_CELLS - 1
  for (const model of models) {
    const { series, state } = model
    if (state === 'learning' || Number.isNaN(read(model))) continue
    const labels = {
      'service.name': series.service,
      ...(series.namespace === '' ? {} : { 'service.namespace': series.namespace }),
      ...(series.environment === '' ? {} : { 'deployment.environment.name': series.environment }),
      operation: series.operation,
      kind: KINDS[series.kind],
      feature: 'duration',
    }
    yield cell(left > 0 ? labels : OVERFLOW, read(model) / 1e9)
    if (left-- === 0) return
  }
}

const KINDS = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer']

function cell(labels: Labels, value: number): Cell {
  const made = new Cell(labels)
  made.value = value
  return made
}
