//! What each part of the learning plane is worth: the figures without it, beside those of the whole plane in the same worlds.
import type { Part } from '../../src/learn/parts.ts'
import { type Figure, falseADay, faultFigures, table } from './figures.ts'
import type { Done, Job } from './jobs.ts'

/** A figure that gets better when it rises (1) or falls (-1). */
interface Measure {
  readonly name: string
  readonly better: 1 | -1
  /** Of one world at one budget; NaN where that world has nothing to say of it. */
  readonly of: (done: Done, budget: number) => number
}

const fromFaults = (name: string, better: 1 | -1): Measure => ({
  name,
  better,
  of: (done, budget) => faultFigures([done], budget).find(one => one.name === name)?.value ?? Number.NaN,
})

const FAULTS: readonly Measure[] = [
  fromFaults('clear: detected', 1),
  fromFaults('clear: within 120 s', 1),
  fromFaults('clear: right first suspect', 1),
  fromFaults('subtle: detected within 5 min', 1),
  fromFaults('incidents per detected fault', -1),
  fromFaults('resolved within 3 min of the end', 1),
  fromFaults('opened again', -1),
  { name: 'false incidents a day among faults', better: -1, of: (done, budget) => falseADay([done], budget) },
]
const CALM: readonly Measure[] = [
  { name: 'false incidents a day in calm time', better: -1, of: (done, budget) => falseADay([done], budget) },
]

/** A mean over worlds with its standard error. NaN of none, and an error of NaN of one. */
export function meanOf(values: readonly number[]): { mean: number; error: number } {
  const mean = values.reduce((a, b) => a + b, 0) / values.length
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  return { mean, error: Math.sqrt(squares / (values.length - 1) / values.length) }
}

/** By how much a figure changes without a part: pairs of the same world, so that what differs between worlds falls out. */
export function change(whole: readonly number[], without: readonly number[], better: 1 | -1) {
  const pairs = whole
    .map((value, at) => without[at] - value)
    .filter(difference => Number.isFinite(difference))
  const { mean, error } = meanOf(pairs)
  return { mean, error, worse: -better * mean > 2 * error }
}

/** A row for each figure and a column for each part. Bold: worse by more than twice its standard error. */
export function ablationTable(done: readonly Done[]): { text: string; figures: Figure[] } {
  const parts: readonly Part[] = done[0].job.beside ?? []
  const worse = new Map<Part, string[]>(parts.map(part => [part, []]))
  const rows: string[][] = []
  for (const [what, measures] of [['faults', FAULTS] as const, ['calm', CALM] as const]) {
    const own = done.filter(({ job }) => job.what === what)
    if (own.length === 0) continue
    for (const budget of own[0].job.options.budgets)
      for (const { name, better, of } of measures) {
        const whole = own.map(one => of(one, budget))
        const label = `${name}, budget ${budget}`
        const cells = parts.map((part, at) => {
          const without = own.map(one => of({ ...one, budgets: one.without[at] }, budget))
          const { mean, error, worse: isWorse } = change(whole, without, better)
          if (isWorse) worse.get(part)?.push(label)
          const text = `${mean < 0 ? '' : '+'}${mean.toFixed(3)} ± ${error.toFixed(3)}`
          return isWorse ? `**${text}**` : text
        })
        rows.push([label, meanOf(whole.filter(Number.isFinite)).mean.toFixed(3), ...cells])
      }
  }
  return {
    text: table(['figure, mean over worlds', 'whole', ...parts.map(part => `without ${part}`)], rows),
    figures: parts.map(part => ({
      name: `without ${part}`,
      wanted: 'a figure that is worse by twice its standard error',
      found: worse.get(part)?.join('; ') || 'none',
      value: worse.get(part)?.length ?? 0,
      holds: (worse.get(part)?.length ?? 0) > 0,
    })),
  }
}

/** The same jobs with each part switched off beside the whole plane. */
export const withAblations = (jobs: readonly Job[], parts: readonly Part[]): Job[] =>
  jobs.map(job => ({ ...job, beside: parts }))
