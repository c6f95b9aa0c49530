//! What the log says of a destination: when its queue takes nothing and when it does again, when it is away and when it answers.
import type { Log } from '../base/log.ts'
import type { Answer } from './sink.ts'

export type WhenFull = 'refuse' | 'drop_newest' | 'drop_oldest'

/** A queue counts as full until it is below this share, or the log would tell of every request. */
export const RELIEVED = 0.75

export type Notices = ReturnType<typeof destinationNotices>

const isLoss = (whenFull: WhenFull) => whenFull !== 'refuse'
const consequence = (whenFull: WhenFull) =>
  isLoss(whenFull) ? 'telemetry is being lost' : 'senders are asked to come again'

/** Each state is told when it begins and when it ends, and not between. */
export function destinationNotices(exporter: string, log: Log) {
  /** What being full has cost so far, in items; null while there is room. */
  let cost: number | null = null
  /** The same of a disk that does not take writes. */
  let diskCost: number | null = null
  let lost = false
  let away = false
  const fields = (items: number) => ({ exporter, [lost ? 'dropped' : 'refused']: items })
  return {
    /** There was no room, or no disk to write to, and `items` were turned away or lost. */
    full(items: number, whenFull: WhenFull) {
      lost = isLoss(whenFull)
      if (diskCost !== null) {
        diskCost += items
        return
      }
      if (cost === null)
        log.warn({ exporter, when_full: whenFull }, `the sending queue is full; ${consequence(whenFull)}`)
      cost = (cost ?? 0) + items
    },
    /** To be called whenever it may have become emptier: one that nobody offers anything to becomes well again too. */
    holds(bytes: number, sizeBytes: number) {
      if (cost === null || bytes >= sizeBytes * RELIEVED) return
      log.info(fields(cost), 'the sending queue has room again')
      cost = null
    },
    /** The disk takes no writes; null: it does again. */
    failing(cause: Error | null, whenFull: WhenFull) {
      lost = isLoss(whenFull)
      if (cause === null) {
        if (diskCost !== null) log.info(fields(diskCost), 'the queue on disk can be written again')
        diskCost = null
        return
      }
      diskCost ??= 0
      log.error(
        { exporter, cause: cause.message },
        `the queue on disk cannot be written; ${consequence(whenFull)}. What it holds is kept, and sent`,
      )
    },
    /** Since it was full the last time it has not been clearly below its bound, or its disk fails. */
    isFull: () => cost !== null || diskCost !== null,
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
