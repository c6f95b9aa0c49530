//! The bytes of the queue on disk: how a record is written, found again after damage, and told to be done.
import { crc32 } from 'node:zlib'
import { type CheckedBatch, type Headers, NO_HEADERS, SIGNALS, type Signal, sizeOf } from '../sink.ts'
import type { Items } from '../storage.ts'

// A segment is a head of 16 bytes and then records, each a header of 80 bytes, the forwarded headers as JSON, and the bytes
// of the request. All numbers are little-endian.
//
//   head     0 "OTLQUE01"   8 salt
//   record   0 salt   8 CRC-32 of 12 to 80, begun with the salt   12 CRC-32 of the body   16 sequence number
//           24 arrival, wall clock   32 items   36 bytes of the headers   40 bytes of the request   44 signal   45 kind
//           48, 56, 64 items of each signal that stand before it in the segment   72 index in the segment   76 zero
//
// The salt is a random number of the segment. It finds the next record after damage, and nobody who sends telemetry knows
// it: no request can pretend to hold a record. What stands before a record tells how much the damage before it has cost.

export const HEAD_BYTES = 16
export const HEADER_BYTES = 80
const MAGIC = Buffer.from('OTLQUE01', 'latin1')
/** The longest forwarded headers that are believed; HTTP servers take less. */
const MAX_HEADERS_BYTES = 2 ** 24

const KIND = { batch: 1, end: 2 } as const

/** What a record says about itself. */
export interface Header {
  readonly sequence: number
  readonly receivedMs: number
  readonly signal: Signal
  readonly items: number
  /** What stood before it in its segment. */
  readonly before: Readonly<Items>
  /** How many records stood before it in its segment. */
  readonly index: number
  readonly headersBytes: number
  readonly batchBytes: number
  readonly bodyCrc: number
  /** It closes the segment and holds nothing. */
  readonly isEnd: boolean
}

export const lengthOf = (header: Header) => HEADER_BYTES + header.headersBytes + header.batchBytes

export const head = (salt: Uint8Array): Uint8Array => Buffer.concat([MAGIC, salt])

/** What a batch comes to on disk. */
export interface Body {
  readonly parts: readonly Uint8Array[]
  readonly headersBytes: number
  readonly batchBytes: number
}

export function bodyOf(batch: Pick<CheckedBatch, 'headers' | 'bytes' | 'pieces'>): Body {
  const headers = Object.keys(batch.headers).length === 0 ? null : Buffer.from(JSON.stringify(batch.headers))
  const pieces = batch.pieces ?? [batch.bytes]
  return {
    parts: headers === null ? pieces : [headers, ...pieces],
    headersBytes: headers?.length ?? 0,
    batchBytes: sizeOf(batch),
  }
}

export function encodeHeader(
  salt: Uint8Array,
  of: Omit<Header, 'bodyCrc' | 'headersBytes' | 'batchBytes' | 'isEnd'>,
  body: Body | null,
): Uint8Array {
  const out = Buffer.alloc(HEADER_BYTES)
  out.set(salt)
  out.writeUInt32LE(body === null ? 0 : body.parts.reduce((crc, part) => crc32(part, crc), 0), 12)
  out.writeDoubleLE(of.sequence, 16)
  out.writeDoubleLE(of.receivedMs, 24)
  out.writeUInt32LE(of.items, 32)
  out.writeUInt32LE(body?.headersBytes ?? 0, 36)
  out.writeUInt32LE(body?.batchBytes ?? 0, 40)
  out[44] = SIGNALS.indexOf(of.signal)
  out[45] = body === null ? KIND.end : KIND.batch
  for (const [at, items] of of.before.entries()) out.writeDoubleLE(items, 48 + 8 * at)
  out.writeUInt32LE(of.index, 72)
  out.writeUInt32LE(headerCrc(out, 0, salt), 8)
  return out
}

/** The record that ends a segment: what stands before it, in records and in items. */
export const encodeEnd = (
  salt: Uint8Array,
  first: number,
  index: number,
  before: Readonly<Items>,
  nowMs: number,
): Uint8Array =>
  encodeHeader(
    salt,
    { sequence: first + index, index, signal: SIGNALS[0], items: 0, receivedMs: nowMs, before },
    null,
  )

