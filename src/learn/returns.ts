//! Places that come back: an incident where one has just ended waits longer before it is over, so that what flaps is told once and not each time.

/** Who departs again within this has come back. */
const SOON_MS = 15 * 60_000
/** With each time it waits twice as long, so many times at most. */
const MOST_DOUBLINGS = 3

export class Returns {
  /** By place, when its last incident ended, and how many had before that, each soon after the other. */
  readonly #ended = new Map<string, { readonly atMs: number; readonly returns: number }>()

  /** How many incidents this place has just had, one soon after the other. */
  of(place: string, nowMs: number): number {
    const last = this.#ended.get(place)
    return last !== undefined && nowMs - last.atMs <= SOON_MS ? last.returns + 1 : 0
  }

  /** An incident has ended that had so many before it, one soon after the other. */
  end(places: Iterable<string>, returns: number, nowMs: number): void {
    for (const [place, { atMs }] of this.#ended) if (nowMs - atMs > SOON_MS) this.#ended.delete(place)
    for (const place of places) this.#ended.set(place, { atMs: nowMs, returns })
  }
}

/** For how many times as many calm windows one waits that has come back so often. */
export const patience = (returns: number): number => 2 ** Math.min(returns, MOST_DOUBLINGS)
