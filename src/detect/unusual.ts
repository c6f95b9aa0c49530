//! The scale on which everything is compared: how seldom a value comes in calm times, per class of feature, and for the deployment as a whole.
import { frailty } from './frailty.ts'
import { type Belief, PeakRecord } from './tail.ts'

/**
 * Beforehand, of the deciding statistic: it reaches 0 so often a day, and an e-th of that with each step. Six times as often as it does,
 * which its small peaks say within hours: until then little is known of anything.
 */
const BELIEF_OF_ALL: Belief = { rate: surprise => 3000 * Math.exp(-surprise), days: 2, common: 1 }

/** By how much a z exceeds 1, in what its tail falls off with. Times: e to the root of z (Weibull, with shape 1/2). Shares and counts: a power of it. */
export type TailLaw = 'stretched' | 'power'
const strengthOf: Readonly<Record<TailLaw, (z: number) => number>> = {
  stretched: z => 2 * (Math.sqrt(z) - 1),
  power: z => Math.log(z),
}

interface ClassBelief {
  /** z reaches this once an hour somewhere in the deployment, beforehand. */
  readonly hourly: number
  /** Its tail falls off there as z to the power of -1 / `scale` does. */
  readonly scale: number
  readonly law: TailLaw
}

/** The peaks of z of one class on one scale. */
export class ClassRecord extends PeakRecord {
  /** How often a place of the class departs in calm times, on average. */
  usual = 0
  readonly #strength: (z: number) => number
  /** In so much strength the tail falls to an e-th; 0 where all places are taken to be alike. */
  readonly #slope: number

  /** `learns`: as of any record. `frail`: whether some places depart more often than others. */
  constructor({ hourly, scale, law }: ClassBelief, learns = true, frail = true) {
    const strength = strengthOf[law]
    const slope = law === 'power' ? scale : scale * Math.sqrt(hourly)
    super({ rate: value => 24 * Math.exp(-(value - strength(hourly)) / slope), days: 1 }, learns)
    this.#strength = strength
    this.#slope = frail ? slope : 0
  }

  /**
   * Notes the peak of a departure, where it is one on this scale too: what comes more than once an hour is met only where another scale
   * made it depart, and how often it comes cannot be told from that. Among the peaks such values would make the tail look far heavier.
   * @param own how often the place departs in calm times
   */
  noteZ(timeMs: number, z: number, own: number = this.usual): void {
    if (this.surprise(z, own) > 0) this.note(timeMs, this.#at(z, own))
  }

  /** ln of one over the expected number an hour: 0 is once an hour, 3.2 once a day, 5.1 once a week. `own`: as above. */
  surprise(z: number, own: number = this.usual): number {
    return z > 0.1 ? -Math.log(this.rate(this.#at(z, own)) / 24) : Number.NEGATIVE_INFINITY
  }

  #at(z: number, own: number): number {
    return this.#strength(z) - this.#slope * frailty(own, this.usual)
  }
}

export const recordOfAll = (learns: boolean) => new PeakRecord(BELIEF_OF_ALL, learns)

/** The deciding statistic that calm times exceed so often a day. */
export const levelFor = (record: PeakRecord, perDay: number): number => record.level(perDay, 0, 60)

/** What rises so far beyond the level is held to be a fault, and is no part of calm times. */
export const BEYOND_DOUBT = 1.5
