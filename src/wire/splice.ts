//! Adds attributes to chosen spans: their bytes grow at the end, only the length prefixes above them change, all else stays as it was.
import type { Items } from '../base/item.ts'
import { readTag } from './cursor.ts'
import { varintSize } from './writer.ts'

function varint(value: number): Uint8Array {
  const out = new Uint8Array(varintSize(value))
  let rest = value
  for (let at = 0; at < out.length; at++, rest >>>= 7) out[at] = rest < 128 ? rest : (rest & 0x7f) | 0x80
  return out
}

/**
 * Appends fields to spans of a scanned request.
 * @param marked indices of items, ascending
 * @param additions for each of them whole fields, tag and length included, to stand at the span's end
 * @returns the new request in pieces, most of them views of the input, which is not touched: of a large request only what is new takes
 * memory. A length prefix above a marked span is written minimally.
 */
export function splice(
  bytes: Uint8Array,
  items: Items,
  marked: readonly number[],
  additions: readonly Uint8Array[],
): readonly Uint8Array[] {
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
  const pieces: Uint8Array[] = []
  let from = 0
  const keep = (to: number) => {
    if (to > from) pieces.push(bytes.subarray(from, to))
    from = to
  }
  /** Keeps all up to the prefix of a message, puts the new prefix in its place, and goes on at the content. */
  const reframe = (tagAt: number, contentAt: number, length: number) => {
    keep(afterTag(bytes, tagAt))
    pieces.push(varint(length))
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
    keep(items.endAt[item])
    pieces.push(additions[i])
  }
  keep(bytes.length)
  return pieces
}

const afterTag = (bytes: Uint8Array, tagAt: number) =>
  bytes[tagAt] < 0x80 ? tagAt + 1 : readTag(bytes, tagAt, bytes.length)
