//! Chance, odd requests and mutations of the test kit: replayable, odd in every named way, and neither all broken nor all whole.

import { gunzipSync, gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { mutateBytes, mutateGzip, mutateJson, mutateProto } from '../kit/mutate.ts'
import { oddRequest } from '../kit/odd.ts'
import { between, forSeeds, int, logNormal, pick, seeded, seeds, shuffled } from '../kit/random.ts'
import { places, readVarint, type Signal, sameBytes, varint } from './bytes.ts'
import { framing } from './framing.ts'
import { type Field, type Message, messageNamed, requestOf } from './schema.ts'
import { growTree, writeTree } from './tree.ts'

const SIGNALS: Signal[] = ['traces', 'metrics', 'logs']
const none = new Uint8Array(0)

test('the same seed draws the same numbers, another seed others, all of them spread evenly', () => {
  const draw = (seed: number) => Array.from({ length: 1_000 }, seeded(seed))
  expect(draw(7)).toEqual(draw(7))
  expect(draw(7)).not.toEqual(draw(8))
  for (const seed of [0, 1, 2 ** 32, 2 ** 52]) {
    const numbers = draw(seed)
    expect(numbers.every(one => one >= 0 && one < 1)).toBe(true)
    const mean = numbers.reduce((sum, one) => sum + one, 0) / numbers.length
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.05)
  }
})

test('draws keep their bounds', () => {
  const random = seeded(3)
  const drawn = Array.from({ length: 500 }, () => between(random, -1, 2))
  expect(new Set(drawn)).toEqual(new Set([-1, 0, 1, 2]))
  expect(new Set(Array.from({ length: 500 }, () => int(random, 3)))).toEqual(new Set([0, 1, 2]))
  expect(shuffled(random, [1, 2, 3, 4]).toSorted()).toEqual([1, 2, 3, 4])
  const logs = Array.from({ length: 4_000 }, () => Math.log(logNormal(random, 20, 0.5)))
  const mean = logs.reduce((sum, one) => sum + one, 0) / logs.length
  expect(Math.abs(mean - Math.log(20))).toBeLessThan(0.05)
  expect(() => pick(random, [])).toThrow('nothing to pick from')
})

test('a failure names the seed that replays it', () => {
  const ran: number[] = []
  const fail = () =>
    forSeeds(1, (_random, seed) => {
      ran.push(seed)
      throw new Error('no')
    })
  const message = messageOf(fail)
  expect(message).toBe(`no (replay with OTLIER_SEED=${ran[0]})`)
})

function messageOf(fail: () => void): string {
  try {
    fail()
    return ''
  } catch (error) {
    return error instanceof Error ? error.message : ''
  }
}

/** What the requests of many seeds hold, told from their bytes alone. */
function traitsOf(message: Message, bytes: Uint8Array, depth: number, found: Set<string>): void {
  const seen = new Map<string, number>()
  let highest = 0
  for (const place of places(bytes)) {
    const field = message.fields.get(place.number)
    const content = bytes.subarray(place.from, place.to)
    encodingTraits(bytes, place.start, place.number, place.wire, content.length, found)
    if (place.number < highest) found.add(`out of order in ${message.name.split('.').at(-1)}`)
    highest = Math.max(highest, place.number)
    if (field === undefined) {
      found.add(`unknown in ${message.name.split('.').at(-1)}`)
      found.add(`unknown of wire type ${place.wire}`)
      if (place.wire === 3 && places(content).some(one => one.wire === 3)) found.add('group in group')
      continue
    }
    const slot = field.oneof === '' ? field.name : field.oneof
    const times = (seen.get(slot) ?? 0) + 1
    seen.set(slot, times)
    if (times > 1 && !field.repeated) found.add(`${slot} twice`)
    valueTraits(field, place.wire, content, found)
    if (field.shape === 'message') {
      if (depth + 1 > 97) found.add('close to the depth limit')
      if (content.length === 0) found.add(`empty ${field.name}`)
      traitsOf(messageNamed(field.type), content, depth + 1, found)
    }
  }
}

function encodingTraits(
  bytes: Uint8Array,
  start: number,
  number: number,
  wire: number,
  length: number,
  found: Set<string>,
): void {
  const head = readVarint(bytes, start).end
  if (head - start > varint(number * 8 + wire).length) found.add('tag not minimal')
  if (wire === 2 && readVarint(bytes, head).end - head > varint(length).length) {
    found.add('length not minimal')
    if (readVarint(bytes, head).end - head === 10) found.add('length of ten bytes')
  }
  if (wire === 0) {
    const { value, end } = readVarint(bytes, head)
    if (end - head > varint(value).length) found.add('value not minimal')
    if (value > 2n ** 63n) found.add('value beyond 63 bits')
  }
}

const strict = new TextDecoder('utf-8', { fatal: true })

