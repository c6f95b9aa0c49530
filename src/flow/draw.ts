//! What is drawn of one window: of each series and outcome the spans of the traces with the smallest hashes, with the beginning of their bytes.
import { type Items, NOWHERE } from '../base/item.ts'
import { MOST_SAMPLES, SAMPLES_KEPT } from '../bus/bus.ts'
import type { Plain } from '../wire/plain.ts'
import { hashOf } from './family.ts'
import type { Drawn } from './samples.ts'

/** What goes beyond MOST_SAMPLES is cut off when there are twice as many, and at the end. */
const ROOM = 2 * MOST_SAMPLES
/** The attributes stand near the beginning of a span, and what comes after so many bytes is not looked at. */
const SPAN_BYTES = 1024

const NONE = -1
/** Every hash is at most that, and less than that. */
const NO_LIMIT = 2 ** 32 - 1
const NO_LIMIT_OF_ALL = 2 ** 32
const SMALLEST = 64

/** Where a span stands. */
interface Source {
  readonly view: DataView
  readonly bytes: Uint8Array
  readonly items: Items
}

/**
 * What has been drawn of one window. A line is a series and an outcome: it keeps the spans of the SAMPLES_KEPT traces with the smallest hashes,
 * and of all lines together the MOST_SAMPLES smallest are kept. That depends on what has come, and not on when.
 */
export class Draw {
  startMs = 0
  /** By line: how many spans have come, and which list has those that are kept. Of most lines none is kept: they have list 0. */
  #seen = new Uint32Array(SMALLEST)
  #listOf = new Uint16Array(SMALLEST)
  /** By list, from 1: its line, how many are kept, which is the first of them, and beyond which hash none is taken. */
  readonly #line = new Int32Array(ROOM + 1)
  readonly #count = new Uint8Array(ROOM + 1)
  readonly #first = new Uint16Array(ROOM + 1)
  readonly #limit = new Uint32Array(ROOM + 1).fill(NO_LIMIT)
  #lists = 0
  /** From which hash on none is taken in any line. */
  #limitOfAll = NO_LIMIT_OF_ALL
  /** By slot. */
  #used = 0
  readonly #free: number[] = []
  /** Of a cut. */
  readonly #sorted = new Uint32Array(ROOM)
  #hash = new Uint32Array(SMALLEST)
  #spanHash = new Int32Array(SMALLEST)
  /** Four words: the trace's id. */
  #trace = new Int32Array(4 * SMALLEST)
  #durationNs = new Float64Array(SMALLEST)
  /** The next one of its line. */
  #next = new Uint16Array(SMALLEST)
  /** Where its bytes stand, how many they are, and how much room there is. */
  #at = new Int32Array(SMALLEST)
  #length = new Uint16Array(SMALLEST)
  #room = new Uint16Array(SMALLEST)
  #bytes = new Uint8Array(SPAN_BYTES)
  #end = 0
  readonly #resource: (readonly Plain[])[] = []

  begin(startMs: number): void {
    this.startMs = startMs
    this.#seen.fill(0)
    this.#listOf.fill(0)
    this.#free.length = this.#resource.length = this.#lists = this.#used = this.#end = 0
    this.#limitOfAll = NO_LIMIT_OF_ALL
  }

