//! OTLP/JSON by the book: a writer, and a reader that tells what must be accepted, what must be refused and what may be either.

import type { Signal } from './bytes.ts'
import { type Json, parseJson } from './json-text.ts'
import { camelCase, hasPresence, isDefault, type Meaning, type MessageMeaning, meaningOf } from './meaning.ts'
import { type Field, type Message, messageNamed, requestOf } from './schema.ts'

/** `either`: the specifications leave it open, so that no test may ask for one or the other. */
export type Verdict =
  | { kind: 'accept'; meaning: MessageMeaning }
  | { kind: 'refuse'; why: string }
  | { kind: 'either'; why: string }

const HEX_IDS = new Set(['trace_id', 'span_id', 'parent_span_id'])

/** The OTLP/JSON text of a well-framed request: lowerCamelCase, hex ids, 64-bit numbers as strings. */
export function toJson(signal: Signal, bytes: Uint8Array): string {
  return messageText(requestOf(signal), meaningOf(signal, bytes))
}

/** What a receiver has to do with these bytes as OTLP/JSON. */
export function judgeJson(signal: Signal, bytes: Uint8Array): Verdict {
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)
  const json = parseJson(text)
  if (json === 'deep') return { kind: isJson(text) ? 'either' : 'refuse', why: 'deep JSON' }
  if (json === null) return { kind: text.startsWith('\ufeff') ? 'either' : 'refuse', why: 'no JSON' }
  const open: string[] = isUtf8(bytes) ? [] : ['invalid UTF-8']
  try {
    const meaning = readMessage(requestOf(signal), json, open, 0)
    if (open[0] !== undefined) return { kind: 'either', why: open[0] }
    return { kind: 'accept', meaning }
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    return { kind: open.length > 0 ? 'either' : 'refuse', why: error.message }
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function isUtf8(bytes: Uint8Array): boolean {
  return Buffer.from(new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)).equals(bytes)
}

function messageText(message: Message, meaning: MessageMeaning): string {
  const entries = [...message.fields.values()].flatMap(field => {
    const name = camelCase(field.name)
    const value = meaning[name]
    if (value === undefined) return []
    const text = Array.isArray(value)
      ? `[${value.map(one => valueText(field, one)).join()}]`
      : valueText(field, value)
    return [`"${name}":${text}`]
  })
  return `{${entries.join()}}`
}

function valueText(field: Field, value: Meaning): string {
  if (typeof value === 'object' && !Array.isArray(value)) return messageText(messageNamed(field.type), value)
  if (typeof value === 'bigint') return field.type.endsWith('64') ? `"${value}"` : `${value}`
  if (typeof value === 'number') {
    return Number.isFinite(value) ? (Object.is(value, -0) ? '-0.0' : `${value}`) : `"${value}"`
  }
  if (typeof value !== 'string' || field.shape === 'string' || HEX_IDS.has(field.name))
    return JSON.stringify(value)
  return `"${Buffer.from(value, 'hex').toString('base64')}"`
}

function readMessage(message: Message, json: Json, open: string[], depth: number): MessageMeaning {
  if (json.kind !== 'object') throw new TypeError(`${message.name} is no object`)
  if (depth > 100) open.push('deeper than 100 levels')
  const fields = new Map([...message.fields.values()].map(field => [camelCase(field.name), field]))
  const meaning: MessageMeaning = {}
  const seen = new Set<string>()
  for (const [key, value] of json.entries) {
    const field = fields.get(key)
    if (field === undefined) {
      if (levelsOf(value) > 100) open.push('a deep unknown field')
      continue
    }
    const slot = field.oneof || field.name
    if (seen.has(slot)) open.push(`${slot} given twice`)
    seen.add(slot)
    if (value.kind === 'null') continue
    const read = field.repeated ? readArray(field, value, open, depth) : readOne(field, value, open, depth)
    if (Array.isArray(read) ? read.length === 0 : !hasPresence(field) && isDefault(read)) continue
    meaning[key] = read
  }
  return meaning
}

function levelsOf(json: Json): number {
  if (json.kind === 'array') return 1 + Math.max(0, ...json.items.map(levelsOf))
  return json.kind === 'object' ? 1 + Math.max(0, ...json.entries.map(([, value]) => levelsOf(value))) : 0
}

function readArray(field: Field, json: Json, open: string[], depth: number): Meaning[] {
  if (json.kind !== 'array') throw new TypeError(`${field.name} is no array`)
  return json.items.map(item => {
    if (item.kind === 'null') open.push('null in an array')
    return item.kind === 'null' ? '' : readOne(field, item, open, depth)
  })
}

