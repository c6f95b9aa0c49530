//! Divides an export request into smaller ones along its envelopes, without decoding what is in them.
import { check } from './check.ts'
import { BROKEN, readLength, readTag, skipUnknown, value } from './cursor.ts'
import { type MessageType, REQUESTS, WIRE } from './fields.ts'
import { Writer } from './writer.ts'

// The law: whatever stands at the top of a request goes into exactly one part, in order. An envelope (resource, scope,
// metric and its kind) that is cut stands in both parts with all its fields but its children, unknown ones included and
// in their order, and each child goes into exactly one part, in order. So parts, joined, have the same items and
// envelopes in the same order, and a part whose cuts lie between resources is a piece of the original bytes.

/** A valid request of its own. */
export interface Part {
  readonly bytes: Uint8Array
  readonly items: number
}

type Signal = keyof typeof REQUESTS

/** What may be cut at one depth: the numbers of the fields whose messages are its children. */
interface Level {
  readonly children: readonly boolean[]
  /** A metric holds one kind of data; with several the last one counts, and taking them apart would change which. */
  readonly single: boolean
  /** Null where the children are items. */
  readonly next: Level | null
}

function level(message: MessageType, [names, ...deeper]: readonly (readonly string[])[]): Level {
  const children: boolean[] = []
  for (const name of names) children[numberOf(message, name)] = true
  const below = message.fields.find(field => field.name === names[0])?.message
  const next = deeper.length === 0 || below == null ? null : level(below, deeper)
  return { children, single: names.length > 1, next }
}

function numberOf(message: MessageType, name: string): number {
  const field = message.fields.find(candidate => candidate.name === name)
  if (field === undefined) throw new Error(`${message.name} has no field ${name}`)
  return field.number
}

const KINDS = ['gauge', 'sum', 'histogram', 'exponential_histogram', 'summary']
const LEVELS: Record<Signal, Level> = {
  traces: level(REQUESTS.traces, [['resource_spans'], ['scope_spans'], ['spans']]),
  metrics: level(REQUESTS.metrics, [
    ['resource_metrics'],
    ['scope_metrics'],
    ['metrics'],
    KINDS,
    ['data_points'],
  ]),
  logs: level(REQUESTS.logs, [['resource_logs'], ['scope_logs'], ['log_records']]),
}

/** Steps over the fields of one message. The framing has been checked. */
class Fields {
  /** Of the field at hand: where its tag begins and ends, where a message's content begins, and its end. */
  start = 0
  tagEnd = 0
  from = 0
  to: number
  number = 0
  wire = 0
  readonly #bytes: Uint8Array
  readonly #end: number

  constructor(bytes: Uint8Array, at: number, end: number) {
    this.#bytes = bytes
    this.#end = end
    this.to = at
  }

