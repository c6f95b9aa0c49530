//! A sender under way: requests of spans with unique names, one after the other on each of a few lanes, with the answers to each.
import type { Backend } from '../kit/backend.ts'
import type { GrpcClient } from '../kit/client.ts'
import { decodeRequest } from '../kit/messages.ts'
import { tracesRequest } from '../kit/odd.ts'

export interface Load {
  /** The names of spans that were answered as taken. */
  readonly accepted: readonly string[]
  /** Answers other than OK and UNAVAILABLE, and calls without one. */
  readonly odd: readonly number[]
  /** Resolves when so many spans more have been taken. */
  more(spans: number): Promise<void>
  /** Ends it when the last answer is there. */
  end(): Promise<void>
}

const SPANS = 5
const OK = 0
const UNAVAILABLE = 14

/** Each lane waits for its answer before it sends again. Ends by itself when the connection does. */
export function load(client: Pick<GrpcClient, 'export' | 'session'>, lanes = 4, prefix = 'n'): Load {
  const accepted: string[] = []
  const odd: number[] = []
  let next = 0
  let ended = false
  const work = Array.from({ length: lanes }, async () => {
    while (!ended && !client.session.closed && !client.session.destroyed) {
      const names = Array.from({ length: SPANS }, () => `${prefix}${next++}`)
      const startNs = BigInt(Date.now()) * 1_000_000n
      const spans = names.map(name => ({ name, kind: 'server', startNs, durationNs: 1_000_000 }) as const)
      const { code } = await client.export('traces', tracesRequest([{ service: 'shop', spans }]))
      if (code === OK) accepted.push(...names)
      else if (code !== UNAVAILABLE) odd.push(code)
      // Whoever was told to come again does not do so at once.
      if (code !== OK) await new Promise(resolve => setTimeout(resolve, 20))
    }
  })
  return {
    accepted,
    odd,
    async more(spans) {
      const until = accepted.length + spans
      while (accepted.length < until) await new Promise(resolve => setTimeout(resolve, 2))
    },
    async end() {
      ended = true
      await Promise.all(work)
    },
  }
}

/** The names of all spans that a backend was sent, as often as it was. */
export const arrived = (backend: Pick<Backend, 'requests'>, from = 0): string[] =>
  backend.requests
    .slice(from)
    .filter(({ signal }) => signal === 'traces')
    .flatMap(({ bytes }) => decodeRequest('traces', bytes).resource_spans ?? [])
    .flatMap(({ scope_spans }) => scope_spans)
    .flatMap(({ spans }) => spans)
    .map(({ name }) => name)
