//! Takes Otlier's marks off again, so that a test can ask whether everything else is byte for byte as it was sent.

import { concat, type Place, places, readVarint, toHex, varint } from './bytes.ts'

/** `index` counts the request's spans from 0 in the order in which they stand. Ids are hex, as they stand. */
export type Mark = { index: number; traceId: string; spanId: string; attributes: Record<string, unknown> }

export type RemoveOptions = {
  /** Only spans for which this is true lose their mark. */
  onlyWhere?: (traceId: string, spanId: string, index: number) => boolean
  /** These spans stay as they are, by index. */
  leaveAlone?: ReadonlySet<number>
}

const DETECTED = 'otlier.anomaly.detected'

// What a mark may hold after its first attribute, beside `otlier.anomaly.*`.
const ALSO = new Set([
  'otlier.incident.id',
  'anomaly.is_anomaly',
  'anomaly.isolation_score',
  '@jaeger@warnings',
])

type SpanEdit = (span: Uint8Array, index: number) => Uint8Array | null

/**
 * Removes from each span the last run of attributes that begins at `otlier.anomaly.detected` and reaches the span's
 * end. The length prefixes above such a span become minimal; every other message keeps its exact bytes. A span in
 * which `otlier.anomaly.detected` stands more than once keeps what it has: Otlier marks no span that came with it.
 */
export function removeMarks(
  bytes: Uint8Array,
  options: RemoveOptions = {},
): { bytes: Uint8Array; marks: Mark[] } {
  const marks: Mark[] = []
  const edited = editSpans(bytes, (span, index) => {
    if (options.leaveAlone?.has(index)) return null
    const { traceId, spanId } = idsOf(span)
    if (options.onlyWhere && !options.onlyWhere(traceId, spanId, index)) return null
    const run = markOf(span)
    if (run === null) return null
    marks.push({ index, traceId, spanId, attributes: Object.fromEntries(run.attributes) })
    return span.subarray(0, run.start)
  })
  return { bytes: edited, marks }
}

/** The same request with minimal length prefixes of, and above, the given spans: by index, or by span id in hex. */
export function minimalPrefixes(bytes: Uint8Array, spans: Iterable<number | string>): Uint8Array {
  const wanted = new Set<number | string>(spans)
  return editSpans(bytes, (span, index) => {
    return wanted.has(index) || wanted.has(idsOf(span).spanId) ? span : null
  })
}

/** The spans that carry `otlier.anomaly.detected` anywhere, by index: what the sender put there, Otlier leaves alone. */
export function spansWithDetected(bytes: Uint8Array): Set<number> {
  const found = new Set<number>()
  editSpans(bytes, (span, index) => {
    if (attributesOf(span).some(([key]) => key === DETECTED)) found.add(index)
    return null
  })
  return found
}

/** Every span of a traces request, in order, with its ids and its bytes. */
export function spansOf(bytes: Uint8Array): { traceId: string; spanId: string; bytes: Uint8Array }[] {
  const spans: { traceId: string; spanId: string; bytes: Uint8Array }[] = []
  editSpans(bytes, span => {
    spans.push({ ...idsOf(span), bytes: span })
    return null
  })
  return spans
}

/** The request with the given spans rewritten. Where `edit` answers null, and beside the spans, no byte changes. */
export function editSpans(bytes: Uint8Array, edit: SpanEdit): Uint8Array {
  let index = 0
  const inSpan = (span: Uint8Array) => edit(span, index++)
  const inScope = (scope: Uint8Array) => editChildren(scope, 2, inSpan)
  const inResource = (resource: Uint8Array) => editChildren(resource, 2, inScope)
  return editChildren(bytes, 1, inResource) ?? bytes
}

/** Null when no child changed. A changed child keeps its tag's bytes and gets a minimal length prefix. */
function editChildren(
  parent: Uint8Array,
  number: number,
  edit: (child: Uint8Array) => Uint8Array | null,
): Uint8Array | null {
  let changed = false
  const parts = places(parent).map(place => {
    const whole = parent.subarray(place.start, place.end)
    if (place.number !== number || place.wire !== 2) return whole
    const child = edit(parent.subarray(place.from, place.to))
    if (child === null) return whole
    changed = true
    const tagBytes = parent.subarray(place.start, readVarint(parent, place.start).end)
    return concat([tagBytes, varint(child.length), child])
  })
  return changed ? concat(parts) : null
}

type Run = { start: number; attributes: [string, unknown][] }

function markOf(span: Uint8Array): Run | null {
  const fields = places(span)
  const run: [string, unknown][] = []
  for (const place of fields.toReversed()) {
    if (place.number !== 9) return null
    const [key, value] = keyValue(span.subarray(place.from, place.to))
    run.unshift([key, value])
    if (key === DETECTED) {
      const isTwice = attributesOf(span.subarray(0, place.start)).some(([earlier]) => earlier === DETECTED)
      return value === true && !isTwice ? { start: place.start, attributes: run } : null
    }
    if (!key.startsWith('otlier.anomaly.') && !ALSO.has(key)) return null
  }
  return null
}

function attributesOf(span: Uint8Array): [string, unknown][] {
  const attributes = places(span).filter(place => place.number === 9)
  return attributes.map(place => keyValue(span.subarray(place.from, place.to)))
}

function idsOf(span: Uint8Array): { traceId: string; spanId: string } {
  const fields = places(span)
  return { traceId: toHex(lastOf(span, fields, 1)), spanId: toHex(lastOf(span, fields, 2)) }
}

// Given twice, the last one counts.
function lastOf(bytes: Uint8Array, fields: readonly Place[], number: number): Uint8Array {
  const last = fields.findLast(place => place.number === number)
  return last === undefined ? new Uint8Array(0) : bytes.subarray(last.from, last.to)
}

const text = new TextDecoder()

function keyValue(bytes: Uint8Array): [string, unknown] {
  const fields = places(bytes)
  // A message given twice is merged: as the bytes of both, one after the other.
  const values = fields.filter(place => place.number === 2).map(place => bytes.subarray(place.from, place.to))
  return [text.decode(lastOf(bytes, fields, 1)), anyValue(concat(values))]
}

/** Text, boolean, number (bigint beyond 2^53), bytes, array or object; null for the empty value. */
function anyValue(bytes: Uint8Array): unknown {
  const place = places(bytes).findLast(one => one.number >= 1 && one.number <= 8)
  if (place === undefined) return null
  const content = bytes.subarray(place.from, place.to)
  if (place.number === 1) return text.decode(content)
  if (place.number === 2) return readVarint(bytes, place.from).value !== 0n
  if (place.number === 4) return new DataView(bytes.buffer, bytes.byteOffset + place.from).getFloat64(0, true)
  if (place.number === 5) return childrenOf(content).map(anyValue)
  if (place.number === 6) return Object.fromEntries(childrenOf(content).map(keyValue))
  if (place.number === 7) return content
  const int = BigInt.asIntN(64, readVarint(bytes, place.from).value)
  return BigInt(Number(int)) === int ? Number(int) : int
}

function childrenOf(list: Uint8Array): Uint8Array[] {
  const values = places(list).filter(place => place.number === 1)
  return values.map(place => list.subarray(place.from, place.to))
}
