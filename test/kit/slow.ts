//! Makes one span of an odd request a slow call of an operation that is known, and leaves it as odd as it was.
import { concat, delimited, fixed64Field, places, varintField } from '../oracle/bytes.ts'
import { attribute } from '../oracle/values.ts'
import { between, chance, type Random, shuffled } from './random.ts'

interface Call {
  readonly service: string
  readonly operation: string
  readonly startNs: bigint
  readonly durationNs: bigint
}

const RESOURCE = 1
const SERVER = 2
const IDENTITY = ['service.namespace', 'deployment.environment.name']

/**
 * What says so stands among what was there, behind what it overrides: of a field given twice the last counts. Lengths above the span
 * are drawn out now and then. The request must have a span.
 */
export function withSlowCall(random: Random, request: Uint8Array, call: Call): Uint8Array {
  const { service, operation, startNs, durationNs } = call
  const said = [
    delimited(5, operation),
    varintField(6, SERVER),
    fixed64Field(7, startNs),
    fixed64Field(8, startNs + durationNs),
  ]
  // A resource that is given twice is one: the service may stand in a message, its namespace in the next.
  const attributes = [attribute(1, 'service.name', service), ...IDENTITY.map(key => attribute(1, key, ''))]
  const resources = chance(random, 0.5) ? [concat(attributes)] : attributes
  const inSpan = (span: Uint8Array) => strewn(random, span, said, [5, 6, 7, 8])
  const inScope = (scope: Uint8Array) => changedChild(random, scope, 2, inSpan)
  const changedRequest = changedChild(random, request, 1, resource => {
    const inside = changedChild(random, resource, 2, inScope)
    const fields = resources.map(content => delimited(RESOURCE, content))
    return inside && strewn(random, inside, fields, [RESOURCE])
  })
  if (changedRequest === null) throw new RangeError('the request has no span')
  return changedRequest
}

/** One of the children of this number changed; null where none can be. */
export function changedChild(
  random: Random,
  parent: Uint8Array,
  number: number,
  change: (child: Uint8Array) => Uint8Array | null,
): Uint8Array | null {
  const children = places(parent).filter(place => place.number === number && place.wire === 2)
  for (const { start, from, to, end } of shuffled(random, children)) {
    const child = change(parent.subarray(from, to))
    if (child === null) continue
    const length = chance(random, 0.5) ? between(random, 1, 10) : 0
    return concat([parent.subarray(0, start), delimited(number, child, { length }), parent.subarray(end)])
  }
  return null
}

/** The fields in their order at random places of the message, behind the last of the numbers that they override. */
function strewn(
  random: Random,
  message: Uint8Array,
  fields: readonly Uint8Array[],
  numbers: readonly number[],
): Uint8Array {
  const parts = places(message).map(({ number, start, end }) => ({
    number,
    bytes: message.subarray(start, end),
  }))
  let least = parts.findLastIndex(({ number }) => numbers.includes(number)) + 1
  for (const bytes of fields) {
    const at = between(random, least, parts.length)
    parts.splice(at, 0, { number: 0, bytes })
    least = at + 1
  }
  return concat(parts.map(({ bytes }) => bytes))
}
