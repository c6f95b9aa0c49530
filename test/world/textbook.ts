//! A detector as textbooks have it, to show how hard the simulated world is: it must fail here as it fails on real systems.

/** One series whose window differs from those before it. */
export interface Alarm {
  readonly series: string
  readonly z: number
  readonly ratio: number
}

const Z = 4
const RATIO = 1.5
/** Fewer values than this in the window, or than ten times as many before it, are not judged. */
const LEAST = 5

/** Compares each window of durations with the windows before it: Mann-Whitney z > 4 and medians apart by more than 1.5. */
export class Textbook {
  private readonly before = new Map<string, Float64Array[]>()
  private readonly windows: number

  /** `windows`: how many windows back it looks. */
  constructor(windows: number) {
    this.windows = windows
  }

  /** The alarms of one window, strongest first. `durations` by series; each list is taken over. */
  look(durations: ReadonlyMap<string, Float64Array>): Alarm[] {
    const alarms: Alarm[] = []
    for (const series of new Set([...this.before.keys(), ...durations.keys()])) {
      const now = durations.get(series)?.sort() ?? new Float64Array(0)
      let before = this.before.get(series)
      if (before === undefined) this.before.set(series, (before = []))
      const usual = before.reduce((sum, one) => sum + one.length, 0)
      if (now.length >= LEAST && usual >= 10 * LEAST) {
        const { z, median } = mannWhitney(now, before, usual)
        const ratio = now[now.length >> 1] / median
        if (z > Z && ratio > RATIO) alarms.push({ series, z, ratio })
      }
      before.push(thinned(now))
      if (before.length > this.windows) before.shift()
    }
    return alarms.sort((a, b) => b.z - a.z)
  }
}

/** How many times something began to be wrong: moments of alarm no farther apart than `quietMs` are one event. */
export function events(momentsMs: readonly number[], quietMs: number): number {
  let count = 0
  let lastMs = Number.NEGATIVE_INFINITY
  for (const momentMs of momentsMs) {
    if (momentMs - lastMs > quietMs) count++
    lastMs = momentMs
  }
  return count
}

// A few dozen of each window are enough to know what is usual.
const MOST = 40
const thinned = (sorted: Float64Array) =>
  sorted.length <= MOST
    ? sorted
    : Float64Array.from({ length: MOST }, (_, n) => sorted[Math.floor(((n + 0.5) * sorted.length) / MOST)])

/** The rank-sum statistic as a normal deviate (ties counted half), and the median of what was before. */
function mannWhitney(
  now: Float64Array,
  before: readonly Float64Array[],
  usual: number,
): { z: number; median: number } {
  const all = new Float64Array(usual)
  let at = 0
  for (const one of before) {
    all.set(one, at)
    at += one.length
  }
  all.sort()
  let above = 0
  let lower = 0
  let upper = 0
  for (const value of now) {
    while (lower < usual && all[lower] < value) lower++
    while (upper < usual && all[upper] <= value) upper++
    above += (lower + upper) / 2
  }
  const mean = (now.length * usual) / 2
  const spread = Math.sqrt((now.length * usual * (now.length + usual + 1)) / 12)
  return { z: (above - mean) / spread, median: all[usual >> 1] }
}
