//! The first bytes of an HTTP connection: which protocol they speak, and an answer to those that speak none.
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { GRPC } from '../base/errors.ts'
import type { Intake } from './receiver.ts'
import { statusJson } from './status.ts'

const PREFACE = Buffer.from('PRI * HTTP/2.0')

/** Looks at the first bytes of a connection and gives it, as if untouched, to the one who speaks its protocol. They are due within the receive deadline. */
export function sniff(socket: Socket, { world, options }: Intake, hand: (isHttp2: boolean) => void): void {
  let seen: Buffer = Buffer.alloc(0)
  const end = () => void socket.destroy()
  // A deadline, and no limit on silence: byte by byte somebody could go on for minutes.
  const cancel = world.after(options.receiveTimeoutMs, end)
  const read = (chunk: Buffer) => {
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk])
    const length = Math.min(seen.length, PREFACE.length)
    const isAlike = PREFACE.compare(seen, 0, length, 0, length) === 0
    if (isAlike && length < PREFACE.length) return
    socket.pause()
    socket.off('data', read)
    socket.off('close', cancel)
    cancel()
    socket.unshift(seen)
    socket.allowHalfOpen = !isAlike
    hand(isAlike)
    // An HTTP/2 session takes over what has been read by itself.
    if (!isAlike) socket.resume()
  }
  // HTTP/1 answers a client that has closed its side; nobody else would ever end such a connection.
  socket.allowHalfOpen = false
  socket.on('error', end)
  socket.on('close', cancel)
  socket.on('data', read)
}

/** What is not HTTP gets an answer in HTTP, and the connection ends. */
export function answerNonsense(error: NodeJS.ErrnoException, duplex: NodeJS.WritableStream): void {
  const socket = duplex as Socket
  if (error.code === 'ECONNRESET' || !socket.writable || socket.bytesWritten > 0) {
    socket.destroy()
    return
  }
  const [status, grpc] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? [431, GRPC.INVALID_ARGUMENT]
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? [408, GRPC.DEADLINE_EXCEEDED]
        : [400, GRPC.INVALID_ARGUMENT]
  const message = STATUS_CODES[status] ?? ''
  const body = statusJson({ grpc, http: status, message, retryAfterMs: null, isBadRequest: false })
  socket.write(
    `HTTP/1.1 ${status} ${message}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
  )
  socket.destroySoon()
}