  /** Whether the span of this line and hash is to be drawn; counts it. */
  wants(line: number, hash: number): boolean {
    if (line >= this.#seen.length) this.#growLines(line)
    this.#seen[line]++
    return hash < this.#limitOfAll && hash <= this.#limit[this.#listOf[line]]
  }

  /** Draws it. `resourceOf`: what its resource says. */
  add(line: number, hash: number, item: number, from: Source, resourceOf: () => readonly Plain[]): void {
    const { view, items } = from
    const traceAt = items.traceIdAt[item]
    const idAt = items.spanIdAt[item]
    const spanHash = idAt === NOWHERE ? 0 : hashOf(view.getInt32(idAt), view.getInt32(idAt + 4))
    let slot = NONE
    let last = NONE
    let end = NONE
    let list = this.#listOf[line]
    let each = this.#first[list]
    for (let nth = 0; nth < this.#count[list]; nth++, each = this.#next[each]) {
      if (this.#hash[each] === hash && this.#isTrace(each, view, traceAt)) slot = each
      if (last === NONE || this.#hash[each] > this.#hash[last]) last = each
      end = each
    }
    if (slot !== NONE) {
      // Of a trace one span, whichever comes first.
      if (spanHash >= this.#spanHash[slot]) return
    } else if (this.#count[list] < SAMPLES_KEPT) {
      slot = this.#newSlot()
      if (list === 0) list = this.#newList(line)
      if (end === NONE) this.#first[list] = slot
      else this.#next[end] = slot
      this.#count[list]++
    } else if (hash === this.#hash[last]) return
    else slot = last
    this.#hash[slot] = hash
    this.#spanHash[slot] = spanHash
    for (let word = 0; word < 4; word++) this.#trace[4 * slot + word] = view.getInt32(traceAt + 4 * word)
    this.#durationNs[slot] = items.durationNs[item]
    const at = items.contentAt[item]
    this.#put(slot, from.bytes.subarray(at, Math.min(items.endAt[item], at + SPAN_BYTES)))
    this.#resource[slot] = resourceOf()
    this.#limit[list] = this.#count[list] < SAMPLES_KEPT ? NO_LIMIT : this.#largest(list)
    if (this.#used - this.#free.length >= ROOM) this.#cut()
  }

  /** Keeps its bytes, where they have been if there is room for them. */
  #put(slot: number, bytes: Uint8Array): void {
    const { length } = bytes
    if (length > this.#room[slot]) {
      this.#room[slot] = 0
      if (this.#end + length > this.#bytes.length) this.#makeRoom(length)
      this.#at[slot] = this.#end
      this.#room[slot] = length
      this.#end += length
    }
    this.#length[slot] = length
    this.#bytes.set(bytes, this.#at[slot])
  }

  /** Moves what is kept together, into more room where less than half would be free. */
  #makeRoom(length: number): void {
    let kept = length
    for (let slot = 0; slot < this.#used; slot++) kept += this.#room[slot]
    let most = this.#bytes.length
    while (most < 2 * kept) most *= 2
    const bytes = new Uint8Array(most)
    this.#end = 0
    for (let slot = 0; slot < this.#used; slot++) {
      const at = this.#at[slot]
      bytes.set(this.#bytes.subarray(at, at + this.#room[slot]), this.#end)
      this.#at[slot] = this.#end
      this.#end += this.#room[slot]
    }
    this.#bytes = bytes
  }

  #isTrace(slot: number, view: DataView, at: number): boolean {
    for (let word = 0; word < 4; word++)
      if (this.#trace[4 * slot + word] !== view.getInt32(at + 4 * word)) return false
    return true
  }

  #largest(list: number): number {
    let largest = 0
    for (const slot of this.#slotsOf(list)) if (this.#hash[slot] > largest) largest = this.#hash[slot]
    return largest
  }

  #newSlot(): number {
    const free = this.#free.pop()
    if (free !== undefined) return free
    if (this.#used === this.#hash.length) {
      this.#hash = doubled(this.#hash)
      this.#spanHash = doubled(this.#spanHash)
      this.#trace = doubled(this.#trace)
      this.#durationNs = doubled(this.#durationNs)
      this.#next = doubled(this.#next)
      this.#at = doubled(this.#at)
      this.#length = doubled(this.#length)
      this.#room = doubled(this.#room)
    }
    this.#room[this.#used] = 0
    return this.#used++
  }

  /** Leaves the MOST_SAMPLES smallest hashes, and lets nothing in that is larger. */
  #cut(): void {
    let kept = 0
    for (let list = 1; list <= this.#lists; list++)
      for (const slot of this.#slotsOf(list)) this.#sorted[kept++] = this.#hash[slot]
    if (kept <= MOST_SAMPLES) return
    this.#limitOfAll = this.#sorted.subarray(0, kept).sort()[MOST_SAMPLES]
    for (let list = this.#lists; list > 0; list--) {
      const slots = this.#slotsOf(list)
      const left = slots.filter(slot => this.#hash[slot] < this.#limitOfAll)
      if (left.length === slots.length) continue
      for (const slot of slots) if (this.#hash[slot] >= this.#limitOfAll) this.#give(slot)
      for (const [nth, slot] of left.entries()) {
        if (nth === 0) this.#first[list] = slot
        else this.#next[left[nth - 1]] = slot
      }
      this.#count[list] = left.length
      this.#limit[list] = NO_LIMIT
      if (left.length === 0) this.#dropList(list)
    }
  }

  /** There are never more lists than spans that are kept. */
  #newList(line: number): number {
    const list = ++this.#lists
    this.#listOf[line] = list
    this.#line[list] = line
    this.#count[list] = 0
    this.#limit[list] = NO_LIMIT
    return list
  }

  /** The last one takes the place of one that is empty. */
  #dropList(list: number): void {
    const last = this.#lists--
    this.#listOf[this.#line[list]] = 0
    if (list === last) return
    this.#listOf[this.#line[last]] = list
    this.#line[list] = this.#line[last]
    this.#count[list] = this.#count[last]
    this.#first[list] = this.#first[last]
    this.#limit[list] = this.#limit[last]
  }

  #slotsOf(list: number): number[] {
    const slots: number[] = []
    let slot = this.#first[list]
    for (let nth = 0; nth < this.#count[list]; nth++, slot = this.#next[slot]) slots.push(slot)
    return slots
  }

  #give(slot: number): void {
    this.#room[slot] = 0
    this.#free.push(slot)
  }

  forEachUse(use: (series: number) => void): void {
    for (const [line, seen] of this.#seen.entries()) if (seen > 0) use(line >> 1)
  }

  /** What is drawn, by line and hash. Nothing must be added afterwards. */
  *drawn(): Generator<Drawn> {
    this.#cut()
    for (let list = 1; list <= this.#lists; list++) {
      const line = this.#line[list]
      const slots = this.#slotsOf(list).sort((a, b) => this.#hash[a] - this.#hash[b])
      for (const slot of slots) {
        const at = this.#at[slot]
        yield {
          series: line >> 1,
          failed: (line & 1) === 1,
          durationNs: this.#durationNs[slot],
          weight: this.#seen[line] / slots.length,
          hash: this.#hash[slot],
          bytes: this.#bytes,
          at,
          end: at + this.#length[slot],
          resource: this.#resource[slot],
        }
      }
    }
  }

  #growLines(line: number): void {
    const length = Math.max(2 * this.#seen.length, 2 ** Math.ceil(Math.log2(line + 1)))
    const seen = new Uint32Array(length)
    const listOf = new Uint16Array(length)
    seen.set(this.#seen)
    listOf.set(this.#listOf)
    this.#seen = seen
    this.#listOf = listOf
  }
}

function doubled<T extends Int32Array | Uint32Array | Uint16Array | Uint8Array | Float64Array>(column: T): T {
  const Column = column.constructor as new (length: number) => T
  const grown = new Column(column.length * 2)
  grown.set(column)
  return grown
}
