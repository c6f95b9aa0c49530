//! Runs `npm start` as a person would, in a process group of its own, and watches it from outside.
import { type ChildProcess, spawn } from 'node:child_process'
import { request } from 'node:http'
import { connect } from 'node:net'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'

/** What listens, without an offset: gRPC, HTTP, web view, metrics, health. */
export const PORTS = [4317, 4318, 4319, 8888, 13133]

/** The environment of a fresh shell: nothing that an npm script, a test runner or an earlier export has left in it. */
export function freshEnvironment(extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const left =
    /^(npm_(package|lifecycle|command|execpath|node_execpath|config_local_prefix)|NODE_|VITEST|TEST$|OTEL_|OTLIER_|INIT_CWD)/
  const kept = Object.entries(process.env).filter(([name]) => !left.test(name))
  const path = (process.env.PATH ?? '').split(':').filter(folder => !folder.includes('node_modules'))
  return { ...Object.fromEntries(kept), PATH: path.join(':'), ...extra }
}

export interface Started {
  readonly child: ChildProcess
  /** Everything printed so far. */
  output(): string
  /** Seconds from the start to the first 200 of /ready. Rejects, with the output, when it ends or `withinMs` is over. */
  ready(withinMs: number): Promise<number>
  /** The exit code of npm, or the signal that ended it. */
  readonly exit: Promise<number | NodeJS.Signals>
  /** To npm alone, as a supervisor does. */
  signal(name: NodeJS.Signals): void
  /** To the whole process group, as a terminal does. */
  signalGroup(name: NodeJS.Signals): void
}

export interface StartOptions {
  readonly folder: string
  readonly portOffset: number
  /** npm and the arguments before `start`. */
  readonly npm?: readonly string[]
  /** Arguments of Otlier. */
  readonly args?: readonly string[]
  readonly env?: NodeJS.ProcessEnv
}

export function npmStart(options: StartOptions): Started {
  const [command, ...first] = options.npm ?? ['npm']
  const own = [
    '--port-offset',
    String(options.portOffset),
    '--set',
    'directory=none',
    ...(options.args ?? []),
  ]
  return watch(spawnGroup(command, [...first, 'start', '--', ...own], options), options.portOffset)
}

/** Any npm command in a process group of its own. */
export function spawnGroup(
  command: string,
  args: readonly string[],
  options: Pick<StartOptions, 'folder' | 'env'>,
) {
  return spawn(command, [...args], {
    cwd: options.folder,
    env: freshEnvironment(options.env),
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
}

export function watch(child: ChildProcess, portOffset: number): Started {
  const began = performance.now()
  let output = ''
  child.stdout?.on('data', chunk => (output += chunk))
  child.stderr?.on('data', chunk => (output += chunk))
  let ended = false
  const exit = new Promise<number | NodeJS.Signals>((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code, signal) => {
      ended = true
      resolve(code ?? signal ?? 'SIGKILL')
    })
  })
  const pid = () => {
    if (child.pid === undefined) throw new Error('npm did not start')
    return child.pid
  }
  return {
    child,
    exit,
    output: () => output,
    async ready(withinMs) {
      for (;;) {
        if ((await httpStatus(13133 + portOffset, '/ready')) === 200)
          return (performance.now() - began) / 1000
        if (ended || performance.now() - began > withinMs)
          throw new Error(`not ready ${ended ? 'when it ended' : `within ${withinMs} ms`}:\n${output}`)
        await sleep(50)
      }
    },
    signal: name => process.kill(pid(), name),
    signalGroup: name => process.kill(-pid(), name),
  }
}

/** Ends a process group that a failed test left, and waits for it. */
export async function cleanUp(started: Started) {
  try {
    started.signalGroup('SIGKILL')
  } catch {
    // It has ended by itself.
  }
  await started.exit.catch(() => {})
}

/** 0 when nobody answers. */
export function httpStatus(port: number, path: string): Promise<number> {
  return new Promise(resolve => {
    const asked = request({ host: '127.0.0.1', port, path, agent: false, timeout: 1_000 }, response => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    asked.on('timeout', () => asked.destroy())
    asked.on('error', () => resolve(0))
    asked.end()
  })
}

/** Those of Otlier's ports that something listens on. */
export async function listening(portOffset: number) {
  const open = await Promise.all(
    PORTS.map(
      port =>
        new Promise<number | null>(resolve => {
          const socket = connect({ host: '127.0.0.1', port: port + portOffset })
          socket.on('connect', () => {
            socket.destroy()
            resolve(port)
          })
          socket.on('error', () => resolve(null))
        }),
    ),
  )
  return open.filter(port => port !== null)
}
