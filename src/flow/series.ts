//! Interns series: from the bytes of a service's identity and a span's name to a small number, without a string on the way.
import { type Items, NOWHERE } from '../base/item.ts'
import type { SeriesKey } from '../bus/bus.ts'
import { Numbers } from './numbers.ts'

/** Longer names are told apart by their first bytes only: the table's memory is bounded by it. */
const MAX_NAME_BYTES = 256
/** The operation under which a service's further series are counted once `max_series` is reached. */
export const OVERFLOW_OPERATION = 'otlier.overflow'

const decoder = new TextDecoder('utf-8')

/**
 * An open-addressing hash table from (seed, bytes) to numbers. What a look-up needs lies in two places, a slot
 * and the key: with thousands of series nearly every step to another place waits for memory.
 */
class ByteTable {
  size = 0
  /** Two words a slot: the hash, and where the key is in `#words`. 0 there means free. */
  #slots = new Int32Array(2 * 256)
  /** Keys one after the other: number, seed, length in bytes, and the bytes, filled up to whole words. The first is unused. */
  #words = new Int32Array(1024)
  #keys = new DataView(this.#words.buffer)
  #end = 1

  /** The number of a key, ABSENT, or CROWDED: it is not found where it may stand. */
  find(bytes: DataView, at: number, end: number, seed: number): number {
    const hash = hashOf(bytes, at, end, seed)
    const slots = this.#slots
    const mask = slots.length - 1
    let slot = (hash << 1) & mask
    for (let probes = 0; probes < MAX_PROBES; probes++) {
      const place = slots[slot + 1]
      if (place === 0) return ABSENT
      if (slots[slot] === hash && this.#holds(place, bytes, at, end, seed)) return this.#words[place]
      slot = (slot + 2) & mask
    }
    return CROWDED
  }

  #holds(place: number, bytes: DataView, at: number, end: number, seed: number): boolean {
    if (this.#words[place + 1] !== seed || this.#words[place + 2] !== end - at) return false
    const keys = this.#keys
    let own = (place + HEAD_WORDS) * 4
    for (; at + 4 <= end; own += 4, at += 4) {
      if (keys.getInt32(own, true) !== bytes.getInt32(at, true)) return false
    }
    for (; at < end; own++, at++) if (keys.getUint8(own) !== bytes.getUint8(at)) return false
    return true
  }

  /** Adds a key that is known to be absent. */
  add(bytes: DataView, at: number, end: number, seed: number, number: number): void {
    const length = end - at
    const place = this.#end
    this.#end += HEAD_WORDS + ((length + 3) >>> 2)
    while (this.#end > this.#words.length) this.#growKeys()
    this.#words[place] = number
    this.#words[place + 1] = seed
    this.#words[place + 2] = length
    const own = (place + HEAD_WORDS) * 4
    for (let i = 0; i < length; i++) this.#keys.setUint8(own + i, bytes.getUint8(at + i))
    this.#place(hashOf(bytes, at, end, seed), place)
    if (++this.size * 4 > this.#slots.length) this.#growSlots()
  }

  /** Leaves those keys whose numbers are kept, and gives back the room of the others. */
  keep(isKept: (number: number, seed: number) => boolean): void {
    const words = this.#words
    const keys = this.#keys
    const end = this.#end
    this.#slots = new Int32Array(2 * 256)
    this.#words = new Int32Array(1024)
    this.#keys = new DataView(this.#words.buffer)
    this.#end = 1
    this.size = 0
    for (let place = 1; place < end; ) {
      const at = (place + HEAD_WORDS) * 4
      const length = words[place + 2]
      if (isKept(words[place], words[place + 1]))
        this.add(keys, at, at + length, words[place + 1], words[place])
      place += HEAD_WORDS + ((length + 3) >>> 2)
    }
  }

  #place(hash: number, place: number): void {
    const mask = this.#slots.length - 1
    let slot = (hash << 1) & mask
    while (this.#slots[slot + 1] !== 0) slot = (slot + 2) & mask
    this.#slots[slot] = hash
    this.#slots[slot + 1] = place
  }

  #growSlots(): void {
    const before = this.#slots
    this.#slots = new Int32Array(before.length * 2)
    for (let slot = 0; slot < before.length; slot += 2) {
      if (before[slot + 1] !== 0) this.#place(before[slot], before[slot + 1])
    }
  }

  #growKeys(): void {
    const words = new Int32Array(this.#words.length * 2)
    words.set(this.#words)
    this.#words = words
    this.#keys = new DataView(words.buffer)
  }
}

const HEAD_WORDS = 3
/** The seed of a name is its group, and the kind of its span behind it. */
const KIND_BITS = 3
const KINDS = 2 ** KIND_BITS - 1
const ABSENT = -1
const CROWDED = -2
/** Names that are chosen to collide must not make every span a walk through all of them. Half-full tables stay far below it. */
const MAX_PROBES = 256

/** A multiplicative hash, four bytes a step: a DataView reads them at once. */
function hashOf(bytes: DataView, at: number, end: number, seed: number): number {
  let hash = Math.imul(seed + end - at, 0x9e3779b1)
  for (; at + 4 <= end; at += 4) {
    hash = Math.imul(hash ^ bytes.getInt32(at, true), 0x85ebca6b)
    hash ^= hash >>> 15
  }
  for (; at < end; at++) {
    hash = Math.imul(hash ^ bytes.getUint8(at), 0xc2b2ae35)
    hash ^= hash >>> 15
  }
  return hash
}

/** A service with its namespace and environment. */
export interface Group {
  readonly number: number
  readonly service: string
  readonly namespace: string
  readonly environment: string
  /** The series that holds what no longer fits, -1 until it is needed. */
  overflow: number
  /** What it is made of: numbers of strings. */
  readonly identity: readonly number[]
}

export interface SeriesOptions {
  /** Read each time: it may change. What has a series keeps it. */
  readonly maxSeries: number
}

export class SeriesTable {
  readonly keys: SeriesKey[] = []
  /** The first takes the spans of services beyond `max_series` of them. */
  readonly groups: Group[] = [
    { number: 0, service: OVERFLOW_OPERATION, namespace: '', environment: '', overflow: -1, identity: [] },
  ]
  /** The group of each series. */
  readonly groupOf: number[] = []
  /** How many spans went to an overflow series. */
  overflowed = 0
  #strings = new ByteTable()
  #identities = new ByteTable()
  #series = new ByteTable()
  #seriesNumbers = new Numbers()
  #groupNumbers = new Numbers(1)
  /** 0 stands for no string. */
  #stringNumbers = new Numbers(1)
  #byId = new Map<string, number>()
  readonly #options: SeriesOptions
  #onNew: (series: number, key: SeriesKey) => void

  /** `onNew` hears of each series when it is met first. */
  constructor(options: SeriesOptions, onNew: (series: number, key: SeriesKey) => void) {
    this.#options = options
    this.#onNew = onNew
  }

  /** The number of a series by its id, or -1. */
  byId(id: string): number {
    return this.#byId.get(id) ?? -1
  }

  /** How many there are. */
  get size(): number {
    return this.#seriesNumbers.size
  }

  /**
   * Forgets series, and the services that are left without any. Their numbers will stand for others.
   * @param isIdle asked of every series
   */
  forget(isIdle: (series: number) => boolean): readonly number[] {
    const gone = [...this.#byId.values()].filter(isIdle)
    if (gone.length === 0) return gone
    for (const series of gone) {
      this.#byId.delete(this.keys[series].id)
      this.#seriesNumbers.giveBack(series)
    }
    const left = new Set(this.#byId.values())
    const groups = new Set([...left].map(series => this.groupOf[series]))
    this.#series.keep((series, seed) => {
      if (!left.has(series)) return false
      // Also that of a service that reads the same as another: its names lead to the other's series.
      groups.add(seed >>> KIND_BITS)
      return true
    })
    for (const group of this.groups) if (!left.has(group.overflow)) group.overflow = -1
    const strings = new Set([...groups].flatMap(group => this.groups[group].identity))
    giveBackOthers(this.#identities, this.#groupNumbers, groups)
    giveBackOthers(this.#strings, this.#stringNumbers, strings)
    return gone
  }

  /** Fills the `series` column of a scanned batch. */
  intern(bytes: Uint8Array, items: Items): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    let resource = -1
    let group = 0
    for (let item = 0; item < items.count; item++) {
      const at = items.scopeResource[items.scope[item]]
      if (at !== resource) {
        resource = at
        group = this.#group(bytes, view, items, resource)
      }
      const nameAt = items.nameAt[item]
      const nameEnd = Math.min(items.nameEnd[item], nameAt + MAX_NAME_BYTES)
      const seed = (group << KIND_BITS) | items.kind[item]
      const found = this.#series.find(view, nameAt, nameEnd, seed)
      if (found >= 0) items.series[item] = found
      else if (found === CROWDED) items.series[item] = this.#overflow(group)
      else items.series[item] = this.#add(bytes, view, nameAt, nameEnd, seed, group)
    }
  }

  #add(bytes: Uint8Array, view: DataView, at: number, end: number, seed: number, group: number): number {
    // The names are counted, not the series: names that are no UTF-8 may read the same and differ without end.
    if (this.#series.size >= this.#options.maxSeries) return this.#overflow(group)
    const { service, namespace, environment } = this.groups[group]
    const operation = decoder.decode(bytes.subarray(at, end))
    const series = this.#register(
      { service, operation, kind: seed & KINDS, namespace, environment, overflow: false },
      group,
    )
    this.#series.add(view, at, end, seed, series)
    return series
  }

  #overflow(group: number): number {
    this.overflowed++
    const of = this.groups[group]
    if (of.overflow < 0) {
      const { service, namespace, environment } = of
      of.overflow = this.#register(
        { service, operation: OVERFLOW_OPERATION, kind: 0, namespace, environment, overflow: true },
        group,
      )
    }
    return of.overflow
  }

  #register(key: Omit<SeriesKey, 'id'>, group: number): number {
    const id = JSON.stringify([key.namespace, key.service, key.environment, key.kind, key.operation])
    // Two names that differ only in invalid UTF-8 read the same to a person: they are one series.
    const known = this.#byId.get(id)
    if (known !== undefined) return known
    const series = this.#seriesNumbers.take()
    const { service, operation, kind, namespace, environment, overflow } = key
    // Spelled out: what is spread into an object takes more room.
    const full = { id, service, operation, kind, namespace, environment, overflow }
    this.keys[series] = full
    this.groupOf[series] = group
    this.#byId.set(id, series)
    this.#onNew(series, full)
    return series
  }

