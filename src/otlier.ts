//! The wiring: read from top to bottom it is the architecture.
import { Registry } from './base/counters.ts'
import type { Listen } from './base/endpoints.ts'
import type { Failure } from './base/errors.ts'
import type { Log } from './base/log.ts'
import type { Served } from './base/serve.ts'
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
import { type AssembleOptions, Assembler, MAX_SPANS } from './flow/assemble.ts'
import { counted, generated, refusedRequests, watchMalformed } from './flow/counted.ts'
import { closeAll, fanout } from './flow/fanout.ts'
import { type InspectOptions, type Inspector, inspect } from './flow/inspect.ts'
import { QUEUE_LIMITS, type Queue, queue } from './flow/queue.ts'
import { RETRY_DEFAULTS } from './flow/retry.ts'
import { type CheckedBatch, SIGNALS, type Signal, type Sink } from './flow/sink.ts'
import { restorePlane, savePlane } from './learn/keep.ts'
import { Learner, type LearnOptions } from './learn/learner.ts'
import { LearningPlane, type PlaneOptions } from './learn/plane.ts'
import { restoreSnapshot, saveSnapshot } from './learn/snapshot.ts'
import { startView } from './view/server.ts'

/** What detection is told by the configuration. */
export type Detecting = Omit<InspectOptions, 'latestMs'> & AssembleOptions & LearnOptions & PlaneOptions

export const detecting = (config: Config): Detecting => {
  const { otlier } = config.processors
  return {
    detect: config.service.pipelines.traces?.processors.includes('otlier') ?? false,
    windowMs: otlier.windowMs,
    latenessMs: otlier.allowedLatenessMs,
    traceWaitMs: otlier.traceWaitMs,
    maxSpans: MAX_SPANS,
    maxSeries: otlier.maxSeries,
    rebaselineMs: otlier.rebaselineAfterMs,
    budgets: [otlier.budgetPerDay],
    isolationForest: otlier.compat.isolationforest,
    jaegerWarnings: otlier.jaegerWarnings,
  }
}

export interface Planes {
  readonly bus: Bus
  readonly inspector: Inspector
  readonly learner: Learner
  readonly plane: LearningPlane
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
  const plane = new LearningPlane(bus, registry, options)
  const assembler = new Assembler(bus, world, log, registry, options)
  const inspector = inspect(next, world, bus, log, registry, assembler, { ...options, latestMs })
  return { bus, inspector, learner, plane }
}

const TICK_MS = 1000
/** Models are saved this often, and on stop. */
const SNAPSHOT_MS = 60_000
const SELF_TELEMETRY_MS = 60_000
/** Requests under way are given this long to end when stopping; the rest of the time is for the queues. */
const STOP_RECEIVING_MS = 5000

/** Starts everything, receivers last. Rejects, with all closed again, where an address is taken. */
export async function startOtlier(config: Config, parts: Parts): Promise<Running> {
  const { world, log, version, directory } = parts
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
  const routes = destinations()
  const toQueues = fanout(routes)

  // The two planes, and what they say.
  const latestMs = () => world.now() + config.processors.otlier.windowMs
  const options = detecting(config)
  const { bus, inspector, learner, plane } = planes(
    counted(toQueues, world, registry),
    world,
    log,
    registry,
    options,
    latestMs,
  )
  if (directory !== null) {
    learner.restore(await restoreSnapshot(directory, options.maxSeries, world, log))
    await restorePlane(directory, plane, world, log)
  }
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
  let view: Served | null = null
  try {
    const { metrics, health, view: viewing } = config.service
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
    if (viewing.endpoint !== null) {
      view = await startView(viewing.endpoint, plane.account, log)
      listening['service.view.endpoint'] = { ...viewing.endpoint, port: view.port }
    }
    await receive()
  } catch (error) {
    stopTicking()
    stopSaving()
    await Promise.all([
      admin?.stop(),
      view?.stop(),
      self?.stop(),
      ...receivers.map(receiver => receiver.stop(0)),
    ])
    await closeAll(queues, world.monotonic())
    throw error
  }
  health = 'ready'
  return { listening, notes, stop }

  /** The queues of every signal. A destination that leads back to Otlier itself is explained, and not used. */
  function destinations(): Record<Signal, Queue[]> {
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
      const opened = destination(settings)
      queues.push(opened)
      for (const signal of signals) all[signal].push(opened)
    }
    return all
  }

  function destination(settings: ExporterConfig): Queue {
    const exporter = makeExporter(settings, { instanceId, version, world, log })
    return queue(self?.exporter(exporter) ?? exporter, world, log, registry, {
      ...QUEUE_LIMITS,
      ...(settings.type === 'debug' ? DEBUG_QUEUE : queueSettings(settings)),
    })
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
      if (directory === null) return
      await saveSnapshot(directory, learner.states.values(), world, log)
      await savePlane(directory, plane, world, log)
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
    await Promise.all([admin?.stop(), view?.stop()])
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
  retry: retryOnFailure,
})

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
