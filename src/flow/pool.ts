//! Spans that wait for the rest of their trace: rows of 64 bytes, chained by trace, and traces by the window in which they fall due.

/** Words of 32 bits that a span takes: one line of a processor's cache. */
export const SPAN_WORDS = 16
/** Where in a span's row its columns are. */
export const ID = 1
export const PARENT = 3
/** The nanoseconds of its end, high and low half. */
export const END = 5
export const SERIES = 7
export const POD = 8
/** Its kind, and above it the flags of an item. */
export const META = 9
/** Of how many spans it is a sample, in sixteenths. */
export const WEIGHT = 10
/** A hash of its id. */
export const HASH = 11
/** By a view of doubles on the same rows. */
export const SPAN_DOUBLES = SPAN_WORDS / 2
export const DURATION_NS = 6
export const END_MS = 7

/** A trace: its id, the first of its spans, their number, and its neighbours of the same hash and of the same slot. */
export const TRACE_WORDS = 12
export const FIRST = 4
export const COUNT = 5
const ALIKE = 6
const BEFORE = 7
const AFTER = 8
/** By a view of doubles. */
const TRACE_DOUBLES = TRACE_WORDS / 2
const SLOT_MS = 5

const NONE = -1
const SMALLEST = 1024

/** What a full pool takes for each span: its row, the row of its trace if it has one to itself, and a word each to find them by. */
export const BYTES_A_SPAN: number = 4 * (SPAN_WORDS + TRACE_WORDS + 2)

/** The traces that are looked at when the window beginning at `startMs` is closed. */
interface Slot {
  readonly startMs: number
  head: number
  tail: number
}

export class Pool {
  /** How many spans are held. */
  spans = 0
  rows: Int32Array = new Int32Array(0)
  doubles: Float64Array = new Float64Array(0)
  /** By span: the next of its trace. Apart from the rows, so that walking along a trace does not wait for them one by one. */
  next: Int32Array = new Int32Array(0)
  traces: Int32Array = new Int32Array(0)
  readonly #slots = new Map<number, Slot>()
  readonly maxSpans: number
  /** Keeps anybody from choosing ids that share a bucket. */
  readonly seed: number
  #starts = new Float64Array(0)
  #buckets = new Int32Array(0)
  #freeSpan = NONE
  #freeTrace = NONE
  #last: Slot | null = null

  constructor(maxSpans: number, seed: number) {
    this.maxSpans = maxSpans
    this.seed = seed
  }

