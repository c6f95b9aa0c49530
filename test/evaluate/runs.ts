//! The runs of an evaluation: which worlds each lives through, and what is read off them.
import { PARTS, type Part } from '../../src/learn/parts.ts'
import { DAY_MS } from '../world/almanac.ts'
import { ablationTable, withAblations } from './ablations.ts'
import {
  calmFigures,
  costText,
  curveTable,
  type Figure,
  faultFigures,
  faultsAt,
  figuresTable,
  kindsTable,
  type Report,
  shareText,
  strayText,
  table,
} from './figures.ts'
import { type Common, type Done, type Job, worldSeed } from './jobs.ts'
import type { Level } from './live.ts'
import { runAll } from './pool.ts'
import { DEFAULTS } from './subject.ts'

export interface Settings {
  readonly seed: number
  readonly faults: number
  readonly level: Level
  readonly sampled: boolean
  readonly large: boolean
  readonly explain: boolean
  readonly ablate: readonly Part[]
  readonly subject: string
  readonly workers: number
  /** Null: as each run has it. */
  readonly seeds: number | null
  readonly historyDays: number | null
  readonly countedDays: number | null
  readonly budgets: readonly number[] | null
}

/** A world has no more faults than this. */
const FAULTS_A_WORLD = 40

const common = (settings: Settings, budgets: readonly number[]): Common => ({
  options: { ...DEFAULTS, budgets, ablate: settings.ablate },
  subject: settings.subject,
  level: settings.level,
  sampled: settings.sampled,
  services: settings.large ? 400 : 40,
  explain: settings.explain,
})

const list = <T>(count: number, make: (at: number) => T): T[] =>
  Array.from({ length: count }, (_, at) => make(at))

function faultJobs(settings: Settings, budgets: readonly number[], worlds: number): Job[] {
  const { faults, seed } = settings
  const parts = Math.max(worlds, Math.ceil(faults / FAULTS_A_WORLD))
  return list(
    parts,
    (part): Job => ({
      ...common(settings, budgets),
      what: 'faults',
      seed: worldSeed(seed, 'faults', part),
      count: Math.floor((faults * (part + 1)) / parts) - Math.floor((faults * part) / parts),
      historyMs: (settings.historyDays ?? 1) * DAY_MS,
    }),
  )
}

/** Faults of all kinds at random places, in worlds of their own after a calm day. */
export async function faultsRun(settings: Settings): Promise<Report> {
  const { level, sampled, explain } = settings
  const budgets = settings.budgets ?? [1]
  const jobs = faultJobs(settings, budgets, 2)
  const done = await runAll(jobs, settings.workers)
  const figures: Figure[] = []
  const text: string[] = []
  for (const budget of budgets) {
    const scored = faultsAt(done, budget)
    const own = faultFigures(done, budget)
    figures.push(
      ...own.map(one => ({ ...one, name: budgets.length === 1 ? one.name : `${budget} a day: ${one.name}` })),
    )
    text.push(
      `### ${scored.length} faults, budget ${budget} a day, by ${level}${sampled ? ', sampled' : ''}`,
      ...(explain ? notes(done, budget) : []),
      figuresTable(own),
      kindsTable(scored),
      curveTable(scored),
      `${strayText(done, budget)}.`,
    )
  }
  return { figures, text: [...text, `${costText(done)}.`] }
}

function calmJobs(
  settings: Settings,
  budgets: readonly number[],
  seeds: number,
  historyMs: number,
  countedMs: number,
): Job[] {
  return list(
    seeds,
    (part): Job => ({
      ...common(settings, budgets),
      what: 'calm',
      seed: worldSeed(settings.seed, 'calm', part),
      historyMs,
      countedMs,
    }),
  )
}

/** Weeks in which nothing is wrong. */
export async function calmRun(settings: Settings): Promise<Report> {
  const { large, sampled, explain } = settings
  const seeds = settings.seeds ?? (large ? 4 : 20)
  const historyMs = (settings.historyDays ?? (large ? 7 : 21)) * DAY_MS
  const countedMs = (settings.countedDays ?? 7) * DAY_MS
  const budgets = settings.budgets ?? (large ? [5] : [0.2, 1, 5])
  const done = await runAll(calmJobs(settings, budgets, seeds, historyMs, countedMs), settings.workers)
  const figures = budgets.flatMap(budget => calmFigures(done, budget, countedMs))
  const title = `### Calm: ${seeds} seeds, ${historyMs / DAY_MS} days of history, ${countedMs / DAY_MS} days that count`
  return {
    figures,
    text: [
      `${title}${sampled ? ', sampled' : ''}${large ? ', 3,000 series' : ''}`,
      ...(explain ? budgets.flatMap(budget => notes(done, budget)) : []),
      figuresTable(figures),
      `${costText(done)}.`,
    ],
  }
}

/** What each part of the plane is worth, in the worlds of the two runs above: all hear the same windows. */
export async function ablationsRun(settings: Settings): Promise<Report> {
  const budgets = settings.budgets ?? [0.2, 1, 5]
  const seeds = settings.seeds ?? 8
  const [historyMs, countedMs] = [settings.historyDays ?? 1, settings.countedDays ?? 2].map(n => n * DAY_MS)
  const jobs = [
    ...(settings.faults > 0 ? faultJobs(settings, [1], seeds) : []),
    ...(countedMs > 0 ? calmJobs(settings, budgets, seeds, historyMs, countedMs) : []),
  ]
  const done = await runAll(withAblations(jobs, PARTS), settings.workers)
  const { text, figures } = ablationTable(done)
  return {
    figures,
    text: [
      `### Parts: ${settings.faults} faults and ${countedMs / DAY_MS} calm days in ${seeds} worlds each, after ${historyMs / DAY_MS} days`,
      text,
      figuresTable(figures),
      `${costText(done)}.`,
    ],
  }
}

