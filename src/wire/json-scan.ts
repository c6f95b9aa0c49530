//! JSON's tokens read from bytes: whitespace, strings, numbers and literals.
import { Failure } from '../base/errors.ts'
import { COMPLAINTS, double, doubleAt, integerAt, numberEnd } from './json-number.ts'
import { REPLACEMENT, sequenceAt } from './utf8.ts'
import { Writer } from './writer.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const MINUS = 0x2d

/** 1 for the bytes that stand for themselves in a string and need no second look. */
export const PLAIN = new Uint8Array(256)
for (let byte = 0x20; byte < 0x80; byte++) PLAIN[byte] = byte === QUOTE || byte === BACKSLASH ? 0 : 1

const ESCAPES = new Uint8Array(256)
for (const [letter, meaning] of ['""', '\\\\', '//', 'b\b', 'f\f', 'n\n', 'r\r', 't\t']) {
  ESCAPES[letter.charCodeAt(0)] = meaning.charCodeAt(0)
}

/** The value of a hex digit, 255 for anything else. */
export const HEX_VALUE = new Uint8Array(256).fill(255)
for (let value = 0; value < 16; value++) {
  const digit = value.toString(16)
  HEX_VALUE[digit.charCodeAt(0)] = value
  HEX_VALUE[digit.toUpperCase().charCodeAt(0)] = value
}

const LITERALS = {
  true: Buffer.from('true'),
  false: Buffer.from('false'),
  null: Buffer.from('null'),
} as const

/** Stands before the byte `at`. Whatever is wrong throws OTLIER_MALFORMED with the place and what was expected. */
export class Scanner {
  bytes: Uint8Array
  at: number
  /** The last string read: bytes [from, to) of `text`, which is the input itself unless the string held escapes. */
  text: Uint8Array
  from = 0
  to = 0
  /** The last integer read: a sign, and its magnitude in HALVES. */
  negative = false
  /** Says where in the message the scanner is. Only asked for when something is wrong. */
  where: () => string
  readonly #scratch = new Writer(256)

  constructor(bytes: Uint8Array, where: () => string) {
    // A Buffer would make every access to the bytes polymorphic.
    this.bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
    this.text = this.bytes
    this.where = where
    this.at = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0
  }

  fail(detail: string, at = this.at): never {
    const where = this.where()
    throw new Failure('OTLIER_MALFORMED', `JSON, byte ${at}${where === '' ? '' : ` (${where})`}: ${detail}`)
  }

  /** What stands at `at`, for a message. */
  found(): string {
    if (this.at >= this.bytes.length) return 'the end'
    const byte = this.bytes[this.at]
    return byte > 0x20 && byte < 0x7f
      ? `'${String.fromCharCode(byte)}'`
      : `byte 0x${byte.toString(16).padStart(2, '0')}`
  }

  /** Skips whitespace; the next byte, or -1 at the end. */
  next(): number {
    const { bytes } = this
    let { at } = this
    while (at < bytes.length) {
      const byte = bytes[at]
      if (byte > 0x20 || (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09)) {
        this.at = at
        return byte
      }
      at++
    }
    this.at = at
    return -1
  }

  /** Skips whitespace and takes `byte`, or fails. */
  take(byte: number, expected: string): void {
    if (this.next() !== byte) this.fail(`expected ${expected}, found ${this.found()}.`)
    this.at++
  }

  /** Reads a string into `text`, `from` and `to`. Malformed UTF-8 and lone surrogates become U+FFFD. */
  string(): void {
    this.take(QUOTE, 'a string')
    const { bytes } = this
    const start = this.at
    let at = start
    for (;;) {
      while (at < bytes.length && PLAIN[bytes[at]] === 1) at++
      if (at >= bytes.length) this.fail('the text ends within a string; was the body cut?', at)
      const byte = bytes[at]
      if (byte === QUOTE) break
      const size = byte < 0x80 ? 0 : sequenceAt(bytes, at, bytes.length)
      if (size <= 0) {
        this.#rewritten(start, at)
        return
      }
      at += size
    }
    this.text = bytes
    this.from = start
    this.to = at
    this.at = at + 1
  }

