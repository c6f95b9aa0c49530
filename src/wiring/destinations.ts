//! The destinations of the pipelines, each a client and a queue before it: opened, changed and taken out while telemetry flows.
import { isDeepStrictEqual } from 'node:util'
import type { Registry } from '../base/counters.ts'
import type { Log } from '../base/log.ts'
import type { World } from '../base/world.ts'
import { listeners } from '../commands/settle-config.ts'
import type { Config, ExporterConfig } from '../config.ts'
import { leadsBackTo, makeExporter } from '../edge/exporter.ts'
import { queueOnDisk, tellOfLeftovers } from '../flow/disk/open.ts'
import { closeAll } from '../flow/fanout.ts'
import type { Held } from '../flow/held.ts'
import { QUEUE_LIMITS, type Queue, type QueueSettings, queue, type Undelivered } from '../flow/queue.ts'
import { type Replaceable, replaceable } from '../flow/replaceable.ts'
import { RETRY_DEFAULTS } from '../flow/retry.ts'
import { type Exporter, SIGNALS, type Signal } from '../flow/sink.ts'
import type { Plan } from './plan.ts'

export interface DestinationsOptions {
  readonly instanceId: string
  readonly version: string
  /** What stands between a queue and its client. */
  readonly watch: (exporter: Exporter) => Exporter
  /** What all queues hold together. */
  readonly held: Held
  /** Where queues on disk are; null where there is no place for them. */
  readonly directory: string | null
}

export interface Destinations {
  /** The queues of each signal. Replaced as a whole, and so between two batches. */
  readonly routes: Readonly<Record<Signal, readonly Queue[]>>
  /** Signals of pipelines without exporters: nobody is to have them. */
  readonly letGo: ReadonlySet<Signal>
  /** All that are in a pipeline. */
  readonly queues: readonly Queue[]
  /** By id, what is to be said about those that are not used. */
  readonly notes: Readonly<Record<string, string>>
  /** Prepares `config`. One that is being taken out, and is back in `config`, is waited for. */
  plan(config: Config): Promise<Plan>
  /** What would be lost if the process ended now, by destination and signal. */
  undelivered(): readonly Undelivered[]
  /** Closes all, until the monotonic time `deadlineMs` at the latest. Tells what stopping lost. */
  close(deadlineMs: number): Promise<readonly Undelivered[]>
}

interface Open {
  readonly settings: ExporterConfig
  /** What its queue was opened as, and stays. */
  readonly kind: Kind
  readonly client: Replaceable
  readonly queue: Queue
}

