//! A request taken apart into fields by the schema, to be changed somewhere and put together with right lengths.

import { concat, places, type Signal, varint } from './bytes.ts'
import { type Message, messageNamed, requestOf } from './schema.ts'

/** One field. `children` are those of a known message, else null and `content` counts. The rest bends the framing. */
export type Node = {
  /** The field's name in the schema it was read by, '' for an unknown one. */
  name: string
  number: number
  wire: number
  content: Uint8Array
  children: Node[] | null
  tagLength: number
  lengthLength: number
  /** Added to the true length of a length-delimited field. */
  lengthError: number
  copies: number
  /** Written after the field. */
  after: Uint8Array
}

/** Null when the bytes are not well framed. Groups are kept as opaque content. */
export function growTree(signal: Signal, bytes: Uint8Array): Node[] | null {
  try {
    return grow(requestOf(signal), bytes, 0)
  } catch (error) {
    if (error instanceof RangeError) return null
    throw error
  }
}

/** All nodes of the tree, parents first. */
export function nodesOf(tree: readonly Node[]): Node[] {
  const nodes: Node[] = []
  const collect = (level: readonly Node[]) => {
    for (const node of level) {
      nodes.push(node)
      if (node.children !== null) collect(node.children)
    }
  }
  collect(tree)
  return nodes
}

export function writeTree(tree: readonly Node[]): Uint8Array {
  return concat(tree.map(writeNode))
}

const none = new Uint8Array(0)

// Deeper than this, content stays opaque: trees are cloned and walked by recursion.
const DEEPEST = 150

function grow(message: Message, bytes: Uint8Array, depth: number): Node[] {
  return places(bytes).map(place => {
    const field = message.fields.get(place.number)
    const inner = bytes.subarray(place.from, place.wire === 3 ? place.end : place.to)
    const isMessage = field?.shape === 'message' && place.wire === 2 && depth < DEEPEST
    const children = isMessage ? grow(messageNamed(field.type), inner, depth + 1) : null
    // A copy of its own: a view would drag the whole request along when the node is cloned.
    const content = children === null ? new Uint8Array(inner) : none
    const plain = { tagLength: 0, lengthLength: 0, lengthError: 0, copies: 1, after: none }
    return { name: field?.name ?? '', number: place.number, wire: place.wire, content, children, ...plain }
  })
}

function writeNode(node: Node): Uint8Array {
  const content = node.children === null ? node.content : writeTree(node.children)
  const tagBytes = varint(BigInt(node.number) * 8n + BigInt(node.wire), node.tagLength)
  const length = varint(BigInt(Math.max(0, content.length + node.lengthError)), node.lengthLength)
  const once = concat(node.wire === 2 ? [tagBytes, length, content] : [tagBytes, content])
  return concat([...Array<Uint8Array>(node.copies).fill(once), node.after])
}
