//! How much of the shop's past a busy machine leaves out, so that the first fault need not wait for it.

/** Where sending the past would take longer, on a busy machine, a part of it is passed over, and less is known of it. */
const LEARN_WITHIN_MS = 20_000
/** How fast it goes is known after so long. */
const KNOWN_AFTER_MS = 3000
/** Each gap costs a window or two: what is passed over is at least so long. */
const LEAST_SKIP_MS = 5 * 60_000

/**
 * How much of the past to pass over, so that sending it ends in time; 0 where it will. All in milliseconds.
 * @param tookMs how long sending has taken
 * @param sentMs how much of the past that was
 * @param leftMs how much is left
 */
export function passOver(tookMs: number, sentMs: number, leftMs: number): number {
  if (tookMs < KNOWN_AFTER_MS) return 0
  const affordableMs = (sentMs / tookMs) * Math.max(0, LEARN_WITHIN_MS - tookMs)
  const tooMuchMs = leftMs - affordableMs
  return tooMuchMs < LEAST_SKIP_MS ? 0 : tooMuchMs
}