  next(): boolean {
    if (this.to >= this.#end) return false
    const bytes = this.#bytes
    this.start = this.to
    this.tagEnd = readTag(bytes, this.start, this.#end)
    const tag = value
    this.number = tag >>> 3
    this.wire = tag & 7
    if (this.tagEnd === BROKEN) throw new Error('a request to divide has broken framing')
    if (this.wire === WIRE.LEN) {
      this.from = readLength(bytes, this.tagEnd, this.#end)
      this.to = this.from + value
    } else {
      this.from = this.tagEnd
      this.to = skipUnknown(bytes, this.tagEnd, this.#end, tag, 0)
    }
    if (this.from === BROKEN || this.to === BROKEN) throw new Error('a request to divide has broken framing')
    return true
  }

  isChild(of: Level): boolean {
    return this.wire === WIRE.LEN && of.children[this.number] === true
  }
}

/** A place in a request: a position among its fields, then one among those of the child that begins there, and so on. */
type Path = readonly number[]
/** Tag and length of a child that is cut: at most five bytes each. */
const HEADER_BYTES = 10

/**
 * The request in parts of at most `maxBytes`, each as full as whole resources allow. Larger is only a part with a single
 * item, or one whose envelope takes more than half of `maxBytes`, as repeating that would multiply the traffic.
 */
export function* split(signal: Signal, bytes: Uint8Array, maxBytes: number): Generator<Part> {
  if (bytes.length <= maxBytes) return yield part(signal, bytes)
  const knife = new Knife(bytes, LEVELS[signal])
  let from: Path = [0]
  while (true) {
    const to = knife.take(LEVELS[signal], 0, bytes.length, from, 0, maxBytes, maxBytes / 2)
    yield part(signal, knife.between(from, to))
    if (to === WHOLE) return
    from = to
  }
}

/** How much of a request its repeated envelopes may be; more, and halving it further would multiply the traffic. */
const ENVELOPE_SHARE_MAX = 0.9
const SMALL_BYTES = 64 * 1024

/** The request in two parts of about equal size; null where there is one item, or nearly everything is envelope. */
export function halve(signal: Signal, bytes: Uint8Array): readonly [Part, Part] | null {
  const knife = new Knife(bytes, LEVELS[signal])
  const cut = knife.middle(LEVELS[signal], 0, bytes.length)
  if (cut === null) return null
  const first = knife.between([0], cut)
  const second = knife.between(cut, null)
  const repeated = first.length + second.length - bytes.length
  if (bytes.length > SMALL_BYTES && repeated > bytes.length * ENVELOPE_SHARE_MAX) return null
  return [part(signal, first), part(signal, second)]
}

const part = (signal: Signal, bytes: Uint8Array): Part => ({
  bytes,
  items: Math.max(0, check(signal, bytes)),
})

const WHOLE = null

/** Finds the cuts of one request and makes the parts between them. */
class Knife {
  readonly #bytes: Uint8Array
  readonly #top: Level
  /** What stands in every part of an envelope that is cut, by where its content begins: found once, however often it is cut. */
  readonly #envelopes = new Map<number, Uint8Array>()

  constructor(bytes: Uint8Array, top: Level) {
    this.#bytes = bytes
    this.#top = top
  }

  /**
   * Goes on from `from` while children fit into `room` bytes, at least one item, and says where the next part begins.
   * `most` is how much of a part envelopes may take; beyond it a child is taken whole, however large.
   */
  take(
    here: Level,
    start: number,
    end: number,
    from: Path,
    depth: number,
    room: number,
    most: number,
  ): Path | typeof WHOLE {
    const free = depth === 0 ? room : room - this.#envelope(here, start, end).length
    let left = free
    const fields = new Fields(this.#bytes, depth < from.length ? from[depth] : start, end)
    let taken = false
    if (depth + 1 < from.length && fields.next()) {
      const next = here.next as Level
      const cut = this.take(next, fields.from, fields.to, from, depth + 1, free - HEADER_BYTES, most)
      if (cut !== WHOLE) return [fields.start, ...cut]
      // What is left of it is less than the whole, by an amount that is not worth counting.
      left -= fields.to - fields.start
      taken = true
    }
    while (fields.next()) {
      const child = fields.isChild(here)
      if (!child && depth > 0) continue
      const size = fields.to - fields.start
      if (size <= left) {
        left -= size
        taken = true
        continue
      }
      if (taken) return [fields.start]
      taken = true
      left = 0
      const next = child ? this.#divisible(here.next, fields) : null
      if (next === null || free - this.#envelope(next, fields.from, fields.to).length < most) continue
      const cut = this.take(next, fields.from, fields.to, [], depth + 1, free - HEADER_BYTES, most)
      if (cut !== WHOLE) return [fields.start, ...cut]
    }
    return WHOLE
  }

  /** The cut that leaves the most equal shares of children on its two sides, as high up as there are two of them. */
  middle(here: Level, start: number, end: number): Path | null {
    let total = 0
    let count = 0
    const fields = new Fields(this.#bytes, start, end)
    while (fields.next()) {
      if (!fields.isChild(here)) continue
      total += fields.to - fields.start
      count++
    }
    const again = new Fields(this.#bytes, start, end)
    let before = 0
    for (let seen = 0; again.next(); ) {
      if (!again.isChild(here)) continue
      if (count === 1) {
        const next = this.#divisible(here.next, again)
        const cut = next === null ? null : this.middle(next, again.from, again.to)
        return cut === null ? null : [again.start, ...cut]
      }
      const size = again.to - again.start
      // Cut before this child, if with it the first share would be farther from the half than without it.
      if (seen > 0 && (before + size - total / 2 > total / 2 - before || seen === count - 1))
        return [again.start]
      before += size
      seen++
    }
    return null
  }

  /** The request from one place up to another, or to its end. */
  between(from: Path, to: Path | null): Uint8Array {
    // Whole resources are already next to each other.
    if (from.length === 1 && (to === null || to.length === 1)) return this.#bytes.subarray(from[0], to?.[0])
    const last = (path: Path) => path[path.length - 1]
    let capacity = (to === null ? this.#bytes.length : last(to)) - last(from) + 64
    for (const envelope of this.#envelopes.values()) capacity += envelope.length + HEADER_BYTES
    const out = new Writer(capacity)
    this.#write(this.#top, 0, this.#bytes.length, from, to, 0, out)
    return out.bytes.subarray(0, out.length)
  }

  #write(
    here: Level,
    start: number,
    end: number,
    from: Path,
    to: Path | null,
    depth: number,
    out: Writer,
  ): void {
    if (depth > 0) out.append(this.#envelope(here, start, end))
    const stop = to === null ? end : to[depth]
    const fields = new Fields(this.#bytes, depth < from.length ? from[depth] : start, end)
    // Children that stand next to each other are copied together.
    let runStart = 0
    let runEnd = 0
    const flush = () => out.append(this.#bytes, runStart, runEnd)
    while (fields.next()) {
      const cutHere = to !== null && fields.start === stop
      if (cutHere && depth + 1 === to.length) break
      const continued = fields.start === from[depth] && depth + 1 < from.length
      if (cutHere || continued) {
        flush()
        runStart = runEnd = fields.to
        out.append(this.#bytes, fields.start, fields.tagEnd)
        const at = out.open(4)
        const inside = cutHere ? to : null
        this.#write(here.next as Level, fields.from, fields.to, continued ? from : [], inside, depth + 1, out)
        out.close(at, 4)
        if (cutHere) return
      } else if (depth === 0 || fields.isChild(here)) {
        if (fields.start !== runEnd) {
          flush()
          runStart = fields.start
        }
        runEnd = fields.to
      }
    }
    flush()
  }

  /** The level inside the child at hand, or null where it is an item or must stay whole. */
  #divisible(next: Level | null, { from, to }: Fields): Level | null {
    if (next === null || !next.single) return next
    let kinds = 0
    for (const fields = new Fields(this.#bytes, from, to); fields.next(); ) if (fields.isChild(next)) kinds++
    return kinds === 1 ? next : null
  }

  /** All fields of a message but its children, in their order. */
  #envelope(here: Level, start: number, end: number): Uint8Array {
    const known = this.#envelopes.get(start)
    if (known !== undefined) return known
    // Of the envelopes that lie behind nothing is needed any more.
    if (this.#envelopes.size > MAX_ENVELOPES) this.#envelopes.clear()
    const bytes = this.#bytes
    const out = new Writer()
    for (const fields = new Fields(bytes, start, end); fields.next(); ) {
      if (!fields.isChild(here)) out.append(bytes, fields.start, fields.to)
    }
    const envelope = out.take()
    this.#envelopes.set(start, envelope)
    return envelope
  }
}

/** More than are ever open at once. */
const MAX_ENVELOPES = 16