export function makeDestinations(
  world: World,
  log: Log,
  registry: Registry,
  options: DestinationsOptions,
): Destinations {
  let open: ReadonlyMap<string, Open> = new Map()
  let routes: Destinations['routes'] = { traces: [], metrics: [], logs: [] }
  let letGo: ReadonlySet<Signal> = new Set()
  let notes: Record<string, string> = {}
  let areLeftoversTold = false
  /** Taken out of the pipelines, and still delivering what they had taken. */
  const draining = new Map<string, { readonly queue: Queue; readonly ended: Promise<void> }>()

  const clientOf = (settings: ExporterConfig) =>
    options.watch(
      makeExporter(settings, { instanceId: options.instanceId, version: options.version, world, log }),
    )

  async function openOne(settings: ExporterConfig): Promise<Open> {
    const { directory } = options
    const onDisk = isOnDisk(settings)
    if (onDisk && directory === null)
      throw new Error(
        `the queue of ${settings.id} is on disk, and there is no directory for it. Set directory to a place that can be written to, or exporters.${settings.id}.sending_queue.storage to memory.`,
      )
    const exporter = settings.id
    const client = replaceable(clientOf(settings), error =>
      log.error({ exporter, error }, 'the client before the change failed to close'),
    )
    const how = {
      ...QUEUE_LIMITS,
      shared: options.held,
      ...(settings.type === 'debug' ? {} : { acknowledge: settings.sendingQueue.acknowledge }),
      ...queueSettings(settings),
    }
    const opened =
      onDisk && directory !== null
        ? await queueOnDisk(client, world, log, registry, how, directory)
        : queue(client, world, log, registry, how)
    return { settings, kind: kindOf(settings), client, queue: opened }
  }

  /** Those of `config` that a pipeline sends to. One that leads back to Otlier itself is explained, and not used. */
  function used(config: Config) {
    const found: ExporterConfig[] = []
    const said: Record<string, string> = {}
    for (const settings of config.exporters) {
      if (signalsOf(config, settings.id).length === 0) continue
      const own = listeners(config).find(({ address }) => leadsBackTo(settings, address))
      if (own === undefined) {
        found.push(settings)
        continue
      }
      said[settings.id] =
        `not used: it leads back to Otlier's own ${own.path}. Name the backend's address instead.`
    }
    return { found, said }
  }

  /** The client that `settings` need, where the one at work is another. */
  const newClient = (settings: ExporterConfig): Exporter | null => {
    const before = open.get(settings.id)
    if (before === undefined || isDeepStrictEqual(clientSettings(before.settings), clientSettings(settings)))
      return null
    return clientOf(settings)
  }

  function change(
    { client, queue: kept, settings: before }: Open,
    settings: ExporterConfig,
    next?: Exporter,
  ) {
    if (isDeepStrictEqual(before, settings)) return
    if (next !== undefined) client.replace(next)
    kept.change(queueSettings(settings))
    log.info({ exporter: settings.id }, 'the destination has changed; what waits for it goes there')
  }

  async function plan(config: Config): Promise<Plan> {
    const { found, said } = used(config)
    const added: Open[] = []
    try {
      for (const settings of found) {
        if (open.has(settings.id)) continue
        // Two queues in one folder on disk would destroy each other's log.
        await draining.get(settings.id)?.ended
        added.push(await openOne(settings))
      }
    } catch (error) {
      await closeAll(queuesOf(added), world.monotonic())
      throw error
    }
    if (!areLeftoversTold && options.directory !== null) {
      areLeftoversTold = true
      const onDisk = config.exporters.filter(isOnDisk).map(({ id }) => id)
      await tellOfLeftovers(world, log, options.directory, onDisk)
    }
    const clients = new Map(
      found.flatMap(settings => {
        const client = newClient(settings)
        return client === null ? [] : [[settings.id, client] as const]
      }),
    )
    return {
      restart: found.flatMap(settings => otherKind(open.get(settings.id)?.kind, settings)),
      commit() {
        const next = new Map<string, Open>()
        for (const settings of found) {
          const kept = open.get(settings.id)
          const effective = kept === undefined ? settings : asOpened(kept, settings)
          if (kept !== undefined) change(kept, effective, clients.get(settings.id))
          const one = kept ?? added.find(({ queue: { id } }) => id === settings.id)
          if (one !== undefined) next.set(settings.id, { ...one, settings: effective })
        }
        const removed = [...open.values()].filter(({ queue: { id } }) => !next.has(id))
        for (const [id, note] of Object.entries(said))
          if (notes[id] !== note) log.warn({ exporter: id }, note)
        open = next
        notes = said
        routes = routesOf(config, next)
        letGo = new Set(SIGNALS.filter(signal => config.service.pipelines[signal]?.exporters.length === 0))
        for (const { queue: old } of removed) drain(old, config.shutdownTimeoutMs)
      },
      async cancel() {
        await closeAll(queuesOf(added), world.monotonic())
        await Promise.all([...clients.values()].map(client => client.close()))
      },
    }
  }

  function drain(old: Queue, timeoutMs: number) {
    const exporter = old.id
    log.info(
      { exporter, timeout_s: timeoutMs / 1000 },
      'the destination is taken out; what it has taken is delivered',
    )
    const end = async () => {
      // Nobody else delivers it once it is out, so that one on disk asks until the end too.
      const lost = await old.close(world.monotonic() + timeoutMs, true)
      draining.delete(exporter)
      const kept = old.kept()
      if (kept !== null)
        log.warn(
          { exporter, ...kept },
          'the destination that was taken out did not take this in time; it is on disk, for when the destination is back',
        )
      for (const { signal, items } of lost)
        log.error({ exporter, signal, items }, 'the destination that was taken out did not take this in time')
      if (lost.length === 0 && kept === null)
        log.info({ exporter }, 'the destination that was taken out has got everything')
    }
    draining.set(exporter, { queue: old, ended: end() })
  }

  function tellOfKept() {
    for (const one of open.values()) {
      const kept = one.queue.kept()
      if (kept !== null)
        log.info({ exporter: one.queue.id, ...kept }, 'what was not delivered is on disk, for the next start')
    }
  }

  const all = () => [...open.values(), ...draining.values()].map(one => one.queue)
  return {
    get routes() {
      return routes
    },
    get letGo() {
      return letGo
    },
    get queues() {
      return [...open.values()].map(one => one.queue)
    },
    get notes() {
      return notes
    },
    plan,
    undelivered: () => all().flatMap(each => each.undelivered()),
    async close(deadlineMs) {
      const before = new Set(draining.values())
      const lost = await closeAll(all(), deadlineMs)
      for (const each of before) await each.ended
      tellOfKept()
      return lost
    },
  }
}

