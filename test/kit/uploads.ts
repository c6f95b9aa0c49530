//! Uploads of 60 MiB that nobody asked for, written as fast as they are taken, by clients that show a wrong token.
import * as http2 from 'node:http2'
import * as net from 'node:net'
import { METHODS, PROTOBUF } from './client.ts'

const PIECE = Buffer.alloc(2 ** 20)
export const UPLOAD_BYTES = 60 * PIECE.length
const WRONG = 'Bearer wrong'

export interface Dismissed {
  /** Of HTTP; undefined where no answer came. */
  readonly status: number | undefined
  readonly grpc: string | undefined
  /** The code of the reset; 0 where the stream just ended. */
  readonly reset: number
}

/** A connection over which any number of uploads can begin. */
export const connectHttp2 = (port: number): http2.ClientHttp2Session => {
  // What is still to be sent counts as memory of the session, and without room in it no answer is read.
  const session = http2.connect(`http://127.0.0.1:${port}`, { maxSessionMemory: 1000 })
  session.on('error', () => {})
  return session
}

export function uploadHttp2(
  session: http2.ClientHttp2Session,
  transport: 'grpc' | 'http',
): Promise<Dismissed> {
  const isGrpc = transport === 'grpc'
  return new Promise(resolve => {
    const stream = session.request({
      ':method': 'POST',
      ':path': isGrpc ? METHODS.traces : '/v1/traces',
      ...(isGrpc ? { 'content-type': 'application/grpc', te: 'trailers' } : PROTOBUF),
      authorization: WRONG,
    })
    let seen: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader = {}
    let isOver = false
    stream.on('response', got => (seen = got))
    stream.on('error', () => {})
    stream.on('close', () => {
      isOver = true
      resolve({ status: seen[':status'], grpc: seen['grpc-status']?.toString(), reset: stream.rstCode })
    })
    stream.resume()
    const prefix = Buffer.alloc(5)
    prefix.writeUInt32BE(UPLOAD_BYTES, 1)
    void write(isGrpc ? prefix : Buffer.alloc(0), stream, () => isOver)
  })
}

/** The head and body of the answer, once the body has begun. The connection stays as the server leaves it. */
export function uploadHttp1(port: number): { readonly socket: net.Socket; readonly answer: Promise<string> } {
  const socket = net.connect(port, '127.0.0.1')
  socket.on('error', () => {})
  const answer = new Promise<string>(resolve => {
    let text = ''
    socket.on('data', chunk => {
      text += chunk
      if (/\r\n\r\n[\s\S]/.test(text)) resolve(text)
    })
    socket.on('close', () => resolve(text))
  })
  const head = [
    'POST /v1/traces HTTP/1.1',
    'host: a',
    'content-type: application/x-protobuf',
    `authorization: ${WRONG}`,
    `content-length: ${UPLOAD_BYTES}`,
    '\r\n',
  ].join('\r\n')
  void write(Buffer.from(head), socket, () => socket.destroyed)
  return { socket, answer }
}

async function write(beginning: Uint8Array, to: NodeJS.WritableStream, isOver: () => boolean) {
  const put = (piece: Uint8Array) => new Promise(done => to.write(piece, done))
  if (beginning.length > 0) await put(beginning)
  for (let bytes = 0; bytes < UPLOAD_BYTES && !isOver(); bytes += PIECE.length) await put(PIECE)
}
