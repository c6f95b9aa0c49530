//! What operators and probes ask: /metrics for Prometheus, and health on a port of its own.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Cell, type Registry } from '../base/counters.ts'
import type { Listen } from '../base/endpoints.ts'
import type { Log } from '../base/log.ts'
import type { World } from '../base/world.ts'
import { CONTENT_TYPES, type Identity, negotiate, renderMetrics } from './prometheus.ts'

export interface Health {
  /** `degraded` still takes telemetry, and is answered 200: a restart by the orchestrator would not help. */
  readonly state: 'starting' | 'ready' | 'degraded' | 'stopping'
  /** Sentences, one for each thing that is not as it should be. */
  readonly reasons: readonly string[]
}

export interface AdminOptions {
  /** Port 0 takes a free one; null is not served. */
  readonly metrics: Listen | null
  readonly health: Listen | null
  /** Stands on the samples of /metrics. */
  readonly identity?: Identity
}

export interface Admin {
  /** 0 where it is not served. */
  readonly ports: { readonly metrics: number; readonly health: number }
  stop(): Promise<void>
}

/**
 * Listens on both addresses, or on neither: rejects with the system's error (its `port` says which) where one is taken.
 * Nothing that a client sends ends the process; a fault in `health` or in an observed metric answers 500 and is logged.
 */
export async function startAdmin(
  options: AdminOptions,
  registry: Registry,
  health: () => Health,
  log: Log,
): Promise<Admin> {
  const identity = options.identity ?? { version: 'unknown', instanceId: 'unknown' }
  const metricsServer = serve(log, request =>
    request.path === '/metrics' ? metricsReply(registry, identity, request) : null,
  )
  const healthServer = serve(log, request => healthReply(request.path, health))
  try {
    await listen(metricsServer, options.metrics, log)
    await listen(healthServer, options.health, log)
  } catch (error) {
    await Promise.all([close(metricsServer), close(healthServer)])
    throw error
  }
  return {
    ports: { metrics: portOf(metricsServer), health: portOf(healthServer) },
    async stop() {
      await Promise.all([close(metricsServer), close(healthServer)])
    },
  }
}

interface Question {
  readonly path: string
  readonly accept: string | undefined
}

interface Reply {
  readonly status: number
  readonly type: string
  readonly body: string
}

function metricsReply(registry: Registry, identity: Identity, { accept }: Question): Reply {
  const format = negotiate(accept)
  return { status: 200, type: CONTENT_TYPES[format], body: renderMetrics(registry, format, identity) }
}

function healthReply(path: string, health: () => Health): Reply | null {
  if (path === '/live') return json(200, { status: 'live' })
  if (path !== '/' && path !== '/ready') return null
  const { state, reasons } = health()
  return json(state === 'ready' || state === 'degraded' ? 200 : 503, { status: state, reasons })
}

const json = (status: number, body: object): Reply => ({
  status,
  type: 'application/json',
  body: `${JSON.stringify(body)}\n`,
})

// A probe and a scraper need a handful of connections, and send a line and a few headers.
const MAX_CONNECTIONS = 64
const HEADERS_TIMEOUT_MS = 5_000
const REQUEST_TIMEOUT_MS = 10_000

/** A server for GET and HEAD. `answer` gives null where nothing is under the path. */
function serve(log: Log, answer: (question: Question) => Reply | null): Server {
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
    reply(request, response, safely(log, request, answer))
  })
  // What is no HTTP at all. Without a listener Node answers the same, but a socket that is gone already must not be written to.
  server.on('clientError', (_error, socket) => {
    if (socket.writable)
      socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
    else socket.destroy()
  })
  server.on('connection', socket => socket.on('error', ignore))
  return server
}

// The connection is closed by then, and there is nobody to tell.
const ignore = () => {}

function safely(log: Log, request: IncomingMessage, answer: (question: Question) => Reply | null): Reply {
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return json(405, { error: 'Only GET and HEAD are served here.' })
  try {
    const question = { path: pathOf(request.url ?? '/'), accept: request.headers.accept }
    return answer(question) ?? json(404, { error: 'Nothing is served under this path.' })
  } catch (error) {
    log.error({ err: error }, 'answering a probe or a scrape failed')
    return json(500, { error: 'Otlier failed to answer.' })
  }
}

/** The path of a request line, without a URL parser: those throw on what any client may send. */
function pathOf(url: string): string {
  const path = url.replace(/^https?:\/\/[^/?#]*/i, '').split(/[?#]/, 1)[0]
  return path === '' ? '/' : path
}

function reply(request: IncomingMessage, response: ServerResponse, { status, type, body }: Reply): void {
  // A body that nobody asked for is not read: the connection ends with the answer.
  const unread =
    request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(status === 405 ? { allow: 'GET, HEAD' } : {}),
    ...(unread ? { connection: 'close' } : {}),
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}

async function listen(server: Server, at: Listen | null, log: Log): Promise<void> {
  if (at === null) return
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(at.port, at.host, () => {
      server.removeListener('error', reject)
      server.on('error', error => log.error({ err: error }, 'the admin listener failed'))
      resolve()
    })
  })
}

const portOf = (server: Server) => (server.address() as AddressInfo | null)?.port ?? 0

function close(server: Server): Promise<void> {
  return new Promise(resolve => {
    // The callback gets an error where the server never listened, which is as closed as can be.
    server.close(() => resolve())
    server.closeAllConnections()
  })
}

/** The process's own figures, named after the Collector's. */
export function registerProcessMetrics(registry: Registry, world: World): void {
  const startedMs = world.monotonic()
  const observe = (
    name: string,
    unit: string,
    help: string,
    kind: 'counter' | 'gauge',
    read: () => number,
  ) => {
    const cell = new Cell({})
    const readCell = () => {
      cell.value = read()
      return [cell]
    }
    registry.observe(name, unit, help, readCell, kind)
  }
  observe(
    'otlier_process_uptime',
    's',
    'Seconds since the process started.',
    'counter',
    () => (world.monotonic() - startedMs) / 1000,
  )
  observe('otlier_process_cpu_seconds', 's', 'CPU time of the process, user and system.', 'counter', () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  })
  observe('otlier_process_memory_rss', 'By', 'Resident memory of the process.', 'gauge', () =>
    process.memoryUsage.rss(),
  )
  observe(
    'otlier_process_runtime_heap_alloc_bytes',
    'By',
    'JavaScript heap in use.',
    'gauge',
    () => process.memoryUsage().heapUsed,
  )
}
