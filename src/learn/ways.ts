//! Ways between services that are slow at the same time although they have no end in common: then it is the network, and no service's fault.
import { SCALES } from '../detect/scales.ts'
import { Together } from '../detect/together.ts'
import type { Feature } from './feature.ts'

/** A way counts as slow from this z on. */
const SLOW_Z = 2.5

export class Ways {
  /** How many are usually slow at the same time. */
  readonly together = new Together()
  /** Those of this window, by scale. */
  readonly #slow: Feature[][] = SCALES.map(() => [])
  readonly #shared: boolean[] = SCALES.map(() => false)

  /** Finds those that are slow in this window. All have been judged. */
  turn(features: readonly Feature[]): void {
    for (const slow of this.#slow) slow.length = 0
    let watched = 0
    for (const feature of features) {
      if (!isWay(feature)) continue
      if (feature.samplesAt(SCALES.length - 1) > 0) watched++
      if (feature.highestZ < SLOW_Z) continue
      for (const [scale, { z }] of feature.judged.entries()) if (z >= SLOW_Z) this.#slow[scale].push(feature)
    }
    this.together.window(
      this.#slow.map(({ length }) => length),
      watched,
    )
  }

  /** By scale, whether more others than by chance are slow that share no end with it. Holds until the next is asked for. */
  sharedBy(feature: Feature): readonly boolean[] {
    const isOne = isWay(feature)
    for (let scale = 0; scale < SCALES.length; scale++)
      this.#shared[scale] = isOne && this.#isShared(feature, scale)
    return this.#shared
  }

  #isShared({ place }: Feature, scale: number): boolean {
    let others = 0
    for (const { place: other } of this.#slow[scale]) {
      if (other.caller === place.caller || other.target === place.target) continue
      if (++others >= this.together.most[scale]) return true
    }
    return false
  }
}

export const isWay = ({ class: of }: Feature): boolean => of === 'edge gap' || of === 'peer duration'
