//! Attribute values, resources and scopes of ordinary requests, from plain JavaScript values to bytes.

import { concat, delimited, doubleField, fromHex, varintField } from './bytes.ts'

/** A whole number travels as int, another number as double; `new Double(3)` is the double 3. */
export type Value =
  | string
  | number
  | bigint
  | boolean
  | null
  | Uint8Array
  | Double
  | readonly Value[]
  | { readonly [key: string]: Value }

export type Attributes = Readonly<Record<string, Value>>

export class Double {
  readonly double: number
  constructor(double: number) {
    this.double = double
  }
}

/** Who sent it. `resource` holds further resource attributes. A missing `service` makes an empty resource. */
export type Origin = {
  service?: string
  namespace?: string
  environment?: string
  resource?: Attributes
  scope?: string | { name?: string; version?: string; attributes?: Attributes }
}

/** One KeyValue as field `number` of its parent. */
export function attribute(number: number, key: string, value: Value): Uint8Array {
  return delimited(number, concat([delimited(1, key), delimited(2, anyValue(value))]))
}

/** The content of an AnyValue. `null` is the empty one. */
export function anyValue(value: Value): Uint8Array {
  if (value === null) return new Uint8Array(0)
  if (typeof value === 'string') return delimited(1, value)
  if (typeof value === 'boolean') return varintField(2, value ? 1 : 0)
  if (typeof value === 'bigint') return varintField(3, value)
  if (typeof value === 'number')
    return Number.isSafeInteger(value) ? varintField(3, value) : doubleField(4, value)
  if (value instanceof Double) return doubleField(4, value.double)
  if (value instanceof Uint8Array) return delimited(7, value)
  if (isList(value)) return delimited(5, concat(value.map(one => delimited(1, anyValue(one)))))
  return delimited(6, attributesOf(1, value))
}

function isList(value: object): value is readonly Value[] {
  return Array.isArray(value)
}

export function attributesOf(number: number, attributes: Attributes | undefined): Uint8Array {
  return concat(Object.entries(attributes ?? {}).map(([key, value]) => attribute(number, key, value)))
}

export function resourceOf(origin: Origin): Uint8Array {
  const named = [
    ['service.name', origin.service],
    ['service.namespace', origin.namespace],
    ['deployment.environment.name', origin.environment],
  ] as const
  const own = named.map(([key, value]) => (value === undefined ? none : attribute(1, key, value)))
  return delimited(1, concat([...own, attributesOf(1, origin.resource)]))
}

export function scopeOf(origin: Origin): Uint8Array {
  if (origin.scope === undefined) return none
  const scope = typeof origin.scope === 'string' ? { name: origin.scope } : origin.scope
  return delimited(
    1,
    concat([text(1, scope.name), text(2, scope.version), attributesOf(3, scope.attributes)]),
  )
}

export const none = new Uint8Array(0)

export function text(number: number, value: string | undefined): Uint8Array {
  return value === undefined || value === '' ? none : delimited(number, value)
}

export function id(number: number, hex: string | undefined): Uint8Array {
  return hex === undefined || hex === '' ? none : delimited(number, fromHex(hex))
}
