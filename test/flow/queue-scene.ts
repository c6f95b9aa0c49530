//! A queue before an exporter whose answers are written in the test, on a simulated clock.
import { Registry } from '../../src/base/counters.ts'
import { QUEUE_LIMITS, type QueueOptions, queue } from '../../src/flow/queue.ts'
import { RETRY_DEFAULTS } from '../../src/flow/retry.ts'
import { type Answer, type CheckedBatch, type Headers, NO_HEADERS, type Signal } from '../../src/flow/sink.ts'
import { type ScriptedExporter, type Seen, scriptedExporter } from '../kit/exporter.ts'
import { recordingLog } from '../kit/log.ts'
import { simulatedWorld } from '../kit/world.ts'
import { concat, delimited } from '../oracle/bytes.ts'

const OPTIONS: QueueOptions = {
  ...QUEUE_LIMITS,
  lingerMs: 5,
  sizeBytes: 2 ** 20,
  whenFull: 'refuse',
  numConsumers: 10,
  retry: RETRY_DEFAULTS,
}

export function scene(answer: ScriptedExporter['answer'] | Answer, options: Partial<QueueOptions> = {}) {
  const world = simulatedWorld(1)
  const exporter = scriptedExporter(world, typeof answer === 'function' ? answer : () => answer)
  const { log, lines } = recordingLog()
  const registry = new Registry()
  const sending = queue(exporter, world, log, registry, { ...OPTIONS, ...options })
  const read = (what: string, reason?: string, name = 'spans') =>
    registry.read(`otlier_exporter_${what}_${name}`, {
      exporter: exporter.id,
      ...(reason === undefined ? {} : { reason }),
    })
  const size = () => registry.read('otlier_exporter_queue_size', { exporter: exporter.id })
  return { world, exporter, lines, registry, sending, read, size }
}

/** Spans that tell themselves apart by their names. */
export function batch(
  names: readonly string[],
  signal: Signal = 'traces',
  headers: Headers = NO_HEADERS,
): CheckedBatch {
  // Spans and log records have the same shape as far as names go: field 5 of either is length-delimited.
  const items = names.map(name => delimited(2, delimited(5, signal === 'traces' ? name : delimited(1, name))))
  const bytes = names.length === 0 ? new Uint8Array(0) : delimited(1, delimited(2, concat(items)))
  return { signal, bytes, items: names.length, receivedMs: 0, headers }
}

export const text = ({ bytes }: Seen) => Buffer.from(bytes).toString('latin1')
export const names = (seen: Seen) => text(seen).match(/[a-z]+\d+/g) ?? []
export const pending = () => new Promise<Answer>(() => {})
