//! Mutated JSON texts: most are still JSON and say something strange, the others break off, burst or do not parse.

import { concat } from '../oracle/bytes.ts'
import { type Json, parseJson } from '../oracle/json-text.ts'
import { type Edit, mutateBytes, repeated } from './mutate-bytes.ts'
import { chance, pick, type Random } from './random.ts'

/**
 * A mutated JSON text. Most are taken apart, edited at one to three values and written again, so that they are still
 * JSON; in the others raw bytes or tokens are exchanged.
 */
export function mutateJson(random: Random, input: Uint8Array, other: Uint8Array): Uint8Array {
  if (chance(random, 0.15)) return mutateBytes(random, input, other)
  if (chance(random, 0.2)) return repeated(random, JSON_EDITS, input, other)
  const [tree, donor] = [input, other].map(text => parseJson(Buffer.from(text).toString()))
  if (tree === undefined || tree === null || tree === 'deep')
    return repeated(random, JSON_EDITS, input, other)
  const donors = donor === undefined || donor === null || donor === 'deep' ? [] : slotsOf(donor)
  for (let left = pick(random, [1, 1, 2, 3]); left > 0; left--) {
    const slots = slotsOf(tree)
    if (slots.length > 0) pick(random, SLOT_EDITS)(random, pickSlot(random, slots), donors)
  }
  return Buffer.from(writeJson(random, tree))
}

/** Where a value stands: in an object under a key, or in an array. */
type Slot = { parent: Json; at: number; key: string; value: Json }

function slotsOf(json: Json): Slot[] {
  const slots: Slot[] = []
  const visit = (parent: Json) => {
    const inner = parent.kind === 'object' ? parent.entries : parent.kind === 'array' ? parent.items : []
    inner.forEach((one, at) => {
      const [key, value] = Array.isArray(one) ? one : ['', one]
      slots.push({ parent, at, key, value })
      visit(value)
    })
  }
  visit(json)
  return slots
}

/** By key first, so that what is rare in the text is not rare among the mutations. */
function pickSlot(random: Random, slots: readonly Slot[]): Slot {
  const key = pick(random, [...new Set(slots.map(slot => slot.key))])
  const keyed = slots.filter(slot => slot.key === key)
  return pick(random, chance(random, 0.5) ? keyed : slots)
}

function replace({ parent, at, key }: Slot, ...values: Json[]): void {
  if (parent.kind === 'array') parent.items.splice(at, 1, ...values)
  if (parent.kind === 'object')
    parent.entries.splice(at, 1, ...values.map((one): [string, Json] => [key, one]))
}

/** Written as it stands, whatever it is. */
function raw(text: string): Json {
  return { kind: 'number', digits: text }
}

type SlotEdit = (random: Random, slot: Slot, donors: readonly Slot[]) => void

const SLOT_EDITS: readonly SlotEdit[] = [
  (random, slot) => replace(slot, raw(pick(random, STRANGE_VALUES))),
  (random, slot) => replace(slot, raw(pick(random, STRANGE_VALUES))),
  (random, slot) => replace(slot, slot.value, raw(pick(random, STRANGE_VALUES))),
  (random, slot, donors) =>
    replace(slot, donors.length > 0 ? structuredClone(pick(random, donors).value) : raw('null')),
  (_random, slot) => replace(slot),
  (_random, slot) => replace(slot, slot.value, slot.value),
  (_random, slot) => replace(slot, { kind: 'array', items: [slot.value] }),
  (_random, slot) => replace(slot, { kind: 'object', entries: [['value', slot.value]] }),
  // Numbers into quotes and out of them; capitals; a sign, a fraction, an exponent behind.
  (_random, slot) => {
    if (slot.value.kind === 'number') replace(slot, { kind: 'string', text: slot.value.digits })
    else if (slot.value.kind === 'string' && /^-?\d+$/.test(slot.value.text))
      replace(slot, raw(slot.value.text))
  },
  (_random, slot) => {
    if (slot.value.kind === 'string') replace(slot, { kind: 'string', text: slot.value.text.toUpperCase() })
  },
  (random, slot) => {
    const tail = pick(random, [
      '.0',
      '.5',
      'e1',
      'E+2',
      'e-1',
      '0000000000000000',
      '.000',
      ' ',
      'x',
      '=',
      '==',
    ])
    if (slot.value.kind === 'string') replace(slot, { kind: 'string', text: slot.value.text + tail })
    if (slot.value.kind === 'number') replace(slot, raw(slot.value.digits + tail))
  },
  // The key in snake case, as another known one, as one that JavaScript keeps for itself.
  (random, slot) => {
    if (slot.parent.kind !== 'object') return
    const snake = slot.key.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)
    const key = pick(random, [snake, `${slot.key}x`, slot.key.slice(1), ...STRANGE_KEYS])
    slot.parent.entries[slot.at] = [key, slot.value]
  },
  // Values in values around the depth limit, and arrays far beyond it where nothing is known.
  (random, slot) => {
    const depth = pick(random, [10, 40, 45, 48, 50, 60, 900, 1_100])
    const [open, close] = pick(random, [
      ['{"arrayValue":{"values":[', ']}}'],
      ['[', ']'],
    ] as const)
    replace(slot, raw(`${open.repeat(depth)}${close.repeat(depth)}`))
  },
]