/** From the first minute: healthy hours, and hours in which a service becomes slow after ten minutes. */
export async function coldRun(settings: Settings): Promise<Report> {
  const seeds = settings.seeds ?? 20
  const budget = settings.budgets?.[0] ?? 1
  const jobs = [false, true].flatMap(slow =>
    list(
      seeds,
      (part): Job => ({
        ...common(settings, [budget]),
        what: 'cold',
        seed: worldSeed(settings.seed, slow ? 'cold slow' : 'cold', part),
        slow,
      }),
    ),
  )
  const done = await runAll(jobs, settings.workers)
  const strays = done.slice(0, seeds).reduce((sum, one) => sum + one.budgets[0].strays, 0)
  const scored = faultsAt(done.slice(seeds), budget)
  const found = scored.filter(one => one.score.detected).length
  const figures: Figure[] = [
    {
      name: `cold start: incidents in ${seeds} healthy hours`,
      wanted: 'at most 2',
      found: String(strays),
      value: strays,
      holds: strays <= 2,
    },
    {
      name: 'cold start: a x5 slow-down after ten minutes',
      wanted: `at least ${Math.ceil(0.9 * seeds)} of ${seeds}`,
      found: `${shareText(found, seeds)}; ${scored.filter(one => one.score.first).length} located`,
      value: found,
      holds: found >= 0.9 * seeds,
    },
  ]
  return {
    figures,
    text: [
      '### From the first minute',
      ...(settings.explain ? notes(done, budget) : []),
      figuresTable(figures),
      `${costText(done)}.`,
    ],
  }
}

/** A level that changes for good, and a slow drift. */
export async function levelRun(settings: Settings): Promise<Report> {
  const seeds = settings.seeds ?? 3
  const budget = settings.budgets?.[0] ?? 1
  const jobs = (['level', 'drift'] as const).flatMap(what =>
    list(
      seeds,
      (part): Job => ({
        ...common(settings, [budget]),
        what,
        seed: worldSeed(settings.seed, what, part),
        historyMs: (settings.historyDays ?? 8) * DAY_MS,
      }),
    ),
  )
  const done = await runAll(jobs, settings.workers)
  const cases = done.map(({ job, budgets: [outcome] }) => ({
    ...outcome,
    job,
    score: outcome.faults[0].score,
  }))
  const right = (what: string) =>
    cases.filter(
      ({ job, score, shifts }) =>
        job.what === what &&
        (what === 'level' ? score.detected && score.openings === 1 && shifts === 1 : score.detected),
    ).length
  const figures = [
    ['level', 'a level that changes for good', 'one incident, one shift, silence'],
    ['drift', 'a drift of 1 % an hour', 'reported within three days'],
  ].map(
    ([what, name, wanted]): Figure => ({
      name,
      wanted,
      found: `${right(what)} of ${seeds}`,
      value: right(what) / seeds,
      holds: right(what) === seeds,
    }),
  )
  const rows = cases.map(one => [
    `${one.job.what === 'level' ? 'x2 for good' : '1 % an hour'}, seed ${one.job.seed}`,
    one.score.detected ? `after ${(one.score.delayMs / 60_000).toFixed(0)} min` : 'no',
    one.score.first ? 'yes' : 'no',
    String(one.score.openings),
    String(one.shifts),
    String(one.strays),
    one.notes.slice(0, 6).join('<br>'),
  ])
  const head = ['change', 'detected', 'located', 'incidents', 'shifts', 'other incidents', 'what was said']
  return {
    figures,
    text: ['### Changes for good', table(head, rows), figuresTable(figures), `${costText(done)}.`],
  }
}

/** Both levels of the world must give the same rate of alarms. */
export async function agreeRun(settings: Settings): Promise<Report> {
  const seeds = settings.seeds ?? 2
  const budget = settings.budgets?.[0] ?? 100
  const jobs = (['windows', 'spans'] as const).flatMap(level =>
    list(
      seeds,
      (part): Job => ({
        ...common(settings, [budget]),
        level,
        what: 'calm',
        seed: worldSeed(settings.seed, 'agree', part),
        historyMs: (settings.historyDays ?? 2) * DAY_MS,
        countedMs: (settings.countedDays ?? 1) * DAY_MS,
      }),
    ),
  )
  const done = await runAll(jobs, settings.workers)
  const [byWindows, bySpans] = [done.slice(0, seeds), done.slice(seeds)]
  const count = (some: readonly Done[]) => some.reduce((sum, one) => sum + one.budgets[0].strays, 0)
  const [one, other] = [count(byWindows), count(bySpans)]
  const figures: Figure[] = [
    {
      name: `calm days by windows and by spans, at ${budget} a day`,
      wanted: 'the same rate',
      found: `${one} and ${other} incidents`,
      value: other / one,
      // Two counts of one law differ by no more than this, 19 times in 20. The traffic is the same, so that they differ less.
      holds: Math.abs(one - other) <= 1.96 * Math.sqrt(one + other),
    },
  ]
  return {
    figures,
    text: [
      '### Both levels',
      ...(settings.explain ? notes(done, budget) : []),
      figuresTable(figures),
      `Windows: ${costText(byWindows)}.`,
      `Spans: ${costText(bySpans)}.`,
    ],
  }
}

const notes = (done: readonly Done[], budget: number): string[] =>
  done.flatMap(({ job, budgets }) =>
    budgets
      .filter(one => one.budget === budget)
      .flatMap(one => one.notes.map(note => `[seed ${job.seed}, ${budget} a day] ${note}`)),
  )
