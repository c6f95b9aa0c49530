//! What a history's senders were told and its destination was given, and what the queue owes by that: the model that it is held against.
import type { Acknowledge } from '../../../src/flow/contract.ts'
import type { WhenFull } from '../../../src/flow/notices.ts'
import { type CheckedBatch, type ExportRequest, SIGNALS } from '../../../src/flow/sink.ts'
import type { Scrape } from '../../kit/accounts.ts'
import type { recordingLog } from '../../kit/log.ts'
import { places } from '../../oracle/bytes.ts'

/** An answer has so long, in simulated time, until a kill must find it recorded. */
const NOTICE_MS = 500
/** With `acknowledge: memory` there has been a sync so long after the answer. */
const SYNCED_MS = 1100
const NEVER = Number.POSITIVE_INFINITY

export interface Arrival {
  /** The life of the queue in which it came. */
  readonly boot: number
  readonly atMs: number
  answeredMs: number
}

/** A batch as its sender knows it. */
export interface Sent {
  readonly number: number
  readonly batch: CheckedBatch
  /** Its sender was told that it is safe, and it is as long as the kind of acknowledgement says. */
  isOwed: boolean
  /** When, and in which life of the queue. */
  toldMs: number
  toldBy: number
  /** No loss of power may take it any more. */
  isSafe: boolean
  readonly arrivals: Arrival[]
  /** The destination has answered for it: delivered, rejected, or both in part. */
  isSettled: boolean
  /** A bit of a file that held it was turned around. */
  isFlipped: boolean
  /** The life in which its sender was told to come again. */
  turnedAwayBy: number
}

export interface Death {
  readonly atMs: number
  readonly kind: 'clean' | 'kill' | 'power'
  /** It never came to the end of its start. */
  readonly isStarting?: true
}

export interface LedgerSettings {
  readonly whenFull: WhenFull
  readonly acknowledge: Acknowledge
  readonly numConsumers: number
}

const keyOf = (signal: string, bytes: Uint8Array) => `${signal} ${Buffer.from(bytes).toString('latin1')}`
const itemsOf = (list: readonly Sent[]) => list.reduce((sum, { batch }) => sum + batch.items, 0)

export class Ledger {
  readonly sent: Sent[] = []
  /** How often a batch came again. */
  again = 0
  damagedItems = 0
  /** Dropped or passed over because the queue was full. */
  droppedItems = 0
  /** Told at an end as lost, as the disk had failed to keep them. */
  writtenOffItems = 0
  /** Marks of what has been delivered may have been lost: it may come again. */
  mayComeAgain = false
  /** Calls of the disk have failed. */
  wasFaulty = false
  /** They have in this life, or syncs were slow in it. */
  isShaky = false
  /** Syncs are slow: an end does not wait for all of them. */
  isSlow = false
  /** The latest life left a segment unread, so it has not synced it either: it is as unsafe as an earlier one has left it. */
  hasLeft = false
  /** Bytes were damaged of which nobody can say how many items they were. */
  #isUnreadable = false
  /** A segment that could not be read at one start is sent after the next. */
  #isUnordered = false
  readonly #byBytes = new Map<string, Sent>()
  readonly #deaths = new Map<number, Death>()
  readonly #settings: LedgerSettings
  readonly #fail: (why: string) => never

  constructor(settings: LedgerSettings, fail: (why: string) => never) {
    this.#settings = settings
    this.#fail = fail
  }

  add(batch: CheckedBatch): Sent {
    const one = {
      number: this.sent.length,
      batch,
      isOwed: false,
      toldMs: 0,
      toldBy: 0,
      isSafe: false,
      arrivals: [],
      isSettled: false,
      isFlipped: false,
      turnedAwayBy: 0,
    }
    this.sent.push(one)
    this.#byBytes.set(keyOf(batch.signal, batch.bytes), one)
    return one
  }

  /** The batches of a request, each of which must be one that was sent, to the byte and with its headers. */
  batchesOf({ signal, headers }: ExportRequest, bytes: Uint8Array): Sent[] {
    return places(bytes).map(({ start, end }) => {
      const one = this.#byBytes.get(keyOf(signal, bytes.subarray(start, end)))
      if (one === undefined) return this.#fail('bytes were delivered that nobody sent')
      if (JSON.stringify(one.batch.headers) !== JSON.stringify(headers))
        this.#fail(`batch ${one.number} was delivered with other headers: ${JSON.stringify(headers)}`)
      return one
    })
  }

  /** From now on calls of the disk may fail. */
  fault(): void {
    this.wasFaulty = true
    this.isShaky = true
  }

  /** It has come, and may have done so before only if there is a reason. */
  came(each: Sent, boot: number, atMs: number): Arrival {
    if (each.turnedAwayBy === boot) this.#fail(`batch ${each.number} was turned away, and delivered`)
    const before = each.arrivals.at(-1)
    if (before !== undefined) this.#requireReason(each, before, boot, atMs)
    const arrival = { boot, atMs, answeredMs: NEVER }
    each.arrivals.push(arrival)
    return arrival
  }

