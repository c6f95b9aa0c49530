//! From the outcomes of all jobs to the figures that are promised, as tables in Markdown.
import { KINDS } from '../world/faults.ts'
import type { Size } from '../world/measure.ts'
import type { Done, Outcome } from './jobs.ts'
import type { FaultScore, Truth } from './score.ts'
import { poissonAtLeast, poissonUpper, quantile, wilson } from './statistics.ts'

const DAY_MS = 86_400_000

type Scored = Outcome['faults'][number]

/** A requirement, what was measured, and whether that holds it. Null: there was nothing to judge. */
export interface Figure {
  readonly name: string
  readonly wanted: string
  readonly found: string
  readonly value: number
  readonly holds: boolean | null
}

/** What a run gives: figures to be kept, and text to be read. */
export interface Report {
  readonly figures: readonly Figure[]
  readonly text: readonly string[]
}

const all = (done: readonly Done[], budget: number) =>
  done.flatMap(one => one.budgets.filter(outcome => outcome.budget === budget))

export const faultsAt = (done: readonly Done[], budget: number): Scored[] =>
  all(done, budget).flatMap(({ faults }) => faults)

const ofSize = (faults: readonly Scored[], size: Size) => faults.filter(({ truth }) => truth.size === size)
const hits = (faults: readonly Scored[], is: (score: FaultScore, truth: Truth) => boolean) =>
  faults.filter(({ score, truth }) => is(score, truth)).length

const percent = (share: number) => (Number.isNaN(share) ? '-' : `${(100 * share).toFixed(1)} %`)
const seconds = (ms: number) => (Number.isFinite(ms) ? `${Math.round(ms / 1_000)} s` : 'never')

/** `25 of 30, 83.3 % (66.4 to 92.7)` */
export function shareText(count: number, of: number): string {
  const [low, high] = wilson(count, of)
  return `${count} of ${of}, ${percent(count / of)} (${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)})`
}

function share(name: string, count: number, of: number, least: number): Figure {
  return {
    name,
    wanted: `at least ${percent(least)}`,
    found: shareText(count, of),
    value: count / of,
    holds: of === 0 ? null : count / of >= least,
  }
}

const WITHIN_MS = 120_000
const SUBTLE_WITHIN_MS = 300_000

/** The figures of the fault runs at one budget. */
export function faultFigures(done: readonly Done[], budget: number): Figure[] {
  const faults = faultsAt(done, budget)
  const clear = ofSize(faults, 'clear')
  const subtle = ofSize(faults, 'subtle')
  const soon = subtle.filter(({ score }) => score.detected && score.delayMs <= SUBTLE_WITHIN_MS)
  const judged = [...clear, ...subtle]
  const found = judged.filter(({ score }) => score.detected)
  const median = quantile(
    clear.map(({ score }) => score.delayMs),
    0.5,
  )
  const openings = found.reduce((sum, { score }) => sum + score.openings, 0) / found.length
  const reopened = hits(found, one => one.reopened)
  const kinds = KINDS.map(kind => clear.filter(({ truth }) => truth.kind === kind)).filter(
    list => list.length > 0,
  )
  const least = (is: (score: FaultScore) => boolean) =>
    kinds
      .map(list => ({ kind: list[0].truth.kind, share: hits(list, is) / list.length, of: list.length }))
      .sort((a, b) => a.share - b.share)
      .at(0)
  const worst = (name: string, is: (score: FaultScore) => boolean, wanted: number): Figure => {
    const kind = least(is)
    return {
      name,
      wanted: `at least ${percent(wanted)}`,
      found: kind === undefined ? '-' : `${percent(kind.share)} of ${kind.of} (${kind.kind})`,
      value: kind?.share ?? Number.NaN,
      holds: kind === undefined ? null : kind.share >= wanted,
    }
  }
  return [
    share(
      'clear: detected',
      hits(clear, one => one.detected),
      clear.length,
      0.95,
    ),
    {
      name: 'clear: median delay',
      wanted: 'at most 60 s',
      found: seconds(median),
      value: median / 1_000,
      holds: clear.length === 0 ? null : median <= 60_000,
    },
    share(
      'clear: within 120 s',
      hits(clear, one => one.delayMs <= WITHIN_MS),
      clear.length,
      0.9,
    ),
    share(
      'clear: right first suspect',
      hits(clear, one => one.located),
      clear.length,
      0.85,
    ),
    worst('clear: detected, worst kind', one => one.detected, 0.8),
    worst('clear: located, worst kind', one => one.located, 0.6),
    share('subtle: detected within 5 min', soon.length, subtle.length, 0.6),
    share(
      'subtle: located of those',
      hits(soon, one => one.located),
      soon.length,
      0.6,
    ),
    {
      name: 'incidents per detected fault',
      wanted: 'at most 1.2',
      found: openings.toFixed(2),
      value: openings,
      holds: found.length === 0 ? null : openings <= 1.2,
    },
    share(
      'resolved within 3 min of the end',
      hits(found, one => one.resolved),
      found.length,
      0.9,
    ),
    {
      name: 'opened again',
      wanted: 'at most 3.0 %',
      found: shareText(reopened, found.length),
      value: reopened / found.length,
      holds: found.length === 0 ? null : reopened / found.length <= 0.03,
    },
  ]
}

