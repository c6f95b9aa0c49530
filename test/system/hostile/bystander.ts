//! A sender that does nothing wrong: ten small requests a second on one connection, and how each of them fared.
import { performance } from 'node:perf_hooks'
import { GrpcClient } from '../../kit/client.ts'
import { tracesRequest } from '../../kit/odd.ts'

/** Since it was asked before, but for `accepted`. */
export interface Fared {
  /** Requests that were begun, answered or not. */
  readonly sent: number
  /** How often each answer came: `grpc 0`; `grpc 14` only where RetryInfo was with it; -1 where the connection ended. */
  readonly answers: Readonly<Record<string, number>>
  /** Of each answer that was no success, the first sentence. */
  readonly sentences: Readonly<Record<string, string>>
  /** Of the latencies of those that were answered and the ages of those that are open. */
  readonly p99Ms: number
  readonly maxMs: number
  /** The age of the oldest request that is open. */
  readonly oldestMs: number
  /** How late its own timer was, at the 99th percentile: what the machine did to it, and not the service. */
  readonly lateMs: number
  /** Spans that were taken, since it began. */
  readonly accepted: number
}

const PERIOD_MS = 100

function request(): Uint8Array {
  const startNs = BigInt(Date.now()) * 1_000_000n - 20_000_000n
  const span = { name: 'GET /ping', kind: 'server' as const, startNs, durationNs: 5_000_000 }
  return tracesRequest([{ service: 'bystander', spans: [span] }])
}

const p99 = (list: readonly number[]) => list.toSorted((a, b) => a - b)[Math.floor(list.length * 0.99)] ?? 0

const client = new GrpcClient(Number(process.argv[2]))
/** When each call began that has no answer. */
const open = new Map<Promise<void>, number>()
let accepted = 0
let period = newPeriod()

function newPeriod() {
  return {
    sent: 0,
    answers: new Map<string, number>(),
    sentences: new Map<string, string>(),
    latencies: [] as number[],
    late: [] as number[],
  }
}

/** The answer over a connection that is gone. */
const lost = (error: Error) => ({ code: -1, message: error.message, details: null })

async function send(beganMs: number) {
  const { code, message, details } = await client.export('traces', request()).catch(lost)
  period.latencies.push(performance.now() - beganMs)
  const isWithout = code === 14 && (details?.retryMs ?? null) === null
  const answer = `grpc ${code}${isWithout ? ' without RetryInfo' : ''}`
  period.answers.set(answer, (period.answers.get(answer) ?? 0) + 1)
  if (code === 0) accepted++
  else if (!period.sentences.has(answer)) period.sentences.set(answer, message)
}

let dueMs = performance.now() + PERIOD_MS
let timer = setTimeout(tick, PERIOD_MS)

function tick() {
  const now = performance.now()
  period.late.push(Math.max(0, now - dueMs))
  // What the machine has held up is sent all the same: it is ten a second. A timer may fire a moment early.
  for (; dueMs <= now + 1; dueMs += PERIOD_MS) {
    period.sent++
    const call = send(now).finally(() => open.delete(call))
    open.set(call, now)
  }
  timer = setTimeout(tick, Math.max(0, dueMs - performance.now()))
}

function fared(): Fared {
  const now = performance.now()
  const ages = [...open.values()].map(beganMs => now - beganMs)
  const waits = [...period.latencies, ...ages]
  return {
    sent: period.sent,
    answers: Object.fromEntries(period.answers),
    sentences: Object.fromEntries(period.sentences),
    p99Ms: p99(waits),
    maxMs: Math.max(0, ...waits),
    oldestMs: Math.max(0, ...ages),
    lateMs: p99(period.late),
    accepted,
  }
}

/** `fared`: how it went since it was asked before. `halt` sends nothing more, and answers when nothing is open. */
process.on('message', async message => {
  if (message === 'halt') {
    clearTimeout(timer)
    await Promise.all(open.keys())
  } else if (message !== 'fared') return
  process.send?.(fared())
  period = newPeriod()
})
console.log('ready')
