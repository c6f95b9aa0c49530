//! From settings as written to the configuration that runs: each setting checked, then what holds between them.
import { formatListen, type Listen } from '../base/endpoints.ts'
import { nearest } from '../base/nearest.ts'
import { check, type ValueOf } from '../base/settings.ts'
import { find, type Place, type Problem, type Report, type Tree } from '../base/tree.ts'
import { type Config, type ExporterConfig, type Pipeline, SETTINGS, type Signal } from '../config.ts'

export interface SettleOptions {
  /** Added to every port that is listened on. */
  readonly portOffset: number
  /** Exporters whose endpoint is one signal's whole URL. */
  readonly exact: ReadonlySet<string>
}

export interface Settled {
  readonly config: Config
  /** The effective settings in the shape of the file, secrets masked. */
  readonly shown: Readonly<Record<string, unknown>>
  readonly problems: readonly Problem[]
}

/** A bound for what is told at once: a file of another program would print for pages. */
const MAX_PROBLEMS = 50

/** Checks everything and reports all that is wrong, not only the first. With an error among the problems, `config` must not run. */
export function settleConfig(tree: Tree | undefined, options: SettleOptions): Settled {
  const problems: Problem[] = []
  const report: Report = (place, path, text, severity = 'error') => {
    if (problems.length < MAX_PROBLEMS) problems.push({ severity, place, path, text })
  }
  const { value, shown } = check(SETTINGS, tree, report, options.portOffset)
  const ids = value.exporters.map(exporter => exporter.id)
  const pipelines = settlePipelines(value.service.pipelines, ids, tree, report)
  const used = new Set(Object.values(pipelines).flatMap(pipeline => pipeline?.exporters ?? []))
  const destinations = value.exporters.filter(
    exporter => used.has(exporter.id) && exporter.type !== 'debug',
  ).length
  const exporters = value.exporters.map((exporter): ExporterConfig => {
    if (exporter.type === 'debug') return exporter
    const path = ['exporters', exporter.id, 'sending_queue', 'when_full']
    const written = find(tree, path)
    const chosen = written?.kind === 'leaf' && written.text !== null
    // With one destination nothing else suffers when senders wait; with several, one that is stuck must not stop all.
    const derived = destinations <= 1 || exporter.required ? 'refuse' : 'drop_newest'
    const whenFull = chosen ? exporter.sendingQueue.whenFull : derived
    if (chosen && exporter.required && whenFull !== 'refuse') {
      report(
        written.place,
        path.join('.'),
        `required: true refuses senders when the queue is full, and ${whenFull} drops; keep one of them`,
      )
    }
    write(shown, path, whenFull)
    const sizeBytes = queueBytes(exporter, value.memoryLimitBytes, destinations, tree)
    write(shown, ['exporters', exporter.id, 'sending_queue', 'size_mib'], sizeBytes / MIB)
    const acknowledge = settleAcknowledge(exporter, value.directory, tree, report)
    write(shown, ['exporters', exporter.id, 'sending_queue', 'acknowledge'], acknowledge)
    const { scheme } = exporter.endpoint
    const plain = scheme === 'http' || (scheme === null && exporter.tls.insecure)
    checkPair(exporter.tls, ['exporters', exporter.id, 'tls'], tree, report)
    const queue = { ...exporter.sendingQueue, sizeBytes, acknowledge, whenFull }
    return {
      ...exporter,
      exact: options.exact.has(exporter.id),
      plain,
      sendingQueue: queue,
    } as ExporterConfig
  })
  for (const exporter of value.exporters) {
    if (used.has(exporter.id)) continue
    const place = find(tree, ['exporters', exporter.id])?.place ?? null
    report(place, `exporters.${exporter.id}`, 'no pipeline sends to it', 'warning')
  }
  const service = { ...value.service, pipelines }
  for (const [signal, pipeline] of Object.entries(pipelines)) {
    if (pipeline !== null) write(shown, ['service', 'pipelines', signal, 'exporters'], pipeline.exporters)
  }
  const config: Config = { ...value, service, exporters }
  for (const [name, protocol] of Object.entries(config.receivers.otlp.protocols)) {
    if (protocol === null) continue
    const path = ['receivers', 'otlp', 'protocols', name, 'tls']
    checkPair(protocol.tls, path, tree, report)
    if (protocol.tls.clientCaFile !== null && protocol.tls.certFile === null) {
      report(
        find(tree, path)?.place ?? null,
        path.join('.'),
        'client_ca_file has no effect without cert_file; give both',
      )
    }
  }
  checkPorts(config, tree, report)
  checkMemory(config, used, tree, report)
  return { config, shown: shown as Record<string, unknown>, problems }
}