  /** The rest of a string that cannot be taken as it stands: [start, at) can. */
  #rewritten(start: number, from: number): void {
    const { bytes } = this
    const out = this.#scratch
    out.length = 0
    out.append(bytes, start, from)
    let at = from
    for (;;) {
      const run = at
      while (at < bytes.length && PLAIN[bytes[at]] === 1) at++
      out.append(bytes, run, at)
      if (at >= bytes.length) this.fail('the text ends within a string; was the body cut?', at)
      const byte = bytes[at]
      if (byte === QUOTE) break
      if (byte === BACKSLASH) {
        at = this.#escape(at)
      } else if (byte < 0x20) {
        this.fail('a control character within a string must be escaped.', at)
      } else {
        const size = sequenceAt(bytes, at, bytes.length)
        if (size > 0) out.append(bytes, at, at + size)
        else out.codePoint(REPLACEMENT)
        at += Math.abs(size)
      }
    }
    this.text = out.bytes
    this.from = 0
    this.to = out.length
    this.at = at + 1
  }

  /** Appends what the escape at `at` means; returns the place behind it. */
  #escape(at: number): number {
    const letter = this.bytes[at + 1]
    if (letter !== 0x75) {
      const meaning = ESCAPES[letter] ?? 0
      if (meaning === 0) this.fail('unknown escape in a string.', at)
      this.#scratch.byte(meaning)
      return at + 2
    }
    const unit = this.#hexUnit(at)
    if (unit < 0xd800 || unit > 0xdfff) {
      this.#scratch.codePoint(unit)
      return at + 6
    }
    if (unit < 0xdc00 && this.bytes[at + 6] === BACKSLASH && this.bytes[at + 7] === 0x75) {
      const second = this.#hexUnit(at + 6)
      if (second >= 0xdc00 && second <= 0xdfff) {
        this.#scratch.codePoint(0x10000 + ((unit - 0xd800) << 10) + (second - 0xdc00))
        return at + 12
      }
    }
    this.#scratch.codePoint(REPLACEMENT)
    return at + 6
  }

  #hexUnit(at: number): number {
    let unit = 0
    for (let i = at + 2; i < at + 6; i++) {
      const digit = i < this.bytes.length ? HEX_VALUE[this.bytes[i]] : 255
      if (digit === 255) this.fail('\\u takes four hex digits.', at)
      unit = unit * 16 + digit
    }
    return unit
  }

  /** Takes `true`, `false` or `null`. */
  literal(word: keyof typeof LITERALS): void {
    const letters = LITERALS[word]
    for (let i = 0; i < letters.length; i++) {
      if (this.bytes[this.at + i] !== letters[i]) this.fail(`expected ${word}, found ${this.found()}.`)
    }
    this.at += letters.length
  }

  boolean(): boolean {
    const value = this.next() === 0x74
    this.literal(value ? 'true' : 'false')
    return value
  }

  /** Reads an integer, bare or within a string: its sign into `negative`, its magnitude into HALVES. */
  integer(): void {
    const start = this.at
    if (this.next() === QUOTE) {
      this.string()
      this.negative = this.text[this.from] === MINUS
      this.#whole(integerAt(this.text, this.from, this.to), start)
    } else {
      this.negative = this.bytes[this.at] === MINUS
      this.at = this.#checked(integerAt(this.bytes, this.at, this.bytes.length), start)
    }
  }

  /** Reads a number, bare or within a string, or one of the strings NaN, Infinity and -Infinity. */
  double(): number {
    const start = this.at
    if (this.next() !== QUOTE) {
      this.at = this.#checked(doubleAt(this.bytes, this.at, this.bytes.length), start)
      return double
    }
    this.string()
    const { text, from, to } = this
    if (to - from <= 9) {
      const word = String.fromCharCode(...text.subarray(from, to))
      if (word === 'NaN' || word === 'Infinity' || word === '-Infinity') return Number(word)
    }
    this.#whole(doubleAt(text, from, to), start)
    return double
  }

  /** Passes over a bare number. */
  number(): void {
    this.at = this.#checked(numberEnd(this.bytes, this.at, this.bytes.length), this.at)
  }

  #checked(end: number, start: number): number {
    if (end < 0) this.fail(COMPLAINTS[end], start)
    return end
  }

  /** Of a number within a string: that nothing stands behind it. */
  #whole(end: number, start: number): void {
    if (this.#checked(end, start) !== this.to)
      this.fail('expected a number and nothing else in the string.', start)
  }
}
