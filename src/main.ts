#!/usr/bin/env node
//! The command line: finds the command, hands it the rest, and turns what comes back into an exit code.
import { nearest } from './base/nearest.ts'
import { UsageError } from './commands/arguments.ts'
import { COMMANDS, type Command, help, isCommand } from './commands/help.ts'

/** BSD's EX_SOFTWARE: a bug, and neither bad usage nor bad weather. */
const EXIT_BUG = 70
const EXIT_USAGE = 2

async function main(args: readonly string[]): Promise<number> {
  const [first, ...rest] = args
  if (first === '--version' || first === '-v' || first === '-V') return (await COMMANDS.version.load())()
  if (first === '--help' || first === '-h') return help(rest[0] ?? null)
  // No command, only options: run.
  const isNamed = first !== undefined && !first.startsWith('-')
  const name = isNamed ? first : 'run'
  const own = isNamed ? rest : args
  if (!isCommand(name)) {
    const near = nearest(name, Object.keys(COMMANDS))
    const hint = near === null ? `known: ${Object.keys(COMMANDS).join(', ')}` : `did you mean ${near}?`
    throw new UsageError(`unknown command ${JSON.stringify(name)}; ${hint}`)
  }
  if (own.includes('--help') || own.includes('-h')) return help(name)
  const command: Command = COMMANDS[name]
  const run = await command.load()
  return run(own)
}

// A reader that goes away (`otlier help | head -1`) is no failure of ours.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})

if (process.platform === 'win32') {
  console.error('otlier: on Windows, run Otlier inside WSL (https://learn.microsoft.com/windows/wsl/install)')
  process.exitCode = 1
} else {
  try {
    process.exitCode = await main(process.argv.slice(2))
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`otlier: ${error.message}`)
      console.error('Try: otlier --help')
      process.exitCode = EXIT_USAGE
    } else {
      console.error('otlier: this is a bug in Otlier:', error)
      // What it left open must not keep the process alive.
      process.exit(EXIT_BUG)
    }
  }
}
