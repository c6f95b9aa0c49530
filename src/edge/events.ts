//! Otlier's own events on their way: collected for a moment, encoded together, sent where logs go; into the log where nobody takes them.
import type { Log } from '../base/log.ts'
import type { Cancel, World } from '../base/world.ts'
import type { Bus, EventRecord } from '../bus/bus.ts'
import type { CheckedBatch, Sink } from '../flow/sink.ts'
import { encodeEvents } from './encode.ts'

export interface Events {
  /** Sends what has been collected. */
  flush(): Promise<void>
  stop(): Promise<void>
}

/** So long an event waits for others. */
const LINGER_MS = 500
/** So many go at once without waiting. */
const FULL = 256

/**
 * Sends every event of the bus to `logs`, which may be null: nobody takes logs. What is not taken stands in the log, and so does
 * what goes to destinations of which none is known to take logs yet: no event is lost on the way to a person.
 */
export function sendEvents(
  bus: Bus,
  logs: (Sink<CheckedBatch> & { readonly isProven: () => boolean }) | null,
  world: World,
  log: Log,
  version: string,
): Events {
  let waiting: EventRecord[] = []
  let timer: Cancel | null = null

  async function flush(): Promise<void> {
    timer?.()
    timer = null
    if (waiting.length === 0) return
    const records = waiting
    waiting = []
    if (logs !== null && (await isTaken(logs, records)) && logs.isProven()) return
    for (const record of records) {
      const fields = {
        event: record.name,
        ...record.attributes,
        ...(record.traceId === '' ? {} : { trace_id: record.traceId, span_id: record.spanId }),
      }
      log[record.severity === 9 ? 'info' : 'warn'](plain(fields), record.body)
    }
  }

  async function isTaken(by: Sink<CheckedBatch>, records: readonly EventRecord[]): Promise<boolean> {
    try {
      return (await by.send(encodeEvents(records, version, world.now()))).kind === 'accepted'
    } catch (error) {
      // A bug on the way, but nobody waits for this promise: it would end the process.
      log.error({ error }, 'events could not be sent; they stand in the log')
      return false
    }
  }

  const unlisten = bus.listen('event', record => {
    waiting.push(record)
    if (waiting.length >= FULL) void flush()
    else timer ??= world.after(LINGER_MS, () => void flush())
  })
  return {
    flush,
    async stop() {
      unlisten()
      await flush()
    },
  }
}

/** JSON has no bigint; these are counts, far below 2^53. */
const plain = (fields: object) =>
  Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [key, typeof value === 'bigint' ? Number(value) : value]),
  )
