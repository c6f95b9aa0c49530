//! What operators and probes ask: /metrics for Prometheus, and health on a port of its own.
import { Cell, type Registry } from '../base/counters.ts'
import type { Listen } from '../base/endpoints.ts'
import type { Log } from '../base/log.ts'
import { json, type Question, type Reply, type Served, serve } from '../base/serve.ts'
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
  const metrics =
    options.metrics &&
    (await serve(options.metrics, log, request =>
      request.path === '/metrics' ? metricsReply(registry, identity, request) : null,
    ))
  let probes: Served | null
  try {
    probes =
      options.health && (await serve(options.health, log, request => healthReply(request.path, health)))
  } catch (error) {
    await metrics?.stop()
    throw error
  }
  return {
    ports: { metrics: metrics?.port ?? 0, health: probes?.port ?? 0 },
    async stop() {
      await Promise.all([metrics?.stop(), probes?.stop()])
    },
  }
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
