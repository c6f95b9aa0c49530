//! Chance that can be replayed: a seeded generator, a few draws from it, and the seeds that a test runs over.

/** A number from 0 up to, but not including, 1. */
export type Random = () => number

/** A generator (sfc32) whose whole sequence follows from the seed. */
export function seeded(seed: number): Random {
  let a = seed >>> 0
  let b = Math.floor(seed / 2 ** 32) >>> 0
  let c = 0x9e3779b9
  let counter = 1
  function next(): number {
    const sum = (a + b + counter) >>> 0
    counter = (counter + 1) >>> 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) >>> 0
    c = (((c << 21) | (c >>> 11)) + sum) >>> 0
    return sum / 2 ** 32
  }
  // Neighbouring seeds start alike: the first draws mix them apart.
  for (let n = 0; n < 16; n++) next()
  return next
}

/** A whole number from 0 to below `limit`. */
export function int(random: Random, limit: number): number {
  return Math.floor(random() * limit)
}

/** A whole number from `low` to `high`, both included. */
export function between(random: Random, low: number, high: number): number {
  return low + int(random, high - low + 1)
}

/** True with the given probability. */
export function chance(random: Random, probability: number): boolean {
  return random() < probability
}

/** One of the list, which must not be empty. */
export function pick<T>(random: Random, list: readonly T[]): T {
  if (list.length === 0) throw new RangeError('nothing to pick from')
  return list[int(random, list.length)] as T
}

export function bytes(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => int(random, 256))
}

/** The list in another order; the list itself stays as it is. */
export function shuffled<T>(random: Random, list: readonly T[]): T[] {
  const out = [...list]
  for (let at = out.length - 1; at > 0; at--) {
    const other = int(random, at + 1)
    const moved = out[at] as T
    out[at] = out[other] as T
    out[other] = moved
  }
  return out
}

/** A draw from the standard normal distribution. */
export function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
}

/** A draw whose logarithm is normal: durations and sizes of ordinary services. `sigma` is in natural logarithms. */
export function logNormal(random: Random, median: number, sigma: number): number {
  return median * Math.exp(sigma * normal(random))
}

/** The seeds 1 to n. `OTLIER_SEED=17` replays one seed, `OTLIER_SEED=fresh` draws n that were never seen. */
export function seeds(n: number): number[] {
  const asked = process.env.OTLIER_SEED ?? ''
  if (asked === 'fresh') return Array.from({ length: n }, () => Math.floor(Math.random() * 2 ** 52))
  if (asked === '') return Array.from({ length: n }, (_, at) => at + 1)
  const seed = Number(asked)
  if (!Number.isSafeInteger(seed) || seed < 0) throw new RangeError(`OTLIER_SEED is no seed: ${asked}`)
  return [seed]
}

/** Runs the body for every seed; what fails says with which seed it can be replayed. */
export function forSeeds(n: number, body: (random: Random, seed: number) => void): void {
  for (const seed of seeds(n)) {
    try {
      body(seeded(seed), seed)
    } catch (error) {
      throw told(error, seed)
    }
  }
}

/** `forSeeds` for a body that waits. */
export async function forSeedsAsync(
  n: number,
  body: (random: Random, seed: number) => Promise<void>,
): Promise<void> {
  for (const seed of seeds(n)) {
    try {
      await body(seeded(seed), seed)
    } catch (error) {
      throw told(error, seed)
    }
  }
}

// The error keeps its class and its diff: only its message grows.
function told(error: unknown, seed: number): unknown {
  const note = ` (replay with OTLIER_SEED=${seed})`
  if (!(error instanceof Error)) return new Error(`${String(error)}${note}`, { cause: error })
  error.message += note
  return error
}
