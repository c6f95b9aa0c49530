//! Whom a series calls that sends no telemetry of its own, as one of its first spans says, whatever order they come in.
import { type Items, NOWHERE } from '../base/item.ts'
import { texts } from '../wire/key-value.ts'
import { CLIENT, hashOf, PRODUCER } from './family.ts'

const MAX_PEER_BYTES = 256
/** Hashes of 22 bits: with the number of a window they are exact in a double. */
const HASH_SHIFT = 10
const HASHES = 2 ** 22
const NEVER = Number.NEGATIVE_INFINITY

// message Span { ... repeated KeyValue attributes = 9; ... }
const SPAN_ATTRIBUTES_TAG = 0x4a
const encoder = new TextEncoder()
/** What a client or producer says about whom it calls, the most telling first. */
const PEER_KEYS = [
  'peer.service',
  'server.address',
  'net.peer.name',
  'db.system.name',
  'db.system',
  'messaging.system',
].map(key => encoder.encode(key))

/**
 * By number of series. It is read from one span: of those that end in the earliest window the one with the smallest hash. Of
 * n spans about log n are read, and none once the window is over.
 */
export class Peers {
  readonly #windowMs: number
  /** Replaced, as are the orders, when some are forgotten: what was published before keeps its own. */
  names: string[] = []
  /** The window and the hash of the span that was read, as one number: the smallest is the earliest. */
  orders: number[] = []
  /** Spans that end by then are still compared. */
  readonly #untilMs: number[] = []

  constructor(windowMs: number) {
    this.#windowMs = windowMs
  }

  /** @param kind of its spans: only a client or a producer calls somebody */
  meet(series: number, kind: number): void {
    this.names[series] = ''
    this.orders[series] = Number.POSITIVE_INFINITY
    this.#untilMs[series] = kind === CLIENT || kind === PRODUCER ? Number.POSITIVE_INFINITY : NEVER
  }

  hear(series: number, view: DataView, bytes: Uint8Array, items: Items, item: number): void {
    const endMs = items.endMs[item]
    if (endMs >= this.#untilMs[series]) return
    const { contentAt, endAt, spanIdAt, traceIdAt } = items
    const word = (at: number) => (at === NOWHERE ? 0 : view.getInt32(at + 4))
    const window = Math.floor(endMs / this.#windowMs)
    const order = window * HASHES + (hashOf(word(traceIdAt[item]), word(spanIdAt[item])) >>> HASH_SHIFT)
    if (order > this.orders[series]) return
    const said = texts(bytes, contentAt[item], endAt[item], SPAN_ATTRIBUTES_TAG, PEER_KEYS, MAX_PEER_BYTES)
    const name = said.find(text => text !== '') ?? ''
    if (order === this.orders[series] && name >= this.names[series]) return
    this.names[series] = name
    this.orders[series] = order
    this.#untilMs[series] = (window + 1) * this.#windowMs
  }

  forget(gone: ReadonlySet<number>): void {
    this.names = [...this.names]
    this.orders = [...this.orders]
    for (const series of gone) this.names[series] = ''
  }
}
