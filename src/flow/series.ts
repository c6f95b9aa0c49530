//! Interns series: from the bytes of a service's identity and a span's name to a small number, without a string on the way.
import { type Items, NOWHERE } from '../base/item.ts'
import type { SeriesKey } from '../bus/bus.ts'

/** Longer names are told apart by their first bytes only: the table's memory is bounded by it. */
const MAX_NAME_BYTES = 256
/** The operation under which a service's further series are counted once `max_series` is reached. */
export const OVERFLOW_OPERATION = 'otlier.overflow'

const decoder = new TextDecoder('utf-8')

/** An open-addressing hash table from (seed, bytes) to consecutive numbers. */
class ByteTable {
  #slots = new Int32Array(256).fill(-1)
  #hashes: number[] = []
  #seeds: number[] = []
  #keys: Uint8Array[] = []

  get size(): number {
    return this.#keys.length
  }

  /** The number of a key, or -1. */
  find(bytes: Uint8Array, at: number, end: number, seed: number): number {
    const hash = hashOf(bytes, at, end, seed)
    const mask = this.#slots.length - 1
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const entry = this.#slots[slot]
      if (entry < 0) return -1
      if (
        this.#hashes[entry] === hash &&
        this.#seeds[entry] === seed &&
        same(this.#keys[entry], bytes, at, end)
      ) {
        return entry
      }
    }
  }

  /** Adds a key that is known to be absent. */
  add(bytes: Uint8Array, at: number, end: number, seed: number): number {
    if (this.#keys.length * 2 >= this.#slots.length) this.#grow()
    const entry = this.#keys.length
    const hash = hashOf(bytes, at, end, seed)
    this.#keys.push(bytes.slice(at, end))
    this.#hashes.push(hash)
    this.#seeds.push(seed)
    this.#place(entry, hash)
    return entry
  }

  #place(entry: number, hash: number): void {
    const mask = this.#slots.length - 1
    let slot = hash & mask
    while (this.#slots[slot] >= 0) slot = (slot + 1) & mask
    this.#slots[slot] = entry
  }

  #grow(): void {
    this.#slots = new Int32Array(this.#slots.length * 2).fill(-1)
    for (let entry = 0; entry < this.#keys.length; entry++) this.#place(entry, this.#hashes[entry])
  }
}

/** FNV-1a over the bytes, begun with the seed. */
function hashOf(bytes: Uint8Array, at: number, end: number, seed: number): number {
  let hash = (0x811c9dc5 ^ Math.imul(seed, 0x9e3779b1)) | 0
  for (; at < end; at++) hash = Math.imul(hash ^ bytes[at], 0x01000193)
  return (hash ^ (hash >>> 15)) >>> 0
}

function same(key: Uint8Array, bytes: Uint8Array, at: number, end: number): boolean {
  if (key.length !== end - at) return false
  for (let i = 0; i < key.length; i++) if (key[i] !== bytes[at + i]) return false
  return true
}

/** A service with its namespace and environment. */
export interface Group {
  readonly number: number
  readonly service: string
  readonly namespace: string
  readonly environment: string
  /** The series that holds what no longer fits, -1 until it is needed. */
  overflow: number
}

export class SeriesTable {
  readonly keys: SeriesKey[] = []
  /** The first takes the spans of services beyond `max_series` of them. */
  readonly groups: Group[] = [
    { number: 0, service: OVERFLOW_OPERATION, namespace: '', environment: '', overflow: -1 },
  ]
  /** The group of each series. */
  readonly groupOf: number[] = []
  /** How many spans went to an overflow series. */
  overflowed = 0
  #strings = new ByteTable()
  #identities = new ByteTable()
  #series = new ByteTable()
  #numbers: number[] = []
  #byId = new Map<string, number>()
  #maxSeries: number
  #onNew: (series: number, key: SeriesKey) => void

