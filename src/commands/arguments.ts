//! Command-line options on node:util's parseArgs, with the nearest option named when one is mistyped.
import { parseArgs } from 'node:util'
import { nearest } from '../base/nearest.ts'

interface Option {
  /** What the help shows for the value; absent for a switch. */
  readonly value?: string
  readonly short?: string
  readonly repeatable?: boolean
  readonly help: string
}

export type Options = Readonly<Record<string, Option>>

export interface Arguments {
  /** Values in the order in which they were given. */
  all(option: string): readonly string[]
  /** The last one given, or null. */
  one(option: string): string | null
  has(option: string): boolean
  readonly positionals: readonly string[]
}

/** Bad usage. The message is for the person who typed it. */
export class UsageError extends Error {
  override name = 'UsageError'
}

/** Options that say where the configuration comes from. */
export const CONFIG_OPTIONS = {
  config: {
    value: 'FILE',
    short: 'c',
    repeatable: true,
    help: 'A configuration file, YAML or JSON. Repeatable: later ones are laid over earlier ones.',
  },
  set: {
    value: 'KEY=VALUE',
    repeatable: true,
    help: 'One setting, such as service.logs.level=debug. Repeatable.',
  },
  'port-offset': { value: 'N', help: 'Shifts all five ports by N.' },
} satisfies Options

export interface ConfigFlags {
  readonly config: readonly string[]
  readonly set: readonly string[]
  readonly portOffset: string | null
}

export const configFlags = (args: Arguments): ConfigFlags => ({
  config: args.all('config'),
  set: args.all('set'),
  portOffset: args.one('port-offset'),
})

/** Reads options after a command. Throws UsageError. `positionals` names what else may come, or is null for nothing. */
export function readArguments(
  args: readonly string[],
  options: Options,
  positionals: string | null = null,
): Arguments {
  const known = Object.fromEntries(
    Object.entries(options).map(([name, option]) => [
      name,
      {
        type: option.value === undefined ? 'boolean' : 'string',
        multiple: true,
        ...(option.short && { short: option.short }),
      } as const,
    ]),
  )
  const { tokens } = parseArgs({
    args: [...args],
    options: known,
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  const values = new Map<string, string[]>()
  const rest: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') rest.push(token.value)
    if (token.kind !== 'option') continue
    const option = Object.hasOwn(options, token.name) ? options[token.name] : undefined
    if (option === undefined) throw unknownOption(token.rawName, token.name, options)
    if (option.value === undefined && token.value !== undefined)
      throw new UsageError(`${token.rawName} takes no value`)
    // `--config --set` is a forgotten value, unless it was written with =.
    const forgotten = token.value === undefined || (!token.inlineValue && /^--?[a-z]/.test(token.value))
    if (option.value !== undefined && forgotten)
      throw new UsageError(`${token.rawName} needs a value: ${token.rawName} ${option.value}`)
    const sofar = values.get(token.name) ?? []
    if (sofar.length > 0 && option.value !== undefined && !option.repeatable)
      throw new UsageError(`${token.rawName} is given twice`)
    values.set(token.name, [...sofar, token.value ?? ''])
  }
  if (positionals === null && rest.length > 0)
    throw new UsageError(`${JSON.stringify(rest[0])} is not expected here`)
  return {
    all: name => values.get(name) ?? [],
    one: name => values.get(name)?.at(-1) ?? null,
    has: name => values.has(name),
    positionals: rest,
  }
}

function unknownOption(written: string, name: string, options: Options): UsageError {
  const near = nearest(name, Object.keys(options))
  const known = Object.keys(options).map(option => `--${option}`)
  const help = known.length === 0 ? 'it takes no options' : `known here: ${known.join(', ')}`
  return new UsageError(`unknown option ${written}; ${near === null ? help : `did you mean --${near}?`}`)
}
