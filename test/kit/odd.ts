//! Requests for tests: odd ones, which are valid in every way that senders seldom use, and plain ones.

import { concat, delimited, type Signal, tag, varint } from '../oracle/bytes.ts'
import { DEEPEST, ITEMS } from '../oracle/framing.ts'
import { numberBytes, type Odd, stretch, textBytes, unknownFields, wild } from '../oracle/oddities.ts'
import { type Field, fieldNamed, type Message, messageNamed, requestOf } from '../oracle/schema.ts'
import { attribute, Double } from '../oracle/values.ts'
import { between, chance, int, pick, type Random, shuffled } from './random.ts'

export { logsRequest, type PlainSpan, plainRequest, tracesRequest } from '../oracle/plain.ts'
export { metricsRequest } from '../oracle/points.ts'
export { Double } from '../oracle/values.ts'

export type OddOptions = {
  /** The probability of each oddity. Without it, each request draws its own from 0 to 0.4. */
  wildness?: number
  /** The deepest nesting below the request: 100 unless told otherwise, and at least 20. */
  deepest?: number
  /** False: every string is valid UTF-8. */
  invalidText?: boolean
  /** False: no span carries an attribute that looks like Otlier's. */
  sentMarks?: boolean
  /** False: no attribute of tens of kilobytes. */
  huge?: boolean
  /** How long a length prefix may be drawn out: 10 bytes unless told otherwise. */
  lengthBytes?: number
}

const COMMON = 'opentelemetry.proto.common.v1'
const SPAN = 'opentelemetry.proto.trace.v1.Span'

/** A request that keeps the framing law, with exactly `size` items, odd in as many ways as the law allows. */
export function oddRequest(
  random: Random,
  signal: Signal,
  size: number,
  options: OddOptions = {},
): Uint8Array {
  const odd: Odd = {
    random,
    wildness: options.wildness ?? pick(random, [0, 0.02, 0.1, 0.4]),
    deepest: options.deepest ?? DEEPEST,
    invalidText: options.invalidText ?? true,
    sentMarks: options.sentMarks ?? true,
    itemsAtOnce: Math.max(6, Math.floor(size / 4)),
    lengthBytes: options.lengthBytes ?? 10,
    spanIds: [],
    itemsLeft: size,
    deepLeft: chance(random, 0.3) ? 1 : 0,
    hugeLeft: options.huge !== false && chance(random, 0.05) ? 1 : 0,
  }
  const request = requestOf(signal)
  const [envelopes] = request.fields.values()
  if (envelopes === undefined) throw new Error(`${request.name} has no field`)
  const parts: Uint8Array[] = []
  for (let extra = int(random, 3); odd.itemsLeft > 0 || extra > 0; extra--) {
    parts.push(once(odd, envelopes, 0))
    if (wild(odd)) parts.push(unknownFields(odd, request, 0))
  }
  return concat(parts)
}

/** The content of one message: its fields mostly in order, some of them twice, some not at all. */
function content(odd: Odd, message: Message, depth: number): Uint8Array {
  if (message.name === `${COMMON}.AnyValue` && odd.deepLeft > 0) return deepValue(odd, depth)
  const parts: Uint8Array[] = []
  const choices = new Map<string, Field[]>()
  for (const field of message.fields.values()) {
    if (field.oneof === '') parts.push(...several(odd, field, depth))
    else choices.set(field.oneof, [...(choices.get(field.oneof) ?? []), field])
  }
  for (const fields of choices.values()) parts.push(...oneof(odd, fields, depth))
  if (wild(odd)) parts.push(unknownFields(odd, message, depth))
  const ordered = wild(odd, 2) ? shuffled(odd.random, parts) : parts
  if (message.name === SPAN && odd.sentMarks && chance(odd.random, 0.06)) ordered.push(...sentMark(odd))
  return concat(ordered)
}

/** Mostly one of the fields, sometimes none, sometimes two, sometimes one twice. */
function oneof(odd: Odd, fields: readonly Field[], depth: number): Uint8Array[] {
  const fitting = fields.filter(field => fits(odd, field, depth))
  const count = wild(odd) ? pick(odd.random, [0, 2, 3]) : 1
  return Array.from({ length: count }, () => once(odd, pick(odd.random, fitting), depth))
}

