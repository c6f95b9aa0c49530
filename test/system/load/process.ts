//! A program of a proof in a process of its own: asked over a channel, listened to, killed, and never outliving who started it.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { cleanEnvironment } from '../../kit/programs.ts'

const ANSWER_MS = 120_000
const SAID_MS = 120_000
/** What is kept of what it says. */
const MAX_OUTPUT = 4 * 2 ** 20

export interface Program {
  readonly pid: number
  /** The first part of what it has said or will say that `pattern` matches. */
  said(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>
  /** Sends a question and awaits the answer. One at a time. */
  ask<T>(question: unknown, timeoutMs?: number): Promise<T>
  kill(signal: NodeJS.Signals): void
  /** Its exit status, null where a signal ended it. */
  readonly ended: Promise<number | null>
  output(): string
  /** Ends it, if it has not ended, and waits for that. */
  stop(): Promise<void>
}

export interface ProgramOptions {
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Of Node itself. */
  readonly flags?: readonly string[]
  /** Modules to load before it, relative to this folder. */
  readonly before?: readonly string[]
}

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/** @param program relative to this folder */
export function program(
  program: string,
  { args = [], env = {}, flags = [], before = [] }: ProgramOptions = {},
): Program {
  const child = fork(at(program), [...args], {
    execArgv: [...flags, ...before.flatMap(module => ['--import', at(module)])],
    env: cleanEnvironment(env),
    silent: true,
  })
  let output = ''
  const waiting = new Set<() => void>()
  const wake = () => {
    for (const look of waiting) look()
  }
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      output = (output + chunk).slice(-MAX_OUTPUT)
      wake()
    })
  }
  const ended = once(child, 'close').then(([status]) => {
    wake()
    return status as number | null
  })
  const isOver = () => child.exitCode !== null || child.signalCode !== null
  const failure = (why: string) => new Error(`${program} ${why}:\n${output}`)
  child.on('error', () => {})

  return {
    pid: child.pid as number,
    ended,
    output: () => output,
    kill: signal => void child.kill(signal),
    async ask<T>(question: unknown, timeoutMs = ANSWER_MS) {
      if (isOver()) throw failure('has ended')
      const limit = AbortSignal.timeout(timeoutMs)
      const answer = once(child, 'message', { signal: limit }).catch(() => {
        throw failure(`does not answer ${JSON.stringify(question)}`)
      })
      child.send(question as object)
      const gone = ended.then(() => {
        throw failure('has ended')
      })
      return (await Promise.race([answer, gone]))[0] as T
    },
    said: (pattern, timeoutMs = SAID_MS) =>
      new Promise((resolve, reject) => {
        const settle = (act: () => void) => {
          clearTimeout(timer)
          waiting.delete(look)
          act()
        }
        const look = () => {
          const found = pattern.exec(output)
          if (found !== null) settle(() => resolve(found))
          else if (isOver()) settle(() => reject(failure('has ended')))
        }
        const timer = setTimeout(() => settle(() => reject(failure(`does not say ${pattern}`))), timeoutMs)
        waiting.add(look)
        look()
      }),
    async stop() {
      if (!isOver()) child.kill('SIGKILL')
      await ended
    },
  }
}
