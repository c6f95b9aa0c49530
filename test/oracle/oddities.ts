//! The odd leaves of odd requests: ids, times, texts and numbers at their extremes, and fields that no schema knows.

import { between, bytes, chance, int, pick, type Random } from '../kit/random.ts'
import { concat, delimited, fixed32, fixed64, group, type Stretch, tag, varint } from './bytes.ts'
import type { Field, Message } from './schema.ts'

/** What one odd request is made with. `wildness` is the probability of each oddity, chosen once for a request. */
export type Odd = {
  readonly random: Random
  readonly wildness: number
  readonly deepest: number
  readonly invalidText: boolean
  readonly sentMarks: boolean
  readonly itemsAtOnce: number
  readonly lengthBytes: number
  readonly spanIds: Uint8Array[]
  itemsLeft: number
  deepLeft: number
  hugeLeft: number
}

const TEXTS = [
  '',
  'GET /',
  'checkout',
  'µs ✓ 🚀',
  'a\u0000b',
  ' ',
  'x'.repeat(130),
  'select 1',
  '%s',
  '"',
  '\\',
]

const BROKEN_TEXTS = ['ff', 'c0af', 'eda080', 'e282', '61ff62', 'f4908080', '80'].map(hex =>
  Buffer.from(hex, 'hex'),
)

const KEYS = [
  'service.name',
  'service.namespace',
  'deployment.environment.name',
  'http.request.method',
  'http.response.status_code',
  'error.type',
  'k8s.pod.name',
  'a',
  '',
]

const SENT_KEYS = [
  'otlier.anomaly.detected',
  'otlier.anomaly.score',
  'otlier.incident.id',
  '@jaeger@warnings',
]

const EXTREMES = [
  0n,
  1n,
  2n,
  127n,
  128n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n,
  2n ** 53n + 1n,
  2n ** 63n - 1n,
]

const DOUBLES = [0, -0, 1, -1.5, NaN, Infinity, -Infinity, 5e-324, Number.MAX_VALUE, 1e21, 0.1]

const YEAR_2026_NS = 1_790_000_000_000_000_000n

/** Whether the request's wildness strikes. */
export function wild(odd: Odd, weight = 1): boolean {
  return chance(odd.random, odd.wildness * weight)
}

/** How long the next field's varints are drawn out. */
export function stretch(odd: Odd): Stretch {
  return {
    tag: wild(odd) ? between(odd.random, 1, 5) : 0,
    length: wild(odd) ? between(odd.random, 1, odd.lengthBytes) : 0,
    value: wild(odd) ? between(odd.random, 1, 10) : 0,
  }
}

/** A number of the field's type as it stands after its tag. */
export function numberBytes(odd: Odd, field: Field): Uint8Array {
  const { random } = odd
  if (field.shape === 'fixed32') return fixed32(pick(random, [0, 1, 257, 0x80000000, 0xffffffff]))
  if (field.shape === 'varint') return varint(integer(odd, field), stretch(odd).value)
  if (field.name.endsWith('time_unix_nano')) return fixed64(timeNs(odd))
  if (field.type !== 'double') return fixed64(integer(odd, field))
  if (wild(odd)) return bytes(random, 8)
  const view = new DataView(new ArrayBuffer(8))
  view.setFloat64(0, chance(random, 0.5) ? random() * 1e3 : pick(random, DOUBLES), true)
  return new Uint8Array(view.buffer)
}

function integer(odd: Odd, field: Field): bigint {
  const { random } = odd
  if (wild(odd)) return pick(random, [...EXTREMES, -1n, -(2n ** 63n), -(2n ** 31n), 2n ** 64n - 1n])
  if (field.type === 'bool') return BigInt(int(random, 2))
  return BigInt(int(random, field.type === 'enum' ? 6 : 1_000))
}

/** Start and end are drawn apart: about half of the spans end before they start. */
function timeNs(odd: Odd): bigint {
  const { random } = odd
  if (wild(odd)) return pick(random, [0n, 1n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n])
  return YEAR_2026_NS + BigInt(int(random, 1_000_000_000))
}

/** The content of a string or bytes field. */
export function textBytes(odd: Odd, field: Field): Uint8Array {
  const { random } = odd
  if (field.name === 'trace_id') return idBytes(odd, 16)
  if (field.name === 'span_id') {
    const id = idBytes(odd, 8)
    odd.spanIds.push(id)
    return id
  }
  if (field.name === 'parent_span_id')
    return chance(random, 0.5) ? (odd.spanIds.at(-1) ?? none) : idBytes(odd, 8)
  if (field.shape === 'bytes') return bytes(random, pick(random, [0, 1, 3, 64, 200]))
  if (odd.hugeLeft > 0 && chance(random, 0.05)) {
    odd.hugeLeft--
    return Buffer.alloc(between(random, 16_000, 80_000), 'h')
  }
  if (odd.invalidText && wild(odd)) return pick(random, BROKEN_TEXTS)
  if (field.name === 'key') return Buffer.from(keyText(odd))
  return Buffer.from(pick(random, TEXTS))
}

function keyText(odd: Odd): string {
  return odd.sentMarks && chance(odd.random, 0.04) ? pick(odd.random, SENT_KEYS) : pick(odd.random, KEYS)
}

function idBytes(odd: Odd, length: number): Uint8Array {
  const { random } = odd
  if (wild(odd)) return pick(random, [none, new Uint8Array(length), bytes(random, 3), bytes(random, 40)])
  return bytes(random, length)
}

const none = new Uint8Array(0)

/** Some fields that the message does not know, of every wire type, groups included. */
export function unknownFields(odd: Odd, message: Message | null, depth: number): Uint8Array {
  const count = between(odd.random, 1, 3)
  return concat(Array.from({ length: count }, () => unknownField(odd, message, depth)))
}

function unknownField(odd: Odd, message: Message | null, depth: number): Uint8Array {
  const { random } = odd
  const number = unknownNumber(random, message)
  const drawn = stretch(odd)
  const wire = pick(random, [0, 1, 2, 3, 5] as const)
  if (wire === 3) {
    if (depth + 1 > odd.deepest) return none
    // A run of nested groups now and then: they count towards the depth as messages do.
    const inner = chance(random, 0.05) ? nestedGroups(odd, depth + 1) : chance(random, 0.6)
    const content = inner === true ? unknownFields(odd, null, depth + 1) : inner === false ? none : inner
    return group(number, content, drawn)
  }
  if (wire === 2) return delimited(number, bytes(random, int(random, 12)), drawn)
  const value = wire === 0 ? varint(pick(random, EXTREMES), drawn.value) : bytes(random, wire === 1 ? 8 : 4)
  return concat([tag(number, wire, drawn.tag), value])
}

function nestedGroups(odd: Odd, depth: number): Uint8Array {
  let content: Uint8Array = none
  for (let left = int(odd.random, odd.deepest - depth + 1); left > 0; left--) {
    content = group(between(odd.random, 1, 20), content)
  }
  return content
}

// Inside a group no number is known, so that even the parent's own numbers may stand there.
function unknownNumber(random: Random, message: Message | null): number {
  const reserved = message?.reserved ?? [1, 2, 9]
  const numbers = [...reserved, 17, 100, 1000, 19_000, 2 ** 29 - 1]
  return pick(
    random,
    numbers.filter(number => message === null || !message.fields.has(number)),
  )
}
