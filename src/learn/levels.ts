//! By which levels a feature is judged: those of the series of its place.

import type { Feature } from './feature.ts'
import type { LaggedLevel } from './lagged.ts'
import type { Series } from './landscape.ts'
import { CLASSES, type FeatureClass, type Place } from './places.ts'

/** Whether two features are judged by the levels of the same series, so that both must begin anew when these change. */
export function sharesLevels(one: Feature, other: Feature): boolean {
  if (one === other) return true
  if (!one.class.endsWith(' self') || !other.class.endsWith(' self')) return false
  if (one.place.service !== other.place.service) return false
  return (
    one.class !== 'operation self' || other.place.series === null || other.place.series === one.place.series
  )
}

/** The levels by which a feature is judged. None of a pod's: it is judged by its siblings. */
export function* levelsOf({
  class: name,
  place,
}: Feature): Generator<{ series: Series; lagged: LaggedLevel }> {
  if (place.pod !== null || name === 'service drift' || CLASSES[name].kind !== 'location') return
  for (const series of (place.caller ?? place.service).series) {
    const lagged = levelFor(name, place, series)
    if (lagged !== null) yield { series, lagged }
  }
}

/** The level of a series by which a place is judged; null where it is not. */
function levelFor(name: FeatureClass, place: Place, series: Series): LaggedLevel | null {
  if (name === 'edge gap') return series.callee === place.service ? series.gap : null
  if (name === 'peer duration')
    return series.callee === null && (series.peer || series.key.operation) === place.target
      ? series.duration
      : null
  if (series.isCall || (place.series !== null && place.series !== series)) return null
  return series.self
}
