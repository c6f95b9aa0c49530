//! `otlier run`: reads the configuration, starts the service, says where it is, reads it again when asked to, and stops it on a signal.
import { isatty } from 'node:tty'
import type { Log } from '../base/log.ts'
import { renderProblem } from '../base/tree.ts'
import { realWorld, type World } from '../base/world.ts'
import type { Config } from '../config.ts'
import type { Undelivered } from '../flow/queue.ts'
import type { Reload } from '../wiring/reload.ts'
import { configFlags, readArguments, UsageError } from './arguments.ts'
import { banner, commandBeside, explainBind, explainDirectory, type Started } from './banner.ts'
import { exposures } from './exposure.ts'
import { COMMANDS } from './help.ts'
import { chooseDirectory, loadConfig, realSurroundings } from './load-config.ts'
import { type OpenLog, openLog } from './logger.ts'
import type { Settled } from './settle-config.ts'
import { hasLostTerminal, STOP_SIGNALS, type Stopper, type StopSignal, stopper } from './signals.ts'
import { reportProblems } from './validate.ts'
import { VERSION } from './version.ts'
import { watchFiles } from './watch.ts'

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
  /** Takes over another configuration while telemetry flows. Whether it is in force; the log says why where it is not. */
  readonly reload: Reload
  /** What would be lost if the process ended now, by destination and signal. */
  undelivered(): readonly Undelivered[]
  /** Stops in order, within `shutdown_timeout`. The count of accepted items that stopping itself lost. */
  stop(): Promise<number>
}

/** Rejects with the error of a bind, before anything is served and with everything closed again, where a port is taken. */
export type Start = (config: Config, parts: Parts) => Promise<Running>

const EXIT_BUG = 70
/** Stopping keeps to `shutdown_timeout` by itself; this is for when it does not. */
const STOP_GRACE_MS = 5000
/** The last lines of the log are given this long. */
const LAST_WORDS_MS = 500

export async function run(args: readonly string[]): Promise<number> {
  const parsed = readArguments(args, COMMANDS.run.options)
  const flags = configFlags(parsed)
  if (parsed.has('watch') && flags.config.length === 0)
    throw new UsageError('--watch needs a file to watch: --config FILE')
  // Before anything is read: what changes meanwhile is a change.
  const reloads = onceAtATime()
  if (parsed.has('watch')) await watchFiles(flags.config, realWorld, reloads.ask)
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
  const command = commandBeside(args, process.env['npm_lifecycle_event'] === 'start')
  const code = await serve(config, opened, command, reloads, () => loadConfig(flags, realSurroundings()))
  await Promise.race([opened.written(), realWorld.sleep(LAST_WORDS_MS)])
  opened.flush()
  // Sockets that a peer keeps open must not keep a stopped service alive.
  process.exit(code)
}

async function serve(
  config: Config,
  { log }: OpenLog,
  command: string,
  reloads: Reloads,
  load: () => Promise<Settled>,
): Promise<number> {
  const world = realWorld
  for (const exposure of exposures(config)) log.warn(exposure)
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
  let running: Running | null = null
  let current = config
  // A signal during the start is heard, and obeyed as soon as there is something to stop.
  const stopping = stopper(world, {
    stop: async () => (await starting).stop(),
    tellLeft: () => tellLeft(running?.undelivered() ?? [], log),
    limitMs: () => current.shutdownTimeoutMs + STOP_GRACE_MS,
    say: line => log.info(line),
  })
  listenToSignals(stopping, reloads.ask)
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
  const { reload } = running
  reloads.begin(async () => {
    const settled = await load()
    if (!(await reload(settled))) return
    current = settled.config
    log.level = current.service.logs.level
  })
  return stopping.ended
}

interface Reloads {
  /** To be called for every reason to read the configuration again. */
  ask(): void
  /** Now it can be. */
  begin(act: () => Promise<void>): void
}

/** What is asked for while one is under way, or before any can be, is done once afterwards. */
function onceAtATime(): Reloads {
  let reload: (() => Promise<void>) | null = null
  let isAsked = false
  let isBusy = false
  async function work() {
    if (reload === null || isBusy) return
    isBusy = true
    while (isAsked) {
      isAsked = false
      await reload()
    }
    isBusy = false
  }
  return {
    ask() {
      isAsked = true
      void work()
    },
    begin(act) {
      reload = act
      void work()
    },
  }
}

/** Says in the log where something is left, and how much in all. */
function tellLeft(left: readonly Undelivered[], log: Log): number {
  for (const { exporter, signal, items } of left)
    log.error({ exporter, signal, items }, 'ending at once loses what the destination has not taken')
  return left.reduce((sum, { items }) => sum + items, 0)
}

/** What the language itself throws is nobody's weather. */
const isBug = (error: unknown) =>
  !(error instanceof Error) ||
  [TypeError, ReferenceError, RangeError, SyntaxError].some(kind => error instanceof kind)

function listenToSignals(stopping: Stopper, reload: () => void) {
  const hadTerminal = isatty(0)
  for (const signal of Object.keys(STOP_SIGNALS) as StopSignal[]) {
    process.on(signal, () => {
      if (signal === 'SIGHUP' && !hasLostTerminal(hadTerminal)) reload()
      else stopping.hear(signal)
    })
  }
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
