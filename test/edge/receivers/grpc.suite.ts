//! The rows of A2, OTLP/gRPC on the server, as laws for any server of the three Export methods.
import { describe, expect, onTestFinished, test } from 'vitest'
import { Failure } from '../../../src/base/errors.ts'
import { frame } from '../../kit/client.ts'
import { seeded, shuffled } from '../../kit/random.ts'
import { decodeResponse } from '../../kit/replies.ts'
import { FRAMES } from './grpc-frames.ts'
import { ALL, bomb, type Difference, type Law, MIB, type Start, spans, Trial, told } from './grpc-trial.ts'

const GZIP = { 'grpc-encoding': 'gzip' }

const LAWS: readonly Law[] = [
  {
    name: 'G1 the three Export methods are served under their full names',
    async see(trial) {
      const client = await trial.serve()
      const codes = []
      for (const signal of ALL) codes.push((await client.export(signal, new Uint8Array(0))).code)
      return { codes, delivered: trial.sink.batches.map(batch => batch.signal) }
    },
    expected: { codes: [0, 0, 0], delivered: ALL },
  },
  {
    name: 'G1 a method that is not Export is UNIMPLEMENTED',
    async see(trial) {
      const client = await trial.serve()
      const path = '/opentelemetry.proto.collector.trace.v1.TraceService/Import'
      return told(await client.call({ path, body: [frame(spans(1))] }))
    },
    expected: { code: 12, retryMs: null },
  },
  {
    name: 'G2 a message one byte over the limit is RESOURCE_EXHAUSTED without RetryInfo, one at the limit is taken',
    async see(trial) {
      const client = await trial.serve()
      const over = await client.call({ body: [frame(new Uint8Array(MIB + 1))] })
      const filler = Buffer.concat([Buffer.from([0x7a, 0xfb, 0xff, 0x3f]), new Uint8Array(MIB - 5)])
      const at = await client.export('traces', filler)
      return {
        ...told(over),
        details: over.details,
        at: at.code,
        delivered: trial.sink.batches[0]?.bytes.length,
      }
    },
    expected: { code: 8, retryMs: null, details: null, at: 0, delivered: MIB - 1 },
  },
  {
    name: 'G2 a declared length of 3 GiB is RESOURCE_EXHAUSTED before a byte of it, and the upload is reset',
    async see(trial) {
      const client = await trial.serve()
      const reply = await client.call({ body: [frame(new Uint8Array(0), 0, 3 * 2 ** 30)], open: true })
      return { ...told(reply), reset: reply.reset }
    },
    expected: { code: 8, retryMs: null, reset: 0 },
  },
  {
    name: 'G2 a bomb is RESOURCE_EXHAUSTED once it is past the limit',
    async see(trial) {
      const client = await trial.serve()
      const reply = await client.call({ headers: GZIP, body: [frame(bomb(), 1)] })
      return { ...told(reply), delivered: trial.sink.batches.length }
    },
    expected: { code: 8, retryMs: null, delivered: 0 },
  },
  {
    name: 'G3 success is OK with an empty Export response',
    async see(trial) {
      const client = await trial.serve()
      const { http, code, headers, reply } = await client.export('traces', spans(2))
      return {
        http,
        code,
        type: headers['content-type']?.slice(0, 16),
        reply: reply?.length,
        details: headers['grpc-status-details-bin'],
      }
    },
    expected: { http: 200, code: 0, type: 'application/grpc', reply: 0, details: undefined },
  },
  {
    name: 'G4 a full queue is UNAVAILABLE, with RetryInfo where a time is known',
    async see(trial) {
      const cause = new Failure('OTLIER_QUEUE_FULL')
      const client = await trial.serve({ kind: 'busy', retryAfterMs: 1500, cause })
      return told(await client.export('traces', spans(1)))
    },
    expected: { code: 14, retryMs: 1500 },
  },
  {
    name: 'G4 a full queue is UNAVAILABLE, without details where no time is known',
    async see(trial) {
      const client = await trial.serve({
        kind: 'busy',
        retryAfterMs: null,
        cause: new Failure('OTLIER_MEMORY'),
      })
      const reply = await client.export('traces', spans(1))
      return { ...told(reply), details: reply.details }
    },
    expected: { code: 14, retryMs: null, details: null },
  },
  {
    name: 'G5 malformed protobuf is INVALID_ARGUMENT with BadRequest, and is not passed on',
    async see(trial) {
      const client = await trial.serve()
      const { code, details } = await client.export('traces', Buffer.from('0aff01', 'hex'))
      const { violations = null, retryMs = null } = details ?? {}
      return { code, violations: violations?.length, retryMs, delivered: trial.sink.batches.length }
    },
    expected: { code: 3, violations: 1, retryMs: null, delivered: 0 },
  },
  {
    name: 'G7 a destination that finds a request too large for good is passed on as RESOURCE_EXHAUSTED without RetryInfo',
    async see(trial) {
      const client = await trial.serve({
        kind: 'refused',
        cause: new Failure('OTLIER_DESTINATION_TOO_LARGE'),
      })
      const reply = await client.export('traces', spans(1))
      return { ...told(reply), details: reply.details }
    },
    expected: { code: 8, retryMs: null, details: null },
  },
  {
    name: 'G7 what may succeed later is never RESOURCE_EXHAUSTED',
    async see(trial) {
      const cause = new Failure('OTLIER_DESTINATION_TOO_LARGE')
      const client = await trial.serve({ kind: 'busy', retryAfterMs: 20, cause })
      return told(await client.export('traces', spans(1)))
    },
    expected: { code: 14, retryMs: 20 },
  },
  {
    name: 'G8 a hundred calls at once on one connection get their own answers, in whatever order',
    async see(trial) {
      const held: (() => void)[] = []
      const client = await trial.serve(async batch => {
        await new Promise<void>(resolve => {
          held.push(resolve)
          if (held.length === 100) for (const go of shuffled(seeded(8), held)) go()
        })
        return { kind: 'accepted', rejectedItems: batch.bytes.length, message: 'counted' }
      })
      const sizes = Array.from({ length: 100 }, (_, i) => 1 + i)
      const messages = sizes.map(count => spans(count))
      const replies = await Promise.all(messages.map(bytes => client.export('traces', bytes)))
      const wrong = replies.filter(
        ({ reply }, i) =>
          decodeResponse('traces', reply ?? Buffer.alloc(0)).partial?.rejected !== messages[i].length,
      )
      return { codes: [...new Set(replies.map(({ code }) => code))], wrong: wrong.length }
    },
    expected: { codes: [0], wrong: 0 },
  },
  {
    name: 'G10 a signal that is switched off is UNIMPLEMENTED, the others are served',
    async see(trial) {
      const client = await trial.serve(undefined, { signals: ['traces', 'logs'] })
      const off = await client.export('metrics', new Uint8Array(0))
      const on = await client.export('logs', new Uint8Array(0))
      return { off: off.code, on: on.code, delivered: trial.sink.batches.map(batch => batch.signal) }
    },
    expected: { off: 12, on: 0, delivered: ['logs'] },
  },
  ...FRAMES,
]

/** Runs every law; where `differences` has it by name, what it says is expected instead, and it must differ. */
export function grpcLaws(
  server: string,
  start: Start,
  differences: Readonly<Record<string, Difference>>,
): void {
  describe(server, () => {
    test('every difference names a law and has a reason', () => {
      const names = LAWS.map(law => law.name)
      expect(Object.keys(differences).filter(name => !names.includes(name))).toEqual([])
      for (const { why } of Object.values(differences)) expect(why.length).toBeGreaterThan(20)
    })
    for (const law of LAWS) {
      const difference = differences[law.name]
      test(
        difference === undefined ? law.name : `${law.name} (${server} differs: ${difference.why})`,
        async () => {
          const crashed: unknown[] = []
          const note = (error: unknown) => crashed.push(error)
          process.on('uncaughtExceptionMonitor', note)
          onTestFinished(() => void process.off('uncaughtExceptionMonitor', note))
          const seen = await law.see(new Trial(start))
          if (difference !== undefined) expect(difference.seen).not.toEqual(law.expected)
          expect(seen).toEqual(difference?.seen ?? law.expected)
          expect(crashed).toEqual([])
        },
      )
    }
  })
}
