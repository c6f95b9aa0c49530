//! What the last windows of one place say on one scale, before anybody asks how unusual that is.

/** Reused; holds until the next judgement. */
export interface Judged {
  /** How far beyond, in standard deviations of what sampling and the usual change from window to window explain. */
  z: number
  /** The departure itself: of durations in logarithms, of shares their difference, of counts in logarithms. */
  shift: number
  /** The standard deviation that z counts in; 0 where nothing is judged. */
  sd: number
  /** What is normal, in the same form. */
  level: number
  /** What it rests on: samples; for counts the number expected. */
  n: number
  /** The same as `z` by the later half of these windows alone, and by the earlier: what lasts shows in both. */
  later: number
  earlier: number
}

export const newJudged = (): Judged => ({ z: 0, shift: 0, sd: 0, level: 0, n: 0, later: 0, earlier: 0 })
