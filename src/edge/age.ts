//! How long a connection is used, on both sides: so that a load balancer in between can spread connections anew.
import type { World } from '../base/world.ts'

export const CONNECTION_AGE_MS = 5 * 60_000
/** Beyond its age, requests under way have so long to end. */
export const CONNECTION_GRACE_MS = 60_000
/** Connections that began together must not end together. */
const JITTER = 0.1

/** `ageMs`, up to a tenth more or less. */
export const jittered = (ageMs: number, world: World): number =>
  ageMs * (1 - JITTER + 2 * JITTER * world.random())
