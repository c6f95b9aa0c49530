//! A sender that does nothing wrong: ten small requests a second on one connection, and how each of them fared.
import { performance } from 'node:perf_hooks'
import { GrpcClient } from '../../kit/client.ts'
import { tracesRequest } from '../../kit/odd.ts'

export interface Fared {
  readonly sent: number
  /** Spans that were taken, since it began. */
  readonly accepted: number
  /** Every answer that was no success: its code, -1 where the connection ended, and its sentence. */
  readonly failures: readonly string[]
  readonly p99Ms: number
  readonly maxMs: number
  /** How late its own timer was, at the 99th percentile: what the machine did to it, and not the service. */
  readonly lateMs: number
}

const PERIOD_MS = 100
const MAX_FAILURES = 20
const port = Number(process.argv[2])
const client = new GrpcClient(port)
let latencies: number[] = []
let late: number[] = []
let failures: string[] = []
let sent = 0
let accepted = 0

function request(): Uint8Array {
  const startNs = BigInt(Date.now()) * 1_000_000n - 20_000_000n
  const span = { name: 'GET /ping', kind: 'server' as const, startNs, durationNs: 5_000_000 }
  return tracesRequest([{ service: 'bystander', spans: [span] }])
}

const open = new Set<Promise<void>>()

async function send() {
  const began = performance.now()
  const { code, message } = await client.export('traces', request())
  sent++
  latencies.push(performance.now() - began)
  if (code === 0) accepted++
  if (code !== 0 && failures.length < MAX_FAILURES) failures.push(`${code} ${message}`)
}

let dueMs = performance.now() + PERIOD_MS
const timer = setInterval(() => {
  late.push(Math.max(0, performance.now() - dueMs))
  dueMs = performance.now() + PERIOD_MS
  const call = send().finally(() => open.delete(call))
  open.add(call)
}, PERIOD_MS)

const p99 = (list: readonly number[]) => list.toSorted((a, b) => a - b)[Math.floor(list.length * 0.99)] ?? 0

/** `fared`: how it went since it was asked before. `halt` sends nothing more, and answers when nothing is open. */
process.on('message', async message => {
  if (message === 'halt') {
    clearInterval(timer)
    await Promise.all(open)
  } else if (message !== 'fared') return
  const fared: Fared = {
    sent,
    accepted,
    failures,
    p99Ms: p99(latencies),
    maxMs: Math.max(0, ...latencies),
    lateMs: p99(late),
  }
  latencies = []
  late = []
  failures = []
  sent = 0
  process.send?.(fared)
})
console.log('ready')
