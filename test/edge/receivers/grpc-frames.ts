//! Laws of A2 about encodings and malformed frames: each is refused, nothing ends, and the next call is served.
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { frame } from '../../kit/client.ts'
import { type Law, spans, type Trial } from './grpc-trial.ts'

/** A zstd frame of one raw block, with the window that it says it needs. */
function zstdFrame(content: Uint8Array, windowLog: number): Buffer {
  const block = Buffer.alloc(3)
  block.writeUIntLE((content.length << 3) | 1, 0, 3)
  return Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, (windowLog - 10) << 3]), block, content])
}

const GZIP = { 'grpc-encoding': 'gzip' }
const refused = { http: 200, code: 3, delivered: 0, next: 0 }

export const FRAMES: readonly Law[] = [
  ...['snappy', 'garbage', 'gzip, gzip'].map(encoding => ({
    name: `G11 grpc-encoding "${encoding}" is UNIMPLEMENTED, and the answer says what is known`,
    async see(trial: Trial) {
      const client = await trial.serve()
      const reply = await client.call({ headers: { 'grpc-encoding': encoding }, body: [frame(spans(1), 1)] })
      const accepts = String(reply.headers['grpc-accept-encoding'] ?? '').split(',')
      return { code: reply.code, gzip: accepts.includes('gzip'), zstd: accepts.includes('zstd') }
    },
    expected: { code: 12, gzip: true, zstd: true },
  })),
  ...[['gzip', gzipSync(spans(3))] as const, ['zstd', zstdCompressSync(spans(3))] as const].map(
    ([encoding, bytes]) => ({
      name: `G11 ${encoding} is understood`,
      see: (trial: Trial) => trial.understand(encoding, bytes),
      expected: { code: 0, same: true },
    }),
  ),
  {
    name: 'G12 garbage flagged as gzip is refused, and the next call is served',
    see: trial => trial.provoke({ headers: GZIP, body: [frame(Buffer.from('no gzip at all'), 1)] }),
    expected: refused,
  },
  {
    name: 'G12 truncated gzip is refused, and the next call is served',
    see: trial => trial.provoke({ headers: GZIP, body: [frame(gzipSync(spans(9)).subarray(0, 40), 1)] }),
    expected: refused,
  },
  {
    name: 'G12 an empty message flagged as gzip is refused, and the next call is served',
    see: trial => trial.provoke({ headers: GZIP, body: [frame(new Uint8Array(0), 1)] }),
    expected: refused,
  },
  {
    name: 'G12 garbage flagged as zstd is refused, and the next call is served',
    see: trial =>
      trial.provoke({ headers: { 'grpc-encoding': 'zstd' }, body: [frame(Buffer.from('no zstd'), 1)] }),
    expected: refused,
  },
  ...[[23, { code: 0, same: true }] as const, [27, { code: 3, same: false }] as const].map(
    ([windowLog, expected]) => ({
      name: `G12 a zstd frame that asks for a window of ${2 ** (windowLog - 20)} MiB is ${expected.same ? 'taken' : 'refused'}`,
      see: (trial: Trial) => trial.understand('zstd', zstdFrame(spans(3), windowLog)),
      expected,
    }),
  ),
  {
    name: 'G12 a message flagged as compressed without grpc-encoding is refused, and the next call is served',
    // Bytes that would pass for a request, if the flag were overlooked.
    see: trial => trial.provoke({ body: [frame(spans(1), 1)] }),
    expected: refused,
  },
  {
    name: 'G12 a message with an unknown flag is refused, and the next call is served',
    see: trial => trial.provoke({ headers: GZIP, body: [frame(spans(1), 2)] }),
    expected: refused,
  },
  {
    name: 'G12 two messages in a unary call are refused, and the next call is served',
    see: trial => trial.provoke({ body: [Buffer.concat([frame(spans(1)), frame(spans(1))])] }),
    expected: refused,
  },
  {
    name: 'G12 two messages in two writes are refused, and the next call is served',
    see: trial => trial.provoke({ body: [frame(spans(1)), frame(spans(1))] }),
    expected: refused,
  },
  {
    name: 'G12 bytes after the message are refused, and the next call is served',
    see: trial => trial.provoke({ body: [Buffer.concat([frame(spans(1)), spans(1)])] }),
    expected: refused,
  },
  {
    name: 'G12 a half-close without a message is refused, and the next call is served',
    see: trial => trial.provoke({ body: [] }),
    expected: refused,
  },
  {
    name: 'G12 a half-close in the middle of the prefix is refused, and the next call is served',
    see: trial => trial.provoke({ body: [Buffer.from([0, 0, 0])] }),
    expected: refused,
  },
  {
    name: 'G12 a half-close in the middle of a message is refused, and the next call is served',
    see: trial => trial.provoke({ body: [frame(spans(1), 0, 1000)] }),
    expected: refused,
  },
  ...['soon', '5', '123456789S', '-1S'].map(timeout => ({
    name: `G12 grpc-timeout "${timeout}" is refused, and the next call is served`,
    see: (trial: Trial) => trial.provoke({ headers: { 'grpc-timeout': timeout }, body: [frame(spans(1))] }),
    expected: refused,
  })),
  ...['application/json', 'application/grpc-web', 'text/plain', undefined].map(type => ({
    name: `G12 content-type ${type} is answered with HTTP 415, and the next call is served`,
    see: (trial: Trial) => trial.provoke({ headers: { 'content-type': type }, body: [frame(spans(1))] }),
    expected: { http: 415, code: -1, delivered: 0, next: 0 },
  })),
  {
    name: 'G12 GET is answered with HTTP 405, and the next call is served',
    see: trial => trial.provoke({ headers: { ':method': 'GET' }, body: [] }),
    expected: { http: 405, code: -1, delivered: 0, next: 0 },
  },
  {
    name: 'G12 a call that its client resets in the middle reaches nobody, and the next call is served',
    see: trial =>
      trial.provoke({ body: [frame(spans(1), 0, 1000)], open: true, onWritten: stream => stream.close(8) }),
    expected: { http: 0, code: -1, delivered: 0, next: 0 },
  },
  {
    name: 'G12 a message in pieces of one byte is put together',
    async see(trial) {
      const client = await trial.serve()
      const reply = await client.call({ body: Array.from(frame(spans(1)), byte => Uint8Array.of(byte)) })
      return {
        code: reply.code,
        same: Buffer.compare(trial.sink.batches[0]?.bytes ?? Buffer.alloc(0), spans(1)) === 0,
      }
    },
    expected: { code: 0, same: true },
  },
]
