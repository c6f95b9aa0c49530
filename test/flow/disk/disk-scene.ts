//! A queue on disk before an exporter whose answers are written in the test; the disk outlives the queue, as over a restart.
import { Registry } from '../../../src/base/counters.ts'
import { queueOnDisk } from '../../../src/flow/disk/open.ts'
import { fanout } from '../../../src/flow/fanout.ts'
import { QUEUE_LIMITS, type QueueOptions } from '../../../src/flow/queue.ts'
import { RETRY_DEFAULTS } from '../../../src/flow/retry.ts'
import { type Answer, ITEM_NAMES, SIGNALS, type Signal } from '../../../src/flow/sink.ts'
import { type ScriptedExporter, scriptedExporter } from '../../kit/exporter.ts'
import { recordingLog } from '../../kit/log.ts'
import type { SimulatedWorld } from '../../kit/world.ts'

const DIRECTORY = '/data'
/** Where the queue of the scene keeps its files. */
export const QUEUE = `${DIRECTORY}/queue/otlp%2Ftest`

const REASONS = ['queue_full', 'unsupported', 'expired', 'too_large', 'returned', 'damaged', 'shutdown']

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
  const sink = fanout({ traces: [queue], metrics: [queue], logs: [queue] })
  return { exporter, queue, lines, registry, read, imbalance, sink }
}