  #requireReason({ number }: Sent, before: Arrival, boot: number, atMs: number): void {
    this.again++
    const isAnswered = before.answeredMs < NEVER
    if (before.boot === boot && isAnswered)
      this.#fail(`batch ${number} was delivered twice in boot ${boot}, at ${before.atMs} and ${atMs}`)
    if (before.boot === boot || !isAnswered || this.mayComeAgain || this.wasFaulty) return
    const death = this.#deaths.get(before.boot) as Death
    if (before.answeredMs < death.atMs - (death.kind === 'clean' ? 0 : NOTICE_MS))
      this.#fail(
        `batch ${number} came again in boot ${boot}; it was answered at ${before.answeredMs} in boot ${before.boot}, which ended at ${death.atMs}`,
      )
  }

  /** A process has ended: what it had counted is added up, and what was not promised to outlive it is not owed. */
  bury(boot: number, death: Death, scrape: Scrape, lines: ReturnType<typeof recordingLog>['lines']): void {
    this.#deaths.set(boot, death)
    let counted = 0
    for (const items of ['spans', 'metric_points', 'log_records']) {
      const of = (what: string, reason: string) =>
        scrape.sum(`otlier_exporter_${what}_${items}_total`, { reason })
      counted += of('dropped', 'damaged')
      this.droppedItems += of('dropped', 'queue_full') + of('enqueue_failed', 'queue_full')
      this.writtenOffItems += of('dropped', 'shutdown')
    }
    const damaged = lines.filter(({ message }) => message.includes('is damaged'))
    const logged = damaged.reduce((sum, { fields }) => sum + (Number(fields['items']) || 0), 0)
    // Damage is told in the log, marked as told, and then counted: a start that is killed in between has counted nothing.
    this.damagedItems += death.isStarting ? Math.max(counted, logged) : counted
    if (lines.some(({ fields }) => fields['items'] === 'unknown')) this.#isUnreadable = true
    const isLeft = lines.some(({ message }) => message.includes('left for the next start'))
    if (isLeft) this.#isUnordered = true
    this.hasLeft = isLeft && this.#settings.acknowledge === 'memory'
    if (this.#settings.acknowledge === 'memory') this.#sync(boot, death)
    this.isShaky = false
  }

  /** What was acknowledged before its sync is owed too once that has come, and after an end in peace. */
  #sync(boot: number, { atMs, kind }: Death): void {
    for (const each of this.sent) {
      // What an earlier one was told of waits from the start of this one on, which may have been killed at once.
      const hasWaited = (each.toldBy === boot ? each.toldMs : 0) < atMs - SYNCED_MS
      if (!each.isOwed || each.isSafe) continue
      if (kind === 'clean' ? !this.isSlow && !this.hasLeft : hasWaited && !this.isShaky) each.isSafe = true
      else if (kind === 'power' || (kind === 'kill' && this.wasFaulty)) each.isOwed = false
    }
  }

  /** After the end. `isHealthy`: neither the disk nor the power has ever failed. */
  judge(isHealthy: boolean): void {
    const missing = this.sent.filter(each => each.isOwed && !each.isSettled)
    const unexcused = missing.filter(({ isFlipped }) => !isFlipped)
    const { whenFull, numConsumers, acknowledge } = this.#settings
    // A failed sync may take from the disk what it was not asked to keep: it is told of while the process runs, or at its end.
    const mayFail = acknowledge === 'memory' && this.wasFaulty
    const failedItems = mayFail ? this.writtenOffItems + this.damagedItems : 0
    if (whenFull === 'refuse' && itemsOf(unexcused) > failedItems)
      this.#fail(
        `acknowledged batches are lost: ${unexcused.map(({ number }) => number)}; told: ${failedItems} items`,
      )
    if (itemsOf(unexcused) > this.droppedItems + failedItems)
      this.#fail(`${itemsOf(unexcused)} items are lost, and ${this.droppedItems + failedItems} are told of`)
    if (
      !this.#isUnreadable &&
      itemsOf(missing) > this.droppedItems + this.damagedItems + this.writtenOffItems
    )
      this.#fail(`${itemsOf(missing)} items are lost, and ${this.damagedItems} are said to be damaged`)
    if (isHealthy && this.damagedItems > 0)
      this.#fail(`${this.damagedItems} items are said to be damaged, and nothing was`)
    if (numConsumers === 1 && whenFull === 'refuse' && !this.#isUnordered) this.#requireOrder()
  }

  /** With one consumer, what arrived did so in the order in which it had come, signal by signal. */
  #requireOrder(): void {
    for (const signal of SIGNALS) {
      let latest: Sent | null = null
      for (const each of this.sent) {
        const [first] = each.arrivals
        if (each.batch.signal !== signal || first === undefined || !each.isOwed || each.isFlipped) continue
        const [before] = latest?.arrivals ?? []
        if (before !== undefined && isEarlier(first, before))
          this.#fail(`batch ${each.number} arrived before ${latest?.number}`)
        latest = each
      }
    }
  }
}

const isEarlier = (one: Arrival, other: Arrival) =>
  one.boot < other.boot || (one.boot === other.boot && one.atMs < other.atMs)
