//! Draws a few spans of each series and window, by the hashes of their trace ids, and hands them over when the window is closed.
import { FAILED, type Items, NO_TIMES, NOWHERE } from '../base/item.ts'
import { NO_SAMPLES, type Samples } from '../bus/bus.ts'
import { eachAttribute, type Plain, plainAttribute } from '../wire/plain.ts'
import { Draw } from './draw.ts'
import { hashOf } from './family.ts'
import { columnsOf } from './samples.ts'

/** Windows in which spans are drawn at once. */
const MAX_OPEN = 64
/** Draws whose columns are kept for later windows: as many as are open in ordinary times. */
const MAX_IDLE = 4
/** Larger resources are taken to say nothing. */
const MAX_RESOURCE_BYTES = 8192
/** Resources that are remembered. When there are so many, all are forgotten. */
const MAX_RESOURCES = 1024
const MAX_RESOURCE_ATTRIBUTES = 64
/** Whoever samples traces by their ids does not thereby choose those that are drawn here. */
const SALT = 0x27d4eb2f

const NOTHING: readonly Plain[] = []

// message Resource { repeated KeyValue attributes = 1; ... }
const RESOURCE_ATTRIBUTES_TAG = 0x0a

/** The draws of all windows that are open. */
export class Sampler {
  readonly #windowMs: number
  readonly #open = new Map<number, Draw>()
  /** Their columns are used again. */
  readonly #idle: Draw[] = []
  #last: Draw | null = null
  /** What resources say, by their bytes. */
  readonly #resources = new Map<string, readonly Plain[]>()
  /** The last one that was asked for, by its place in the request. */
  #asked: { readonly resource: number; readonly said: readonly Plain[] } | null = null

  constructor(windowMs: number) {
    this.#windowMs = windowMs
  }

  /** What comes now is of another request. */
  begin(): void {
    this.#asked = null
  }

  /** Takes note of a span with times and ids; of others nothing is drawn. `view` is of the same bytes. */
  add(view: DataView, bytes: Uint8Array, items: Items, item: number, series: number, endMs: number): void {
    const traceAt = items.traceIdAt[item]
    const flags = items.flags[item]
    if (traceAt === NOWHERE || (flags & NO_TIMES) !== 0) return
    let draw = this.#last
    if (draw === null || !(endMs >= draw.startMs && endMs < draw.startMs + this.#windowMs)) {
      draw = this.#at(endMs)
      if (draw === null) return
    }
    const low = hashOf(view.getInt32(traceAt + 8) ^ SALT, view.getInt32(traceAt + 12))
    const hash = hashOf(view.getInt32(traceAt) ^ low, view.getInt32(traceAt + 4)) >>> 0
    const line = 2 * series + ((flags & FAILED) !== 0 ? 1 : 0)
    if (!draw.wants(line, hash)) return
    const resource = items.scopeResource[items.scope[item]]
    draw.add(line, hash, item, { view, bytes, items }, () => this.#resource(bytes, items, resource))
  }

  /** The series of which something is drawn. */
  forEachUse(use: (series: number) => void): void {
    for (const draw of this.#open.values()) draw.forEachUse(use)
  }

  /**
   * What was drawn of the window that begins there. Earlier ones are forgotten.
   * @param ranks of series
   */
  settle(startMs: number, ranks: Int32Array): Samples {
    let samples = NO_SAMPLES
    for (const [at, draw] of this.#open) {
      if (at > startMs) continue
      if (at === startMs) samples = columnsOf([...draw.drawn()], ranks)
      this.#open.delete(at)
      if (this.#idle.length < MAX_IDLE) this.#idle.push(draw)
      this.#last = null
    }
    return samples
  }

  #at(endMs: number): Draw | null {
    const startMs = Math.floor(endMs / this.#windowMs) * this.#windowMs
    let draw = this.#open.get(startMs)
    if (draw === undefined) {
      if (this.#open.size >= MAX_OPEN) return null
      draw = this.#idle.pop() ?? new Draw()
      draw.begin(startMs)
      this.#open.set(startMs, draw)
    }
    this.#last = draw
    return draw
  }

  #resource(bytes: Uint8Array, items: Items, resource: number): readonly Plain[] {
    if (this.#asked?.resource !== resource)
      this.#asked = { resource, said: this.#read(bytes, items, resource) }
    return this.#asked.said
  }

  #read(bytes: Uint8Array, items: Items, resource: number): readonly Plain[] {
    const at = items.resourceMessageAt[resource]
    const end = items.resourceMessageEnd[resource]
    if (end - at > MAX_RESOURCE_BYTES) return NOTHING
    const key = Buffer.from(bytes.buffer, bytes.byteOffset + at, end - at).toString('latin1')
    const known = this.#resources.get(key)
    if (known !== undefined) return known
    const said: Plain[] = []
    eachAttribute(bytes, at, end, RESOURCE_ATTRIBUTES_TAG, (from, to) => {
      const plain = said.length < MAX_RESOURCE_ATTRIBUTES ? plainAttribute(bytes, from, to) : null
      if (plain !== null) said.push(plain)
    })
    if (this.#resources.size >= MAX_RESOURCES) this.#resources.clear()
    this.#resources.set(key, said)
    return said
  }
}
