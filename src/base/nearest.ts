//! Which known word a mistyped one was meant to be: the nearest by Damerau-Levenshtein distance.

/** Longer words are not compared: nobody mistypes a known word into them. */
const MAX_LENGTH = 64

/** The nearest of `known`, or null when nothing is near enough to be a typing mistake. Ties go to the first. */
export function nearest(word: string, known: Iterable<string>): string | null {
  if (word.length > MAX_LENGTH) return null
  const lower = word.toLowerCase()
  let best: string | null = null
  // One mistake in three letters is a slip; more is another word.
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1
  for (const candidate of known) {
    const away = distance(lower, candidate.toLowerCase())
    if (away < bestDistance) {
      best = candidate
      bestDistance = away
    }
  }
  return best
}

/** Insertions, deletions, substitutions and swaps of neighbours, each counted once. */
export function distance(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    for (let column = 1; column <= b.length; column++) {
      const differs = a[row - 1] === b[column - 1] ? 0 : 1
      let least = Math.min(last[column] + 1, current[column - 1] + 1, last[column - 1] + differs)
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]
      if (swapped) least = Math.min(least, beforeLast[column - 2] + 1)
      current.push(least)
    }
    beforeLast = last
    last = current
  }
  return last[b.length]
}
