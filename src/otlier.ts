//! The wiring: read from top to bottom it is the architecture.
import { Registry } from './base/counters.ts'
import type { Listen } from './base/endpoints.ts'
import type { Failure } from './base/errors.ts'
import { lockedDirectory } from './base/lock.ts'
import type { Log } from './base/log.ts'
import { newInstanceId, type World } from './base/world.ts'
import type { Bus } from './bus/bus.ts'
import { memoryBus } from './bus/memory.ts'
import type { Parts, Running } from './commands/run.ts'
import { listeners } from './commands/settle-config.ts'
import type { Config, ExporterConfig } from './config.ts'
import { type Admin, type Health, registerProcessMetrics, startAdmin } from './edge/admin.ts'
import { sendEvents } from './edge/events.ts'
import { leadsBackTo, makeExporter } from './edge/exporter.ts'
import { startGrpcReceiver } from './edge/grpc-in.ts'
import { startHttpReceiver } from './edge/http-in.ts'
import { Admission, type Receiver } from './edge/receiver.ts'
import { startSelfTelemetry } from './edge/self-telemetry.ts'
import { counted, generated, refusedRequests, watchMalformed } from './flow/counted.ts'
import { queueOnDisk, tellOfLeftovers } from './flow/disk/open.ts'
import { closeAll, fanout } from './flow/fanout.ts'
import { type InspectOptions, type Inspector, inspect } from './flow/inspect.ts'
import { QUEUE_LIMITS, type Queue, queue } from './flow/queue.ts'
import { RETRY_DEFAULTS } from './flow/retry.ts'
import { type CheckedBatch, SIGNALS, type Signal, type Sink } from './flow/sink.ts'
import { Learner, type LearnOptions } from './learn/learner.ts'
import { restoreSnapshot, saveSnapshot } from './learn/snapshot.ts'

/** What detection is told by the configuration. */
export type Detecting = Omit<InspectOptions, 'latestMs'> & LearnOptions

export const detecting = (config: Config): Detecting => {
  const { otlier } = config.processors
  return {
    detect: config.service.pipelines.traces?.processors.includes('otlier') ?? false,
    windowMs: otlier.windowMs,
    latenessMs: otlier.allowedLatenessMs,
    maxSeries: otlier.maxSeries,
    rebaselineMs: otlier.rebaselineAfterMs,
    isolationForest: otlier.compat.isolationforest,
    jaegerWarnings: otlier.jaegerWarnings,
  }
}

export interface Planes {
  readonly bus: Bus
  readonly inspector: Inspector
  readonly learner: Learner
}

/** Both planes over one bus: what `otlier run` and `otlier replay` share to the line. */
export function planes(
  next: Sink<CheckedBatch>,
  world: World,
  log: Log,
  registry: Registry,
  options: Detecting,
  latestMs: () => number,
): Planes {
  const bus = memoryBus(error => log.error({ err: error }, 'a listener on the bus failed'))
  const learner = new Learner(bus, registry, options)
  const inspector = inspect(next, world, bus, log, registry, { ...options, latestMs })
  return { bus, inspector, learner }
}

const TICK_MS = 1000
/** Models are saved this often, and on stop. */
const SNAPSHOT_MS = 60_000
const SELF_TELEMETRY_MS = 60_000
/** Requests under way are given this long to end when stopping; the rest of the time is for the queues. */
const STOP_RECEIVING_MS = 5000

