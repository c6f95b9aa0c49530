//! Says in the log when a queue begins and ceases to take nothing: because it is full, or because its disk fails.
import type { Log } from '../base/log.ts'

export interface Fullness {
  /** Turned away or dropped, for want of room or of a disk. */
  lost(items: number): void
  /** There is clearly room again. */
  relieved(): void
  /** The disk takes no writes; null: it does again. */
  failing(cause: Error | null): void
  readonly isFull: boolean
  readonly isFailing: boolean
}

export function fullness(id: string, whenFull: string, log: Log): Fullness {
  const isRefusing = whenFull === 'refuse'
  const consequence = isRefusing ? 'senders are asked to come again' : 'telemetry is being lost'
  let fullItems: number | null = null
  let failingItems: number | null = null
  const fields = (items: number) => ({ exporter: id, [isRefusing ? 'refused' : 'dropped']: items })
  return {
    lost(items) {
      if (failingItems !== null) {
        failingItems += items
        return
      }
      if (fullItems === null)
        log.warn({ exporter: id, when_full: whenFull }, `the sending queue is full; ${consequence}`)
      fullItems = (fullItems ?? 0) + items
    },
    relieved() {
      if (fullItems !== null) log.info(fields(fullItems), 'the sending queue has room again')
      fullItems = null
    },
    failing(cause) {
      if (cause === null) {
        if (failingItems !== null) log.info(fields(failingItems), 'the queue on disk can be written again')
        failingItems = null
        return
      }
      failingItems ??= 0
      const why = { exporter: id, cause: cause.message }
      log.error(why, `the queue on disk cannot be written; ${consequence}. What it holds is kept, and sent`)
    },
    get isFull() {
      return fullItems !== null
    },
    get isFailing() {
      return failingItems !== null
    },
  }
}