function valueTraits(field: Field, wire: number, content: Uint8Array, found: Set<string>): void {
  found.add(`has ${field.name}`)
  const isNumber = field.shape !== 'message' && field.shape !== 'string' && field.shape !== 'bytes'
  if (isNumber && field.repeated) found.add(`${field.name} ${wire === 2 ? 'packed' : 'unpacked'}`)
  if (field.name.endsWith('_id') && content.length === 0) found.add('id of no bytes')
  if (field.name.endsWith('_id') && content.length > 0 && content.every(one => one === 0)) {
    found.add('id of zeros')
  }
  if (content.length > 10_000 && field.shape === 'string') found.add('huge text')
  if (field.shape !== 'string') return
  if (content.length === 0) found.add(`${field.name} of no bytes`)
  try {
    if (strict.decode(content).startsWith('otlier.')) found.add('otlier attribute of the sender')
  } catch {
    found.add('invalid UTF-8')
  }
}

test('odd requests are odd in every way that the law allows', () => {
  const found = new Set<string>()
  forSeeds(600, (random, seed) => {
    const signal = pick(random, SIGNALS)
    const size = int(random, 10)
    const bytes = oddRequest(random, signal, size)
    expect(framing(signal, bytes)).toEqual({ ok: true, items: size })
    traitsOf(requestOf(signal), bytes, 0, found)
    if (seed < 20)
      expect(oddRequest(seeded(seed), 'traces', 4)).toEqual(oddRequest(seeded(seed), 'traces', 4))
  })
  if (seeds(600).length < 600) return
  const messages = ['ResourceSpans', 'ScopeSpans', 'Span', 'Event', 'Link', 'Status', 'Resource', 'AnyValue']
  const places = [...messages, 'KeyValue', 'ExportTraceServiceRequest', 'LogRecord', 'Metric', 'Buckets']
  for (const place of places) expect([...found]).toContain(`unknown in ${place}`)
  for (const place of ['ResourceSpans', 'Span', 'LogRecord'])
    expect([...found]).toContain(`out of order in ${place}`)
  for (const wire of [0, 1, 2, 3, 5]) expect([...found]).toContain(`unknown of wire type ${wire}`)
  for (const slot of ['resource', 'scope', 'status', 'value', 'data', 'body', 'name', 'key']) {
    expect([...found]).toContain(`${slot} twice`)
  }
  for (const name of ['bucket_counts', 'explicit_bounds']) {
    expect([...found]).toContain(`${name} packed`)
    expect([...found]).toContain(`${name} unpacked`)
  }
  for (const name of [
    'resource_spans',
    'scope_spans',
    'resource_logs',
    'scope_metrics',
    'resource',
    'value',
  ]) {
    expect([...found]).toContain(`empty ${name}`)
  }
  for (const { name } of messageNamed('opentelemetry.proto.common.v1.AnyValue').fields.values()) {
    expect([...found]).toContain(`has ${name}`)
  }
  const others = [
    'tag not minimal',
    'length not minimal',
    'length of ten bytes',
    'value not minimal',
    'huge text',
  ]
  const more = ['value beyond 63 bits', 'invalid UTF-8', 'close to the depth limit', 'group in group']
  const last = ['id of no bytes', 'id of zeros', 'name of no bytes', 'otlier attribute of the sender']
  for (const trait of [...others, ...more, ...last]) expect([...found]).toContain(trait)
})

test('a request taken apart and put together again is the same, but for varints drawn out', () => {
  forSeeds(100, random => {
    const signal = pick(random, SIGNALS)
    const bytes = oddRequest(random, signal, 5, { wildness: 0 })
    expect(sameBytes(writeTree(growTree(signal, bytes) ?? []), bytes)).toBe(true)
    const odd = oddRequest(random, signal, 5)
    expect(framing(signal, writeTree(growTree(signal, odd) ?? []))).toEqual({ ok: true, items: 5 })
  })
})

test('mutations follow from the seed, break most inputs and leave many whole', () => {
  let whole = 0
  const reasons = new Set<string>()
  forSeeds(600, (random, seed) => {
    const signal = pick(random, SIGNALS)
    const [one, other] = [oddRequest(random, signal, 2), oddRequest(random, signal, 2)]
    const mutated = mutateProto(seeded(seed), signal, one, other)
    expect(sameBytes(mutateProto(seeded(seed), signal, one, other), mutated)).toBe(true)
    const found = framing(signal, mutated)
    if (found.ok) whole++
    else reasons.add(found.why)
  })
  if (seeds(600).length < 600) return
  expect(whole).toBeGreaterThan(120)
  expect(whole).toBeLessThan(400)
  expect(reasons.size).toBeGreaterThan(9)
})

test('mutated JSON and gzip follow from the seed, and nothing is too short to be mutated', () => {
  const text = Buffer.from('{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":1,"name":"ä"}]}]}]}')
  const packed = gzipSync(text)
  let broken = 0
  forSeeds(500, (_random, seed) => {
    for (const [mutate, input] of [
      [mutateJson, text],
      [mutateGzip, packed],
      [mutateBytes, text],
    ] as const) {
      const mutated = mutate(seeded(seed), input, input)
      expect(sameBytes(mutate(seeded(seed), input, input), mutated)).toBe(true)
      mutate(seeded(seed), none, none)
    }
    try {
      gunzipSync(mutateGzip(seeded(seed), packed, packed), { maxOutputLength: 1e7 })
    } catch {
      broken++
    }
  })
  if (seeds(500).length === 500) expect(broken).toBeGreaterThan(100)
})
