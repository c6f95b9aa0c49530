//! `otlier selftest`: has the running service test itself, waits for the end, and prints what was found.
import { realWorld } from '../base/world.ts'
import { isSeed, SEEDS, type SelftestReport, type SelftestRow, type SelftestState } from '../bus/selftest.ts'
import { configFlags, readArguments, UsageError } from './arguments.ts'
import { askJson } from './ask.ts'
import { COMMANDS } from './help.ts'
import { loadConfig, realSurroundings } from './load-config.ts'
import { reportProblems } from './validate.ts'

const HINT = 'Start it with: otlier run (--port-offset and --config as here)'
const PATH = '/api/selftest'
const ASK_EVERY_MS = 250
/** Of a normal distribution, 95 % lie within so many standard deviations. */
const Z95 = 1.96

export async function selftest(args: readonly string[]): Promise<number> {
  const parsed = readArguments(args, COMMANDS.selftest.options)
  const seed = parsed.one('seed')
  if (seed !== null && !isSeed(seed))
    throw new UsageError(`--seed ${JSON.stringify(seed)} is no whole number below ${SEEDS}`)
  const settled = await loadConfig(configFlags(parsed), realSurroundings())
  if (settled.problems.some(problem => problem.severity === 'error')) {
    reportProblems(settled)
    return 2
  }
  const { endpoint } = settled.config.service.view
  if (endpoint === null) return failed('service.view.endpoint is none: there is nobody to ask')
  const begun = await askJson(endpoint, seed === null ? PATH : `${PATH}?seed=${seed}`, HINT, 'selftest')
  if ('wrong' in begun) return failed(begun.wrong)
  for (let said = ''; ; ) {
    const answer = await askJson(endpoint, PATH, HINT)
    if ('wrong' in answer) return failed(answer.wrong)
    const state = answer.body as SelftestState
    if (state.state === 'failed') return failed(state.wrong)
    if (state.state === 'idle') return failed('The service was started anew meanwhile.')
    if (state.state === 'done') {
      console.log(parsed.has('json') ? JSON.stringify(inFull(state.report)) : reportWords(state.report))
      return 0
    }
    const progress =
      state.planned === 0 ? 'the windows as they were' : `${state.done} of ${state.planned} faults`
    if (progress !== said && process.stderr.isTTY) process.stderr.write(`\r${progress.padEnd(40)}\r`)
    said = progress
    await realWorld.sleep(ASK_EVERY_MS)
  }
}

function failed(why: string): number {
  console.error(`otlier: ${why}`)
  return 1
}

const share = (of: number, trials: number): number | null => (trials === 0 ? null : of / trials)

/** The report with the shares that the event and the metrics give. */
const inFull = (report: SelftestReport) => ({
  recall: share(report.detected, report.trials),
  locatedShare: share(report.located, report.trials),
  ...report,
})

/** Exported for its tests. */
export function reportWords(report: SelftestReport): string {
  const { rows, trials, detected, located, windows, windowMs, falseAlarms, elsewhere } = report
  const minutes = Math.round((windows * windowMs) / 6_000) / 10
  const all = { ...report, kind: 'all', size: '' }
  return [
    `Self-test with seed ${report.seed}, on copies of ${minutes} minutes of real windows, ${time(report.fromMs)} to ${time(report.untilMs)}.`,
    '',
    line('fault', 'size', 'injected', 'detected', 'named first', 'delay'),
    ...[...rows, all].map(rowLine),
    '',
    ...(trials === 0
      ? []
      : [
          `Recall ${shareWords(detected, trials)}, with the right service first ${shareWords(located, trials)}.`,
          `${count(elsewhere, 'incident')} opened because of a fault without naming its service.`,
        ]),
    `False alarms: ${count(falseAlarms, 'incident')} in the same windows without a fault.`,
    ...report.limits,
  ].join('\n')
}

function rowLine({ kind, size, trials, detected, located, delayS }: SelftestRow): string {
  if (trials === 0) return line(kind, size, 'no place', '', '', '')
  return line(
    kind,
    size,
    String(trials),
    String(detected),
    String(located),
    delayS === null ? '-' : `${Math.round(delayS)} s`,
  )
}

const line = (...[kind, size, ...numbers]: readonly string[]): string =>
  `${kind.padEnd(16)}${size.padEnd(9)}${numbers.map(text => text.padStart(12)).join('')}`.trimEnd()

/** With the interval in which the true share lies with a probability of 95 % (Wilson 1927). */
function shareWords(of: number, trials: number): string {
  const p = of / trials
  const z2 = Z95 * Z95
  const centre = (p + z2 / (2 * trials)) / (1 + z2 / trials)
  const half = (Z95 * Math.sqrt((p * (1 - p)) / trials + z2 / (4 * trials * trials))) / (1 + z2 / trials)
  const percent = (value: number) => Math.round(100 * Math.min(1, Math.max(0, value)))
  return `${percent(p)} % (${percent(centre - half)} to ${percent(centre + half)} %)`
}

const count = (n: number, what: string) => `${n} ${what}${n === 1 ? '' : 's'}`
const time = (ms: number) => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z')
