//! Other programs, run to their end or as long as a test needs them, with bounds on time and on what they may say.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

export interface Ended {
  /** The exit status, or null where a signal or the time limit ended it. */
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface ProgramOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly timeoutMs?: number
  /** The user and the group to run as; only root may choose. */
  readonly uid?: number
  readonly gid?: number
}

/** The environment of this process without what would configure an SDK or Otlier. */
export function cleanEnvironment(extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(OTEL|OTLIER|GRPC|VITEST|NODE_OPTIONS)/.test(name),
  )
  return { ...Object.fromEntries(kept), ...extra }
}

/** Runs a program to its end. A program that is not there gives the status 127. */
export async function run(
  command: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<Ended> {
  const child = spawn(command, args, {
    env: cleanEnvironment(options.env),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    timeout: options.timeoutMs ?? 60_000,
    killSignal: 'SIGKILL',
  })
  child.stdin.on('error', () => {}).end()
  const said = listenTo(child)
  const status = await new Promise<number | null>(resolve => {
    child.once('error', error => resolve((error as NodeJS.ErrnoException).code === 'ENOENT' ? 127 : null))
    child.once('close', resolve)
  })
  return { status, stdout: said.stdout(), stderr: said.stderr() }
}

export interface Running {
  readonly child: ChildProcessWithoutNullStreams
  stdout(): string
  stderr(): string
  /** Waits for a line of either stream that `pattern` matches. Rejects with all that was said where it ends before, or at the time limit. */
  line(pattern: RegExp, timeoutMs?: number): Promise<string>
  /** The end, once it has come. */
  readonly ended: Promise<Ended>
}

/** Starts a program that goes on. End it by `child.kill()` or by closing its input. */
export function begin(command: string, args: readonly string[], options: ProgramOptions = {}): Running {
  const child = spawn(command, args, {
    env: cleanEnvironment(options.env),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.gid === undefined ? {} : { gid: options.gid }),
  })
  child.stdin.on('error', () => {})
  const said = listenTo(child)
  const lines: string[] = []
  const waiting = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr])
    createInterface({ input: stream }).on('line', line => {
      lines.push(line)
      for (const wake of waiting) wake()
    })
  const ended = once(child, 'close').then(([status]) => {
    for (const wake of waiting) wake()
    return { status, stdout: said.stdout(), stderr: said.stderr() }
  })
  // Whoever needs the end awaits it; a program that cannot be started is told by `line`.
  ended.catch(() => {})
  return {
    child,
    stdout: said.stdout,
    stderr: said.stderr,
    ended,
    line: (pattern, timeoutMs = 20_000) =>
      new Promise((resolve, reject) => {
        const finish = () => {
          waiting.delete(look)
          clearTimeout(timer)
        }
        const give = (why: string) => {
          finish()
          reject(new Error(`${command}: ${why}\n${said.stdout()}${said.stderr()}`))
        }
        const look = () => {
          const found = lines.find(line => pattern.test(line))
          if (found === undefined)
            return child.exitCode === null ? undefined : give(`ended before ${pattern}`)
          finish()
          resolve(found)
        }
        const timer = setTimeout(() => give(`did not say ${pattern} in time`), timeoutMs)
        child.once('error', error => give(String(error)))
        waiting.add(look)
        look()
      }),
  }
}

/**
 * What an Otlier may take beyond its `shutdown_timeout`: a second to close its files, half of one for the last lines of its log,
 * and a busy machine the rest.
 */
export const STOP_GRACE_MS = 2000

/** Sends SIGTERM and awaits the end; `tookMs` is from the one to the other. */
export async function terminated({
  child,
  ended,
}: Pick<Running, 'child' | 'ended'>): Promise<Ended & { readonly tookMs: number }> {
  const beganMs = performance.now()
  child.kill('SIGTERM')
  const end = await ended
  return { ...end, tookMs: performance.now() - beganMs }
}

const MAX_OUTPUT = 64 * 2 ** 20

function listenTo(child: ChildProcessWithoutNullStreams) {
  const parts = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      if (parts[name].length < MAX_OUTPUT) parts[name] += chunk
    })
  return { stdout: () => parts.stdout, stderr: () => parts.stderr }
}
