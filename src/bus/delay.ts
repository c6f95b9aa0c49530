//! How long after its end a window is known: what publishes windows and what hears them have to agree on it.

/** A trace of which nothing is missing has to be quiet for this part of the wait. */
const QUIET_PART = 1 / 4

export interface Waits {
  /** How long a trace of which something is missing must be quiet before it counts as whole. */
  readonly traceWaitMs: number
  /** How late spans may come. */
  readonly latenessMs: number
}

/** How long after the end of its root a trace of which nothing is missing counts as whole. */
export const quietMs = ({ traceWaitMs }: Pick<Waits, 'traceWaitMs'>): number => QUIET_PART * traceWaitMs

/** From the end of a window to the moment at which it is published, in stream time. */
export const delayOf = (waits: Waits): number => quietMs(waits) + waits.latenessMs
