//! What OTLP/JSON means to JSON.parse, by the schema that protobufjs has read: slow, and without the care that a hostile text needs.

import protobuf from 'protobufjs'
import type { Signal } from './bytes.ts'
import { requestOf, root } from './schema.ts'

/** In the form of `meaningOf`. The text must be well made: 64-bit numbers stand in it as strings. */
export function parsedMeaning(signal: Signal, text: string): object {
  return slowly(root.lookupType(requestOf(signal).name), JSON.parse(text))
}

const IDS = new Set(['traceId', 'spanId', 'parentSpanId'])

function slowly(type: protobuf.Type, parsed: Record<string, unknown>): object {
  const out: Record<string, unknown> = {}
  for (const field of type.fieldsArray) {
    const name = field.name.replace(/_(.)/g, (_all, letter: string) => letter.toUpperCase())
    const given = parsed[name]
    if (given === undefined || given === null) continue
    const one = (value: unknown): unknown => {
      if (field.resolvedType instanceof protobuf.Type)
        return slowly(field.resolvedType, value as Record<string, unknown>)
      if (field.type === 'bytes')
        return IDS.has(name)
          ? String(value).toLowerCase()
          : Buffer.from(String(value), 'base64').toString('hex')
      if (field.type === 'double') return Number(value)
      return field.type === 'string' || field.type === 'bool' ? value : BigInt(value as string)
    }
    const value = Array.isArray(given) ? given.map(one) : one(given)
    const isZero = value === '' || value === 0n || value === false || Object.is(value, 0)
    if (!(isZero && field.partOf === null) && !(Array.isArray(value) && value.length === 0)) out[name] = value
  }
  return out
}
