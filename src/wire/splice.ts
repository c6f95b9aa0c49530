//! Adds attributes to chosen spans: their bytes grow at the end, only the length prefixes above them change, all else is copied as it was.
import type { Items } from '../base/item.ts'
import { readTag } from './cursor.ts'
import { varintSize } from './writer.ts'

function writeVarint(out: Uint8Array, at: number, value: number): number {
  while (value >= 0x80) {
    out[at++] = (value & 0x7f) | 0x80
    value >>>= 7
  }
  out[at++] = value
  return at
}

/**
 * Appends fields to spans of a scanned request.
 * @param marked indices of items, ascending
 * @param additions for each of them whole fields, tag and length included, to stand at the span's end
 * @returns a new request; the input is not touched. A length prefix above a marked span is written minimally.
 */
export function splice(
  bytes: Uint8Array,
  items: Items,
  marked: readonly number[],
  additions: readonly Uint8Array[],
): Uint8Array {
  // Lengths from the inside out: of each touched span, scope and resource, how long its content becomes.
  const scopeGrowth = new Map<number, number>()
  const resourceGrowth = new Map<number, number>()
  for (let i = 0; i < marked.length; i++) {
    const item = marked[i]
    const before = items.endAt[item] - items.contentAt[item]
    const grown = before + additions[i].length
    const prefixBefore = items.contentAt[item] - afterTag(bytes, items.tagAt[item])
    const growth = additions[i].length + varintSize(grown) - prefixBefore
    const scope = items.scope[item]
    scopeGrowth.set(scope, (scopeGrowth.get(scope) ?? 0) + growth)
  }
  for (const [scope, growth] of scopeGrowth) {
    const grown = items.scopeEndAt[scope] - items.scopeContentAt[scope] + growth
    const prefixBefore = items.scopeContentAt[scope] - afterTag(bytes, items.scopeTagAt[scope])
    const resource = items.scopeResource[scope]
    resourceGrowth.set(
      resource,
      (resourceGrowth.get(resource) ?? 0) + growth + varintSize(grown) - prefixBefore,
    )
  }
  let total = bytes.length
  for (const [resource, growth] of resourceGrowth) {
    const grown = items.resourceEndAt[resource] - items.resourceContentAt[resource] + growth
    const prefixBefore = items.resourceContentAt[resource] - afterTag(bytes, items.resourceTagAt[resource])
    total += growth + varintSize(grown) - prefixBefore
  }

  const out = Buffer.allocUnsafeSlow(total)
  let from = 0
  let to = 0
  /** Copies up to the prefix of a message, writes the new prefix, and goes on at its content. */
  const reframe = (tagAt: number, contentAt: number, length: number) => {
    const prefixAt = afterTag(bytes, tagAt)
    out.set(bytes.subarray(from, prefixAt), to)
    to = writeVarint(out, to + prefixAt - from, length)
    from = contentAt
  }
  let scope = -1
  let resource = -1
  for (let i = 0; i < marked.length; i++) {
    const item = marked[i]
    if (items.scope[item] !== scope) {
      scope = items.scope[item]
      if (items.scopeResource[scope] !== resource) {
        resource = items.scopeResource[scope]
        const at = items.resourceContentAt[resource]
        reframe(
          items.resourceTagAt[resource],
          at,
          items.resourceEndAt[resource] - at + (resourceGrowth.get(resource) ?? 0),
        )
      }
      const at = items.scopeContentAt[scope]
      reframe(items.scopeTagAt[scope], at, items.scopeEndAt[scope] - at + (scopeGrowth.get(scope) ?? 0))
    }
    const at = items.contentAt[item]
    reframe(items.tagAt[item], at, items.endAt[item] - at + additions[i].length)
    out.set(bytes.subarray(from, items.endAt[item]), to)
    to += items.endAt[item] - from
    from = items.endAt[item]
    out.set(additions[i], to)
    to += additions[i].length
  }
  out.set(bytes.subarray(from), to)
  return out
}

const afterTag = (bytes: Uint8Array, tagAt: number) =>
  bytes[tagAt] < 0x80 ? tagAt + 1 : readTag(bytes, tagAt, bytes.length)
