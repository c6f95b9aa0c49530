//! The scale on which everything is compared: how seldom a value comes in calm times, per class of feature, and for the deployment as a whole.
import { frailty } from './frailty.ts'
import { type Belief, PeakRecord } from './tail.ts'

/**
 * Beforehand, of the deciding statistic: it reaches 0 so often a day, and an e-th of that with each step. Six times as often as it does,
 * which its small peaks say within hours: until then little is known of anything. After a day that is over, and what counts far out is that a
 * few peaks a week are of another kind, which no class expects (a sampling rate that changes, the first night of a job), and go two and a
 * half times as far.
 */
const BELIEF_OF_ALL: Belief = {
  rate: (surprise, days) =>
    3000 * Math.exp(-surprise) + 45 * Math.min(1, days) ** 2 * Math.exp(-surprise / 2.5),
  days: 2,
  common: 1,
}

/** By how much a z exceeds 1, in what its tail falls off with. Times: e to the root of z (Weibull, with shape 1/2). Shares and counts: a power of it. */
export type TailLaw = 'stretched' | 'power'
const strengthOf: Readonly<Record<TailLaw, (z: number) => number>> = {
  stretched: z => 2 * (Math.sqrt(z) - 1),
  power: z => Math.log(z),
}

/** How far z of a class goes somewhere in a deployment. */
export interface Reach {
  /** It reaches this once an hour. */
  readonly hourly: number
  /** There its tail falls off as z to the power of -1 / `scale` does. */
  readonly scale: number
}

/** What is believed beforehand. */
interface ClassBelief extends Reach {
  readonly law: TailLaw
  /** The same of later times, where the first hours are not like them. */
  readonly settled?: Reach | undefined
}

/** What is believed of later times holds in full after so many days. */
const SETTLED_DAYS = 0.5

/** The peaks of z of one class on one scale. */
export class ClassRecord extends PeakRecord {
  /** How often a place of the class departs in calm times, on average. */
  usual = 0
  /** How much of what is believed of later times holds by now at most. */
  settles = 1
  readonly #strength: (z: number) => number
  /** In so much strength the tail falls to an e-th; 0 where all places are taken to be alike. */
  readonly #slope: number

  /** `learns`: as of any record. `frail`: whether some places depart more often than others. */
  constructor(belief: ClassBelief, learns = true, frail = true) {
    const { law, settled = belief } = belief
    const strength = strengthOf[law]
    const slopeOf = ({ hourly, scale }: Reach) => (law === 'power' ? scale : scale * Math.sqrt(hourly))
    const surprise = (value: number, reach: Reach) => (value - strength(reach.hourly)) / slopeOf(reach)
    const rate = (value: number, days: number) => {
      const later = Math.min(this.settles, days / SETTLED_DAYS)
      return 24 * Math.exp(-(1 - later) * surprise(value, belief) - later * surprise(value, settled))
    }
    super({ rate, days: 1 }, learns)
    this.#strength = strength
    this.#slope = frail ? slopeOf(belief) : 0
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
