//! Chance by address: every draw of the simulated world follows from where it stands, so that twin runs agree wherever they can.

const { imul } = Math

/** 32 bits well stirred; different inputs give different outputs. */
export function mix(bits: number): number {
  let x = bits | 0
  x = imul(x ^ (x >>> 16), 0x7feb352d)
  x = imul(x ^ (x >>> 15), 0x846ca68b)
  return (x ^ (x >>> 16)) >>> 0
}

/** The address of a part of something: 32 bits again. */
export function under(address: number, part: number): number {
  return mix(imul(address, 0x2c1b3c6d) + imul(part + 1, 0x9e3779b1))
}

/** The address of something with a name. */
export function named(address: number, name: string): number {
  let at = mix(address)
  for (let n = 0; n < name.length; n++) at = under(at, name.charCodeAt(n))
  return at
}

/** From 0 up to, but not including, 1. */
export const unit = (bits: number) => bits / 2 ** 32

const STEPS = 2 ** 14
const GAUSS = quantilesOfTheNormal()

/** A standard normal deviate, of one in 16,384: none beyond 4.1. What lies farther out is the business of the Pareto tails. */
export const gauss = (bits: number) => GAUSS[bits >>> 18]

/** From `low` to `high`, each factor between them as likely as the next. */
export const logUniform = (bits: number, low: number, high: number) => low * (high / low) ** unit(bits)

export const logNormal = (bits: number, median: number, sigma: number) =>
  median * Math.exp(sigma * gauss(bits))

/** At least 1; beyond x with probability x^-index. */
export const pareto = (bits: number, index: number) => (1 - unit(bits)) ** (-1 / index)

/** How many, where `mean` are expected. The draws are coupled: more are expected, never fewer come. */
export function poisson(bits: number, mean: number): number {
  if (mean > 60) return Math.max(0, Math.round(mean + Math.sqrt(mean) * gauss(bits)))
  let left = unit(bits)
  let share = Math.exp(-mean)
  let count = 0
  while (left >= share && count < 400) {
    left -= share
    count++
    share *= mean / count
  }
  return count
}

/**
 * Noise that looks alike at every scale: one octave of smooth noise for each doubling of its time, all of equal size.
 * `at` and `first` (the shortest time) in the same unit. The whole has about unit variance.
 */
export function wander(address: number, at: number, first: number, octaves: number): number {
  let sum = 0
  let width = first
  for (let octave = 0; octave < octaves; octave++) {
    const place = at / width
    const cell = Math.floor(place)
    const part = place - cell
    const own = address + imul(octave + 1, 0x632be59b)
    sum += gauss(under(own, cell)) * (1 - part) + gauss(under(own, cell + 1)) * part
    width *= 2
  }
  // The mean square of a straight line between two unit normals is 2/3.
  return sum / Math.sqrt(octaves * (2 / 3))
}

/** A list in another order, the same for the same address. */
export function shuffledBy<T>(address: number, list: readonly T[]): T[] {
  return list
    .map((one, at) => ({ one, key: under(address, at) }))
    .sort((a, b) => a.key - b.key)
    .map(({ one }) => one)
}

// The integral of the bell curve, walked along in small steps and read off where it passes each share.
function quantilesOfTheNormal(): Float64Array {
  const table = new Float64Array(STEPS)
  const width = 1e-4
  let x = -6
  let below = 0
  let density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)
  for (let n = 0; n < STEPS; n++) {
    while (below < (n + 0.5) / STEPS && x < 6) {
      x += width
      const next = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)
      below += ((density + next) / 2) * width
      density = next
    }
    table[n] = x
  }
  return table
}