const STRANGE_KEYS = [
  '__proto__',
  'constructor',
  '',
  'value',
  'name',
  'stringValue',
  'intValue',
  'kind',
  'traceId',
]

const STRANGE_VALUES = [
  ...[
    'null',
    'true',
    'false',
    '""',
    '0',
    '-1',
    '1.5',
    '1e3',
    '1.0',
    '10e-1',
    '-0',
    '0.0',
    '1e999',
    '1e-400',
    '{}',
    '[]',
  ],
  ...[
    '2147483647',
    '2147483648',
    '-2147483648',
    '-2147483649',
    '4294967295',
    '4294967296',
    '9007199254740993',
  ],
  ...[
    '9223372036854775807',
    '9223372036854775808',
    '-9223372036854775808',
    '18446744073709551615',
    '1e19',
    '1e20',
  ],
  ...[
    '"9223372036854775808"',
    '"-9223372036854775808"',
    '"18446744073709551615"',
    '"18446744073709551616"',
    '"1e2"',
  ],
  ...[
    '"0"',
    '"-1"',
    '"007"',
    '"1.0"',
    '" 1"',
    '"+1"',
    '"0x1"',
    '"NaN"',
    '"Infinity"',
    '"-Infinity"',
    '"inf"',
    '"1.5"',
  ],
  ...[
    '"\\ud83d\\ude80"',
    '"\\ud800"',
    '"\\udc00x"',
    '"\\u0000\\/\\b"',
    '"ä€🚀"',
    '"SPAN_KIND_SERVER"',
    '"true"',
  ],
  ...[
    '"0102030405060708090A0b0c0d0e0f10"',
    '"0102030405060708"',
    '"zz"',
    '"abc"',
    '"YQ"',
    '"YQ=="',
    '"YR=="',
    '"-_+/"',
  ],
  ...[
    '[null]',
    '[[]]',
    '[{}]',
    '{"unknown":[{"a":1}]}',
    '{"doubleValue":"-Infinity"}',
    '{"stringValue":"a"}',
  ],
  ...['{"arrayValue":{"values":[{},{"intValue":"1"}]}}', '{"kvlistValue":{"values":[{"key":"k"}]}}'],
  ...['{"bytesValue":"AAE="}', '{"intValue":1,"boolValue":true}', '[1,2,3]', '["1","2"]', '[0.5,"NaN"]'],
]

