//! The wiring: read from top to bottom it is the architecture.
import { Registry } from './base/counters.ts'
import type { Listen } from './base/endpoints.ts'
import { Failure } from './base/errors.ts'
import { lockedDirectory } from './base/lock.ts'
import type { Log } from './base/log.ts'
import type { Served } from './base/serve.ts'
import { newInstanceId, type World } from './base/world.ts'
import type { Bus } from './bus/bus.ts'
import { memoryBus } from './bus/memory.ts'
import type { Parts, Running } from './commands/run.ts'
import type { Config } from './config.ts'
import { type Admin, type Health, registerProcessMetrics, startAdmin } from './edge/admin.ts'
import { sendEvents } from './edge/events.ts'
import { guardMemory, memoryUpkeep } from './edge/memory.ts'
import { startSelfTelemetry } from './edge/self-telemetry.ts'
import { type AssembleOptions, Assembler, MAX_SPANS } from './flow/assemble.ts'
import { counted, generated, refusedRequests, watchMalformed } from './flow/counted.ts'
import { fanout } from './flow/fanout.ts'
import { guards } from './flow/guard.ts'
import { Held } from './flow/held.ts'
import { type InspectOptions, type Inspector, inspect } from './flow/inspect.ts'
import type { CheckedBatch, Exporter, Outcome, Sink } from './flow/sink.ts'
import { restorePlane, savePlane } from './learn/keep.ts'
import { Learner, type LearnOptions } from './learn/learner.ts'
import { LearningPlane, type PlaneOptions } from './learn/plane.ts'
import { ShadowTest } from './learn/selftest/selftest.ts'
import { restoreSnapshot, saveSnapshot } from './learn/snapshot.ts'
import { startView } from './view/server.ts'
import { makeDestinations } from './wiring/destinations.ts'
import { makeReceivers } from './wiring/receivers.ts'
import { makeReload } from './wiring/reload.ts'

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
  /** What is in force. Both planes read it each time that they need it. */
  readonly options: Detecting
  /** Puts others in force: all but the window, which is of the start. */
  change(options: Detecting): void
}

/** A window of everything that is seen takes 0.1 s with 10,000 series (`npm run bench`), and twice as many are allowed. */
const WINDOW_STEP_MS = 500

