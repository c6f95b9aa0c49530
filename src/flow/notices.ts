//! What the log says of a destination: when its queue is full and when it has room again, when it is away and when it answers.
import type { Log } from '../base/log.ts'
import type { Answer } from './sink.ts'

export type WhenFull = 'refuse' | 'drop_newest' | 'drop_oldest'

/** A queue counts as full until it is below this share, or the log would tell of every request. */
export const RELIEVED = 0.75

/** Each state is told when it begins and when it ends, and not between. */
export function destinationNotices(exporter: string, log: Log) {
  /** What being full has cost so far, in items; null while there is room. */
  let cost: number | null = null
  let lost = false
  let away = false
  return {
    /** There was no room, and `items` were turned away or lost. */
    full(items: number, whenFull: WhenFull) {
      if (cost === null) {
        lost = whenFull !== 'refuse'
        const consequence = lost ? 'telemetry is being lost' : 'senders are asked to come again'
        log.warn({ exporter, when_full: whenFull }, `the sending queue is full; ${consequence}`)
      }
      cost = (cost ?? 0) + items
    },
    /** To be called whenever it may have become emptier: one that nobody offers anything to becomes well again too. */
    holds(bytes: number, sizeBytes: number) {
      if (cost === null || bytes >= sizeBytes * RELIEVED) return
      log.info({ exporter, [lost ? 'dropped' : 'refused']: cost }, 'the sending queue has room again')
      cost = null
    },
    /** Since it was full the last time, it has not been clearly below its bound. */
    isFull: () => cost !== null,
    answered(answer: Answer) {
      if (away === (answer.kind === 'busy')) return
      away = answer.kind === 'busy'
      if (answer.kind !== 'busy') return log.info({ exporter }, 'the destination answers again')
      log.warn(
        { exporter, cause: answer.cause.message },
        'the destination is away or busy; what is for it waits',
      )
    },
  }
}
