//! Chance that follows from a seed, for what must come out the same again.

/** A generator (xorshift32, mixed by a multiplication) whose whole sequence follows from the seed. In [0, 1). */
export function seeded(seed: number): () => number {
  let state = (Math.imul(seed + 1, 0x9e3779b1) | 1) >>> 0
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (Math.imul(state, 0x2c1b3c6d) >>> 0) / 2 ** 32
  }
}
