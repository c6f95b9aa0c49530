//! `npm run evaluate`: what detection finds in the simulated world, and what it says when nothing is wrong. `--help` lists the runs.
import { spawnSync } from 'node:child_process'
import { appendFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { PARTS, type Part } from '../../src/learn/parts.ts'
import type { Report } from './figures.ts'
import { recordings } from './recordings.ts'
import { ablationsRun, agreeRun, calmRun, coldRun, faultsRun, levelRun, type Settings } from './runs.ts'

const HELP = `npm run evaluate -- [RUN...] [OPTION...]

Runs; without any, all but --ablations, with 400 faults at the level of spans:
  --faults N      N faults of ten kinds, in worlds of at most 40 faults after one calm day
  --calm          weeks in which nothing is wrong, after 21 days of history (20 seeds, budgets 0.2,1,5)
  --cold          20 healthy hours from the first minute, and a x5 slow-down after ten minutes of 20 others
  --level         a level that changes for good, and a drift of 1 % an hour (3 seeds each)
  --agree         a calm day by windows and by spans at a budget of 100 a day (2 seeds)
  --ablations     what each part of the plane is worth: --faults N and calm days (8 worlds of each, 2 days after 1) without it
  --recordings    the recordings of real systems, where they are at hand

Options:
  --seed N        1 to 100 are for tuning; hash (the default): the first eight hex digits of the tree of src
  --spans         by spans through the real data plane; else by windows that are drawn directly
  --sampled       one trace in ten, and ot=th says so
  --large         400 services, 3,000 series; calm: 4 seeds, 7 days of history, 5 a day
  --seeds K       --budgets LIST     --history DAYS     --counted DAYS
  --ablate NAME   switches a part of the plane off: ${PARTS.join(', ')}; repeatable
  --explain       what stood behind each miss, each wrong name and each false incident
  --subject FILE  another module than the learning plane; by windows only
  --workers K     processes; as many as there are cores`

const RUNS: Record<string, (settings: Settings) => Report | Promise<Report>> = {
  faults: faultsRun,
  calm: calmRun,
  cold: coldRun,
  level: levelRun,
  agree: agreeRun,
  ablations: ablationsRun,
  recordings: () => recordings(),
}

const { values } = parseArgs({
  options: {
    help: { type: 'boolean' },
    faults: { type: 'string' },
    calm: { type: 'boolean' },
    cold: { type: 'boolean' },
    level: { type: 'boolean' },
    agree: { type: 'boolean' },
    ablations: { type: 'boolean' },
    recordings: { type: 'boolean' },
    seed: { type: 'string', default: 'hash' },
    spans: { type: 'boolean', default: false },
    sampled: { type: 'boolean', default: false },
    large: { type: 'boolean', default: false },
    seeds: { type: 'string' },
    budgets: { type: 'string' },
    history: { type: 'string' },
    counted: { type: 'string' },
    ablate: { type: 'string', multiple: true, default: [] },
    explain: { type: 'boolean', default: false },
    subject: { type: 'string', default: '' },
    workers: { type: 'string' },
  },
})

async function main(): Promise<void> {
  if (values.help) return console.log(HELP)
  const startedMs = performance.now()
  const asked = Object.keys(RUNS).filter(run => run in values)
  // `--faults` says there how many.
  const named = 'ablations' in values ? asked.filter(run => run !== 'faults') : asked
  const everything = named.length === 0
  if (values.subject !== '' && (everything || values.spans || 'agree' in values))
    throw new Error('--subject is heard by windows only: at the level of spans the service has its own plane')
  const tree = git('rev-parse', 'HEAD:src').slice(0, 8)
  const settings: Settings = {
    seed: values.seed === 'hash' ? Number.parseInt(tree, 16) : number(values.seed),
    faults: number(values.faults ?? '400'),
    level: values.spans ? 'spans' : 'windows',
    sampled: values.sampled,
    large: values.large,
    explain: values.explain,
    ablate: values.ablate.map(part),
    subject: values.subject,
    workers: number(values.workers ?? String(availableParallelism())),
    seeds: given(values.seeds),
    historyDays: given(values.history),
    countedDays: given(values.counted),
    budgets: values.budgets?.split(',').map(number) ?? null,
  }
  const figures: Record<string, readonly [number, boolean | null]> = {}
  console.log(`Seed ${settings.seed}, tree of src ${tree}.`)
  for (const run of everything ? Object.keys(RUNS).filter(name => name !== 'ablations') : named) {
    const own: Settings = everything && run === 'faults' ? { ...settings, level: 'spans' } : settings
    const report = await RUNS[run](own)
    console.log(`\n${report.text.join('\n\n')}`)
    for (const { name, value, holds } of report.figures) figures[name] = [value, holds]
  }
  // What something else than the learning plane reaches is none of its history.
  if (settings.subject !== '') return
  const line = {
    commit: git('rev-parse', '--short', 'HEAD'),
    changed: git('status', '--porcelain', '--', 'src', 'test/world/*.ts', 'test/evaluate') !== '',
    seed: settings.seed,
    command: process.argv.slice(2).join(' '),
    seconds: Math.round((performance.now() - startedMs) / 1_000),
    figures,
  }
  appendFileSync(new URL('../world/runs.jsonl', import.meta.url), `${JSON.stringify(line)}\n`)
}

function number(text: string): number {
  const value = Number(text)
  if (!Number.isFinite(value) || value < 0) throw new Error(`${text} is no number`)
  return value
}

function part(text: string): Part {
  const known = PARTS.find(name => name === text)
  if (known === undefined) throw new Error(`${text} is no part; there are ${PARTS.join(', ')}`)
  return known
}

const given = (text: string | undefined) => (text === undefined ? null : number(text))

function git(...args: string[]): string {
  const { status, stdout } = spawnSync('git', args, {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`git ${args.join(' ')} failed`)
  return stdout.trim()
}

await main()
