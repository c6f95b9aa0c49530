//! A small HTTP server for GET and HEAD, and for POST without a body where it is asked for, which nothing that a client sends can end.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { isLoopback, type Listen } from './endpoints.ts'
import type { Log } from './log.ts'

export interface Question {
  readonly path: string
  /** What stands after the question mark, as it was sent. */
  readonly query: string
  readonly accept: string | undefined
  readonly host: string | undefined
}

/** Somebody wants something done, and not only to know. */
export interface Order extends Question {
  /** Whether it comes from this machine. */
  readonly isLocal: boolean
  /** The header `x-otlier`. A page of another site cannot send it: its browser asks before, and is told no. */
  readonly intent: string | undefined
}

export interface Reply {
  readonly status: number
  readonly type: string
  readonly body: string
}

export interface Served {
  readonly port: number
  stop(): Promise<void>
}

export const json = (status: number, body: object): Reply => ({
  status,
  type: 'application/json',
  body: `${JSON.stringify(body)}\n`,
})

// Those who ask need a handful of connections, and send a line and a few headers.
const MAX_CONNECTIONS = 64
const HEADERS_TIMEOUT_MS = 5_000
const REQUEST_TIMEOUT_MS = 10_000

/**
 * Listens; port 0 takes a free one. Rejects with the system's error (its `port` says which) where the address is taken.
 * @param answer gives null where nothing is under the path; a fault in it answers 500 and is logged
 * @param obey the same for POST, which is refused where this is not given
 */
export async function serve(
  at: Listen,
  log: Log,
  answer: (question: Question) => Reply | null,
  obey: ((order: Order) => Reply | null) | null = null,
): Promise<Served> {
  const server = createServer({
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: 1_000,
    maxHeaderSize: 16 * 1024,
  })
  server.maxConnections = MAX_CONNECTIONS
  // A page of metrics may have a megabyte: somebody who asks for hundreds and reads none would fill the memory.
  server.maxRequestsPerSocket = 1
  server.timeout = REQUEST_TIMEOUT_MS
  server.on('request', (request, response) => {
    request.on('error', ignore)
    response.on('error', ignore)
    reply(
      request,
      response,
      safely(log, request, answer, obey),
      obey === null ? 'GET, HEAD' : 'GET, HEAD, POST',
    )
  })
  // What is no HTTP at all. Without a listener Node answers the same, but a socket that is gone already must not be written to.
  server.on('clientError', (_error, socket) => {
    if (socket.writable)
      socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
    else socket.destroy()
  })
  server.on('connection', socket => socket.on('error', ignore))
  await listen(server, at, log)
  return { port: (server.address() as AddressInfo).port, stop: () => close(server) }
}

// The connection is closed by then, and there is nobody to tell.
const ignore = () => {}

function safely(
  log: Log,
  request: IncomingMessage,
  answer: (question: Question) => Reply | null,
  obey: ((order: Order) => Reply | null) | null,
): Reply {
  const { method } = request
  const isOrder = method === 'POST' && obey !== null
  if (!isOrder && method !== 'GET' && method !== 'HEAD')
    return json(405, {
      error: `Only ${obey === null ? 'GET and HEAD' : 'GET, HEAD and POST'} are served here.`,
    })
  try {
    const { accept, host } = request.headers
    const question = { ...parts(request.url ?? '/'), accept, host }
    const intent = request.headers['x-otlier']
    return (
      (isOrder
        ? obey({ ...question, isLocal: isLocal(request.socket), intent: intent?.toString() })
        : answer(question)) ?? json(404, { error: 'Nothing is served under this path.' })
    )
  } catch (error) {
    log.error({ err: error }, 'answering a request to Otlier itself failed')
    return json(500, { error: 'Otlier failed to answer.' })
  }
}

/** From a loopback address, or from the very address that was asked: both are this machine. */
const isLocal = ({ remoteAddress = '', localAddress }: IncomingMessage['socket']): boolean =>
  isLoopback(remoteAddress) || remoteAddress === localAddress

/** The parts of a request line, without a URL parser: those throw on what any client may send. */
function parts(url: string): { path: string; query: string } {
  const [whole] = url.replace(/^https?:\/\/[^/?#]*/i, '').split('#', 1)
  const mark = whole.indexOf('?')
  const path = mark < 0 ? whole : whole.slice(0, mark)
  return { path: path === '' ? '/' : path, query: mark < 0 ? '' : whole.slice(mark + 1) }
}

function reply(
  request: IncomingMessage,
  response: ServerResponse,
  { status, type, body }: Reply,
  allow: string,
): void {
  // A body that nobody asked for is not read: the connection ends with the answer.
  const unread =
    request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(status === 405 ? { allow } : {}),
    ...(unread ? { connection: 'close' } : {}),
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}

const listen = (server: Server, at: Listen, log: Log): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(at.port, at.host, () => {
      server.removeListener('error', reject)
      server.on('error', error =>
        log.error({ err: error }, 'a listener for requests to Otlier itself failed'),
      )
      resolve()
    })
  })

function close(server: Server): Promise<void> {
  return new Promise(resolve => {
    // The callback gets an error where the server is closed already.
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
