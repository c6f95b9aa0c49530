//! The laws of A2 on a server of @grpc/grpc-js with raw buffers: what it does otherwise is listed here, with the reason.
import { Metadata, Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js'
import { onTestFinished } from 'vitest'
import { responseProto } from '../../../src/edge/responses.ts'
import { hasDetails, refusalOf, statusProto } from '../../../src/edge/status.ts'
import type { Outcome, Signal } from '../../../src/flow/sink.ts'
import { NO_HEADERS } from '../../../src/flow/sink.ts'
import { METHODS } from '../../kit/client.ts'
import { grpcLaws } from './grpc.suite.ts'
import type { Difference, Start } from './grpc-trial.ts'

const served = (name: string) => `G12 ${name} is refused, and the next call is served`
const answered = (code: number, delivered = 0) => ({ http: 200, code, delivered, next: 0 })

const UNKNOWN_ENCODING: Difference = {
  seen: { code: 12, gzip: false, zstd: false },
  why: 'it answers 12 and leaves grpc-accept-encoding out of the answer',
}
const NO_ZSTD = 'it knows gzip and deflate alone, and answers 12 to zstd'
const BAD_GZIP: Difference = {
  seen: answered(13),
  why: 'it decompresses by itself and calls every failure of it INTERNAL',
}
const BAD_COUNT: Difference = {
  seen: answered(12),
  why: 'it counts messages by itself and answers UNIMPLEMENTED unless there is exactly one',
}
const BAD_TIMEOUT: Difference = {
  seen: answered(13),
  why: 'it calls a grpc-timeout that it cannot read INTERNAL',
}
const LENIENT_TIMEOUT: Difference = {
  seen: answered(0, 1),
  why: 'it looks for a timeout anywhere in grpc-timeout, and is content with a part of the text',
}

const DIFFERENCES: Readonly<Record<string, Difference>> = {
  'G2 a declared length of 3 GiB is RESOURCE_EXHAUSTED before a byte of it, and the upload is reset': {
    seen: { code: 8, retryMs: null, reset: -1 },
    why: 'it never resets an upload that it has refused, and goes on taking its bytes',
  },
  'G11 grpc-encoding "snappy" is UNIMPLEMENTED, and the answer says what is known': UNKNOWN_ENCODING,
  'G11 grpc-encoding "garbage" is UNIMPLEMENTED, and the answer says what is known': UNKNOWN_ENCODING,
  'G11 grpc-encoding "gzip, gzip" is UNIMPLEMENTED, and the answer says what is known': UNKNOWN_ENCODING,
  'G11 zstd is understood': { seen: { code: 12, same: false }, why: NO_ZSTD },
  'G12 a zstd frame that asks for a window of 8 MiB is taken': {
    seen: { code: 12, same: false },
    why: NO_ZSTD,
  },
  'G12 a zstd frame that asks for a window of 128 MiB is refused': {
    seen: { code: 12, same: false },
    why: NO_ZSTD,
  },
  [served('garbage flagged as zstd')]: { seen: answered(12), why: NO_ZSTD },
  [served('garbage flagged as gzip')]: BAD_GZIP,
  [served('truncated gzip')]: BAD_GZIP,
  [served('an empty message flagged as gzip')]: BAD_GZIP,
  'G12 bytes after the message are refused, and the next call is served': {
    seen: answered(8),
    why: 'it takes the bytes for the prefix of a second message, and that for too large',
  },
  [served('a message flagged as compressed without grpc-encoding')]: {
    seen: answered(0, 1),
    why: 'without grpc-encoding it takes every message for plain, whatever its flag says',
  },
  [served('a message with an unknown flag')]: {
    seen: answered(0, 1),
    why: 'it takes every flag but 1 for 0, so that the bytes are read as they are',
  },
  'G12 two messages in a unary call are refused, and the next call is served': BAD_COUNT,
  'G12 two messages in two writes are refused, and the next call is served': BAD_COUNT,
  [served('a half-close without a message')]: BAD_COUNT,
  [served('a half-close in the middle of the prefix')]: BAD_COUNT,
  [served('a half-close in the middle of a message')]: BAD_COUNT,
  [served('grpc-timeout "soon"')]: BAD_TIMEOUT,
  [served('grpc-timeout "5"')]: BAD_TIMEOUT,
  [served('grpc-timeout "123456789S"')]: LENIENT_TIMEOUT,
  [served('grpc-timeout "-1S"')]: LENIENT_TIMEOUT,
  'G12 content-type application/grpc-web is answered with HTTP 415, and the next call is served': {
    seen: answered(0, 1),
    why: 'it is content with any type that begins with application/grpc',
  },
  'G12 GET is answered with HTTP 405, and the next call is served': {
    seen: answered(12),
    why: 'it does not look at the method of HTTP, and misses the message',
  },
}

const raw = (bytes: Buffer) => bytes

const start: Start = async (sink, { maxRecvBytes, signals }) => {
  const server = new Server({ 'grpc.max_receive_message_length': maxRecvBytes })
  const serve = (signal: Signal) => (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => {
    const answer = (outcome: Outcome) => {
      if (outcome.kind === 'accepted') {
        return done(null, Buffer.from(responseProto(signal, outcome.rejectedItems, outcome.message)))
      }
      const refusal = refusalOf(outcome)
      const metadata = new Metadata()
      if (hasDetails(refusal)) metadata.set('grpc-status-details-bin', Buffer.from(statusProto(refusal)))
      done({ code: refusal.grpc, details: refusal.message, metadata })
    }
    void sink.send({ signal, bytes: call.request, receivedMs: 0, headers: NO_HEADERS }).then(answer)
  }
  for (const signal of signals) {
    const method = {
      path: METHODS[signal],
      requestStream: false,
      responseStream: false,
      requestSerialize: raw,
      requestDeserialize: raw,
      responseSerialize: raw,
      responseDeserialize: raw,
    } as const
    server.addService({ Export: method }, { Export: serve(signal) })
  }
  onTestFinished(() => server.forceShutdown())
  return await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    )
  })
}

grpcLaws('grpc-js', start, DIFFERENCES)
