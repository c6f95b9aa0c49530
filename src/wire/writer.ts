//! Protobuf appended to a growing buffer: tags, varints, fixed numbers, strings, and messages whose length is known only at their end.
import { Failure } from '../base/errors.ts'
import { REPLACEMENT } from './utf8.ts'

const FLOAT = new Float64Array(1)
const FLOAT_WORDS = new Uint32Array(FLOAT.buffer)
// Which of the two words of a double holds its sign: 1 on little-endian machines.
const HIGH_WORD = new Uint8Array(new Uint16Array([1]).buffer)[0]

/** How many bytes `value` takes as a varint. `value` is at most 2^53. */
export function varintSize(value: number): number {
  let size = 1
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) size++
  return size
}

/**
 * Bytes [0, length) of `bytes` have been written. Every method makes its own room, so `bytes` may be another array after
 * any of them. Growing past `maxBytes` throws OTLIER_TOO_LARGE.
 */
export class Writer {
  bytes: Uint8Array
  length = 0
  maxBytes: number

  constructor(capacity = 256, maxBytes = Number.POSITIVE_INFINITY) {
    this.bytes = new Uint8Array(capacity)
    this.maxBytes = maxBytes
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    if (this.length + count > this.bytes.length) this.#grow(this.length + count)
  }

  byte(value: number): void {
    if (this.length === this.bytes.length) this.#grow(this.length + 1)
    this.bytes[this.length++] = value
  }

  /** `field` as in the .proto file, `wire` of WIRE. */
  tag(field: number, wire: number): void {
    this.varint((field << 3) | wire)
  }

  /** A non-negative integer up to 2^53. */
  varint(value: number): void {
    this.reserve(8)
    let rest = value
    while (rest >= 0x1_0000_0000) {
      this.bytes[this.length++] = (rest & 0x7f) | 0x80
      rest = Math.floor(rest / 128)
    }
    rest >>>= 0
    while (rest >= 128) {
      this.bytes[this.length++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.bytes[this.length++] = rest
  }

  /** A 64-bit varint in two unsigned halves; negative numbers in two's complement. */
  varint64(high: number, low: number): void {
    this.reserve(10)
    let hi = high >>> 0
    let lo = low >>> 0
    while (hi !== 0) {
      this.bytes[this.length++] = (lo & 0x7f) | 0x80
      lo = ((lo >>> 7) | (hi << 25)) >>> 0
      hi >>>= 7
    }
    this.varint(lo)
  }

  fixed32(value: number): void {
    this.reserve(4)
    this.#word(value)
  }

  /** Eight little-endian bytes of two halves. */
  fixed64(high: number, low: number): void {
    this.reserve(8)
    this.#word(low)
    this.#word(high)
  }

  #word(value: number): void {
    const { bytes, length } = this
    bytes[length] = value
    bytes[length + 1] = value >>> 8
    bytes[length + 2] = value >>> 16
    bytes[length + 3] = value >>> 24
    this.length = length + 4
  }

  double(value: number): void {
    FLOAT[0] = value
    this.fixed64(FLOAT_WORDS[HIGH_WORD], FLOAT_WORDS[1 - HIGH_WORD])
  }

  /** The bytes [start, end) of `source` as they are. */
  append(source: Uint8Array, start = 0, end = source.length): void {
    const count = end - start
    this.reserve(count)
    if (count > 64) {
      this.bytes.set(source.subarray(start, end), this.length)
      this.length += count
      return
    }
    // A view costs more than copying this few bytes one at a time.
    const { bytes } = this
    let to = this.length
    for (let from = start; from < end; from++) bytes[to++] = source[from]
    this.length = to
  }

  /** A length prefix and the bytes [start, end) of `source`: a field's value of wire type LEN, without its tag. */
  delimited(source: Uint8Array, start = 0, end = source.length): void {
    this.varint(end - start)
    this.append(source, start, end)
  }

  /** A length prefix and `text` in UTF-8. A lone surrogate becomes U+FFFD. */
  string(text: string): void {
    const prefix = text.length < 128 ? 1 : varintSize(text.length)
    const at = this.open(prefix)
    this.text(text)
    this.close(at, prefix)
  }

  /** `text` in UTF-8, bare. A lone surrogate becomes U+FFFD. */
  text(text: string): void {
    this.reserve(text.length * 3)
    const { bytes } = this
    let i = 0
    let at = this.length
    // Nearly all text is ASCII to its end.
    for (let unit = 0; i < text.length && (unit = text.charCodeAt(i)) < 0x80; i++) bytes[at++] = unit
    this.length = at
    for (; i < text.length; i++) {
      const unit = text.charCodeAt(i)
      if (unit < 0x80) {
        this.bytes[this.length++] = unit
      } else if (unit < 0xd800 || unit > 0xdfff) {
        this.codePoint(unit)
      } else {
        const point = text.codePointAt(i) as number
        if (point > 0xffff) i++
        this.codePoint(point > 0xffff ? point : REPLACEMENT)
      }
    }
  }

  /** One code point in UTF-8. The caller has replaced surrogates. */
  codePoint(point: number): void {
    this.reserve(4)
    const { bytes } = this
    if (point < 0x80) {
      bytes[this.length++] = point
      return
    }
    if (point < 0x800) {
      bytes[this.length++] = 0xc0 | (point >> 6)
    } else {
      if (point < 0x10000) {
        bytes[this.length++] = 0xe0 | (point >> 12)
      } else {
        bytes[this.length++] = 0xf0 | (point >> 18)
        bytes[this.length++] = 0x80 | ((point >> 12) & 0x3f)
      }
      bytes[this.length++] = 0x80 | ((point >> 6) & 0x3f)
    }
    bytes[this.length++] = 0x80 | (point & 0x3f)
  }

  /**
   * Leaves `prefix` bytes for a length and returns where the value begins, for `close`. A right guess saves moving the
   * value; a wrong one is repaired, so the prefix is always minimal.
   */
  open(prefix: number): number {
    this.reserve(prefix)
    this.length += prefix
    return this.length
  }

  /** Ends what `open(prefix)` began at `start`. Returns the size the prefix came to: the guess for the next of its kind. */
  close(start: number, prefix: number): number {
    const count = this.length - start
    const size = count < 128 ? 1 : varintSize(count)
    if (size !== prefix) {
      if (size > prefix) this.reserve(size - prefix)
      this.bytes.copyWithin(start + size - prefix, start, this.length)
    }
    const { bytes } = this
    let at = start - prefix
    let rest = count
    for (; rest >= 128; rest = Math.floor(rest / 128)) bytes[at++] = (rest % 128) | 0x80
    bytes[at++] = rest
    this.length = at + count
    return size
  }

  /** A copy of what has been written. */
  take(): Uint8Array {
    return this.bytes.slice(0, this.length)
  }

  #grow(needed: number): void {
    if (needed > this.maxBytes) {
      throw new Failure(
        'OTLIER_TOO_LARGE',
        `Translated, it would exceed ${this.maxBytes} bytes; send smaller requests.`,
      )
    }
    const larger = new Uint8Array(
      Math.min(Math.max(this.maxBytes, needed), Math.max(needed, this.bytes.length * 2)),
    )
    larger.set(this.bytes.subarray(0, this.length))
    this.bytes = larger
  }
}