/** When a sender is told that its data has been taken, where that is not written: as late as the storage allows for. */
function settleAcknowledge(
  { id, sendingQueue }: Queued,
  directory: string,
  tree: Tree | undefined,
  report: Report,
): Queued['sendingQueue']['acknowledge'] {
  const path = ['exporters', id, 'sending_queue']
  const placeOfKey = (key: string) => placeOf(tree, [...path, key])
  const { storage } = sendingQueue
  const isChosen = placeOfKey('acknowledge') !== null
  const acknowledge = isChosen ? sendingQueue.acknowledge : storage === 'disk' ? 'durable' : 'memory'
  const place = placeOfKey('acknowledge') ?? placeOfKey('storage')
  if (storage === 'memory' && acknowledge === 'durable') {
    const text = 'durable needs a queue on disk; add storage: disk, or use memory or delivered'
    report(place, [...path, 'acknowledge'].join('.'), text)
  }
  if (storage === 'disk' && directory === 'none') {
    const text = 'a queue on disk needs a directory, and directory is none; name one, or use storage: memory'
    report(placeOfKey('storage'), [...path, 'storage'].join('.'), text)
  }
  return acknowledge
}

interface Pair {
  readonly certFile: string | null
  readonly keyFile: string | null
}

function checkPair(
  { certFile, keyFile }: Pair,
  path: readonly string[],
  tree: Tree | undefined,
  report: Report,
) {
  if ((certFile === null) === (keyFile === null)) return
  const [given, missing] = certFile === null ? ['key_file', 'cert_file'] : ['cert_file', 'key_file']
  report(
    find(tree, path)?.place ?? null,
    path.join('.'),
    `${given} is given without ${missing}; both are needed`,
  )
}

type Written = ValueOf<typeof SETTINGS>['service']['pipelines']
type Pipelines = Config['service']['pipelines']

/** Every exporter that a pipeline names must be there; one that names none sends to all. */
function settlePipelines(
  written: Written,
  ids: readonly string[],
  tree: Tree | undefined,
  report: Report,
): Pipelines {
  const settled: Partial<Record<Signal, Pipeline | null>> = {}
  for (const [signal, pipeline] of Object.entries(written) as [Signal, Written[Signal]][]) {
    settled[signal] = pipeline === null ? null : { ...pipeline, exporters: pipeline.exporters ?? ids }
    if (pipeline?.receivers.length === 0) {
      const place = find(tree, ['service', 'pipelines', signal, 'receivers'])?.place ?? null
      report(
        place,
        `service.pipelines.${signal}.receivers`,
        'is empty; leave the whole pipeline out to switch the signal off',
      )
    }
    const path = ['service', 'pipelines', signal, 'exporters']
    pipeline?.exporters?.forEach((id, index) => {
      if (ids.includes(id)) return
      const near = nearest(id, ids)
      const defined = ids.length === 0 ? 'none is defined' : `defined are ${ids.join(', ')}`
      const help = near === null ? defined : `did you mean ${near}? (${defined})`
      report(
        find(tree, [...path, index])?.place ?? null,
        path.join('.'),
        `exporters.${id} is not defined; ${help}`,
      )
    })
  }
  return settled as Pipelines
}

/** Every address that is listened on, with its setting. */
export function listeners(config: Config): { readonly path: string; readonly address: Listen }[] {
  const { grpc, http } = config.receivers.otlp.protocols
  const all: [string, Listen | null][] = [
    ['receivers.otlp.protocols.grpc.endpoint', grpc?.endpoint ?? null],
    ['receivers.otlp.protocols.http.endpoint', http?.endpoint ?? null],
    ['service.metrics.endpoint', config.service.metrics.endpoint],
    ['service.health.endpoint', config.service.health.endpoint],
    ['service.view.endpoint', config.service.view.endpoint],
  ]
  return all.flatMap(([path, address]) => (address === null ? [] : [{ path, address }]))
}

const ANY_HOST = new Set(['0.0.0.0', '::'])
const LOOPBACK = new Set(['localhost', '127.0.0.1', '::1'])