const headerCrc = (bytes: Buffer, at: number, salt: Uint8Array) =>
  crc32(bytes.subarray(at + 12, at + HEADER_BYTES), crc32(salt))

/** The header at `at`, or null where there is none that can be believed. */
export function readHeader(bytes: Buffer, at: number, salt: Uint8Array): Header | null {
  if (at + HEADER_BYTES > bytes.length || bytes.compare(salt, 0, 8, at, at + 8) !== 0) return null
  if (bytes.readUInt32LE(at + 8) !== headerCrc(bytes, at, salt)) return null
  const signal = SIGNALS[bytes[at + 44]]
  const headersBytes = bytes.readUInt32LE(at + 36)
  if (signal === undefined || headersBytes > MAX_HEADERS_BYTES) return null
  return {
    sequence: bytes.readDoubleLE(at + 16),
    receivedMs: bytes.readDoubleLE(at + 24),
    signal,
    items: bytes.readUInt32LE(at + 32),
    before: [bytes.readDoubleLE(at + 48), bytes.readDoubleLE(at + 56), bytes.readDoubleLE(at + 64)],
    index: bytes.readUInt32LE(at + 72),
    headersBytes,
    batchBytes: bytes.readUInt32LE(at + 40),
    bodyCrc: bytes.readUInt32LE(at + 12),
    isEnd: bytes[at + 45] === KIND.end,
  }
}

/** The batch of a record, from its whole bytes; null where they are damaged. */
export function readBatch(header: Header, record: Buffer): CheckedBatch | null {
  const body = record.subarray(HEADER_BYTES)
  if (body.length !== header.headersBytes + header.batchBytes || crc32(body) !== header.bodyCrc) return null
  const { signal, items, receivedMs } = header
  const bytes = body.subarray(header.headersBytes)
  return { signal, items, receivedMs, bytes, headers: readHeaders(body.subarray(0, header.headersBytes)) }
}

function readHeaders(json: Buffer): Headers {
  if (json.length === 0) return NO_HEADERS
  // Its checksum holds, so it is what was written.
  return JSON.parse(json.toString()) as Headers
}

/** The salt of a segment, from its first bytes: of its head or, where that is damaged, of its first record. Null: of neither. */
export function readSalt(start: Buffer): Uint8Array | null {
  const first = start.subarray(HEAD_BYTES, HEAD_BYTES + 8)
  if (first.length === 8 && readHeader(start, HEAD_BYTES, first) !== null) return Buffer.from(first)
  const isHead = start.length >= HEAD_BYTES && MAGIC.equals(start.subarray(0, 8))
  return isHead ? Buffer.from(start.subarray(8, HEAD_BYTES)) : null
}

// Beside each segment stands a file of marks, 16 bytes each: 0 index of a record that is done, 4 its items, 8 its signal,
// 12 CRC-32 of the twelve, begun with the segment's salt: marks of another segment are worth nothing.

export const MARK_BYTES = 16

export interface Mark {
  readonly index: number
  readonly signal: Signal
  readonly items: number
}

export function encodeMarks(salt: Uint8Array, marks: readonly Mark[]): Uint8Array {
  const out = Buffer.alloc(MARK_BYTES * marks.length)
  for (const [n, mark] of marks.entries()) {
    const at = n * MARK_BYTES
    out.writeUInt32LE(mark.index, at)
    out.writeUInt32LE(mark.items, at + 4)
    out[at + 8] = SIGNALS.indexOf(mark.signal)
    out.writeUInt32LE(crc32(out.subarray(at, at + 12), crc32(salt)), at + 12)
  }
  return out
}

/** The marks that can be believed; what is torn or damaged is as if never written. */
export function* decodeMarks(salt: Uint8Array, bytes: Buffer): Generator<Mark> {
  const begun = crc32(salt)
  for (let at = 0; at + MARK_BYTES <= bytes.length; at += MARK_BYTES) {
    const signal = SIGNALS[bytes[at + 8]]
    if (signal === undefined || crc32(bytes.subarray(at, at + 12), begun) !== bytes.readUInt32LE(at + 12))
      continue
    yield { index: bytes.readUInt32LE(at), items: bytes.readUInt32LE(at + 4), signal }
  }
}
