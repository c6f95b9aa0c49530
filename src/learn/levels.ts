//! By which levels a feature is judged, those of the series of its place, and what they were and are when they are adopted.
import { CountTrack } from '../detect/counts.ts'
import { SCALES } from '../detect/scales.ts'
import type { Feature } from './feature.ts'
import type { LaggedLevel } from './lagged.ts'
import { CLASSES, type FeatureClass, type Place, passesFloor } from './places.ts'
import type { Series } from './series.ts'

/** Whether two features are judged by the levels of the same series, so that both must begin anew when these change. */
export function sharesLevels(one: Feature, other: Feature): boolean {
  if (one === other) return true
  if (one.place.pod !== null) return false
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

/** What was normal, and what is now, by the longest scale: in nanoseconds, as a share, or as a count of one window. */
export function beforeAfter(feature: Feature): { before: number; after: number } {
  const { level, shift } = feature.judged[SCALES.length - 1]
  if (CLASSES[feature.class].kind === 'location')
    return { before: Math.exp(level), after: Math.exp(level + shift) }
  if (feature.track instanceof CountTrack) {
    const windows = SCALES[SCALES.length - 1]
    return { before: level / windows, after: level / windows / Math.exp(shift) }
  }
  return { before: level, after: feature.class.endsWith(' missing') ? level - shift : level + shift }
}

/** Where all of a service has changed, its operations and pods have not each a level of their own to adopt: then the service. */
export function wholeOf(feature: Feature, find: (id: string) => Feature | undefined): Feature {
  if (!feature.class.endsWith(' self')) return feature
  const whole = find(`service self|${feature.place.service.id}|||||`)
  return whole?.isFrozen && passesFloor(whole.class, whole.judged[SCALES.length - 1]) ? whole : feature
}
