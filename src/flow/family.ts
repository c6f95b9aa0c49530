//! The spans of one trace, each once, and who of them called whom: what is derived from a trace is read from here.
import { FAILED, NO_TIMES } from '../base/item.ts'
import type { PodKey, SeriesKey } from '../bus/bus.ts'
import {
  DURATION_NS,
  END,
  HASH,
  ID,
  META,
  PARENT,
  POD,
  type Pool,
  SERIES,
  SPAN_DOUBLES,
  SPAN_WORDS,
  WEIGHT,
} from './pool.ts'

export const SERVER = 2
export const CLIENT = 3
export const PRODUCER = 4
export const CONSUMER = 5
/** A row's META: the kind in the lowest bits, the flags of the item above. */
export const KIND = 7
export const FLAGS_SHIFT = 3
export const IS_FAILED: number = FAILED << FLAGS_SHIFT
export const IS_UNTIMED: number = NO_TIMES << FLAGS_SHIFT

/** Facts of a span about what it called: a child failed; the server of a client, or the consumer of a producer, was seen. */
export const CHILD_FAILED = 1
export const OTHER_SIDE = 2

const NONE = -1
const SMALLEST = 64

/** What the numbers in rows stand for. */
export interface Known {
  readonly series: readonly SeriesKey[]
  readonly pods: readonly PodKey[]
  /** By pod: which clock it reads. */
  readonly clockOf: readonly number[]
}

/** Its columns are as long as the largest group so far. Spans are named by their place in it. */
export class Family {
  /** Rows of the pool. Whoever calls `relate` fills the first of them. */
  spans: Int32Array = new Int32Array(SMALLEST)
  /** The first child and the next sibling, or -1. */
  child: Int32Array = new Int32Array(SMALLEST)
  sibling: Int32Array = new Int32Array(SMALLEST)
  facts: Uint8Array = new Uint8Array(SMALLEST)
  /** The longest duration of a server that a client called, or -1. */
  servedNs: Float64Array = new Float64Array(SMALLEST)
  /** Spans that name a parent that is not among them. */
  orphans = 0
  /** From the end of the first span. */
  endNs: Float64Array = new Float64Array(SMALLEST)
  readonly #pool: Pool
  readonly #known: Known
  /** Span ids, hashed: a place in the group, or NONE. At most half full. */
  #places = new Int32Array(2 * SMALLEST)

  constructor(pool: Pool, known: Known) {
    this.#pool = pool
    this.#known = known
  }

  /** Makes room for a group of so many spans; what it held is lost. */
  reserve(count: number): void {
    if (count <= this.spans.length) return
    const length = powerOfTwo(count)
    this.spans = new Int32Array(length)
    this.child = new Int32Array(length)
    this.sibling = new Int32Array(length)
    this.facts = new Uint8Array(length)
    this.servedNs = new Float64Array(length)
    this.endNs = new Float64Array(length)
    this.#places = new Int32Array(2 * length)
  }

  /** Finds every span's children among the first `count`. Leaves each span once, and returns how many are left. */
  relate(count: number): number {
    const size = powerOfTwo(2 * count)
    const kept = count === 1 ? 1 : this.#distinct(count, size)
    const { spans } = this
    const { rows } = this.#pool
    const first = spans[0] * SPAN_WORDS + END
    const high = rows[first] >>> 0
    const low = rows[first + 1] >>> 0
    for (let nth = 0; nth < kept; nth++) {
      const at = spans[nth] * SPAN_WORDS + END
      this.endNs[nth] = ((rows[at] >>> 0) - high) * 2 ** 32 + ((rows[at + 1] >>> 0) - low)
      this.child[nth] = NONE
      this.facts[nth] = 0
      this.servedNs[nth] = NONE
    }
    this.orphans = 0
    if (kept === 1) {
      if (!this.isRoot(0) && !this.#isOwnParent()) this.orphans++
      return 1
    }
    for (let nth = 0; nth < kept; nth++) {
      if (this.isRoot(nth)) continue
      const at = spans[nth] * SPAN_WORDS + PARENT
      const parent = this.#places[this.#placeOf(rows[at], rows[at + 1], size)]
      if (parent === NONE) this.orphans++
      // A span that calls itself its parent has none.
      else if (parent !== nth) this.#adopt(parent, nth)
    }
    return kept
  }

  isRoot(nth: number): boolean {
    const { rows } = this.#pool
    const at = this.spans[nth] * SPAN_WORDS + PARENT
    return rows[at] === 0 && rows[at + 1] === 0
  }

  #isOwnParent(): boolean {
    const { rows } = this.#pool
    const at = this.spans[0] * SPAN_WORDS
    return rows[at + PARENT] === rows[at + ID] && rows[at + PARENT + 1] === rows[at + ID + 1]
  }

