//! How many windows are looked at together, and how long learning stays behind judging.

/** In windows: short for what is large, long for what is small or seldom. Ascending. */
export const SCALES = [2, 6, 18, 36] as const
/** Which of them is a minute. */
export const MINUTE = 1
/** As many windows are kept. */
export const WINDOWS_KEPT = 36
/** What is learned was judged so many windows ago: the onset of a fault is seen before it is learned. */
export const LAG_WINDOWS = 6