/** Two listeners cannot share a port where their hosts meet. */
function checkPorts(config: Config, tree: Tree | undefined, report: Report) {
  const seen: { path: string; address: Listen }[] = []
  for (const { path, address } of listeners(config)) {
    const meets = ({ host }: Listen) =>
      host === address.host ||
      ANY_HOST.has(host) ||
      ANY_HOST.has(address.host) ||
      (LOOPBACK.has(host) && LOOPBACK.has(address.host))
    const other = seen.find(
      earlier => earlier.address.port === address.port && address.port !== 0 && meets(earlier.address),
    )
    if (other !== undefined) {
      const place = placeOf(tree, path) ?? placeOf(tree, other.path)
      report(
        place,
        path,
        `${formatListen(address)} is already taken by ${other.path}; give one of them another port`,
      )
    }
    seen.push({ path, address })
  }
}

const MIB = 2 ** 20
/** The share of the memory limit that is meant for the queues in memory. A quarter is for requests, the rest for Node and the models. */
const QUEUES = 1 / 2

type Queued = Exclude<AnyExporter, { readonly type: 'debug' }>
type AnyExporter = ValueOf<typeof SETTINGS>['exporters'][number]

/** The sizes of the conventions. */
const SIZE_BYTES = { memory: 64 * MIB, disk: 2048 * MIB }

/** As it is written; where it is not, the default, or what the memory limit leaves to each of the destinations if that is less. */
function queueBytes(
  { id, sendingQueue }: Queued,
  limitBytes: number | null,
  destinations: number,
  tree: Tree | undefined,
): number {
  const { storage } = sendingQueue
  const written = find(tree, ['exporters', id, 'sending_queue', 'size_mib'])
  const isWritten = written?.kind === 'leaf' && written.text !== null
  if (isWritten) return sendingQueue.sizeBytes
  const sizeBytes = SIZE_BYTES[storage]
  if (storage !== 'memory' || limitBytes === null) return sizeBytes
  const leftMib = Math.floor((limitBytes * QUEUES) / MIB / Math.max(1, destinations))
  return Math.min(sizeBytes, Math.max(1, leftMib) * MIB)
}

/** Queues that cannot be filled before memory is short would refuse senders for a destination that others do not wait for. */
function checkMemory(config: Config, used: ReadonlySet<string>, tree: Tree | undefined, report: Report) {
  const limitBytes = config.memoryLimitBytes
  const queued = config.exporters.filter(
    exporter =>
      exporter.type !== 'debug' && used.has(exporter.id) && exporter.sendingQueue.storage === 'memory',
  ) as Queued[]
  const totalBytes = queued.reduce((sum, { sendingQueue }) => sum + sendingQueue.sizeBytes, 0)
  if (limitBytes === null || totalBytes <= limitBytes * QUEUES) return
  const mib = (bytes: number) => Math.floor(bytes / MIB)
  const names = queued.map(({ id }) => id).join(', ')
  const together = queued.length === 1 ? 'may' : 'together may'
  const place =
    queued.map(({ id }) => placeOf(tree, `exporters.${id}.sending_queue.size_mib`)).find(Boolean) ?? null
  const isImpossible = totalBytes > limitBytes
  const advice = `give size_mib at most ${mib(limitBytes * QUEUES)} in all, or raise memory_limit_mib to ${Math.ceil(totalBytes / QUEUES / MIB)}`
  report(
    place,
    queued.length === 1 ? `exporters.${names}.sending_queue.size_mib` : 'exporters',
    isImpossible
      ? `the sending queues of ${names} ${together} hold ${mib(totalBytes)} MiB, more than memory_limit_mib (${mib(limitBytes)}); ${advice}`
      : `the sending queues of ${names} ${together} hold ${mib(totalBytes)} of ${mib(limitBytes)} MiB (memory_limit_mib): senders may be turned away before they are full; ${advice}`,
    isImpossible ? 'error' : 'warning',
  )
}

function placeOf(tree: Tree | undefined, path: string | readonly string[]): Place | null {
  const found = find(tree, typeof path === 'string' ? path.split('.') : path)
  return found === undefined || (found.kind === 'leaf' && found.text === null) ? null : found.place
}

function write(shown: unknown, path: readonly string[], value: unknown) {
  let at = shown as Record<string, unknown>
  for (const step of path.slice(0, -1)) {
    at[step] ??= {}
    at = at[step] as Record<string, unknown>
  }
  at[path[path.length - 1]] = value
}

/** What goes where for one signal: the base URL with `v1/<signal>`, or the whole URL of a signal as it is. */
export function signalUrl(exporter: Extract<ExporterConfig, { type: 'otlphttp' }>, signal: Signal): string {
  const url = new URL(exporter.endpoint.url)
  if (!exporter.exact) url.pathname = `${url.pathname.replace(/\/+$/, '')}/v1/${signal}`
  return url.href
}