const signalsOf = (config: Config, id: string): readonly Signal[] =>
  SIGNALS.filter(signal => config.service.pipelines[signal]?.exporters.includes(id))

function routesOf(config: Config, open: ReadonlyMap<string, Open>): Destinations['routes'] {
  const routes: Record<Signal, Queue[]> = { traces: [], metrics: [], logs: [] }
  for (const [id, one] of open) for (const signal of signalsOf(config, id)) routes[signal].push(one.queue)
  return routes
}

/** Printing is never behind for long, and never a reason to turn a sender away. */
const DEBUG_QUEUE: QueueSettings = {
  sizeBytes: 64 * 2 ** 20,
  whenFull: 'drop_newest',
  numConsumers: 1,
  retry: RETRY_DEFAULTS,
}

function queueSettings(settings: ExporterConfig): QueueSettings {
  if (settings.type === 'debug') return DEBUG_QUEUE
  const { sizeBytes, whenFull, numConsumers } = settings.sendingQueue
  return { sizeBytes, whenFull, numConsumers, retry: settings.retryOnFailure }
}

/** What a client is made of: everything but what concerns the queue before it. */
function clientSettings(settings: ExporterConfig): object {
  if (settings.type === 'debug') return settings
  const { sendingQueue: _queue, retryOnFailure: _retry, required: _required, ...client } = settings
  return client
}

const isOnDisk = (settings: ExporterConfig) =>
  settings.type !== 'debug' && settings.sendingQueue.storage === 'disk'

const queuesOf = (opened: readonly Open[]) => opened.map(one => one.queue)

/** `settings` as far as they can be had before a restart: a size that is meant for a disk must not be taken from memory. */
function asOpened({ settings: before }: Open, settings: ExporterConfig): ExporterConfig {
  if (settings.type === 'debug' || before.type === 'debug') return settings
  const { storage, acknowledge, sizeBytes } = before.sendingQueue
  const isSame = storage === settings.sendingQueue.storage
  const sendingQueue = { ...settings.sendingQueue, storage, acknowledge }
  return { ...settings, sendingQueue: isSame ? sendingQueue : { ...sendingQueue, sizeBytes } }
}

type Kind = Readonly<Record<string, unknown>>

const kindOf = (settings: ExporterConfig): Kind => {
  if (settings.type === 'debug') return {}
  const { storage, acknowledge } = settings.sendingQueue
  return { storage, acknowledge }
}

/** What of a queue stays as it is for as long as its destination is there, by the paths of the settings. */
function otherKind(before: Kind | undefined, settings: ExporterConfig): string[] {
  if (before === undefined) return []
  const after = kindOf(settings)
  return Object.keys(after)
    .filter(key => before[key] !== after[key])
    .map(key => `exporters.${settings.id}.sending_queue.${key}`)
}
