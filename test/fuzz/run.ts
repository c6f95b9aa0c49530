//! Runs one fuzz: seeds printed, a hang ends the process, memory after the last tenth is held against the first's.

import { setTimeout } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { giveBack } from '../../src/base/heap.ts'
import { type Random, seeded } from '../kit/random.ts'

export type Fuzz = {
  name: string
  /** Inputs in the short form. `OTLIER_FUZZ_TIMES=20` runs twenty times as many. */
  inputs: number
  /** Throws where the law is broken. */
  one: (random: Random) => void | Promise<void>
}

/** No single input may take longer. */
const HANG_MS = 20_000

const MEMORY_GROWTH_MAX = 0.1

/** How many inputs a fuzz of this short form runs, and how long it may take: for the test's own timeout. */
export function timeoutMs(inputs: number): number {
  return 60_000 + 10 * inputs * times()
}

/** Each input has a seed of its own, counted up from a fresh one. `OTLIER_SEED=17` runs that input alone. */
export async function fuzz({ name, inputs, one }: Fuzz): Promise<void> {
  const asked = process.env.OTLIER_SEED ?? ''
  const first = /^\d+$/.test(asked) ? Number(asked) : Math.floor(Math.random() * 2 ** 40)
  const count = /^\d+$/.test(asked) ? 1 : inputs * times()
  console.log(`${name}: seeds ${first} to ${first + count - 1}`)
  const watch = watchdog(name, first)
  const usedBytes: number[] = []
  try {
    for (let n = 0; n < count; n++) {
      watch.at(n)
      try {
        await one(seeded(first + n))
      } catch (error) {
        throw new Error(`${name}: replay with OTLIER_SEED=${first + n}`, { cause: error })
      }
      if ((n + 1) % Math.ceil(count / 10) === 0) usedBytes.push(await residentBytes())
    }
  } finally {
    await watch.stop()
  }
  const [early, late] = [usedBytes[0], usedBytes.at(-1)]
  console.log(`${name}: resident ${usedBytes.map(used => Math.round(used / 2 ** 20)).join(' ')} MiB`)
  // Of a shortened run the first tenth would measure how the process warms up.
  if (count < inputs || early === undefined || late === undefined) return
  const growth = late / early - 1
  if (growth > MEMORY_GROWTH_MAX) throw new Error(`${name}: memory grew by ${Math.round(100 * growth)} %`)
}

/** A shorter input that still fails: what can be cut away without mending it, in halves, quarters, down to bytes. */
export function shrink(input: Uint8Array, fails: (bytes: Uint8Array) => boolean): Uint8Array {
  let shortest = input
  for (let width = Math.ceil(input.length / 2); width >= 1; width = width === 1 ? 0 : Math.ceil(width / 2)) {
    for (let at = 0; at < shortest.length; ) {
      const cut = Buffer.concat([shortest.subarray(0, at), shortest.subarray(at + width)])
      if (fails(cut)) shortest = cut
      else at += width
    }
  }
  return shortest
}

function times(): number {
  return Number(process.env.OTLIER_FUZZ_TIMES ?? 1)
}

/** What is left when V8 and malloc have given back all that they can. */
async function residentBytes(): Promise<number> {
  // What is held outside of the heap, by zlib say, goes a turn after its owner: hence twice.
  for (let n = 0; n < 2; n++) {
    giveBack()
    await setTimeout(20)
  }
  return process.memoryUsage.rss()
}

// An endless loop blocks every timer of this thread: another thread has to notice.
const WATCH = `
const { workerData } = require('node:worker_threads')
const at = new Int32Array(workerData.shared)
let last = -1
setInterval(() => {
  const now = Atomics.load(at, 0)
  if (now === last) {
    require('node:fs').writeSync(2, workerData.name + ': hangs, replay with OTLIER_SEED=' + (workerData.first + now) + '\\n')
    process.kill(process.pid, 'SIGKILL')
  }
  last = now
}, workerData.hangMs)
`

function watchdog(name: string, first: number): { at(n: number): void; stop(): Promise<unknown> } {
  const shared = new SharedArrayBuffer(4)
  const current = new Int32Array(shared)
  const worker = new Worker(WATCH, { eval: true, workerData: { shared, name, first, hangMs: HANG_MS } })
  return {
    at: n => void Atomics.store(current, 0, n),
    stop: () => worker.terminate(),
  }
}
