//! A queue on disk before an exporter whose answers are written in the test; the disk outlives the queue, as over a restart.
import { Registry } from '../../../src/base/counters.ts'
import type { Disk, DiskFile } from '../../../src/base/world.ts'
import { queueOnDisk } from '../../../src/flow/disk/open.ts'
import { fanout } from '../../../src/flow/fanout.ts'
import { QUEUE_LIMITS, type QueueOptions } from '../../../src/flow/queue.ts'
import { RETRY_DEFAULTS } from '../../../src/flow/retry.ts'
import { type Answer, ITEM_NAMES, SIGNALS, type Signal } from '../../../src/flow/sink.ts'
import { type ScriptedExporter, scriptedExporter } from '../../kit/exporter.ts'
import { recordingLog } from '../../kit/log.ts'
import { type SimulatedWorld, simulatedWorld } from '../../kit/world.ts'

const DIRECTORY = '/data'
/** Where the queue of the scene keeps its files. */
export const QUEUE = `${DIRECTORY}/queue/otlp%2Ftest`

const REASONS = ['queue_full', 'unsupported', 'expired', 'too_large', 'returned', 'damaged', 'shutdown']

export type Operation = 'open' | 'write' | 'sync' | 'syncDirectory' | 'read' | 'remove' | 'list' | 'truncate'

export interface Faults {
  /** What an operation on a path fails with; null: it works. May also keep it waiting. */
  on: (operation: Operation, path: string) => Error | null | Promise<Error | null>
  /** Every operation that was let through, in order. */
  readonly done: { readonly operation: Operation; readonly path: string }[]
}

export const errno = (code: string) => Object.assign(new Error(`${code}: as the test wants it`), { code })

/** A simulated world whose disk fails as the test says. */
export function faultyWorld(seed: number): { world: SimulatedWorld; faults: Faults } {
  const world = simulatedWorld(seed)
  const { disk } = world
  const faults: Faults = { on: () => null, done: [] }
  async function through<T>(operation: Operation, path: string, act: () => Promise<T>): Promise<T> {
    const failure = await faults.on(operation, path)
    if (failure !== null) throw failure
    const result = await act()
    faults.done.push({ operation, path })
    return result
  }
  const wrapped = (path: string, file: DiskFile): DiskFile => ({
    ...file,
    read: (position, length) => through('read', path, () => file.read(position, length)),
    write: (position, bytes) => through('write', path, () => file.write(position, bytes)),
    sync: () => through('sync', path, () => file.sync()),
    truncate: length => through('truncate', path, () => file.truncate(length)),
  })
  const faulty: Partial<Disk> = {
    list: path => through('list', path, () => disk.list(path)),
    remove: path => through('remove', path, () => disk.remove(path)),
    syncDirectory: path => through('syncDirectory', path, () => disk.syncDirectory(path)),
    open: (path, create) => through('open', path, async () => wrapped(path, await disk.open(path, create))),
  }
  return { world: { ...world, disk: { ...disk, ...faulty, files: disk.files } }, faults }
}

/** One run of the service over the world's disk, as far as the queue goes. */
export async function run(
  world: SimulatedWorld,
  answer: ScriptedExporter['answer'] | Answer,
  options: Partial<QueueOptions> = {},
) {
  const exporter = scriptedExporter(world, typeof answer === 'function' ? answer : () => answer)
  const { log, lines } = recordingLog()
  const registry = new Registry()
  const all: QueueOptions = {
    ...QUEUE_LIMITS,
    lingerMs: 5,
    sizeBytes: 2 ** 20,
    whenFull: 'refuse',
    numConsumers: 10,
    retry: RETRY_DEFAULTS,
    acknowledge: 'durable',
    ...options,
  }
  const queue = await queueOnDisk(exporter, world, log, registry, all, DIRECTORY)
  const read = (what: string, reason?: string, signal: Signal = 'traces') =>
    registry.read(`otlier_exporter_${what}_${ITEM_NAMES[signal]}`, {
      exporter: exporter.id,
      ...(reason === undefined ? {} : { reason }),
    })
  /** What the accounts are out by; zero for each signal is the law. */
  const imbalance = () =>
    SIGNALS.map(signal => {
      const of = (what: string) => read(what, undefined, signal)
      const dropped = REASONS.reduce((sum, reason) => sum + read('dropped', reason, signal), 0)
      return (
        of('enqueued') +
        of('recovered') -
        of('sent') -
        of('rejected') -
        dropped -
        of('queued') -
        of('in_flight')
      )
    })
  const sink = fanout({ routes: { traces: [queue], metrics: [queue], logs: [queue] } })
  return { exporter, queue, lines, registry, read, imbalance, sink }
}
