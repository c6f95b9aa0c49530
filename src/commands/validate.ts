//! `otlier validate`: checks a configuration and starts nothing.
import { renderProblem } from '../base/tree.ts'
import { configFlags, readArguments } from './arguments.ts'
import { COMMANDS } from './help.ts'
import { loadConfig, realSurroundings } from './load-config.ts'
import type { Settled } from './settle-config.ts'

export async function validate(args: readonly string[]): Promise<number> {
  const flags = configFlags(readArguments(args, COMMANDS.validate.options))
  const settled = await loadConfig(flags, realSurroundings())
  if (!reportProblems(settled)) return 2
  const what = flags.config.length === 0 ? 'the configuration' : flags.config.join(', ')
  const exporters = settled.config.exporters.map(exporter => exporter.id).join(', ')
  console.log(`${what}: valid; ${exporters === '' ? 'no exporter' : `exporters: ${exporters}`}`)
  return 0
}

/** Prints what is wrong, one line each, on standard error. False where it keeps Otlier from starting. */
export function reportProblems({ problems }: Settled): boolean {
  for (const problem of problems) console.error(renderProblem(problem))
  const errors = problems.filter(problem => problem.severity === 'error').length
  if (errors > 0)
    console.error(
      `otlier: ${errors === 1 ? '1 error' : `${errors} errors`} in the configuration; nothing was started`,
    )
  return errors === 0
}
