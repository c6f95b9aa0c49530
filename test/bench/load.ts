//! The load of the service bench: requests over gRPC, so many in flight, each sent again with new times once it is answered.
import { type ClientHttp2Session, connect } from 'node:http2'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Request, SPANS } from './traffic.ts'

const CONNECTIONS = 2
const HEADERS = {
  ':method': 'POST',
  ':path': '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
  'content-type': 'application/grpc',
  'user-agent': 'otlier-bench',
  te: 'trailers',
  'grpc-timeout': '10S',
}
const OK = 0
/** RESOURCE_EXHAUSTED and UNAVAILABLE: the same request again, after a pause. */
const BUSY = [8, 14]
const PAUSE_MS = 5

export interface Load {
  /** Sends `count` requests and awaits their answers. Rejects where one is refused. Returns the number of spans. */
  send(count: number, slow: boolean): Promise<number>
  /** How often the answer was to come again. */
  busy(): number
  close(): void
}

/** Each of `lanes` has one request in flight, and a share of `requests` for itself. */
export function load(port: number, requests: readonly Request[], lanes = 16): Load {
  const sessions = Array.from({ length: CONNECTIONS }, () => connect(`http://127.0.0.1:${port}`))
  for (const session of sessions) session.on('error', () => {})
  let busy = 0

  async function lane(number: number, left: () => boolean, slow: boolean) {
    const own = requests.filter((_, index) => index % lanes === number)
    const session = sessions[number % CONNECTIONS]
    for (let turn = 0; left(); turn++) {
      const request = own[turn % own.length]
      request.stamp(Date.now(), slow)
      for (let status = await send(session, request.bytes); status !== OK; ) {
        if (!BUSY.includes(status)) throw new Error(`a request was answered with the status ${status}`)
        busy++
        await sleep(PAUSE_MS)
        status = await send(session, request.bytes)
      }
    }
  }

  return {
    busy: () => busy,
    async send(count, slow) {
      let begun = 0
      const left = () => begun++ < count
      await Promise.all(Array.from({ length: lanes }, (_, number) => lane(number, left, slow)))
      return count * SPANS
    },
    close() {
      for (const session of sessions) session.destroy()
    },
  }
}

/** One unary call. Resolves with its status. */
function send(session: ClientHttp2Session, bytes: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    const stream = session.request(HEADERS)
    let status = Number.NaN
    const note = (headers: Record<string, unknown>) => {
      if (headers['grpc-status'] !== undefined) status = Number(headers['grpc-status'])
    }
    stream.on('response', note)
    stream.on('trailers', note)
    stream.on('error', reject)
    stream.on('close', () => resolve(status))
    stream.resume()
    const prefix = Buffer.alloc(5)
    prefix.writeUInt32BE(bytes.length, 1)
    stream.write(prefix)
    stream.end(bytes)
  })
}
