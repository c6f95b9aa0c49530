//! Protobuf by hand: the few primitives with which the oracles read messages and the test kit writes them.

export type Signal = 'traces' | 'metrics' | 'logs'

/**
 * Wire types: 0 varint, 1 fixed 64, 2 length-delimited, 3 group start, 4 group end, 5 fixed 32.
 * One field where it stands: `start` is its tag, `from` and `to` hold its content, `end` is the byte after it.
 */
export type Place = { number: number; wire: number; start: number; from: number; to: number; end: number }

/** How many bytes a varint is stretched to at least. 0 means: as short as it goes. */
export type Stretch = { tag?: number; length?: number; value?: number }

const utf8 = new TextEncoder()

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  const all = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

export function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

export function fromHex(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
}

/** A varint of the value's low 64 bits, stretched by empty continuation bytes to at least `length` bytes. */
export function varint(value: bigint | number, length = 0): Uint8Array {
  // Most are one byte: requests are written by the thousand.
  if (typeof value === 'number' && value >= 0 && value < 0x80 && length <= 1) return Uint8Array.of(value)
  let rest = BigInt.asUintN(64, BigInt(value))
  const out: number[] = []
  do {
    out.push(Number(rest & 0x7fn) | 0x80)
    rest >>= 7n
  } while (rest > 0n)
  while (out.length < length) out.push(0x80)
  out.push((out.pop() ?? 0) & 0x7f)
  return Uint8Array.from(out)
}

export function tag(number: number, wire: number, length = 0): Uint8Array {
  return varint(number * 8 + wire, length)
}

export function varintField(number: number, value: bigint | number, stretch: Stretch = {}): Uint8Array {
  return concat([tag(number, 0, stretch.tag), varint(value, stretch.value)])
}

/** A length-delimited field: text, bytes, a message or a packed run. */
export function delimited(number: number, content: Uint8Array | string, stretch: Stretch = {}): Uint8Array {
  const bytes = typeof content === 'string' ? utf8.encode(content) : content
  return concat([tag(number, 2, stretch.tag), varint(bytes.length, stretch.length), bytes])
}

export function fixed64(value: bigint): Uint8Array {
  const out = new Uint8Array(8)
  new DataView(out.buffer).setBigUint64(0, BigInt.asUintN(64, value), true)
  return out
}

export function fixed32(value: number): Uint8Array {
  const out = new Uint8Array(4)
  new DataView(out.buffer).setUint32(0, value >>> 0, true)
  return out
}

export function doubleBytes(value: number): Uint8Array {
  const out = new Uint8Array(8)
  new DataView(out.buffer).setFloat64(0, value, true)
  return out
}

export function fixed64Field(number: number, value: bigint): Uint8Array {
  return concat([tag(number, 1), fixed64(value)])
}

export function fixed32Field(number: number, value: number): Uint8Array {
  return concat([tag(number, 5), fixed32(value)])
}

export function doubleField(number: number, value: number): Uint8Array {
  return concat([tag(number, 1), doubleBytes(value)])
}

export function group(number: number, content: Uint8Array, stretch: Stretch = {}): Uint8Array {
  return concat([tag(number, 3, stretch.tag), content, tag(number, 4, stretch.tag)])
}

/** A varint's value, exact in its low 64 bits, and the byte after it. The bytes must be well framed. */
export function readVarint(bytes: Uint8Array, at: number): { value: bigint; end: number } {
  let value = 0n
  for (let n = 0; ; n++) {
    const byte = bytes[at + n]
    if (byte === undefined || n > 9) throw new RangeError(`no whole varint at ${at}`)
    value |= BigInt(byte & 0x7f) << BigInt(7 * n)
    if (byte < 0x80) return { value: BigInt.asUintN(64, value), end: at + n + 1 }
  }
}

/** As `readVarint`, exact below 2^53: more than any tag or length. */
function readNumber(bytes: Uint8Array, at: number): { value: number; end: number } {
  let value = 0
  for (let n = 0; ; n++) {
    const byte = bytes[at + n]
    if (byte === undefined || n > 9) throw new RangeError(`no whole varint at ${at}`)
    value += (byte & 0x7f) * 2 ** (7 * n)
    if (byte < 0x80) return { value, end: at + n + 1 }
  }
}

/** The fields of one well-framed message that fills `from` to `to`, in order. Throws where it is not well framed. */
export function places(bytes: Uint8Array, from = 0, to = bytes.length): Place[] {
  const found: Place[] = []
  for (let at = from; at < to; ) {
    const place = placeAt(bytes, at, to)
    if (place.wire === 4) throw new RangeError(`a group ends at ${at} that did not start`)
    found.push(place)
    at = place.end
  }
  return found
}

function placeAt(bytes: Uint8Array, start: number, to: number): Place {
  const head = readNumber(bytes, start)
  const wire = head.value % 8
  const number = Math.floor(head.value / 8)
  let from = head.end
  let end = from
  let close = 0
  if (wire === 0) end = readNumber(bytes, from).end
  else if (wire === 1) end = from + 8
  else if (wire === 5) end = from + 4
  else if (wire === 2) {
    const length = readNumber(bytes, from)
    from = length.end
    end = from + length.value
  } else if (wire === 3) {
    for (;;) {
      if (end >= to) throw new RangeError(`the group at ${start} does not end`)
      const inner = placeAt(bytes, end, to)
      if (inner.wire === 4) {
        if (inner.number !== number) throw new RangeError(`the group at ${start} ends with another number`)
        close = inner.end - end
        end = inner.end
        break
      }
      end = inner.end
    }
  } else if (wire !== 4) throw new RangeError(`wire type ${wire} at ${start}`)
  if (end > to) throw new RangeError(`the field at ${start} ends after its parent`)
  return { number, wire, start, from, to: end - close, end }
}