  /** `onNew` hears of each series when it is met first. */
  constructor(maxSeries: number, onNew: (series: number, key: SeriesKey) => void) {
    this.#maxSeries = maxSeries
    this.#onNew = onNew
  }

  /** The number of a series by its id, or -1. */
  byId(id: string): number {
    return this.#byId.get(id) ?? -1
  }

  /** Fills the `series` column of a scanned batch. */
  intern(bytes: Uint8Array, items: Items): void {
    let resource = -1
    let group = 0
    for (let item = 0; item < items.count; item++) {
      const at = items.scopeResource[items.scope[item]]
      if (at !== resource) {
        resource = at
        group = this.#group(bytes, items, resource)
      }
      const nameAt = items.nameAt[item]
      const nameEnd = Math.min(items.nameEnd[item], nameAt + MAX_NAME_BYTES)
      const seed = group * 8 + items.kind[item]
      const found = this.#series.find(bytes, nameAt, nameEnd, seed)
      items.series[item] = found >= 0 ? this.#numbers[found] : this.#add(bytes, nameAt, nameEnd, seed, group)
    }
  }

  #add(bytes: Uint8Array, at: number, end: number, seed: number, group: number): number {
    if (this.keys.length >= this.#maxSeries) return this.#overflow(group)
    const entry = this.#series.add(bytes, at, end, seed)
    const { service, namespace, environment } = this.groups[group]
    const operation = decoder.decode(bytes.subarray(at, end))
    const series = this.#register(
      { service, operation, kind: seed & 7, namespace, environment, overflow: false },
      group,
    )
    this.#numbers[entry] = series
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
    const id = [key.namespace, key.service, key.environment, key.kind, key.operation].join('\u001f')
    // Two names that differ only in invalid UTF-8 read the same to a person: they are one series.
    const known = this.#byId.get(id)
    if (known !== undefined) return known
    const series = this.keys.length
    const full = { id, ...key }
    this.keys.push(full)
    this.groupOf.push(group)
    this.#byId.set(id, series)
    this.#onNew(series, full)
    return series
  }

  #group(bytes: Uint8Array, items: Items, resource: number): number {
    const service = this.#string(bytes, items.serviceAt[resource], items.serviceEnd[resource])
    const namespace = this.#string(bytes, items.namespaceAt[resource], items.namespaceEnd[resource])
    const environment = this.#string(bytes, items.environmentAt[resource], items.environmentEnd[resource])
    identity[0] = service
    identity[1] = namespace
    identity[2] = environment
    const found = this.#identities.find(identityBytes, 0, identityBytes.length, 0)
    if (found >= 0) return found + 1
    if (this.groups.length > this.#maxSeries) return 0
    const text = (at: number, end: number) =>
      at === NOWHERE ? '' : decoder.decode(bytes.subarray(at, Math.min(end, at + MAX_NAME_BYTES)))
    const number = this.#identities.add(identityBytes, 0, identityBytes.length, 0) + 1
    this.groups.push({
      number,
      // The name that the semantic conventions give to a service without one.
      service: text(items.serviceAt[resource], items.serviceEnd[resource]) || 'unknown_service',
      namespace: text(items.namespaceAt[resource], items.namespaceEnd[resource]),
      environment: text(items.environmentAt[resource], items.environmentEnd[resource]),
      overflow: -1,
    })
    return number
  }

  /** A number for a string value; 0 for none. Past three times `max_series` distinct strings, further ones share 0. */
  #string(bytes: Uint8Array, at: number, end: number): number {
    if (at === NOWHERE) return 0
    const stop = Math.min(end, at + MAX_NAME_BYTES)
    const found = this.#strings.find(bytes, at, stop, 0)
    if (found >= 0) return found + 1
    return this.#strings.size > 3 * this.#maxSeries ? 0 : this.#strings.add(bytes, at, stop, 0) + 1
  }
}

const identity = new Int32Array(3)
const identityBytes = new Uint8Array(identity.buffer)
