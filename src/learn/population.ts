//! How many places of each class there are, and how often they depart in calm times: what is believed and what is unusual go by that.
import { faded } from '../detect/frailty.ts'
import type { Feature } from './feature.ts'
import { CLASSES, FEATURE_CLASSES, type FeatureClass, type Tails } from './places.ts'

/** However small a deployment is, it counts as so large a part of an average one. */
const LEAST_SIZE = 0.1
/** That a place has not departed yet says something in full when the record has seen so many days of calm times. */
const KNOWN_DAYS = 0.5

/**
 * To be called every `ms`. Tells each class what it has to go by.
 * @param days of calm times that the record has seen
 * @returns the deployment's size as a part of an average one
 */
export function takeCensus(features: readonly Feature[], tails: Tails, days: number, ms: number): number {
  const counts = new Map<FeatureClass, number>()
  const departures = new Map<FeatureClass, number>()
  for (const feature of features) {
    const { class: name } = feature
    feature.calmDepartures = faded(feature.calmDepartures, ms)
    counts.set(name, (counts.get(name) ?? 0) + 1)
    departures.set(name, (departures.get(name) ?? 0) + feature.calmDepartures)
  }
  const known = Math.min(1, days / KNOWN_DAYS)
  let whole = 0
  for (const name of FEATURE_CLASSES) {
    const count = counts.get(name) ?? 0
    const size = Math.max(LEAST_SIZE, count / CLASSES[name].places)
    whole += size / FEATURE_CLASSES.length
    for (const tail of tails[name]) {
      tail.size = size
      tail.usual = (known * (departures.get(name) ?? 0)) / Math.max(1, count)
    }
  }
  return whole
}
