//! One trial of a gRPC server: it is started, called with something good or bad, and what is seen is compared.
import { gzipSync } from 'node:zlib'
import type { Batch, Outcome, Signal, Sink } from '../../../src/flow/sink.ts'
import { frame, type GrpcClient, type GrpcReply, type GrpcRequest } from '../../kit/client.ts'
import { tracesRequest } from '../../kit/odd.ts'
import { grpcClient } from '../../kit/receivers.ts'
import { checkingSink, recordingSink } from '../../kit/sinks.ts'

export interface Setting {
  readonly maxRecvBytes: number
  readonly signals: readonly Signal[]
}
/** Starts a server that is stopped at the end of the test, and resolves to its port. */
export type Start = (sink: Sink<Batch>, setting: Setting) => Promise<number>

/** A law's name, what the server does instead, and why that is so. */
export interface Difference {
  readonly seen: Record<string, unknown>
  readonly why: string
}

export interface Law {
  readonly name: string
  see(trial: Trial): Promise<Record<string, unknown>>
  readonly expected: Record<string, unknown>
}

export const MIB = 2 ** 20
export const ALL: readonly Signal[] = ['traces', 'metrics', 'logs']

/** One server under test with its client. */
export class Trial {
  readonly #start: Start
  readonly sink: ReturnType<typeof recordingSink>
  #answer: (batch: Batch) => Outcome | Promise<Outcome> = () => ({ kind: 'accepted', rejectedItems: 0 })
  #port = 0
  constructor(start: Start) {
    this.#start = start
    this.sink = recordingSink(batch => this.#answer(batch))
  }

  async serve(
    answer?: Outcome | ((batch: Batch) => Promise<Outcome>),
    setting: Partial<Setting> = {},
  ): Promise<GrpcClient> {
    if (answer !== undefined) this.#answer = typeof answer === 'function' ? answer : () => answer
    const whole = { maxRecvBytes: MIB, signals: ALL, ...setting }
    this.#port = await this.#start(checkingSink(this.sink), whole)
    return grpcClient(this.#port)
  }

  /** Sends `spans(3)` compressed. */
  async understand(encoding: string, bytes: Uint8Array): Promise<Record<string, unknown>> {
    const client = await this.serve()
    const reply = await client.call({ headers: { 'grpc-encoding': encoding }, body: [frame(bytes, 1)] })
    const [batch] = this.sink.batches
    return { code: reply.code, same: batch !== undefined && Buffer.compare(batch.bytes, spans(3)) === 0 }
  }

  /** Sends one bad call, then a good one on a new connection: whatever the first did, the second is served. */
  async provoke(request: GrpcRequest): Promise<Record<string, unknown>> {
    const client = await this.serve()
    const reply = await client.call(request)
    const delivered = this.sink.batches.length
    const next = await grpcClient(this.#port).export('traces', spans(1))
    return { http: reply.http, code: reply.code, delivered, next: next.code }
  }
}

export const spans = (count: number) =>
  tracesRequest([
    {
      service: 'shop',
      spans: Array.from({ length: count }, (_, i) => ({ name: `GET /${i}`, startNs: 10n, durationNs: 5 })),
    },
  ])

/** 64 MiB of zeros in 64 KiB, as members one after another. */
export const bomb = () =>
  Buffer.concat(new Array<Buffer>(8).fill(gzipSync(Buffer.alloc(8 * MIB), { level: 9 })))

export const told = ({ code, details }: GrpcReply) => ({ code, retryMs: details?.retryMs ?? null })
