//! A series as the learning plane knows it: what it is part of, whom it calls, and in a row of numbers what was seen of it last.
import { A_PIECE, Pieces } from '../base/slots.ts'
import type { FeatureWindow, SeriesKey } from '../bus/bus.ts'
import type { Call } from './calls.ts'
import type { Feature } from './feature.ts'
import { LaggedLevel } from './lagged.ts'
import type { Landscape, ServiceNode } from './landscape.ts'
import type { Repeats } from './repeats.ts'
import { NO_ROW } from './usual.ts'

const CLIENT = 3
const PRODUCER = 4
const CONSUMER = 5

/** A service that a client's spans have been answered by. */
export interface Vote {
  readonly service: ServiceNode
  times: number
  idleHours: number
}

/** What one window has of a series. */
interface Sums {
  spans: number
  traces: number
  roots: number
  origins: number
  away: number
  /** Of the weights of its samples, one for each trace, and of their squares. */
  weights: number
  squares: number
  /** Effective number of calls, and of those of which the other side was seen. */
  clients: number
  answered: number
}

/** Of a series that is not in the window. */
export const NO_SUMS: Readonly<Sums> = Object.freeze(newSums())
/** Shared, so that who calls nobody has none of its own. */
const NONE: readonly never[] = []

export function newSums(): Sums {
  return {
    spans: 0,
    traces: 0,
    roots: 0,
    origins: 0,
    away: 0,
    weights: 0,
    squares: 0,
    clients: 0,
    answered: 0,
  }
}

/** Calls have no self time that is looked at, and others neither way nor peer. */
const NO_LEVEL = new LaggedLevel(null)

const TRACE_BYTES = 16
/** Where in a row of numbers they stand. */
const SLOW_NS = 0
const USUAL_PER_TRACE = 1
const NOW_PER_TRACE = 2
const NOW_TRACES = 3
const USUAL_TRACES = 4
const LATE_TRACES = 5
const COUNTED = 6
const WIDTH = 7

/** Rows of numbers of thousands of series, as estimates; times need more digits. */
interface Piece {
  readonly first: number
  readonly numbers: Float32Array
  readonly seenMs: Float64Array
  readonly traces: Uint8Array
}

export type SeriesRows = Pieces<Piece>
export const seriesRows = (): SeriesRows =>
  new Pieces(first => ({
    first,
    numbers: new Float32Array(A_PIECE * WIDTH),
    seenMs: new Float64Array(A_PIECE),
    traces: new Uint8Array(A_PIECE * TRACE_BYTES),
  }))

/** Per window with traces: about an hour, and about a minute. */
const USUALLY = 1 / 360
const LATELY = 1 / 5
/** The last windows, in which a surge is looked for: so much of what they say is the last one's. */
const SURGING = 1 / 3
/** After so many windows it is known how many are usual. */
const KNOWN_WINDOWS = 30
/** From so many times as many requests on they are others than the usual ones. */
const SURGE = 3
/** By so many standard errors fewer are believed to have come than were counted. */
const ERRORS = 2

export class Series {
  readonly key: SeriesKey
  readonly service: ServiceNode
  /** Client or producer. */
  readonly isCall: boolean
  readonly isAsync: boolean
  readonly peer: string
  /** Whom a client calls, where the other side has been seen. */
  callee: ServiceNode | null = null
  votes: readonly Vote[] = NONE
  /** Of calls `gap` and `duration`, of all others `self`. */
  readonly self: LaggedLevel
  readonly gap: LaggedLevel
  readonly duration: LaggedLevel
  /** Hours since the last window in which it had a row. */
  idleHours = 0
  /** This window's. */
  sums: Sums = NO_SUMS
  /** The first of its rows in this window, -1 where there is none. */
  row = -1
  /** How often one request makes this call; null as long as none has made it twice. */
  repeats: Repeats | null = null
  /** What is usual of its spans that were drawn. */
  usualRow: number = NO_ROW
  /** Where its times and failures are told of; null until they were looked up. */
  times: Feature | null = null
  failures: Feature | null = null
  /** By child. */
  calls: readonly Call[] = NONE
  #piece: Piece
  #at: number

  constructor(key: SeriesKey, service: ServiceNode, peer: string, { levels, rows }: Landscape) {
    this.key = key
    this.service = service
    this.peer = peer
    this.isCall = key.kind === CLIENT || key.kind === PRODUCER
    this.isAsync = key.kind === PRODUCER || key.kind === CONSUMER
    this.self = this.isCall ? NO_LEVEL : new LaggedLevel(levels)
    this.gap = this.isCall ? new LaggedLevel(levels) : NO_LEVEL
    this.duration = this.isCall ? new LaggedLevel(levels) : NO_LEVEL
    const slot = rows.take()
    this.#piece = rows.pieceOf(slot)
    this.#at = slot % A_PIECE
    this.#piece.numbers.fill(0, this.#at * WIDTH, (this.#at + 1) * WIDTH)
    this.#piece.traces.fill(0, this.#at * TRACE_BYTES, (this.#at + 1) * TRACE_BYTES)
  }