/** Both planes over one bus: what `otlier run` and `otlier replay` share to the line. */
export function planes(
  next: Sink<CheckedBatch>,
  world: World,
  log: Log,
  registry: Registry,
  options: Detecting,
  latestMs: () => number,
): Planes {
  const guarding = guards(world, log, registry)
  const bus = memoryBus(
    error => log.error({ err: error }, 'a listener on the bus failed'),
    topic =>
      guarding.step(`a listener of ${topic}`, topic === 'features' ? WINDOW_STEP_MS : undefined).attempt,
  )
  const current = { ...options, latestMs }
  const learner = new Learner(bus, registry, current)
  const plane = new LearningPlane(bus, registry, current)
  const assembler = new Assembler(bus, world, log, registry, guarding, current)
  const inspector = inspect(next, world, bus, guarding, registry, assembler, current)
  return {
    bus,
    inspector,
    learner,
    plane,
    options: current,
    change(next) {
      const { windowMs } = current
      Object.assign(current, next, { windowMs })
    },
  }
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
  let { shutdownTimeoutMs } = config

  const self = config.service.metrics.otlp
    ? await startSelfTelemetry(
        { registry, identity, intervalMs: SELF_TELEMETRY_MS, deliver: batch => ownTelemetry.send(batch) },
        world,
        log,
      )
    : null

  // Destinations: a client, and a queue before it.
  const watch = (exporter: Exporter) => self?.exporter(exporter) ?? exporter
  const held = new Held()
  const destinations = makeDestinations(world, log, registry, { instanceId, version, watch, held, directory })
  const toDestinations = fanout(destinations)

  const memory = guardMemory(
    {
      limitBytes: config.memoryLimitBytes ?? 2 ** 30,
      queuedBytes: () => held.bytes,
      retryAfterMs: () => Math.max(0, ...destinations.queues.map(each => each.retryAfterMs())),
    },
    world,
    log,
    registry,
  )

  // The two planes, and what they say.
  const latestMs = () => world.now() + config.processors.otlier.windowMs
  const taken = counted(toDestinations, world, registry)
  const both = planes(taken, world, log, registry, detecting(config), latestMs)
  const { bus, inspector, learner, plane, options } = both
  if (directory !== null) {
    learner.restore(await restoreSnapshot(directory, options.maxSeries, world, log))
    await restorePlane(directory, plane, world, log)
  }
  const selftest = new ShadowTest(bus, world, log, registry, options)
  // Whom nobody can ask need not keep anything for it.
  if (config.service.view.endpoint !== null) selftest.recorder.start(plane, bus)
  const ownTelemetry = generated(toDestinations, registry)
  const events = sendEvents(
    bus,
    { ...ownTelemetry, send: sendEvent, isProven: logsAreTaken },
    world,
    log,
    version,
  )
  let saving = Promise.resolve()
  const announced = new Map<string, string>()
  const keepMemory = memoryUpkeep(world)
  const stopTicking = every(TICK_MS, () => {
    keepMemory()
    inspector.passTime()
    memory.reasons()
    announce()
  })
  const stopSaving = every(SNAPSHOT_MS, save)

  // The outside: operators first, senders last.
  const refused = refusedRequests(registry)
  const sink = watchMalformed(inspector, refused)
  const receivers = makeReceivers(world, log, {
    instanceId,
    admission: memory.admission,
    onRefused: (signal, cause) => refused(signal, cause.code),
    sink: protocol => self?.receiver(protocol, sink) ?? sink,
  })
  const plans = [destinations.plan, receivers.plan]
  let admin: Admin | null = null
  let view: Served | null = null
  try {
    const { metrics, health, view: viewing } = config.service
    const at = { metrics: metrics.endpoint, health: health.endpoint, identity }
    admin = await startAdmin(at, registry, healthNow, log)
    view = viewing.endpoint && (await startView(viewing.endpoint, { accounts: plane.account, selftest }, log))
    for (const plan of plans) (await plan(config)).commit()
  } catch (error) {
    stopTicking()
    stopSaving()
    await Promise.all([admin?.stop(), view?.stop(), self?.stop(), receivers.stop(0)])
    await destinations.close(world.monotonic())
    unlock()
    throw error
  }
  health = 'ready'
  const reload = makeReload(
    { started: config, plans, applied, isStopping: () => health === 'stopping' },
    log,
    registry,
  )
  return {
    get listening() {
      return listening()
    },
    notes: destinations.notes,
    reload,
    undelivered: destinations.undelivered,
    stop,
  }

  function applied(next: Config): void {
    shutdownTimeoutMs = next.shutdownTimeoutMs
    both.change(detecting(next))
  }

  function listening(): Record<string, Listen> {
    const { metrics, health, view: viewing } = config.service
    const { ports } = admin as Admin
    return {
      ...receivers.listening,
      ...(metrics.endpoint === null
        ? {}
        : { 'service.metrics.endpoint': { ...metrics.endpoint, port: ports.metrics } }),
      ...(health.endpoint === null
        ? {}
        : { 'service.health.endpoint': { ...health.endpoint, port: ports.health } }),
      ...(viewing.endpoint === null || view === null
        ? {}
        : { 'service.view.endpoint': { ...viewing.endpoint, port: view.port } }),
    }
  }

  /** What a destination turned out not to take belongs to the banner, which is printed before anybody has answered. */
  function announce(): void {
    for (const { id, unsupported } of destinations.queues) {
      const signals = unsupported().join(' and ')
      if (signals === (announced.get(id) ?? '')) continue
      announced.set(id, signals)
      if (signals !== '')
        parts.say?.(`  ${id} does not take ${signals}: kept from it, and tried again every five minutes.`)
    }
  }

  function logsAreTaken(): boolean {
    return destinations.routes.logs.some(each => each.takes('logs'))
  }

  async function sendEvent(batch: CheckedBatch): Promise<Outcome> {
    return destinations.routes.logs.length === 0 ? NOBODY : ownTelemetry.send(batch)
  }

  function healthNow(): Health {
    const full = destinations.queues.filter(each => each.full())
    const reasons = [...full.map(each => `The sending queue of ${each.id} is full.`), ...memory.reasons()]
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
    const deadlineMs = world.monotonic() + shutdownTimeoutMs
    health = 'stopping'
    stopTicking()
    stopSaving()
    await receivers.stop(Math.min(STOP_RECEIVING_MS, shutdownTimeoutMs / 2))
    inspector.flush()
    selftest.stop()
    learner.close()
    await events.stop()
    await byThen(self?.stop())
    await inspector.close()
    // What was learned is saved while the queues are emptied: a slow disk must not take their time.
    const saved = save()
    const lost = await destinations.close(deadlineMs)
    for (const { exporter, signal, items } of lost) {
      log.error({ exporter, signal, items }, 'stopping lost what the destination had not taken in time')
    }
    await byThen(saved)
    await bus.close()
    await Promise.all([admin?.stop(), view?.stop()])
    unlock()
    return lost.reduce((sum, { items }) => sum + items, 0)

    /** Waits for it, but not beyond the deadline. */
    async function byThen(work: Promise<void> | undefined) {
      const enough = new AbortController()
      await Promise.race([work, world.sleep(Math.max(0, deadlineMs - world.monotonic()), enough.signal)])
      enough.abort()
    }
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

const NOBODY: Outcome = { kind: 'refused', cause: new Failure('OTLIER_SIGNAL_UNSUPPORTED') }