  /** Tells the parent what it has to know. */
  #adopt(parent: number, nth: number): void {
    const { rows, doubles } = this.#pool
    this.sibling[nth] = this.child[parent]
    this.child[parent] = nth
    const span = this.spans[nth]
    const meta = rows[span * SPAN_WORDS + META]
    const kind = meta & KIND
    if ((meta & IS_FAILED) !== 0) this.facts[parent] |= CHILD_FAILED
    const caller = rows[this.spans[parent] * SPAN_WORDS + META] & KIND
    if (caller === PRODUCER && kind === CONSUMER) this.facts[parent] |= OTHER_SIDE
    if (caller !== CLIENT || kind !== SERVER) return
    this.facts[parent] |= OTHER_SIDE
    if ((meta & IS_UNTIMED) !== 0) return
    const durationNs = doubles[span * SPAN_DOUBLES + DURATION_NS]
    if (durationNs > this.servedNs[parent]) this.servedNs[parent] = durationNs
  }

  /** Leaves every span id once, and notes where it stands. Spans without an id are all different. */
  #distinct(count: number, size: number): number {
    const { spans } = this
    const { rows } = this.#pool
    const places = this.#places
    places.fill(NONE, 0, size)
    let kept = 0
    for (let nth = 0; nth < count; nth++) {
      const span = spans[nth]
      const at = span * SPAN_WORDS + ID
      if (rows[at] === 0 && rows[at + 1] === 0) {
        spans[kept++] = span
        continue
      }
      const place = this.#placeOf(rows[at], rows[at + 1], size)
      if (places[place] === NONE) {
        places[place] = kept
        spans[kept++] = span
      } else if (this.#comesFirst(span, spans[places[place]])) spans[places[place]] = span
    }
    return kept
  }

  /** Where an id is, or the free place where it would be. */
  #placeOf(high: number, low: number, size: number): number {
    const { rows, seed } = this.#pool
    const places = this.#places
    let place = hashOf(high ^ seed, low) & (size - 1)
    while (places[place] !== NONE) {
      const at = this.spans[places[place]] * SPAN_WORDS + ID
      if (rows[at] === high && rows[at + 1] === low) break
      place = (place + 1) & (size - 1)
    }
    return place
  }

  /** Whether one of two spans comes before the other in an order that depends on nothing but what they are: by a hash of their ids. */
  isBefore(nth: number, other: number): boolean {
    const { rows } = this.#pool
    const at = this.spans[nth] * SPAN_WORDS
    const otherAt = this.spans[other] * SPAN_WORDS
    const hash = rows[at + HASH]
    const otherHash = rows[otherAt + HASH]
    if (hash !== otherHash) return hash < otherHash
    for (let word = ID; word < ID + 2; word++) {
      if (rows[at + word] !== rows[otherAt + word]) return rows[at + word] >>> 0 < rows[otherAt + word] >>> 0
    }
    return this.#comesFirst(this.spans[nth], this.spans[other])
  }

  /** The same for spans that have one id. */
  #comesFirst(a: number, b: number): boolean {
    const { rows, doubles } = this.#pool
    const { series, pods } = this.#known
    const durationNs = doubles[a * SPAN_DOUBLES + DURATION_NS]
    const otherNs = doubles[b * SPAN_DOUBLES + DURATION_NS]
    const at = a * SPAN_WORDS
    const otherAt = b * SPAN_WORDS
    for (const word of [END, END + 1, META, WEIGHT, PARENT, PARENT + 1]) {
      if (rows[at + word] !== rows[otherAt + word]) return rows[at + word] >>> 0 < rows[otherAt + word] >>> 0
    }
    if (durationNs !== otherNs) return durationNs < otherNs
    const id = series[rows[at + SERIES]].id
    const otherId = series[rows[otherAt + SERIES]].id
    return id !== otherId ? id < otherId : pods[rows[at + POD]].id < pods[rows[otherAt + POD]].id
  }
}

function powerOfTwo(least: number): number {
  let power = SMALLEST
  while (power < least) power *= 2
  return power
}

/** Mixes the two halves of an id: as good as random, and the same everywhere. */
export function hashOf(high: number, low: number): number {
  let hash = Math.imul(high ^ (high >>> 16), 0x85ebca6b) ^ low
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}