  #group(bytes: Uint8Array, view: DataView, items: Items, resource: number): number {
    const service = this.#string(view, items.serviceAt[resource], items.serviceEnd[resource])
    const namespace = this.#string(view, items.namespaceAt[resource], items.namespaceEnd[resource])
    const environment = this.#string(view, items.environmentAt[resource], items.environmentEnd[resource])
    identity[0] = service
    identity[1] = namespace
    identity[2] = environment
    const found = this.#identities.find(identityBytes, 0, identityBytes.byteLength, 0)
    if (found >= 0) return found
    if (found === CROWDED || this.#groupNumbers.size >= this.#options.maxSeries) return 0
    const text = (at: number, end: number) =>
      at === NOWHERE ? '' : decoder.decode(bytes.subarray(at, Math.min(end, at + MAX_NAME_BYTES)))
    const number = this.#groupNumbers.take()
    this.#identities.add(identityBytes, 0, identityBytes.byteLength, 0, number)
    this.groups[number] = {
      number,
      // The name that the semantic conventions give to a service without one.
      service: text(items.serviceAt[resource], items.serviceEnd[resource]) || 'unknown_service',
      namespace: text(items.namespaceAt[resource], items.namespaceEnd[resource]),
      environment: text(items.environmentAt[resource], items.environmentEnd[resource]),
      overflow: -1,
      identity: [...identity],
    }
    return number
  }

  /** A number for a string value; 0 for none. Past three times `max_series` distinct strings, further ones share 0. */
  #string(bytes: DataView, at: number, end: number): number {
    if (at === NOWHERE) return 0
    const stop = Math.min(end, at + MAX_NAME_BYTES)
    const found = this.#strings.find(bytes, at, stop, 0)
    if (found >= 0) return found
    if (found === CROWDED || this.#strings.size > 3 * this.#options.maxSeries) return 0
    const number = this.#stringNumbers.take()
    this.#strings.add(bytes, at, stop, 0, number)
    return number
  }
}

/** Leaves those keys of a table whose numbers are `kept`. */
function giveBackOthers(table: ByteTable, numbers: Numbers, kept: ReadonlySet<number>): void {
  table.keep(number => {
    if (kept.has(number)) return true
    numbers.giveBack(number)
    return false
  })
}

const identity = new Int32Array(3)
const identityBytes = new DataView(identity.buffer)
