//! What is normal for the duration of each series: its band, and what its last window showed.
import { type Band, registerBands } from '../base/bands.ts'
import type { Registry } from '../base/counters.ts'
import type { SeriesModel } from '../bus/bus.ts'
import { seriesLabels } from '../bus/labels.ts'

/** The median of the last window, the median of what is normal, and the band in which 98 of 100 spans lie. In seconds. */
export function registerDurations(registry: Registry, models: () => Iterable<SeriesModel>): void {
  registerBands(registry, 's', () => bands(models()))
}

function* bands(models: Iterable<SeriesModel>): Generator<Band> {
  for (const { series, state, observedNs, latency } of models) {
    if (state === 'learning') continue
    yield {
      labels: { ...seriesLabels(series), feature: 'duration' },
      observed: observedNs / 1e9,
      expected: latency.p50Ns / 1e9,
      lower: latency.lowerNs / 1e9,
      upper: latency.upperNs / 1e9,
    }
  }
}
