//! Passes over a JSON value that nobody wants, whatever its shape, without recursion.
import type { Scanner } from './json-scan.ts'

/** How deep brackets may nest within it. */
export const SKIP_MAX_DEPTH = 1000

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d

// Whether each open bracket is an object's. One array is enough: nothing is skipped while something is skipped.
const isObject = new Uint8Array(SKIP_MAX_DEPTH)

/** Takes one value. What is no JSON is refused, wanted or not. */
export function skip(json: Scanner): void {
  let depth = 0
  for (;;) {
    const byte = json.next()
    if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
      if (depth === SKIP_MAX_DEPTH) json.fail(`brackets nested more than ${SKIP_MAX_DEPTH} deep.`)
      isObject[depth++] = byte === OPEN_OBJECT ? 1 : 0
      json.at++
      if (json.next() !== closing(depth)) {
        if (byte === OPEN_OBJECT) key(json)
        continue
      }
    } else {
      scalar(json, byte)
    }
    // A value has ended, or an empty bracket is about to: leave every bracket that ends here.
    for (; depth > 0; depth--) {
      const after = json.next()
      if (after === COMMA) break
      if (after !== closing(depth)) {
        json.fail(`expected ',' or '${String.fromCharCode(closing(depth))}', found ${json.found()}.`)
      }
      json.at++
    }
    if (depth === 0) return
    json.at++
    if (isObject[depth - 1] === 1) key(json)
  }
}

const closing = (depth: number) => (isObject[depth - 1] === 1 ? CLOSE_OBJECT : CLOSE_ARRAY)

function key(json: Scanner): void {
  json.string()
  json.take(COLON, "':'")
}

function scalar(json: Scanner, byte: number): void {
  if (byte === QUOTE) json.string()
  else if (byte === 0x74 || byte === 0x66) json.boolean()
  else if (byte === 0x6e) json.literal('null')
  else if (byte === -1) json.fail('the text ends where a value is due; was the body cut?')
  else json.number()
}
