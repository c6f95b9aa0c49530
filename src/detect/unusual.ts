//! The scale on which everything is compared: how seldom a value comes in calm times, per class of feature, and for the deployment as a whole.
import { type Belief, PeakRecord } from './tail.ts'

/** Beforehand, of the deciding statistic: it reaches 0 so often a day, and an e-th of that with each step. */
const BELIEF_OF_ALL: Belief = { rate: surprise => 450 * Math.exp(-surprise), days: 2, common: 1 }

/** In what records of classes count: tails of z fall off as e to its square root (Weibull, with shape 1/2), between a power and an exponential. */
export const strengthOf = (z: number): number => 2 * (Math.sqrt(z) - 1)

/**
 * The record of one class on one scale. Beforehand: z reaches `hourly` once an hour somewhere in the deployment, and its tail falls off
 * there as z to the power of -1 / `scale` does.
 */
export const recordOfClass = (hourly: number, scale: number, learns: boolean) =>
  new PeakRecord(
    {
      rate: strength => 24 * Math.exp(-(strength - strengthOf(hourly)) / (scale * Math.sqrt(hourly))),
      days: 1,
    },
    learns,
  )
export const recordOfAll = (learns: boolean) => new PeakRecord(BELIEF_OF_ALL, learns)

/** ln of one over the expected number an hour: 0 is once an hour, 3.2 once a day, 5.1 once a week. */
export const surpriseOf = (record: PeakRecord, z: number): number =>
  z > 0.1 ? -Math.log(record.rate(strengthOf(z)) / 24) : Number.NEGATIVE_INFINITY

/** The deciding statistic that calm times exceed so often a day. */
export const levelFor = (record: PeakRecord, perDay: number): number => record.level(perDay, 0, 60)

/** What rises so far beyond the level is held to be a fault, and is no part of calm times. */
export const BEYOND_DOUBT = 1.5
