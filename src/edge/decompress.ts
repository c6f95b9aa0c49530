//! Decompression of request bodies, stopped at the limit while it runs: a bomb never unfolds.
import { constants, createGunzip, createInflate, createZstdDecompress } from 'node:zlib'
import { Failure } from '../base/errors.ts'
import { Body } from './body.ts'

export type Encoding = 'identity' | 'gzip' | 'deflate' | 'zstd'

/** Value of grpc-accept-encoding and Accept-Encoding. */
export const ENCODINGS = 'identity,deflate,gzip,zstd'

/** What a grpc-encoding or Content-Encoding header asks for, null where it is not known. */
export function encodingOf(header: string | undefined): Encoding | null {
  switch (header?.trim().toLowerCase()) {
    case undefined:
    case '':
    case 'identity':
      return 'identity'
    case 'gzip':
      return 'gzip'
    case 'deflate':
    case 'zlib':
      return 'deflate'
    case 'zstd':
      return 'zstd'
    default:
      return null
  }
}

/** The memory that a zstd frame may ask for: 8 MiB, as RFC 9659 has it for HTTP. */
const ZSTD_WINDOW_LOG = 23

/** Where the room for the plain bytes is asked for. */
interface Room {
  hold(bytes: number): boolean
}

/** Rejects with OTLIER_TOO_LARGE past `maxBytes`, OTLIER_MEMORY when `room` ends, OTLIER_MALFORMED for all that is damaged. */
export function decompress(
  encoding: Exclude<Encoding, 'identity'>,
  bytes: Uint8Array,
  maxBytes: number,
  room: Room,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunkSize = Math.min(Math.max(4 * bytes.length, 2 ** 12), 2 ** 17)
    const stream = open(encoding, chunkSize)
    const plain = new Body(-1)
    const fail = (cause: Failure) => {
      stream.destroy()
      reject(cause)
    }
    stream.on('data', (chunk: Uint8Array) => {
      const length = plain.length + chunk.length
      if (length > maxBytes) {
        fail(new Failure('OTLIER_TOO_LARGE', `Decompressed, it exceeds ${maxBytes} bytes.`))
      } else if (!room.hold(length)) fail(new Failure('OTLIER_MEMORY'))
      else plain.add(chunk)
    })
    stream.on('error', error =>
      fail(new Failure('OTLIER_MALFORMED', `The ${encoding} data is damaged: ${error.message}.`)),
    )
    stream.on('end', () => {
      // gunzip refuses what follows its last member; the others would pass over it in silence.
      if (encoding === 'gzip' || stream.bytesWritten === bytes.length) resolve(plain.take())
      else fail(new Failure('OTLIER_MALFORMED', `The ${encoding} data goes on after its end.`))
    })
    stream.end(bytes)
  })
}

function open(encoding: Exclude<Encoding, 'identity'>, chunkSize: number) {
  switch (encoding) {
    case 'gzip':
      return createGunzip({ chunkSize })
    case 'deflate':
      return createInflate({ chunkSize })
    case 'zstd':
      return createZstdDecompress({ chunkSize, params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG } })
  }
}
