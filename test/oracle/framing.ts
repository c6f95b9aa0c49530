//! The framing law: whether a request's bytes are whole, and how many items they hold. Slow, and plain to read.

import type { Signal } from './bytes.ts'
import { type Field, type Message, messageNamed, requestOf } from './schema.ts'

export type Framing = { ok: true; items: number } | { ok: false; why: string; at: number }

/** The request is level 0. Every known message and every group inside adds one. */
export const DEEPEST = 100

/** The messages that count as items. */
export const ITEMS: ReadonlySet<string> = new Set([
  'opentelemetry.proto.trace.v1.Span',
  'opentelemetry.proto.logs.v1.LogRecord',
  'opentelemetry.proto.metrics.v1.NumberDataPoint',
  'opentelemetry.proto.metrics.v1.HistogramDataPoint',
  'opentelemetry.proto.metrics.v1.ExponentialHistogramDataPoint',
  'opentelemetry.proto.metrics.v1.SummaryDataPoint',
])

const WIRE_OF_SHAPE = { varint: 0, fixed64: 1, string: 2, bytes: 2, message: 2, fixed32: 5 }

type Cursor = { readonly bytes: Uint8Array; at: number; items: number }

class Broken extends Error {
  readonly at: number
  constructor(why: string, at: number) {
    super(why)
    this.at = at
  }
}

/**
 * Reads the bytes as the signal's request message. `items` counts spans, log records or data points wherever they
 * stand. When the framing is broken, `at` is the offset of the first thing that cannot be read.
 */
export function framing(signal: Signal, bytes: Uint8Array): Framing {
  const cursor: Cursor = { bytes, at: 0, items: 0 }
  try {
    readMessage(cursor, requestOf(signal), bytes.length, 0)
  } catch (error) {
    if (error instanceof Broken) return { ok: false, why: error.message, at: error.at }
    throw error
  }
  return { ok: true, items: cursor.items }
}

/** A message is a sequence of fields that fills exactly its range. */
function readMessage(cursor: Cursor, message: Message, end: number, depth: number): void {
  if (depth > DEEPEST) throw new Broken('too deep', cursor.at)
  if (ITEMS.has(message.name)) cursor.items++
  while (cursor.at < end) {
    const start = cursor.at
    const { number, wire } = readTag(cursor, end)
    const field = message.fields.get(number)
    if (field === undefined) readUnknown(cursor, number, wire, start, end, depth)
    else readKnown(cursor, field, wire, start, end, depth)
  }
}

/** A known field must have the wire type of its declared type, or be a packed run of numbers. */
function readKnown(
  cursor: Cursor,
  field: Field,
  wire: number,
  start: number,
  end: number,
  depth: number,
): void {
  const isNumber = field.shape === 'varint' || field.shape === 'fixed64' || field.shape === 'fixed32'
  if (isNumber && field.repeated && wire === 2) {
    readPacked(cursor, field, end)
    return
  }
  if (wire !== WIRE_OF_SHAPE[field.shape]) throw new Broken('wrong wire type', start)
  if (field.shape === 'varint') readVarint(cursor, end)
  else if (field.shape === 'fixed64') skip(cursor, 8, end)
  else if (field.shape === 'fixed32') skip(cursor, 4, end)
  else {
    const contentEnd = readLength(cursor, end)
    if (field.shape === 'message') readMessage(cursor, messageNamed(field.type), contentEnd, depth + 1)
    else cursor.at = contentEnd
  }
}

function readPacked(cursor: Cursor, field: Field, end: number): void {
  const contentEnd = readLength(cursor, end)
  if (field.shape === 'varint') {
    while (cursor.at < contentEnd) readVarint(cursor, contentEnd)
    return
  }
  const width = field.shape === 'fixed64' ? 8 : 4
  if ((contentEnd - cursor.at) % width !== 0) throw new Broken('a packed run ends inside a number', cursor.at)
  cursor.at = contentEnd
}

/** An unknown field may have any wire type. Its length-delimited content is opaque. */
function readUnknown(
  cursor: Cursor,
  number: number,
  wire: number,
  start: number,
  end: number,
  depth: number,
): void {
  if (wire === 0) readVarint(cursor, end)
  else if (wire === 1) skip(cursor, 8, end)
  else if (wire === 2) cursor.at = readLength(cursor, end)
  else if (wire === 3) readGroup(cursor, number, end, depth + 1)
  else if (wire === 5) skip(cursor, 4, end)
  else throw new Broken('a group ends that did not start', start)
}

/** A group holds unknown fields up to the end-group tag of its own number, which must come before its parent ends. */
function readGroup(cursor: Cursor, number: number, end: number, depth: number): void {
  if (depth > DEEPEST) throw new Broken('too deep', cursor.at)
  for (;;) {
    if (cursor.at >= end) throw new Broken('a group does not end', cursor.at)
    const start = cursor.at
    const inner = readTag(cursor, end)
    if (inner.wire === 4) {
      if (inner.number !== number) throw new Broken('a group ends with another number', start)
      return
    }
    readUnknown(cursor, inner.number, inner.wire, start, end, depth)
  }
}

/** A tag is a varint of at most five bytes that fits 32 bits: field number and wire type. */
function readTag(cursor: Cursor, end: number): { number: number; wire: number } {
  const start = cursor.at
  let value = 0
  for (let n = 0; ; n++) {
    const byte = readByte(cursor, end)
    if (n === 4 && byte > 0x0f) throw new Broken('a tag is too long', start)
    value += (byte & 0x7f) * 2 ** (7 * n)
    if (byte < 0x80) break
  }
  const number = Math.floor(value / 8)
  const wire = value % 8
  if (number < 1) throw new Broken('field number 0', start)
  if (wire > 5) throw new Broken('no such wire type', start)
  return { number, wire }
}

/** A length is a varint; what it spans must lie inside the parent. Returns where it ends. */
function readLength(cursor: Cursor, end: number): number {
  const start = cursor.at
  const length = readVarint(cursor, end)
  if (length > end - cursor.at) throw new Broken('a length reaches beyond its parent', start)
  return cursor.at + length
}

/** A varint has at most ten bytes, the tenth 0 or 1. Inexact above 2^53, which is more than any length can be. */
function readVarint(cursor: Cursor, end: number): number {
  const start = cursor.at
  let value = 0
  for (let n = 0; ; n++) {
    const byte = readByte(cursor, end)
    if (n === 9 && byte > 1) throw new Broken('a varint is too long', start)
    value += (byte & 0x7f) * 2 ** (7 * n)
    if (byte < 0x80) return value
  }
}

function readByte(cursor: Cursor, end: number): number {
  const byte = cursor.bytes[cursor.at]
  if (byte === undefined || cursor.at >= end) throw new Broken('the bytes end too early', cursor.at)
  cursor.at++
  return byte
}

function skip(cursor: Cursor, width: number, end: number): void {
  if (width > end - cursor.at) throw new Broken('the bytes end too early', cursor.at)
  cursor.at += width
}