  /** The row of a new span; its columns hold anything. */
  addSpan(): number {
    if (this.#freeSpan === NONE) this.#grow()
    const span = this.#freeSpan
    this.#freeSpan = this.next[span]
    this.spans++
    return span
  }

  freeSpan(span: number): void {
    this.next[span] = this.#freeSpan
    this.#freeSpan = span
    this.spans--
  }

  /** The trace of this id, given as four words, made where there is none. */
  traceOf(a: number, b: number, c: number, d: number, slotMs: number): number {
    const { traces } = this
    const bucket = this.#bucketOf(a, b, c, d)
    let trace = this.#buckets[bucket]
    while (trace !== NONE) {
      const at = trace * TRACE_WORDS
      if (traces[at] === a && traces[at + 1] === b && traces[at + 2] === c && traces[at + 3] === d) {
        if (slotMs < this.#starts[trace * TRACE_DOUBLES + SLOT_MS]) this.moveTo(trace, slotMs)
        return trace
      }
      trace = traces[at + ALIKE]
    }
    trace = this.#freeTrace
    const at = trace * TRACE_WORDS
    this.#freeTrace = traces[at + ALIKE]
    traces[at] = a
    traces[at + 1] = b
    traces[at + 2] = c
    traces[at + 3] = d
    traces[at + FIRST] = NONE
    traces[at + COUNT] = 0
    traces[at + ALIKE] = this.#buckets[bucket]
    this.#buckets[bucket] = trace
    this.#enter(trace, slotMs)
    return trace
  }

  /** Puts a span at the head of its trace; returns how many that has now. */
  chain(trace: number, span: number): number {
    const at = trace * TRACE_WORDS
    this.next[span] = this.traces[at + FIRST]
    this.traces[at + FIRST] = span
    return ++this.traces[at + COUNT]
  }

  /** Forgets a trace; its spans are the caller's to free. */
  freeTrace(trace: number): void {
    const { traces } = this
    const at = trace * TRACE_WORDS
    this.#leave(trace)
    const bucket = this.#bucketOf(traces[at], traces[at + 1], traces[at + 2], traces[at + 3])
    if (this.#buckets[bucket] === trace) this.#buckets[bucket] = traces[at + ALIKE]
    else {
      let before = this.#buckets[bucket]
      while (traces[before * TRACE_WORDS + ALIKE] !== trace) before = traces[before * TRACE_WORDS + ALIKE]
      traces[before * TRACE_WORDS + ALIKE] = traces[at + ALIKE]
    }
    traces[at + ALIKE] = this.#freeTrace
    this.#freeTrace = trace
  }

  /** Forgets a trace with all its spans; returns how many it had. */
  freeAll(trace: number): number {
    const at = trace * TRACE_WORDS
    const count = this.traces[at + COUNT]
    let span = this.traces[at + FIRST]
    for (let left = count; left > 0; left--) {
      const next = this.next[span]
      this.freeSpan(span)
      span = next
    }
    this.freeTrace(trace)
    return count
  }

  moveTo(trace: number, slotMs: number): void {
    this.#leave(trace)
    this.#enter(trace, slotMs)
  }

  /** All traces. Freeing the one in hand is allowed. */
  forEach(act: (trace: number) => void): void {
    for (const { head } of [...this.#slots.values()]) {
      for (let trace = head; trace !== NONE; ) {
        const after = this.traces[trace * TRACE_WORDS + AFTER]
        act(trace)
        trace = after
      }
    }
  }

  /** The trace that has waited longest in the slot, or -1. */
  firstOf(slotMs: number): number {
    return this.#slots.get(slotMs)?.head ?? NONE
  }

  /** The earliest slot that holds a trace; Infinity where there is none. */
  earliestMs(): number {
    let earliest = Number.POSITIVE_INFINITY
    for (const startMs of this.#slots.keys()) if (startMs < earliest) earliest = startMs
    return earliest
  }

  #enter(trace: number, slotMs: number): void {
    const { traces } = this
    const at = trace * TRACE_WORDS
    const slot = this.#slotAt(slotMs)
    this.#starts[trace * TRACE_DOUBLES + SLOT_MS] = slotMs
    traces[at + BEFORE] = slot.tail
    traces[at + AFTER] = NONE
    if (slot.tail === NONE) slot.head = trace
    else traces[slot.tail * TRACE_WORDS + AFTER] = trace
    slot.tail = trace
  }

  #leave(trace: number): void {
    const { traces } = this
    const at = trace * TRACE_WORDS
    const slot = this.#slotAt(this.#starts[trace * TRACE_DOUBLES + SLOT_MS])
    const before = traces[at + BEFORE]
    const after = traces[at + AFTER]
    if (before === NONE) slot.head = after
    else traces[before * TRACE_WORDS + AFTER] = after
    if (after === NONE) slot.tail = before
    else traces[after * TRACE_WORDS + BEFORE] = before
    if (slot.head !== NONE) return
    this.#slots.delete(slot.startMs)
    this.#last = null
  }

  #slotAt(startMs: number): Slot {
    if (this.#last !== null && this.#last.startMs === startMs) return this.#last
    let slot = this.#slots.get(startMs)
    if (slot === undefined) {
      slot = { startMs, head: NONE, tail: NONE }
      this.#slots.set(startMs, slot)
    }
    this.#last = slot
    return slot
  }

  #bucketOf(a: number, b: number, c: number, d: number): number {
    let hash = Math.imul(a ^ this.seed, 0x85ebca6b)
    hash = Math.imul(hash ^ (hash >>> 15) ^ b, 0xc2b2ae35)
    hash = Math.imul(hash ^ (hash >>> 13) ^ c, 0x27d4eb2f)
    hash = Math.imul(hash ^ (hash >>> 15) ^ d, 0x9e3779b1)
    return (hash ^ (hash >>> 16)) & (this.#buckets.length - 1)
  }

  /** Twice the room. Rows keep their numbers; buckets are filled anew. */
  #grow(): void {
    const before = this.rows.length / SPAN_WORDS
    const after = Math.max(SMALLEST, 2 * before)
    const rows = new Int32Array(after * SPAN_WORDS)
    rows.set(this.rows)
    this.rows = rows
    this.doubles = new Float64Array(rows.buffer)
    const next = new Int32Array(after)
    next.set(this.next)
    this.next = next
    const traces = new Int32Array(after * TRACE_WORDS)
    traces.set(this.traces)
    this.traces = traces
    this.#starts = new Float64Array(traces.buffer)
    for (let row = after - 1; row >= before; row--) {
      next[row] = this.#freeSpan
      this.#freeSpan = row
      traces[row * TRACE_WORDS + ALIKE] = this.#freeTrace
      this.#freeTrace = row
    }
    this.#buckets = new Int32Array(after).fill(NONE)
    for (const { head } of this.#slots.values()) {
      for (let trace = head; trace !== NONE; trace = traces[trace * TRACE_WORDS + AFTER]) {
        const at = trace * TRACE_WORDS
        const bucket = this.#bucketOf(traces[at], traces[at + 1], traces[at + 2], traces[at + 3])
        traces[at + ALIKE] = this.#buckets[bucket]
        this.#buckets[bucket] = trace
      }
    }
  }
}