/** Starts everything, receivers last. Rejects, with all closed again, where an address is taken. */
export async function startOtlier(config: Config, parts: Parts): Promise<Running> {
  const { world, log, version } = parts
  const { directory, unlock } = await lockedDirectory(parts.directory, world, log)
  const instanceId = newInstanceId()
  const registry = new Registry()
  registerProcessMetrics(registry, world)
  const identity = { version, instanceId }
  let health: Health['state'] = 'starting'

  const self = config.service.metrics.otlp
    ? await startSelfTelemetry(
        { registry, identity, intervalMs: SELF_TELEMETRY_MS, deliver: batch => ownTelemetry.send(batch) },
        world,
        log,
      )
    : null

  // Destinations: a client, and a queue before it.
  const notes: Record<string, string> = {}
  const queues: Queue[] = []
  const announced = new Map<string, string>()
  const routes = await destinations().catch(giveUp)
  const toQueues = fanout(routes)

  // The two planes, and what they say.
  const latestMs = () => world.now() + config.processors.otlier.windowMs
  const options = detecting(config)
  const { bus, inspector, learner } = planes(
    counted(toQueues, world, registry),
    world,
    log,
    registry,
    options,
    latestMs,
  )
  if (directory !== null) learner.restore(await restoreSnapshot(directory, options.maxSeries, world, log))
  const ownTelemetry = generated(toQueues, registry)
  const events = sendEvents(
    bus,
    routes.logs.length > 0 ? { ...ownTelemetry, isProven: logsAreTaken } : null,
    world,
    log,
    version,
  )
  let saving = Promise.resolve()
  const stopTicking = every(TICK_MS, () => {
    inspector.passTime()
    announce()
  })
  const stopSaving = every(SNAPSHOT_MS, save)

  // The outside: operators first, senders last.
  const listening: Record<string, Listen | null> = {}
  const receivers: Receiver[] = []
  let admin: Admin | null = null
  try {
    const { metrics, health } = config.service
    admin = await startAdmin(
      { metrics: metrics.endpoint, health: health.endpoint, identity },
      registry,
      healthNow,
      log,
    )
    if (metrics.endpoint !== null) {
      listening['service.metrics.endpoint'] = { ...metrics.endpoint, port: admin.ports.metrics }
    }
    if (health.endpoint !== null) {
      listening['service.health.endpoint'] = { ...health.endpoint, port: admin.ports.health }
    }
    await receive()
  } catch (error) {
    stopTicking()
    stopSaving()
    await Promise.all([admin?.stop(), ...receivers.map(receiver => receiver.stop(0))])
    await giveUp(error)
  }
  health = 'ready'
  return { listening, notes, stop }

  /** Nothing has been served. */
  async function giveUp(error: unknown): Promise<never> {
    await self?.stop()
    await closeAll(queues, world.monotonic())
    unlock()
    throw error
  }

  /** The queues of every signal. A destination that leads back to Otlier itself is explained, and not used. */
  async function destinations(): Promise<Record<Signal, Queue[]>> {
    const all: Record<Signal, Queue[]> = { traces: [], metrics: [], logs: [] }
    for (const settings of config.exporters) {
      const signals = SIGNALS.filter(signal =>
        config.service.pipelines[signal]?.exporters.includes(settings.id),
      )
      if (signals.length === 0) continue
      const own = listeners(config).find(({ address }) => leadsBackTo(settings, address))
      if (own !== undefined) {
        notes[settings.id] =
          `not used: it leads back to Otlier's own ${own.path}. Name the backend's address instead.`
        log.warn({ exporter: settings.id }, notes[settings.id])
        continue
      }
      const opened = await destination(settings)
      queues.push(opened)
      for (const signal of signals) all[signal].push(opened)
    }
    if (directory !== null) {
      const onDisk = config.exporters.filter(isOnDisk).map(({ id }) => id)
      await tellOfLeftovers(world, log, directory, onDisk)
    }
    return all
  }

  async function destination(settings: ExporterConfig): Promise<Queue> {
    const made = makeExporter(settings, { instanceId, version, world, log })
    const exporter = self?.exporter(made) ?? made
    const options = {
      ...QUEUE_LIMITS,
      ...(settings.type === 'debug' ? DEBUG_QUEUE : queueSettings(settings)),
    }
    if (!isOnDisk(settings)) return queue(exporter, world, log, registry, options)
    if (directory === null)
      throw new Error(
        `the queue of ${settings.id} is on disk, and there is no directory for it. Set directory to a place that can be written to, or exporters.${settings.id}.sending_queue.storage to memory.`,
      )
    return queueOnDisk(exporter, world, log, registry, options, directory)
  }

  async function receive(): Promise<void> {
    const { otlp } = config.receivers
    const refused = refusedRequests(registry)
    const sink = watchMalformed(inspector, refused)
    const shared = {
      instanceId,
      admission: new Admission((config.memoryLimitBytes ?? 2 ** 30) / 4),
      forwardHeaders: otlp.forwardHeaders,
      signals: SIGNALS.filter(signal => config.service.pipelines[signal] !== null),
      onRefused: (signal: Signal | null, cause: Failure) => refused(signal, cause.code),
    }
    for (const name of ['grpc', 'http'] as const) {
      const settings = otlp.protocols[name]
      if (settings?.endpoint == null) continue
      const start = name === 'grpc' ? startGrpcReceiver : startHttpReceiver
      const receiver = await start(
        {
          ...shared,
          ...settings.endpoint,
          maxRecvBytes: settings.maxRecvMsgSizeBytes,
          ...tlsOf(settings.tls),
          ...('cors' in settings ? corsOf(settings.cors) : {}),
        },
        self?.receiver(name, sink) ?? sink,
        world,
        log,
      )
      receivers.push(receiver)
      listening[`receivers.otlp.protocols.${name}.endpoint`] = { ...settings.endpoint, port: receiver.port }
    }
  }

  /** What a destination turned out not to take belongs to the banner, which is printed before anybody has answered. */
  function announce(): void {
    for (const { id, unsupported } of queues) {
      const signals = unsupported().join(' and ')
      if (signals === (announced.get(id) ?? '')) continue
      announced.set(id, signals)
      if (signals !== '')
        parts.say?.(`  ${id} does not take ${signals}: kept from it, and tried again every five minutes.`)
    }
  }

  function logsAreTaken(): boolean {
    return routes.logs.some(each => each.takes('logs'))
  }

  function healthNow(): Health {
    const reasons = queues.filter(each => each.full()).map(each => `The sending queue of ${each.id} is full.`)
    return { state: health === 'ready' && reasons.length > 0 ? 'degraded' : health, reasons }
  }

  /** One after the other: two at once would write the same temporary file. */
  function save(): Promise<void> {
    saving = saving.then(async () => {
      if (directory !== null) await saveSnapshot(directory, learner.states.values(), world, log)
    })
    return saving
  }

  /** Not ready; no more senders; what is learned is kept; what is queued is sent. Says how many accepted items that lost. */
  async function stop(): Promise<number> {
    const deadlineMs = world.monotonic() + config.shutdownTimeoutMs
    health = 'stopping'
    stopTicking()
    stopSaving()
    await Promise.all(
      receivers.map(receiver => receiver.stop(Math.min(STOP_RECEIVING_MS, config.shutdownTimeoutMs / 2))),
    )
    inspector.flush()
    learner.close()
    await events.stop()
    await self?.stop()
    await inspector.close()
    await save()
    const lost = await closeAll(queues, deadlineMs)
    for (const { exporter, signal, items } of lost) {
      log.error({ exporter, signal, items }, 'stopping lost what the destination had not taken in time')
    }
    await bus.close()
    await admin?.stop()
    unlock()
    return lost.reduce((sum, { items }) => sum + items, 0)
  }

  function every(periodMs: number, act: () => void | Promise<void>): () => void {
    let stopped = false
    let cancel = world.after(periodMs, tick)
    async function tick() {
      await act()
      if (!stopped) cancel = world.after(periodMs, tick)
    }
    return () => {
      stopped = true
      cancel()
    }
  }
}

