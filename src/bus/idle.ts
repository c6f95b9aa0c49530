//! How long what is idle is kept, in both planes: the numbers stand here.

/**
 * In hours in which traces came, so that a night or a weekend of silence costs nothing. Series, with their services, edges and
 * features: a job of every night is still known after a night in which it did not run. Pods come with every rollout and go. A model is
 * called stale by then.
 */
export const KEPT_HOURS = { series: 48, pods: 6, fresh: 6 } as const
