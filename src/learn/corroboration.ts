//! Times that rise at several places of one service together are less likely to be chance than any of them alone.
import type { Feature } from './feature.ts'
import type { ServiceNode } from './landscape.ts'
import { CLASSES } from './places.ts'

/** So many times as much as independent signs would count for: those of a fault rise together, and chance seldom does. */
const COUNTS = 1.5
/** It counts in full when the record has seen so many days of calm times: before, nobody knows what sums reach in them. */
const KNOWN_DAYS = 0.5

/** Times alone: failures, what is missing and what comes less often follow from one another, and from what is asked for. */
const isTime = ({ class: of }: Feature): boolean => CLASSES[of].kind === 'location'

/** What is told from the same spans is one sign, and not several. */
const signOf = ({ name, place: { caller, target } }: Feature): string =>
  caller === null ? name : `${name} ${caller.id} ${target}`

/**
 * The deciding statistic of each departure: how unusual it is, and of times how unusual the other signs of one of its two services are.
 * Logarithms of chances add up (Fisher 1932). How high the sum goes in calm times is measured, as of any other statistic, and not taken
 * from a law: signs are not independent.
 */
export class Corroboration {
  /** By service, of each sign the strongest. */
  readonly #signs = new Map<ServiceNode, Map<string, number>>()

  /**
   * After each window, when it is known how unusual each feature is.
   * @param days of calm times that the record has seen
   */
  turn(features: readonly Feature[], days: number): void {
    const counts = COUNTS * Math.min(1, days / KNOWN_DAYS)
    this.#signs.clear()
    const departing = features.filter(({ surprise }) => surprise > 0)
    const times = departing.filter(isTime)
    for (const feature of times)
      for (const service of servicesOf(feature)) this.#note(service, signOf(feature), feature.surprise)
    for (const feature of departing) feature.decisive = feature.surprise
    for (const feature of times) {
      const sign = signOf(feature)
      feature.decisive +=
        counts * Math.max(...servicesOf(feature).map(service => this.#others(service, sign)))
    }
  }

  #note(service: ServiceNode, sign: string, surprise: number): void {
    let signs = this.#signs.get(service)
    if (signs === undefined) this.#signs.set(service, (signs = new Map()))
    signs.set(sign, Math.max(surprise, signs.get(sign) ?? 0))
  }

  #others(service: ServiceNode, sign: string): number {
    let sum = 0
    for (const [other, surprise] of this.#signs.get(service) ?? []) if (other !== sign) sum += surprise
    return sum
  }
}

/** Either end of a way may be the cause. */
const servicesOf = ({ place: { service, caller } }: Feature): readonly ServiceNode[] =>
  caller === null ? [service] : [service, caller]