/** The text with white space where JSON allows it, and some characters as escapes. */
function writeJson(random: Random, json: Json): string {
  const isLoose = chance(random, 0.2)
  const space = () => (isLoose && chance(random, 0.3) ? pick(random, [' ', '\n', '\t', '\r\n', '    ']) : '')
  const quoted = (text: string) => (isLoose ? escaped(random, text) : JSON.stringify(text))
  const write = (one: Json): string => {
    if (one.kind === 'number') return one.digits
    if (one.kind === 'string') return quoted(one.text)
    if (one.kind === 'array') return `[${one.items.map(item => space() + write(item) + space()).join()}]`
    if (one.kind !== 'object') return one.kind
    return `{${one.entries.map(([key, value]) => `${space()}${quoted(key)}${space()}:${space()}${write(value)}`).join()}}`
  }
  return `${space()}${write(json)}${space()}`
}

function escaped(random: Random, text: string): string {
  const units = text.split('').map(unit => {
    if (chance(random, 0.9)) return JSON.stringify(unit).slice(1, -1)
    return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
  return text.isWellFormed() && chance(random, 0.5) ? `"${units.join('')}"` : JSON.stringify(text)
}

const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null|[[\]{}:,]/gs

const STRANGE_TOKENS = [
  ...[
    'null',
    'true',
    '""',
    '0',
    '-1',
    '1.5',
    '1e3',
    '-0',
    '18446744073709551615',
    '18446744073709551616',
    '1e999',
  ],
  ...[
    '"9223372036854775808"',
    '"-9223372036854775809"',
    '"1.0"',
    '" 1"',
    '"NaN"',
    '"Infinity"',
    'NaN',
    '{}',
    '[]',
  ],
  ...[
    '"\\ud800"',
    '"\\u0000"',
    '"\\x"',
    '"abc',
    "'a'",
    '[[[[',
    '}}',
    ',',
    ':',
    '01',
    '+1',
    '.5',
    '1.',
    '0x10',
  ],
  ...[
    '"SPAN_KIND_SERVER"',
    '"STATUS_CODE_ERROR"',
    '"traceId"',
    '"trace_id"',
    '"__proto__"',
    '"zz"',
    '"abc"',
    '"YQ"',
  ],
  ...[
    '"0102030405060708090A0b0c0d0e0f10"',
    '{"unknown":[{"a":1}]}',
    '{"doubleValue":"-Infinity"}',
    '// a',
    '\ufeff',
  ],
]

const JSON_EDITS: readonly Edit[] = [
  (random, input) => overToken(random, input, () => pick(random, STRANGE_TOKENS)),
  (random, input) => overToken(random, input, () => pick(random, STRANGE_TOKENS)),
  (random, input) => overToken(random, input, token => `${token}${token}`),
  (random, input) => overToken(random, input, () => ''),
  (random, input) => overToken(random, input, token => `[${token}]`),
  (random, input) =>
    overToken(random, input, token => (token.startsWith('"') ? token.slice(1, -1) : `"${token}"`)),
  (random, input) =>
    overToken(random, input, token => `${pick(random, [' ', '\n', '\t', '\u00a0', '\0'])}${token}`),
  (random, input) => overToken(random, input, token => `${nest(random)}${token}`),
  (random, input, other) => overToken(random, input, () => pick(random, tokensOf(other))[0]),
]

function nest(random: Random): string {
  const depth = pick(random, [2, 90, 110, 5_000])
  return chance(random, 0.5) ? '['.repeat(depth) : `${'['.repeat(depth)}${']'.repeat(depth)},`
}

function overToken(random: Random, input: Uint8Array, by: (token: string) => string): Uint8Array {
  const token = pick(random, tokensOf(input))
  const source = Buffer.from(input).toString('latin1')
  const rest = source.slice(token.index + token[0].length)
  const changed = Buffer.from(by(Buffer.from(token[0], 'latin1').toString('utf8')))
  return concat([Buffer.from(source.slice(0, token.index), 'latin1'), changed, Buffer.from(rest, 'latin1')])
}

// Read as latin1, so that every byte, UTF-8 or not, keeps its place. Without any token, the end counts as one.
function tokensOf(input: Uint8Array): { 0: string; index: number }[] {
  const source = Buffer.from(input).toString('latin1')
  const tokens = [...source.matchAll(TOKENS)].map(match => ({ 0: match[0], index: match.index }))
  return tokens.length > 0 ? tokens : [{ 0: '', index: source.length }]
}
