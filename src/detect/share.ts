//! Whether a window holds clearly more of something than its series usually does.

/** No series is trusted to stay below this share. */
const SHARE_FLOOR = 0.002
const SPREADS = 4
/** Fewer than this are chance, whatever the share. */
const LEAST = 3

/**
 * A window of `count` spans of which `hits` are beyond the band or failed, in a series where the share `usual` is: four binomial spreads
 * above the expected number and three more. Spans of a trace are not independent, which is why it is four and not two.
 */
export function clearlyMore(hits: number, count: number, usual: number): boolean {
  const share = Math.min(1, Math.max(SHARE_FLOOR, usual))
  const expected = count * share
  return hits > expected + SPREADS * Math.sqrt(expected * (1 - share)) + LEAST - 1
}