/** Printing is never behind for long, and never a reason to turn a sender away. */
const DEBUG_QUEUE = {
  sizeBytes: 64 * 2 ** 20,
  whenFull: 'drop_newest',
  numConsumers: 1,
  retry: RETRY_DEFAULTS,
} as const

type Sending = Exclude<ExporterConfig, { readonly type: 'debug' }>
const queueSettings = ({ sendingQueue, retryOnFailure }: Sending) => ({
  sizeBytes: sendingQueue.sizeBytes,
  whenFull: sendingQueue.whenFull,
  numConsumers: sendingQueue.numConsumers,
  acknowledge: sendingQueue.acknowledge,
  retry: retryOnFailure,
})
const isOnDisk = (settings: ExporterConfig) =>
  settings.type !== 'debug' && settings.sendingQueue.storage === 'disk'

const tlsOf = (tls: { certFile: string | null; keyFile: string | null; clientCaFile: string | null }) =>
  tls.certFile === null || tls.keyFile === null
    ? {}
    : {
        tls: {
          certFile: tls.certFile,
          keyFile: tls.keyFile,
          ...(tls.clientCaFile === null ? {} : { clientCaFile: tls.clientCaFile }),
        },
      }

const corsOf = (cors: {
  allowedOrigins: readonly string[]
  allowedHeaders: readonly string[]
  maxAgeMs: number
}) =>
  cors.allowedOrigins.length === 0
    ? {}
    : {
        cors: {
          allowedOrigins: cors.allowedOrigins,
          allowedHeaders: cors.allowedHeaders,
          maxAgeSeconds: Math.round(cors.maxAgeMs / 1000),
        },
      }
