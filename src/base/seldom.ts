//! Says a thing that happens often only now and then, and how often it happened meanwhile.
import type { World } from './world.ts'

/** So long one kind of line is kept back after one of it. */
const QUIET_MS = 10_000

/** `say` is called with the number of times that were kept back since. `Kind` is a closed list, so the memory is bounded. */
export function seldom<Kind extends string>(world: World) {
  const kinds = new Map<Kind, { nextMs: number; suppressed: number }>()
  return (kind: Kind, say: (suppressed: number) => void) => {
    const now = world.monotonic()
    const state = kinds.get(kind) ?? { nextMs: Number.NEGATIVE_INFINITY, suppressed: 0 }
    kinds.set(kind, state)
    if (now < state.nextMs) {
      state.suppressed++
      return
    }
    say(state.suppressed)
    state.suppressed = 0
    state.nextMs = now + QUIET_MS
  }
}
