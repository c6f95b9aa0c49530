//! `otlier run`: reads the configuration, starts the service, says where it is, and stops it on a signal.
import type { Log } from '../base/log.ts'
import { renderProblem } from '../base/tree.ts'
import { realWorld, type World } from '../base/world.ts'
import type { Config } from '../config.ts'
import { configFlags, readArguments } from './arguments.ts'
import { banner, commandBeside, explainBind, explainDirectory, type Started } from './banner.ts'
import { COMMANDS } from './help.ts'
import { chooseDirectory, loadConfig, realSurroundings } from './load-config.ts'
import { type OpenLog, openLog } from './logger.ts'
import { STOP_SIGNALS, type Stopper, type StopSignal, stopper } from './signals.ts'
import { reportProblems } from './validate.ts'
import { VERSION } from './version.ts'

/** What the service is given. */
export interface Parts {
  readonly world: World
  readonly log: Log
  readonly version: string
  /** Where models are kept: made, and writable. Null keeps them in memory. */
  readonly directory: string | null
  /** Prints a line beside the banner. */
  say?(line: string): void
}

/** A service that is up. */
export interface Running extends Omit<Started, 'directory'> {
  /** Stops in order, within `shutdown_timeout`. The count of accepted items that stopping itself lost. */
  stop(): Promise<number>
}

/** Rejects with the error of a bind, before anything is served and with everything closed again, where a port is taken. */
export type Start = (config: Config, parts: Parts) => Promise<Running>

const EXIT_BUG = 70
/** Stopping keeps to `shutdown_timeout` by itself; this is for when it does not. */
const STOP_GRACE_MS = 5000

export async function run(args: readonly string[]): Promise<number> {
  const flags = configFlags(readArguments(args, COMMANDS.run.options))
  const settled = await loadConfig(flags, realSurroundings())
  const failed = settled.problems.some(problem => problem.severity === 'error')
  if (failed) {
    reportProblems(settled)
    return 2
  }
  const { config } = settled
  const opened = openLog(config.service.logs.level, process.stderr.isTTY === true)
  for (const problem of settled.problems) opened.log.warn(renderProblem(problem))
  catchBugs(opened)
  const code = await serve(
    config,
    opened,
    commandBeside(args, process.env['npm_lifecycle_event'] === 'start'),
  )
  opened.flush()
  // Sockets that a peer keeps open must not keep a stopped service alive.
  process.exit(code)
}

async function serve(config: Config, { log }: OpenLog, command: string): Promise<number> {
  const world = realWorld
  const { path: directory, warning } = await chooseDirectory(config, process.env, world.disk)
  if (warning !== null) log.warn(warning)
  const { startOtlier }: { startOtlier: Start } = await import('../otlier.ts')
  const starting = startOtlier(config, {
    world,
    log,
    version: VERSION,
    directory,
    say: line => console.log(line),
  })
  // A signal during the start is heard, and obeyed as soon as there is something to stop.
  const stopping = stopper(world, {
    stop: async () => (await starting).stop(),
    limitMs: config.shutdownTimeoutMs + STOP_GRACE_MS,
    say: line => log.info(line),
  })
  listenToSignals(stopping)
  let running: Running
  try {
    running = await starting
  } catch (error) {
    // A signal that came meanwhile has nothing to stop.
    stopping.ended.catch(() => {})
    const explained = explainBind(error, config, command) ?? explainDirectory(error, command)
    if (explained === null && isBug(error)) throw error
    console.error(explained ?? `otlier: cannot start: ${(error as Error).message}`)
    return 1
  }
  console.log(banner(config, { ...running, directory }, VERSION))
  return stopping.ended
}

/** What the language itself throws is nobody's weather. */
const isBug = (error: unknown) =>
  !(error instanceof Error) ||
  [TypeError, ReferenceError, RangeError, SyntaxError].some(kind => error instanceof kind)

function listenToSignals(stopping: Stopper) {
  for (const signal of Object.keys(STOP_SIGNALS) as StopSignal[])
    process.on(signal, () => stopping.hear(signal))
}

/** A bug must be seen, and a process in an unknown state must not go on; whoever runs it starts it again. */
export function catchBugs({ log, flush }: OpenLog) {
  const end = (error: unknown, origin: string) => {
    log.fatal({ err: error }, `a bug in Otlier (${origin}): ending with ${EXIT_BUG}`)
    flush()
    process.exit(EXIT_BUG)
  }
  process.on('uncaughtException', end)
  process.on('unhandledRejection', error => end(error, 'unhandledRejection'))
}
