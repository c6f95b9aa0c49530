//! Spans that were drawn as columns, in an order that depends on nothing but what they are, with each attribute as text once.
import { NO_SAMPLES, type Samples } from '../bus/bus.ts'
import { eachAttribute, type Plain, plainAttribute } from '../wire/plain.ts'

/** Different attributes in one message. Where there are more, those that one span alone has go first: most are identifiers. */
const MOST_ATTRIBUTES = 1024
/** What we say ourselves says nothing about who is hurt, and a series has but one service. */
const PASSED_OVER = /^(otlier\.|anomaly\.|service\.name$)/
/** Attributes of one hash that are compared: chosen ones cost no more. What stands behind is read again, and joined by its text. */
const MOST_ALIKE = 16
const NONE = -1

// message Span { ... repeated KeyValue attributes = 9; ... }
const SPAN_ATTRIBUTES_TAG = 0x4a

/** One span that was drawn: the beginning of its bytes, and what its resource says. */
export interface Drawn {
  readonly series: number
  readonly failed: boolean
  readonly durationNs: number
  readonly weight: number
  readonly hash: number
  readonly bytes: Uint8Array
  readonly at: number
  readonly end: number
  readonly resource: readonly Plain[]
}

/** An attribute as text, with how many spans have it. */
interface Text {
  readonly plain: Plain
  count: number
  number: number
  /** The last row that has it. */
  row: number
}

/** An attribute as it stands in the bytes: what is the same is read once, and what is not needed never. */
interface Raw {
  readonly bytes: Uint8Array
  readonly at: number
  readonly end: number
  readonly next: Raw | undefined
  count: number
  row: number
  text: Text | null
}

/** @param drawn of the same series and outcome by hash. @param ranks of series */
export function columnsOf(drawn: readonly Drawn[], ranks: Int32Array): Samples {
  if (drawn.length === 0) return NO_SAMPLES
  const rows = drawn.toSorted(
    (a, b) => ranks[a.series] - ranks[b.series] || Number(a.failed) - Number(b.failed),
  )
  const raws = new Raws()
  const texts = new Texts()
  const said = rows.map((row, nth) => raws.of(row, nth))
  const resources = rows.map(({ resource }) => texts.ofResource(resource))
  raws.read(texts)
  const attributes = texts.number()
  const from = new Int32Array(rows.length + 1)
  const attribute: number[] = []
  for (let row = 0; row < rows.length; row++) {
    const add = (text: Text | null) => {
      if (text === null || text.number === NONE || text.row === row) return
      text.row = row
      attribute.push(text.number)
    }
    for (const { text } of said[row]) add(text)
    for (const text of resources[row]) add(text)
    from[row + 1] = attribute.length
  }
  return {
    length: rows.length,
    series: Int32Array.from(rows, ({ series }) => series),
    failed: Uint8Array.from(rows, ({ failed }) => Number(failed)),
    durationNs: Float64Array.from(rows, ({ durationNs }) => durationNs),
    weight: Float64Array.from(rows, ({ weight }) => weight),
    hash: Uint32Array.from(rows, ({ hash }) => hash),
    attributes,
    from,
    attribute: Uint16Array.from(attribute),
  }
}

class Raws {
  readonly #byHash = new Map<number, Raw>()
  readonly #all: Raw[] = []

  /** The attributes of a span, each once. */
  of({ bytes, at, end }: Drawn, row: number): Raw[] {
    const own: Raw[] = []
    eachAttribute(bytes, at, end, SPAN_ATTRIBUTES_TAG, (from, to) => {
      const raw = this.#find(bytes, from, to)
      if (raw.row === row) return
      raw.row = row
      raw.count++
      own.push(raw)
    })
    return own
  }

  /** Makes texts of those that are kept. */
  read(texts: Texts): void {
    const least = this.#all.length + texts.size > MOST_ATTRIBUTES ? 2 : 1
    for (const raw of this.#all) {
      if (raw.count < least) continue
      const plain = plainAttribute(raw.bytes, raw.at, raw.end)
      if (plain === null) continue
      raw.text = texts.of(plain)
      raw.text.count += raw.count
    }
  }

  #find(bytes: Uint8Array, at: number, end: number): Raw {
    let hash = end - at
    for (let i = at; i < end; i++) hash = Math.imul(hash ^ bytes[i], 0x01000193)
    const first = this.#byHash.get(hash)
    let known = first
    for (let nth = 0; known !== undefined && nth < MOST_ALIKE; nth++, known = known.next)
      if (isSame(known, bytes, at, end)) return known
    const made: Raw = { bytes, at, end, next: first, count: 0, row: NONE, text: null }
    this.#byHash.set(hash, made)
    this.#all.push(made)
    return made
  }
}

function isSame(raw: Raw, bytes: Uint8Array, at: number, end: number): boolean {
  if (raw.end - raw.at !== end - at) return false
  for (let own = raw.at; at < end; own++, at++) if (raw.bytes[own] !== bytes[at]) return false
  return true
}

class Texts {
  size = 0
  readonly #byKey = new Map<string, Map<string, Text>>()
  readonly #resources = new Map<readonly Plain[], readonly Text[]>()

  of(plain: Plain): Text {
    const [key, value] = plain
    let values = this.#byKey.get(key)
    if (values === undefined) this.#byKey.set(key, (values = new Map()))
    let text = values.get(value)
    if (text !== undefined) return text
    this.size++
    values.set(value, (text = { plain, count: 0, number: NONE, row: NONE }))
    return text
  }

  /** For each span of the resource. */
  ofResource(resource: readonly Plain[]): readonly Text[] {
    let texts = this.#resources.get(resource)
    if (texts === undefined) this.#resources.set(resource, (texts = resource.map(plain => this.of(plain))))
    for (const text of texts) text.count++
    return texts
  }

  /** Gives numbers to the most frequent, and returns them. */
  number(): Plain[] {
    const kept = [...this.#byKey]
      .filter(([key]) => !PASSED_OVER.test(key))
      .flatMap(([, values]) => [...values.values()])
      .sort((a, b) => b.count - a.count || compare(a.plain, b.plain))
      .slice(0, MOST_ATTRIBUTES)
    for (const [number, text] of kept.entries()) text.number = number
    return kept.map(({ plain }) => plain)
  }
}

function compare([key, value]: Plain, [otherKey, otherValue]: Plain): number {
  if (key !== otherKey) return key < otherKey ? -1 : 1
  return value < otherValue ? -1 : 1
}