  /** What it takes up is used by others from now on. What it was last can still be read. */
  release(rows: SeriesRows): void {
    const { first, numbers, seenMs, traces } = this.#piece
    const at = this.#at
    rows.give(first + at)
    this.#piece = {
      first: 0,
      numbers: numbers.slice(at * WIDTH, (at + 1) * WIDTH),
      seenMs: seenMs.slice(at, at + 1),
      traces: traces.slice(at * TRACE_BYTES, (at + 1) * TRACE_BYTES),
    }
    this.#at = 0
    for (const lagged of [this.self, this.gap, this.duration]) lagged.release()
  }

  /** Where it is told of is to be looked up again. */
  forgetFeatures(): void {
    this.times = this.failures = null
    for (const call of this.calls) call.missing = null
  }

  /** The end of the last window in which it had a row. */
  get lastSeenMs(): number {
    return this.#piece.seenMs[this.#at]
  }

  /** It has a row in a window that ends then. */
  seenAt(endMs: number): void {
    this.#piece.seenMs[this.#at] = endMs
    this.idleHours = 0
  }

  /** The longest of its spans in the last window with any, in nanoseconds. */
  get slowNs(): number {
    return this.#piece.numbers[this.#at * WIDTH + SLOW_NS]
  }

  /** The trace of that, in hexadecimal digits; empty where there is none. */
  get slowTrace(): string {
    const from = this.#at * TRACE_BYTES
    const { buffer } = this.#piece.traces
    return this.slowNs > 0 ? Buffer.from(buffer, from, TRACE_BYTES).toString('hex') : ''
  }

  /** A window begins: none of its spans has been met. */
  beginSlow(): void {
    this.#piece.numbers[this.#at * WIDTH + SLOW_NS] = 0
  }

  /** One more of its rows. */
  noteSlow({ slowNs, slowTrace }: FeatureWindow['cells'], row: number): void {
    if (!(slowNs[row] > this.slowNs)) return
    this.#piece.numbers[this.#at * WIDTH + SLOW_NS] = slowNs[row]
    const from = row * TRACE_BYTES
    this.#piece.traces.set(slowTrace.subarray(from, from + TRACE_BYTES), this.#at * TRACE_BYTES)
  }

  /** How many of its spans a trace has usually, in the last minute or so, and how many such traces a window has. Retries raise it. */
  get usualPerTrace(): number {
    return this.#piece.numbers[this.#at * WIDTH + USUAL_PER_TRACE]
  }

  get nowPerTrace(): number {
    return this.#piece.numbers[this.#at * WIDTH + NOW_PER_TRACE]
  }

  get nowTraces(): number {
    return this.#piece.numbers[this.#at * WIDTH + NOW_TRACES]
  }

  /** At the end of each window. */
  followTraces(): void {
    const { numbers } = this.#piece
    const from = this.#at * WIDTH
    const { traces } = this.sums
    const windows = Math.min(1 / USUALLY, numbers[from + COUNTED] + 1)
    numbers[from + COUNTED] = windows
    numbers[from + LATE_TRACES] += SURGING * (traces - numbers[from + LATE_TRACES])
    numbers[from + USUAL_TRACES] += (traces - numbers[from + USUAL_TRACES]) / windows
  }

  /**
   * Where it is asked for many times as often as in the last hour: the logarithm of how many times, else 0. Somebody else asks then, for something
   * else, and may have to wait for longer.
   */
  get surge(): number {
    const { numbers } = this.#piece
    const from = this.#at * WIDTH
    if (numbers[from + COUNTED] < KNOWN_WINDOWS) return 0
    const usual = numbers[from + USUAL_TRACES]
    // This window's are not followed yet.
    const before = numbers[from + LATE_TRACES]
    const late = before + SURGING * (this.sums.traces - before)
    const least = late - ERRORS * Math.sqrt((late * SURGING) / (2 - SURGING))
    return least >= SURGE * usual && usual > 0 ? Math.log(least / usual) : 0
  }

  /** As it was known before a restart. */
  restorePerTrace(usual: number): void {
    const from = this.#at * WIDTH
    this.#piece.numbers[from + USUAL_PER_TRACE] = this.#piece.numbers[from + NOW_PER_TRACE] = usual
  }

  /** At the end of a window in which a call was seen. */
  followPerTrace(): void {
    const now = this.sums.spans / this.sums.traces
    if (this.usualPerTrace === 0) this.restorePerTrace(now)
    const { numbers } = this.#piece
    const from = this.#at * WIDTH
    numbers[from + NOW_PER_TRACE] += LATELY * (now - this.nowPerTrace)
    numbers[from + NOW_TRACES] += LATELY * (this.sums.traces - this.nowTraces)
    numbers[from + USUAL_PER_TRACE] +=
      USUALLY * (Math.min(now, 1.1 * this.usualPerTrace) - this.usualPerTrace)
  }
}
