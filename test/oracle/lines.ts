//! A request as lines, an item each: requests that were divided differently come to the same lines.

import { type Place, places, type Signal, toHex } from './bytes.ts'

/** The numbers of the children at each depth, down to the items. */
const CHILDREN: Record<Signal, readonly (readonly number[])[]> = {
  traces: [[1], [2], [2]],
  logs: [[1], [2], [2]],
  metrics: [[1], [2], [2], [5, 7, 9, 10, 11], [1]],
}

interface Line {
  readonly kind: 'item' | 'empty' | 'top'
  readonly envelopes: readonly string[]
  readonly content: string
}

/**
 * One line for each item, with the envelopes around it, each envelope as its fields less its children. Fields at the top of the request
 * that are no envelope are lines of their own, and so are envelopes without children.
 */
export function linesOf(signal: Signal, bytes: Uint8Array): Line[] {
  const lines: Line[] = []
  walk(bytes, places(bytes), 0, [])
  return lines

  function walk(all: Uint8Array, fields: readonly Place[], depth: number, envelopes: readonly string[]) {
    for (const field of fields) {
      const content = all.subarray(field.from, field.to)
      const raw = toHex(all.subarray(field.start, field.end))
      if (!CHILDREN[signal][depth].includes(field.number) || field.wire !== 2) {
        if (depth === 0) lines.push({ kind: 'top', envelopes, content: raw })
        continue
      }
      if (depth === CHILDREN[signal].length - 1) {
        lines.push({ kind: 'item', envelopes, content: raw })
        continue
      }
      const inside = places(content)
      const isChild = (place: Place) => CHILDREN[signal][depth + 1].includes(place.number) && place.wire === 2
      const own = inside
        .filter(place => !isChild(place))
        .map(place => toHex(content.subarray(place.start, place.end)))
      const around = [...envelopes, `${field.number}:${own.join(',')}`]
      if (own.length === inside.length) lines.push({ kind: 'empty', envelopes: around, content: '' })
      walk(content, inside, depth + 1, around)
    }
  }
}
