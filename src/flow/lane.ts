//! The waiting batches of one signal, oldest first, and what is known of the destination's taste for that signal.
import type { Account } from './accounts.ts'
import type { CheckedBatch, Headers, Outcome, Signal } from './sink.ts'
import { NO_HEADERS, sizeOf } from './sink.ts'
import type { Place } from './storage.ts'

/** The sender of a batch, where it waits for what the destination says. */
export interface Waiter {
  /** Tells it. Only the first time counts. */
  answer(outcome: Outcome): void
  /** It has been told. */
  readonly isAnswered: boolean
}

/** One batch in the queue. */
export interface Entry {
  readonly batch: CheckedBatch
  /** What its headers come to as text: only equal ones merge. */
  readonly key: string
  /** What it weighs in the queue's size. */
  readonly costBytes: number
  readonly place: Place
  /** Monotonic time of its arrival. */
  readonly sinceMs: number
  readonly waiter: Waiter | null
}

/** Headers in one form, whatever the order of their names. */
export function headerKey(headers: Headers): string {
  if (headers === NO_HEADERS) return ''
  const names = Object.keys(headers)
  return names.length === 0 ? '' : JSON.stringify(names.sort().map(name => [name, headers[name]]))
}

/** So long a destination that does not take a signal is not asked again. */
const ASK_AGAIN_MS = 300_000
/** A destination that has taken the signal before says no this often in a row before it is believed: a proxy that is being restarted says 404, too. */
const BELIEVED_AFTER = 3

export class Lane {
  readonly signal: Signal
  readonly account: Account
  /** Bytes of the waiting requests, without what else they weigh. */
  bytes = 0
  #entries: (Entry | null)[] = []
  #head = 0
  #refusals = 0
  /** It has taken this signal since it last was known not to. */
  #proven = false
  /** When to ask again; null while the signal is taken, as far as is known. */
  #askAgainMs: number | null = null
  /** One batch is on its way to find out. */
  #asking = false

  constructor(signal: Signal, account: Account) {
    this.signal = signal
    this.account = account
  }

  get isProven(): boolean {
    return this.#proven
  }

  get length(): number {
    return this.#entries.length - this.#head
  }

  get oldest(): Entry | null {
    return this.#entries[this.#head] ?? null
  }

  get newest(): Entry | null {
    return this.length === 0 ? null : (this.#entries.at(-1) ?? null)
  }

  push(entry: Entry): void {
    this.#entries.push(entry)
    this.bytes += sizeOf(entry.batch)
    // The one batch that is to find out.
    if (this.#askAgainMs !== null) this.#asking = true
  }

  /** Takes the oldest. There must be one. */
  shift(): Entry {
    const entry = this.#entries[this.#head] as Entry
    this.#entries[this.#head++] = null
    this.bytes -= sizeOf(entry.batch)
    if (this.#head >= 64 && this.#head * 2 >= this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head)
      this.#head = 0
    }
    return entry
  }

  /** Takes out those that `isOut` says, wherever they stand. */
  remove(isOut: (entry: Entry) => boolean): Entry[] {
    const waiting = this.#entries.slice(this.#head) as Entry[]
    const out: Entry[] = []
    const left: Entry[] = []
    for (const entry of waiting) (isOut(entry) ? out : left).push(entry)
    this.#entries = left
    this.#head = 0
    for (const { batch } of out) this.bytes -= sizeOf(batch)
    return out
  }

  /** The oldest and those after it that may go with it: at least one, and no more than `maxBytes` where there are several. */
  takeRun(maxBytes: number): Entry[] {
    const run = [this.shift()]
    let bytes = sizeOf(run[0].batch)
    for (let next = this.oldest; next !== null; next = this.oldest) {
      bytes += sizeOf(next.batch)
      if (bytes > maxBytes || next.key !== run[0].key) break
      run.push(this.shift())
    }
    return run
  }

  get unsupported(): boolean {
    return this.#askAgainMs !== null
  }

  /** Whether a batch may be queued now. */
  takes(nowMs: number): boolean {
    return this.#askAgainMs === null || (nowMs >= this.#askAgainMs && !this.#asking)
  }

  /** The destination takes the signal. Returns whether that is news. */
  supported(): boolean {
    const news = this.unsupported
    this.#proven = true
    this.#refusals = 0
    this.#askAgainMs = null
    this.#asking = false
    return news
  }

  /** The destination said that it does not take the signal. Returns whether that is to be believed, and whether it is news. */
  refused(nowMs: number): 'doubted' | 'news' | 'known' {
    this.#asking = false
    if (this.#proven && ++this.#refusals < BELIEVED_AFTER) return 'doubted'
    const known = this.unsupported
    this.#proven = false
    this.#askAgainMs = nowMs + ASK_AGAIN_MS
    return known ? 'known' : 'news'
  }

  /** What was to find out ended without an answer: the next batch may try. */
  unheard(): void {
    this.#asking = false
  }
}

/** The lane that holds the oldest batch of all. */
export function oldestOf(lanes: readonly Lane[]): Lane | null {
  let first: Lane | null = null
  for (const lane of lanes) {
    if (
      lane.oldest !== null &&
      (first?.oldest == null || lane.oldest.place.sequence < first.oldest.place.sequence)
    )
      first = lane
  }
  return first
}
