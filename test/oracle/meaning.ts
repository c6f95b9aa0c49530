//! What a request's bytes mean, as plain values: two requests that mean the same compare equal, however they are written.

import { concat, type Place, places, readVarint, type Signal, toHex } from './bytes.ts'
import { type Field, type Message, messageNamed, requestOf } from './schema.ts'

/** Numbers of whole types are bigints, doubles numbers, bytes hex. A message lists its set fields by camel-case name. */
export type Meaning = string | bigint | number | boolean | Meaning[] | { [name: string]: Meaning }

export type MessageMeaning = { [name: string]: Meaning }

/** The meaning of well-framed bytes. Fields at their default are left away, as proto3 cannot tell them apart. */
export function meaningOf(signal: Signal, bytes: Uint8Array): MessageMeaning {
  return messageMeaning(requestOf(signal), bytes)
}

/** Whether a set scalar of this field differs from an unset one: within a oneof, or declared `optional`. */
export function hasPresence(field: Field): boolean {
  return field.oneof !== '' || field.optional
}

export function isDefault(value: Meaning): boolean {
  return value === '' || value === 0n || value === false || Object.is(value, 0)
}

export function camelCase(name: string): string {
  return name.replace(/_(.)/g, (_all, letter: string) => letter.toUpperCase())
}

function messageMeaning(message: Message, bytes: Uint8Array): MessageMeaning {
  const found = new Map<Field, Place[]>()
  for (const place of places(bytes)) {
    const field = message.fields.get(place.number)
    if (field === undefined) continue
    // Of a oneof the last member counts; what another one said before is gone.
    for (const other of found.keys()) {
      if (field.oneof !== '' && other.oneof === field.oneof && other !== field) found.delete(other)
    }
    found.set(field, [...(found.get(field) ?? []), place])
  }
  const meaning: MessageMeaning = {}
  for (const [field, all] of found) {
    const value = fieldMeaning(field, bytes, all)
    if (field.repeated || field.shape === 'message' || hasPresence(field) || !isDefault(value)) {
      if (!Array.isArray(value) || value.length > 0) meaning[camelCase(field.name)] = value
    }
  }
  return meaning
}

function fieldMeaning(field: Field, bytes: Uint8Array, all: readonly Place[]): Meaning {
  const contents = all.map(place => bytes.subarray(place.from, place.to))
  if (field.shape === 'message') {
    const message = messageNamed(field.type)
    if (field.repeated) return contents.map(content => messageMeaning(message, content))
    // A message given twice is merged, which is what its contents mean one after the other.
    return messageMeaning(message, concat(contents))
  }
  const values = all.flatMap(place => scalars(field, place.wire, bytes.subarray(place.from, place.to)))
  return field.repeated ? values : (values.at(-1) ?? '')
}

const text = new TextDecoder('utf-8', { ignoreBOM: true })

function scalars(field: Field, wire: number, content: Uint8Array): Meaning[] {
  if (field.shape === 'string') return [text.decode(content)]
  if (field.shape === 'bytes') return [toHex(content)]
  if (wire !== 2) return [scalar(field, content, 0).value]
  const packed: Meaning[] = []
  for (let at = 0; at < content.length; ) {
    const { value, end } = scalar(field, content, at)
    packed.push(value)
    at = end
  }
  return packed
}

function scalar(field: Field, content: Uint8Array, at: number): { value: Meaning; end: number } {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength)
  if (field.type === 'double') return { value: view.getFloat64(at, true), end: at + 8 }
  if (field.type === 'fixed64') return { value: view.getBigUint64(at, true), end: at + 8 }
  if (field.type === 'sfixed64') return { value: view.getBigInt64(at, true), end: at + 8 }
  if (field.type === 'fixed32') return { value: BigInt(view.getUint32(at, true)), end: at + 4 }
  const { value, end } = readVarint(content, at)
  if (field.type === 'bool') return { value: value !== 0n, end }
  if (field.type === 'uint64') return { value, end }
  if (field.type === 'int64') return { value: BigInt.asIntN(64, value), end }
  if (field.type === 'uint32') return { value: BigInt.asUintN(32, value), end }
  if (field.type === 'int32' || field.type === 'enum') return { value: BigInt.asIntN(32, value), end }
  if (field.type !== 'sint32')
    throw new Error(`${field.name} has the type ${field.type}, which OTLP does not use`)
  const low = BigInt.asUintN(32, value)
  return { value: BigInt.asIntN(32, (low >> 1n) ^ -(low & 1n)), end }
}
