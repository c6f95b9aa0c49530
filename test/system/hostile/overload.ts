//! A load that does not wait for its answers: so many spans a second over both transports, and what came back.
import { Agent } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { requests, SPANS } from '../../bench/traffic.ts'
import { GrpcClient, httpCall, PROTOBUF } from '../../kit/client.ts'
import type { Where } from './attack.ts'

export interface Offered {
  /** Spans that were sent, and the time in which: from the first to when the next would have been due. */
  readonly offered: number
  readonly tookMs: number
  /** From then to the last answer. */
  readonly answeredAfterMs: number
  /** Requests that were answered with success. */
  readonly taken: number
  /** Of those that were to come again: UNAVAILABLE with RetryInfo, and 503 with Retry-After. */
  readonly refusedGrpc: number
  readonly refusedHttp: number
  /** When to come again, each value once. */
  readonly delaysMs: readonly number[]
  /** Every answer that is neither. */
  readonly others: readonly string[]
}

const MAX_OTHERS = 20
const HTTP_CONNECTIONS = 8

export async function offer(
  { grpcPort, httpPort }: Pick<Where, 'grpcPort' | 'httpPort'>,
  spansPerSecond: number,
  forMs: number,
): Promise<Offered> {
  const traffic = requests(16)
  const clients = [new GrpcClient(grpcPort), new GrpcClient(grpcPort)]
  const agent = new Agent({ keepAlive: true, maxSockets: HTTP_CONNECTIONS })
  const seen = { taken: 0, refusedGrpc: 0, refusedHttp: 0 }
  const delays = new Set<number>()
  const others: string[] = []
  const other = (what: string) => void (others.length < MAX_OTHERS && others.push(what))

  async function overGrpc(client: GrpcClient, bytes: Uint8Array) {
    const { code, details, message } = await client.export('traces', bytes)
    const delayMs = details?.retryMs ?? null
    if (code === 0) seen.taken++
    else if (code === 14 && delayMs !== null) {
      seen.refusedGrpc++
      delays.add(Math.ceil(delayMs / 1000) * 1000)
    } else other(`grpc ${code}, RetryInfo ${delayMs}: ${message}`)
  }

  async function overHttp(bytes: Uint8Array) {
    const { status, headers } = await httpCall({ port: httpPort, headers: PROTOBUF, body: bytes, agent })
    const wait = headers['retry-after']
    if (status === 200) seen.taken++
    else if (status === 503 && wait !== undefined) {
      seen.refusedHttp++
      delays.add(1000 * Number(wait))
    } else other(`http ${status}, Retry-After ${wait}`)
  }

  const periodMs = (1000 * SPANS) / spansPerSecond
  const began = performance.now()
  const calls = new Set<Promise<void>>()
  let offered = 0
  for (let n = 0; n * periodMs < forMs; n++) {
    const aheadMs = began + n * periodMs - performance.now()
    if (aheadMs > 0) await sleep(aheadMs)
    const request = traffic[n % traffic.length]
    request.stamp(Date.now(), false)
    // Its own bytes: the next stamp must not change what is still on its way.
    const bytes = request.bytes.slice()
    const call = n % 2 === 0 ? overGrpc(clients[(n >> 1) % clients.length], bytes) : overHttp(bytes)
    offered += SPANS
    calls.add(call)
    void call.finally(() => calls.delete(call))
  }
  await sleep(Math.max(0, began + forMs - performance.now()))
  const ended = performance.now()
  await Promise.all(calls)
  const answeredAfterMs = performance.now() - ended
  await Promise.all(clients.map(client => client.close()))
  agent.destroy()
  return {
    offered,
    tookMs: ended - began,
    answeredAfterMs,
    ...seen,
    delaysMs: [...delays].toSorted((a, b) => a - b),
    others,
  }
}
