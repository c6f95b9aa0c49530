//! A queue on disk: where its log is, how large its segments are, and what has been left by queues that are no more.
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { Registry } from '../../base/counters.ts'
import type { Log } from '../../base/log.ts'
import type { World } from '../../base/world.ts'
import { type Queue, type QueueOptions, type QueueSettings, queue } from '../queue.ts'
import type { Exporter } from '../sink.ts'
import { DiskLog } from './log.ts'

const FOLDER = 'queue'
const SEGMENT_BYTES = 8 * 2 ** 20
/** A queue is at least so many segments, as room comes back segment by segment. */
const MIN_SEGMENTS = 8
/** Names of files end at 255 bytes, and an id may be longer. */
const MAX_NAME_CHARS = 120

/** `otlp/jaeger` is `otlp%2Fjaeger`; what is too long is cut, and told apart by a checksum. */
function folderOf(id: string): string {
  const name = encodeURIComponent(id)
  if (name.length <= MAX_NAME_CHARS) return name
  return `${name.slice(0, MAX_NAME_CHARS)}-${crc32(name).toString(16)}`
}

/** What is on disk is never given up for its age. */
const ageless = <S extends QueueSettings>(settings: S): S => ({
  ...settings,
  retry: { ...settings.retry, maxElapsedTimeMs: 0 },
})

/** Finds what an earlier run has left, and begins to send it. */
export async function queueOnDisk(
  exporter: Exporter,
  world: World,
  log: Log,
  registry: Registry,
  options: QueueOptions,
  directory: string,
): Promise<Queue> {
  const path = join(directory, FOLDER, folderOf(exporter.id))
  const segmentBytes = Math.min(SEGMENT_BYTES, Math.floor(options.sizeBytes / MIN_SEGMENTS))
  const isDurable = (options.acknowledge ?? 'durable') === 'durable'
  const opened: DiskLog[] = []
  const made = queue(exporter, world, log, registry, ageless(options), hooks => {
    const disk = new DiskLog(world, path, log, { segmentBytes, isDurable }, hooks)
    opened.push(disk)
    return disk
  })
  for (const disk of opened) await disk.open()
  return { ...made, change: settings => made.change(ageless(settings)) }
}

/** Names in the log what is left of destinations that have no queue on disk any more. It is kept. */
export async function tellOfLeftovers(
  world: World,
  log: Log,
  directory: string,
  ids: readonly string[],
): Promise<void> {
  const known = new Set(ids.map(folderOf))
  try {
    for (const name of await world.disk.list(join(directory, FOLDER))) {
      const path = join(directory, FOLDER, name)
      if (known.has(name) || !(await world.disk.list(path)).some(file => file.endsWith('.log'))) continue
      log.warn({ path }, 'here is telemetry for a destination that has no queue on disk any more; it is kept')
    }
  } catch (error) {
    log.warn({ directory, error }, 'the directory of the queues cannot be read')
  }
}
