//! `otlier config print|schema|init`: the configuration in force, its schema, and a file to start from.
import { nearest } from '../base/nearest.ts'
import { configFlags, readArguments, UsageError } from './arguments.ts'
import { jsonSchema, starterFile } from './describe-settings.ts'
import { COMMANDS } from './help.ts'
import { loadConfig, realSurroundings } from './load-config.ts'
import { reportProblems } from './validate.ts'

const ACTIONS = ['print', 'schema', 'init']

export async function config(args: readonly string[]): Promise<number> {
  const parsed = readArguments(args, COMMANDS.config.options, 'print|schema|init')
  const [action, ...rest] = parsed.positionals
  if (action === undefined) throw new UsageError('config needs one of print, schema and init')
  if (rest.length > 0) throw new UsageError(`${JSON.stringify(rest[0])} is not expected here`)
  if (action === 'schema') return say(JSON.stringify(jsonSchema(), null, 2))
  if (action === 'init') return say(starterFile().trimEnd())
  if (action !== 'print') {
    const near = nearest(action, ACTIONS)
    throw new UsageError(
      `unknown action ${JSON.stringify(action)}; ${near === null ? `known: ${ACTIONS.join(', ')}` : `did you mean ${near}?`}`,
    )
  }
  const settled = await loadConfig(configFlags(parsed), realSurroundings())
  if (!reportProblems(settled)) return 2
  const { stringify } = await import('yaml')
  const whole = settled.config.exporters.filter(exporter => exporter.type === 'otlphttp' && exporter.exact)
  for (const { id } of whole) say(`# exporters.${id}: the endpoint is the whole URL; nothing is added to it`)
  return say(stringify(settled.shown, { lineWidth: 0, aliasDuplicateObjects: false }).trimEnd())
}

function say(text: string): 0 {
  console.log(text)
  return 0
}