export const figuresTable = (figures: readonly Figure[]) =>
  table(
    ['what', 'wanted', 'found (95 % interval)', 'holds'],
    figures.map(({ name, wanted, found, holds }) => [
      name,
      wanted,
      found,
      holds === null ? '-' : holds ? 'yes' : '**no**',
    ]),
  )

const SIZES: readonly Size[] = ['clear', 'subtle', 'faint']

/** One row for each kind and size. */
export function kindsTable(faults: readonly Scored[]): string {
  const rows = [...KINDS, 'all' as const].flatMap(kind =>
    SIZES.map(size => {
      const list = ofSize(faults, size).filter(({ truth }) => kind === 'all' || truth.kind === kind)
      if (list.length === 0) return null
      const delay = quantile(
        list.map(({ score }) => score.delayMs),
        0.5,
      )
      return [
        kind,
        size,
        String(list.length),
        shareText(
          hits(list, one => one.detected),
          list.length,
        ).replace(/^.*?, /, ''),
        percent(hits(list, one => one.delayMs <= WITHIN_MS) / list.length),
        seconds(delay),
        shareText(
          hits(list, one => one.located),
          list.length,
        ).replace(/^.*?, /, ''),
        percent(hits(list, one => one.rank > 0 && one.rank <= 3) / list.length),
      ]
    }),
  )
  return table(
    ['kind', 'size', 'faults', 'detected', 'within 120 s', 'median delay', 'located', 'among three'],
    rows.filter(row => row !== null),
  )
}

const STEPS = [0, 1, 2.5, 4, 6, 9, 15, 30, Number.POSITIVE_INFINITY]

/** Detection over the size of the effect, in spreads. Those of fewer than ten hurt spans a minute apart. */
export function curveTable(faults: readonly Scored[]): string {
  const rows = STEPS.slice(1).map((to, n) => {
    const from = STEPS[n]
    const here = faults.filter(({ truth }) => truth.shift >= from && truth.shift < to)
    const cells = [true, false].map(many => {
      const list = here.filter(({ truth }) => truth.affected >= 10 === many)
      if (list.length === 0) return '-'
      return shareText(
        hits(list, one => one.detected),
        list.length,
      )
    })
    return [to === Number.POSITIVE_INFINITY ? `from ${from}` : `${from} to ${to}`, ...cells]
  })
  return table(['spreads', 'detected, 10 spans a minute and more', 'detected, fewer'], rows)
}

/** How false incidents keep to the budget over calm time. */
export function calmFigures(done: readonly Done[], budget: number, countedMs: number): Figure[] {
  const counts = all(done, budget).map(({ strays }) => strays)
  const days = (counts.length * countedMs) / DAY_MS
  const count = counts.reduce((a, b) => a + b, 0)
  const upper = poissonUpper(count) / days
  const allowed = budget < 1 ? 1.5 : 1.25
  const mean = (budget * countedMs) / DAY_MS
  const worst = Math.max(...counts)
  const chance = poissonAtLeast(worst, mean)
  return [
    {
      name: `budget ${budget} a day: pooled rate`,
      wanted: `upper bound at most ${(allowed * budget).toFixed(2)} a day`,
      found: `${count} in ${days} days, ${(count / days).toFixed(2)} a day, upper bound ${upper.toFixed(2)}`,
      value: count / days,
      holds: upper <= allowed * budget,
    },
    {
      name: `budget ${budget} a day: worst seed`,
      wanted: 'p at least 0.001',
      found: `${worst} where ${mean.toFixed(1)} are expected, p ${chance.toPrecision(2)}; all: ${counts.join(' ')}`,
      value: worst,
      holds: chance >= 0.001,
    },
  ]
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

/** What the simulation cost, for people who wait for it. */
export function costText(done: readonly Done[]): string {
  const sum = (value: (one: Done) => number) => done.reduce((total, one) => total + value(one), 0)
  const days = sum(one => one.simulatedMs) / DAY_MS
  const cpu = sum(one => one.cpuMs) / 1_000
  const spans = sum(one => one.spans)
  return `${days.toFixed(1)} simulated days, ${(spans / 1e6).toFixed(1)} million spans, ${(cpu / days).toFixed(1)} s of CPU a day, ${(spans / cpu / 1e6).toFixed(2)} million spans a second`
}

const straysOf = (done: readonly Done[], budget: number) =>
  all(done, budget).reduce((sum, { strays }) => sum + strays, 0)

const countedDays = (done: readonly Done[]) =>
  done.reduce(
    (sum, { simulatedMs, job }) => sum + simulatedMs - ('historyMs' in job ? job.historyMs : 0),
    0,
  ) / DAY_MS

/** False incidents a day of the time that counts. */
export const falseADay = (done: readonly Done[], budget: number) => straysOf(done, budget) / countedDays(done)

/** False incidents a day beside the faults. */
export const strayText = (done: readonly Done[], budget: number) =>
  `${straysOf(done, budget)} false incidents in ${countedDays(done).toFixed(1)} days among the faults, ${falseADay(done, budget).toFixed(2)} a day`
