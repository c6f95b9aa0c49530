//! A program of the bench in a process of its own, which is asked over a channel and ends with the bench.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { cleanEnvironment } from '../kit/programs.ts'

const LIMIT_MS = 30_000

export interface Child {
  /** The first part of what it says on stdout that `pattern` matches. */
  said(pattern: RegExp): Promise<RegExpExecArray>
  /** Sends a word and awaits the answer. One question at a time. */
  ask<T>(question: string): Promise<T>
  /** CPU microseconds since it started. */
  cpuUs(): Promise<number>
  stop(): Promise<void>
}

export interface ChildOptions {
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Of Node, before the program. */
  readonly nodeOptions?: readonly string[]
  /** A folder for a CPU profile of it, written when it is stopped. */
  readonly profile?: string | undefined
}

/** @param program relative to this folder */
export function child(
  program: string,
  { args = [], env = {}, nodeOptions = [], profile }: ChildOptions = {},
): Child {
  const at = (path: string) => fileURLToPath(new URL(path, import.meta.url))
  const running = fork(at(program), [...args], {
    execArgv: [
      '--import',
      at('./cpu-clock.ts'),
      ...nodeOptions,
      ...(profile === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', profile]),
    ],
    env: cleanEnvironment(env),
    silent: true,
  })
  let output = ''
  const waiting = new Set<() => void>()
  const wake = () => {
    for (const look of waiting) look()
  }
  for (const stream of [running.stdout, running.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
      wake()
    })
  }
  const exited = once(running, 'exit').then(wake)
  const isOver = () => running.exitCode !== null || running.signalCode !== null

  const failure = (why: string) => new Error(`${program} ${why}:\n${output}`)

  async function ask<T>(question: string): Promise<T> {
    if (isOver()) throw failure('has ended')
    const answer = once(running, 'message', { signal: AbortSignal.timeout(LIMIT_MS) })
    running.send(question)
    return (await answer)[0] as T
  }

  return {
    ask,
    cpuUs: async () => (await ask<{ cpuUs: number }>('cpu')).cpuUs,
    said: pattern =>
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
        const timer = setTimeout(() => settle(() => reject(failure(`does not say ${pattern}`))), LIMIT_MS)
        waiting.add(look)
        look()
      }),
    async stop() {
      if (running.connected) running.disconnect()
      const timer = setTimeout(() => running.kill('SIGKILL'), LIMIT_MS)
      await exited
      clearTimeout(timer)
    },
  }
}
