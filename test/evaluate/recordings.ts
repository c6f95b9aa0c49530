//! The recordings of real systems, replayed by `otlier replay` and scored by the tool that came with them.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Figure, figuresTable, type Report } from './figures.ts'

const DATA = fileURLToPath(new URL('../../../shared/data', import.meta.url))
const SCORER = fileURLToPath(new URL('../../../shared/tools/score-incidents.mjs', import.meta.url))
const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

/** What the scorer prints with `--json`; the parts that are promised. */
interface Scores {
  readonly faults: number
  readonly detected: number
  readonly top1: number
  readonly top1ByLuckP: number
  readonly top1OnChange: number
  readonly changes: number
  readonly medianDelayS: number | null
  readonly incidents: number
  readonly incidentsPerDetectedFault: number | null
  readonly strays: number
}

export function recordings(): Report {
  const names = ['ob-0822', 'tt-0129']
  const figures: Figure[] = []
  const text: string[] = ['### Recordings']
  for (const name of names) {
    const traces = join(DATA, name, 'traces.jsonl.gz')
    if (!existsSync(traces) || !existsSync(SCORER)) {
      text.push(`SKIP: ${name}: neither the recording nor its scorer is at hand`)
      continue
    }
    const directory = mkdtempSync(join(tmpdir(), 'otlier-evaluate-'))
    const events = join(directory, 'events.jsonl')
    node(MAIN, 'replay', '--events', events, traces)
    const labels = ['--labels', join(DATA, name, 'labels.json'), '--events', events]
    const scores = JSON.parse(node(SCORER, ...labels, '--json')) as Scores
    const report = node(SCORER, ...labels).trim()
    const own = name === 'ob-0822' ? boutique(scores) : tickets(scores, report)
    figures.push(...own.map(one => ({ ...one, name: `${name}: ${one.name}` })))
    text.push(`#### ${name}`, `\`\`\`\n${report}\n\`\`\``, figuresTable(own))
    rmSync(directory, { recursive: true })
  }
  return { figures, text }
}

const atLeast = (name: string, value: number, least: number): Figure => ({
  name,
  wanted: `at least ${least}`,
  found: String(value),
  value,
  holds: value >= least,
})
const atMost = (name: string, value: number | null, most: number): Figure => ({
  name,
  wanted: `at most ${most}`,
  found: String(value ?? '-'),
  value: value ?? Number.NaN,
  holds: value !== null && value <= most,
})

const boutique = (scores: Scores): Figure[] => [
  atLeast(`first suspect right, of ${scores.faults}`, scores.top1, 15),
  atLeast(`of the ${scores.changes} at another service than before`, scores.top1OnChange, 6),
  atMost('by luck, p', scores.top1ByLuckP, 0.001),
  atLeast('detected', scores.detected, 16),
  atMost('median delay in s', scores.medianDelayS, 60),
  atMost('incidents per detected fault', scores.incidentsPerDetectedFault, 1.3),
  atMost('incidents', scores.incidents, 26),
]

/** The report has a line for each fault; that at 15:42 moves latency far enough for anybody. */
const tickets = (scores: Scores, report: string): Figure[] => [
  atLeast('detected and located, of the fault at 15:42', /T15:42.* rank 1 /.test(report) ? 1 : 0, 1),
  atMost('incidents', scores.incidents, 10),
]

function node(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    maxBuffer: 64 * 2 ** 20,
  })
  // Bad lines of a recording are left out and said: that is 1.
  if (status !== 0 && status !== 1) throw new Error(`${args.join(' ')} ended with ${status}: ${stderr}`)
  return stdout
}
