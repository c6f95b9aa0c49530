//! What both receivers ask of HTTP/2: windows by trust, an end without a failed call, and a reset that lets the answer out first.
import {
  constants,
  type Http2Session,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerOptions,
} from 'node:http2'
import type { World } from '../base/world.ts'
import type { Intake } from './receiver.ts'

/** How much a client may send ahead on one stream. grpc-js stays at 64 KiB, which caps an upload at 64 KiB a round trip. */
const STREAM_WINDOW_BYTES = 2 ** 20
/** And over all streams of its connection. */
const SESSION_WINDOW_BYTES = 16 * 2 ** 20
/** What nghttp2 may hold for one connection: its windows, and headers. In the megabytes that node:http2 counts in. */
const SESSION_MEMORY_MB = 64

/** What HTTP/2 begins with, and what a client has that has not shown who it is: an unread upload holds no more. */
const UNKNOWN_WINDOW_BYTES = 2 ** 16 - 1
/** Streams that a client may reset at once, and again each second: a sender that gives up on all it has sent stays below it. */
const RESET_BURST = 1000
const RESET_RATE = 33

export const http2Options = ({ guard, options }: Intake): ServerOptions => ({
  settings: {
    initialWindowSize: guard === null ? STREAM_WINDOW_BYTES : UNKNOWN_WINDOW_BYTES,
    maxConcurrentStreams: options.maxStreams,
  },
  maxSessionMemory: SESSION_MEMORY_MB,
  streamResetBurst: RESET_BURST,
  streamResetRate: RESET_RATE,
})

/** Sessions whose windows are wide. */
const trusted = new WeakSet<Http2Session>()

/** The client has shown who it is: its uploads need not crawl. */
export function trust(session: Http2Session | undefined): void {
  if (session === undefined || session.destroyed || trusted.has(session)) return
  trusted.add(session)
  session.settings({ initialWindowSize: STREAM_WINDOW_BYTES })
  session.setLocalWindowSize(SESSION_WINDOW_BYTES)
}

/** From its beginning to its end: a client that says nothing is cut, one that grows old is asked to go. */
export function keepInBounds(session: ServerHttp2Session, intake: Intake): void {
  const { world, options } = intake
  if (intake.guard === null) session.setLocalWindowSize(SESSION_WINDOW_BYTES)
  const cancelSilence = world.after(options.receiveTimeoutMs, () => session.destroy())
  session.once('remoteSettings', cancelSilence)
  let cancelAge = world.after(intake.connectionAgeMs(), () => {
    cancelAge = world.after(options.connectionGraceMs, () => session.destroy())
    // One GOAWAY with the last stream that has come: what crosses it on the way is beyond that number, so its client knows that it was not
    // looked at and sends it anew. A first one without a number, as other servers send, would be a trap: nghttp2 then takes no stream any
    // more, whatever it has said, and a call that crosses it waits for ever (measured).
    session.close()
  })
  session.on('close', () => {
    cancelSilence()
    cancelAge()
  })
  session.on('error', error => intake.log.debug({ err: error }, 'an HTTP/2 connection failed'))
}

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
