//! HTTP/2 by hand: frames as bytes, and a connection that sends what no client would.
import * as net from 'node:net'
import { onTestFinished } from 'vitest'
import { METHODS } from './client.ts'

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
export const FRAME = {
  DATA: 0,
  HEADERS: 1,
  RST_STREAM: 3,
  SETTINGS: 4,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const
export const END_STREAM = 1
export const END_HEADERS = 4

export function http2Frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** A header block of literals that are not indexed, which needs no table. */
export const headerBlock = (headers: readonly (readonly [string, string])[]): Buffer =>
  Buffer.concat(
    headers.flatMap(([name, value]) => [
      Buffer.from([0, name.length]),
      Buffer.from(name),
      Buffer.from([value.length]),
      Buffer.from(value),
    ]),
  )

/** What begins a call that any of the receivers would take. */
export const EXPORT_HEADERS: readonly (readonly [string, string])[] = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':authority', 'a'],
  [':path', METHODS.traces],
  ['content-type', 'application/grpc'],
]

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

export interface RawHttp2 {
  readonly socket: net.Socket
  /** Everything that came back so far. */
  readonly frames: readonly Frame[]
  /** Sends as the other side takes it; resolves early where the connection has ended. */
  send(...frames: readonly Uint8Array[]): Promise<void>
  /** The first frame that fits, as soon as it is there. */
  frame(fits: (frame: Frame) => boolean): Promise<Frame>
  readonly closed: Promise<void>
}

/** A connection with the preface and empty settings sent. Ended by itself at the end of the test. */
export function rawHttp2(port: number): RawHttp2 {
  const socket = net.connect(port, '127.0.0.1')
  const frames: Frame[] = []
  const waiting = new Set<() => void>()
  let rest: Buffer = Buffer.alloc(0)
  onTestFinished(() => void socket.destroy())
  socket.on('error', () => {})
  socket.on('data', chunk => {
    rest = Buffer.concat([rest, chunk as Buffer])
    while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
      const length = rest.readUIntBE(0, 3)
      frames.push({
        type: rest[3],
        flags: rest[4],
        stream: rest.readUInt32BE(5) & 0x7fffffff,
        payload: rest.subarray(9, 9 + length),
      })
      rest = rest.subarray(9 + length)
    }
    for (const wake of waiting) wake()
  })
  const closed = new Promise<void>(resolve => socket.on('close', () => resolve()))
  const send = async (...parts: readonly Uint8Array[]) => {
    for (const part of parts) {
      if (socket.destroyed) return
      await Promise.race([new Promise(done => socket.write(part, done)), closed])
    }
  }
  socket.write(Buffer.concat([PREFACE, http2Frame(FRAME.SETTINGS, 0, 0, new Uint8Array(0))]))
  return {
    socket,
    frames,
    send,
    closed,
    frame: fits =>
      new Promise((resolve, reject) => {
        const wake = () => {
          const found = frames.find(fits)
          if (found === undefined) return
          waiting.delete(wake)
          resolve(found)
        }
        waiting.add(wake)
        void closed.then(() => reject(new Error('the connection ended before such a frame')))
        wake()
      }),
  }
}
