//! Shares jobs out over processes, and says how far they are.
import { type ChildProcess, fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { Done, Job } from './jobs.ts'

const WORKER = fileURLToPath(new URL('./worker.ts', import.meta.url))

interface Message {
  readonly day?: true
  readonly done?: Done
  readonly failed?: string
}

/** The results in the order of the jobs. Rejects, with all processes ended, where one job fails. */
export async function runAll(jobs: readonly Job[], workers = availableParallelism()): Promise<Done[]> {
  const results: Done[] = new Array(jobs.length)
  const startedMs = performance.now()
  let [next, days, ended] = [0, 0, 0]
  const children: ChildProcess[] = []
  const say = () => {
    const seconds = Math.round((performance.now() - startedMs) / 1_000)
    const text = `${ended} of ${jobs.length} jobs, ${days} simulated days, ${seconds} s`
    if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`)
    else if (ended > 0 || days % 10 === 0) process.stderr.write(`${text}\n`)
  }
  const work = () =>
    new Promise<void>((resolve, reject) => {
      if (next >= jobs.length) return resolve()
      // Infinity and NaN travel only in this form.
      const child = fork(WORKER, { serialization: 'advanced' })
      children.push(child)
      let at = next++
      child.on('error', reject)
      child.on('exit', code => (code === 0 ? resolve() : reject(new Error(`a worker ended with ${code}`))))
      child.on('message', ({ day, done, failed }: Message) => {
        if (day) days++
        if (failed !== undefined) reject(new Error(failed))
        if (done !== undefined) {
          results[at] = done
          ended++
          at = next++
          if (at < jobs.length) child.send(jobs[at])
          else child.disconnect()
        }
        say()
      })
      child.send(jobs[at])
    })
  try {
    await Promise.all(Array.from({ length: Math.min(workers, jobs.length) }, work))
  } finally {
    for (const child of children) child.kill()
    if (process.stderr.isTTY) process.stderr.write('\r\u001b[K')
  }
  return results
}