// Values hold values: the deeper, the less likely, or no request would ever end.
function fits(odd: Odd, field: Field, depth: number): boolean {
  const isNesting = field.type === `${COMMON}.ArrayValue` || field.type === `${COMMON}.KeyValueList`
  return !isNesting || (depth + 3 <= odd.deepest && chance(odd.random, depth < 12 ? 0.5 : 0.1))
}

/** As many of the field as its place suggests. Repeated numbers come packed or not, or in parts of both. */
function several(odd: Odd, field: Field, depth: number): Uint8Array[] {
  const { random } = odd
  if (field.shape === 'message' && depth + 1 > odd.deepest) return []
  const count = field.repeated ? repeats(odd, field) : chance(random, 0.75) ? (wild(odd, 0.5) ? 2 : 1) : 0
  const isNumber = field.shape === 'varint' || field.shape === 'fixed64' || field.shape === 'fixed32'
  if (!field.repeated || !isNumber) return Array.from({ length: count }, () => once(odd, field, depth))
  const parts: Uint8Array[] = []
  for (let left = count; left > 0; ) {
    const run = chance(random, 0.7) ? left : between(random, 0, left)
    left -= run
    if (wild(odd)) for (let n = 0; n < run; n++) parts.push(once(odd, field, depth))
    else {
      const numbers = Array.from({ length: run }, () => numberBytes(odd, field))
      parts.push(delimited(field.number, concat(numbers), stretch(odd)))
    }
  }
  return parts
}

function repeats(odd: Odd, field: Field): number {
  const { random } = odd
  if (ITEMS.has(field.type)) {
    const count = Math.min(odd.itemsLeft, between(random, 0, odd.itemsAtOnce))
    odd.itemsLeft -= count
    return count
  }
  if (field.name.startsWith('scope_') || field.name === 'metrics') return pick(random, [0, 1, 1, 1, 2, 3])
  if (field.name.endsWith('attributes')) return pick(random, [0, 0, 1, 1, 2, 4])
  if (field.type === `${COMMON}.AnyValue` || field.type === `${COMMON}.KeyValue`) return int(random, 3)
  return field.shape === 'message' ? pick(random, [0, 0, 0, 1, 2]) : int(random, 6)
}

/** The field once, tag and all. */
function once(odd: Odd, field: Field, depth: number): Uint8Array {
  if (field.shape === 'message') {
    const isEmpty = wild(odd, 0.2) && odd.itemsLeft > 0
    const inner = isEmpty ? new Uint8Array(0) : content(odd, messageNamed(field.type), depth + 1)
    return delimited(field.number, inner, stretch(odd))
  }
  if (field.shape === 'string' || field.shape === 'bytes') {
    return delimited(field.number, textBytes(odd, field), stretch(odd))
  }
  const wire = { varint: 0, fixed64: 1, fixed32: 5 }[field.shape]
  return concat([tag(field.number, wire, stretch(odd).tag), numberBytes(odd, field)])
}

/** Values in values down to the limit or close to it. `depth` is that of the AnyValue whose content this is. */
function deepValue(odd: Odd, depth: number): Uint8Array {
  odd.deepLeft--
  const { random } = odd
  const value = messageNamed(`${COMMON}.AnyValue`)
  const array = fieldNamed(value, 'array_value').number
  const list = fieldNamed(value, 'kvlist_value').number
  const levels = odd.deepest - depth - pick(random, [0, 0, 1, 2, int(random, odd.deepest - depth)])
  const wraps: ((inner: Uint8Array) => Uint8Array)[] = []
  for (let left = levels; left >= 2; ) {
    const isList = left >= 3 && chance(random, 0.4)
    left -= isList ? 3 : 2
    if (isList) wraps.push(inner => delimited(list, delimited(1, delimited(2, inner)), stretch(odd)))
    else wraps.push(inner => delimited(array, delimited(1, inner), stretch(odd)))
  }
  let inner: Uint8Array = concat([tag(2, 0), varint(1)])
  for (const wrap of wraps) inner = wrap(inner)
  return inner
}

/** What a span that went through another Otlier carries at its end. */
function sentMark(odd: Odd): Uint8Array[] {
  const run = [
    attribute(9, 'otlier.anomaly.detected', true),
    attribute(9, 'otlier.anomaly.score', new Double(3)),
    attribute(9, 'otlier.incident.id', '01J'),
  ]
  return run.slice(0, between(odd.random, 1, 3))
}
