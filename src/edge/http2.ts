//! What both receivers ask of HTTP/2: windows wide enough for uploads, and a reset that lets the answer out first.
import { constants, type ServerHttp2Stream, type ServerOptions } from 'node:http2'
import type { World } from '../base/world.ts'

/** How much a client may send ahead on one stream. grpc-js stays at 64 KiB, which caps an upload at 64 KiB a round trip. */
const STREAM_WINDOW_BYTES = 2 ** 20
/** And over all streams of its connection. */
export const SESSION_WINDOW_BYTES = 16 * 2 ** 20
/** What nghttp2 may hold for one connection: its windows, and headers. In the megabytes that node:http2 counts in. */
const SESSION_MEMORY_MB = 64

export const http2Options = (maxStreams: number): ServerOptions => ({
  settings: { initialWindowSize: STREAM_WINDOW_BYTES, maxConcurrentStreams: maxStreams },
  maxSessionMemory: SESSION_MEMORY_MB,
})

const RESET_POLL_MS = 5
const RESET_POLLS = 200

/**
 * Ends an upload whose answer has been given. nghttp2 drops the frames of a stream that is being reset, so this waits
 * until none is queued, for a second at most: a client that reads nothing gets no answer.
 */
export function resetAnswered(stream: ServerHttp2Stream, world: World): void {
  let polls = 0
  const poll = () => {
    if (stream.destroyed || stream.closed) return
    const isQueued = (stream.session?.state.outboundQueueSize ?? 0) > 0
    if (isQueued && ++polls < RESET_POLLS) world.after(RESET_POLL_MS, poll)
    else stream.close(constants.NGHTTP2_NO_ERROR)
  }
  setImmediate(poll)
}