function readOne(field: Field, json: Json, open: string[], depth: number): Meaning {
  if (field.shape === 'message') return readMessage(messageNamed(field.type), json, open, depth + 1)
  if (field.type === 'bool') {
    if (json.kind !== 'true' && json.kind !== 'false') throw new TypeError(`${field.name} is no boolean`)
    return json.kind === 'true'
  }
  if (field.shape === 'string' || field.shape === 'bytes') {
    if (json.kind !== 'string') throw new TypeError(`${field.name} is no string`)
    return field.shape === 'string' ? readText(json.text, open) : readBytes(field, json.text, open)
  }
  if (json.kind === 'number') return readNumber(field, json.digits, open)
  if (json.kind !== 'string') throw new TypeError(`${field.name} is no number`)
  // OTLP allows enums as integers only. Whether an integer may stand in quotes, no one says.
  if (field.type === 'enum' && /\d/.test(json.text)) open.push('an enum in quotes')
  if (field.type === 'double' && ['NaN', 'Infinity', '-Infinity'].includes(json.text))
    return Number(json.text)
  if (!/^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(json.text)) {
    if (/^[+-]?[\d.]+/.test(json.text.trim())) open.push('a number in quotes with something around it')
    throw new TypeError(`${field.name} is no number`)
  }
  return readNumber(field, json.text, open)
}

function readText(text: string, open: string[]): string {
  if (!text.isWellFormed()) open.push('half of a surrogate pair')
  return text
}

function readBytes(field: Field, text: string, open: string[]): string {
  if (HEX_IDS.has(field.name)) {
    if (!/^(?:[0-9a-fA-F]{2})*$/.test(text)) throw new TypeError(`${field.name} is no hex`)
    const whole = field.name === 'trace_id' ? 32 : 16
    if (text.length !== 0 && text.length !== whole) open.push('an id of another length')
    return text.toLowerCase()
  }
  // The JSON mapping of proto3 takes both alphabets, with padding or without.
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(text)) throw new TypeError(`${field.name} is no base64`)
  const bare = text.replace(/=+$/, '')
  if (bare.length % 4 === 1) throw new TypeError(`${field.name} is no base64`)
  const isPadded = text.length > bare.length
  if (isPadded && text.length % 4 !== 0) open.push('wrong base64 padding')
  const bytes = Buffer.from(bare, 'base64url')
  if (bytes.toString('base64url') !== bare.replaceAll('+', '-').replaceAll('/', '_'))
    open.push('loose base64 bits')
  if (/[+/]/.test(bare) && /[-_]/.test(bare)) open.push('two base64 alphabets')
  return bytes.toString('hex')
}

const RANGES: Record<string, readonly [low: bigint, high: bigint]> = {
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  sint32: [-(2n ** 31n), 2n ** 31n - 1n],
  enum: [-(2n ** 31n), 2n ** 31n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  fixed32: [0n, 2n ** 32n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  sfixed64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
  fixed64: [0n, 2n ** 64n - 1n],
}

function readNumber(field: Field, digits: string, open: string[]): Meaning {
  if (field.type === 'double') {
    // Beyond the largest double: proto3 refuses it, many readers make it infinite.
    if (!Number.isFinite(Number(digits))) open.push('a double out of range')
    return Number(digits)
  }
  const whole = exactInteger(digits, open)
  const range = RANGES[field.type]
  if (range === undefined) throw new Error(`${field.name} has the unknown type ${field.type}`)
  if (whole === null || whole < range[0] || whole > range[1])
    throw new TypeError(`${field.name} is out of range`)
  return whole
}

/** The value of a decimal number that may have a fraction and an exponent, or null when it is not whole. */
function exactInteger(digits: string, open: string[]): bigint | null {
  const [, sign = '', integer = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(digits) ?? []
  const shown = integer + fraction
  if (/^0*$/.test(shown)) {
    if (sign === '-') open.push('minus zero')
    return 0n
  }
  const shift = Number(exponent) - fraction.length
  if (shift > 400) return null
  const padded = shift >= 0 ? shown + '0'.repeat(shift) : shown
  const cut = shift >= 0 ? padded.length : Math.max(0, padded.length + shift)
  if (/[1-9]/.test(padded.slice(cut))) return null
  return BigInt(`${sign}${padded.slice(0, cut) || '0'}`)
}
