//! Laws of the framing check and the scan, held against the slow checker that was written apart.
import { describe, expect, test } from 'vitest'
import { Items } from '../../src/base/item.ts'
import { check } from '../../src/wire/check.ts'
import { scanTraces } from '../../src/wire/scan.ts'
import { mutateProto } from '../kit/mutate.ts'
import { oddRequest, tracesRequest } from '../kit/odd.ts'
import { forSeeds, int, pick } from '../kit/random.ts'
import { delimited, varint } from '../oracle/bytes.ts'
import { framing } from '../oracle/framing.ts'

const SIGNALS = ['traces', 'metrics', 'logs'] as const

describe('the framing check', () => {
  test('finds what the slow checker finds in odd requests and in damaged ones, and counts the same items', () => {
    const items = new Items()
    forSeeds(300, random => {
      const signal = pick(random, SIGNALS)
      const whole = oddRequest(random, signal, int(random, 12), { huge: false })
      let bytes = whole
      for (let damage = 0; damage < 6; damage++) {
        const truth = framing(signal, bytes)
        expect(check(signal, bytes)).toBe(truth.ok ? truth.items : -1)
        if (signal === 'traces') expect(scanTraces(bytes, items)).toBe(truth.ok ? truth.items : -1)
        bytes = mutateProto(random, signal, whole, whole)
      }
    })
  })

  test('takes 100 levels of nesting and refuses 101, without recursion', () => {
    const deep = (levels: number) => {
      // Request, resource and attribute are three levels; a value in a list of values is two more.
      let value: Uint8Array = new Uint8Array(0)
      for (let level = 4; level < levels; level += 2) value = delimited(5, delimited(1, value))
      const attribute = delimited(1, delimited(2, value))
      return delimited(1, delimited(1, attribute))
    }
    for (const levels of [20, 98, 99, 100, 101, 102, 500]) {
      const bytes = deep(levels)
      expect(check('traces', bytes) >= 0).toBe(framing('traces', bytes).ok)
    }
    expect(check('traces', deep(3000))).toBe(-1)
    // Groups of an unknown field count by themselves.
    const groups = (levels: number) => Buffer.concat([Buffer.alloc(levels, 0x7b), Buffer.alloc(levels, 0x7c)])
    for (const levels of [99, 100, 101, 102, 500]) {
      expect(check('traces', groups(levels)) >= 0).toBe(framing('traces', groups(levels)).ok)
    }
    expect(check('traces', groups(101))).toBe(-1)
  })

  test('a length that promises more than its parent holds is refused, at every level', () => {
    const tooLong: Uint8Array = Buffer.concat([varint(0x0a), varint(100)])
    for (const path of [[], [1], [1, 2], [1, 2, 2], [1, 2, 2, 9], [1, 2, 2, 9, 2]]) {
      const bytes = path.reduceRight((inside, number) => delimited(number, inside), tooLong)
      expect(check('traces', bytes)).toBe(-1)
      expect(scanTraces(bytes, new Items())).toBe(-1)
    }
  })
})

describe('the scan', () => {
  const span = {
    name: 'GET /',
    kind: 'client',
    startNs: 1_790_000_000_000_000_123n,
    durationNs: 1500,
  } as const

  test('subtracts nanoseconds before it rounds', () => {
    const items = new Items()
    scanTraces(tracesRequest([{ service: 'web', spans: [span] }]), items)
    expect(items.durationNs[0]).toBe(1500)
    expect(items.endMs[0]).toBeCloseTo(1_790_000_000_000, 0)
  })

  test.each([
    ['status ERROR', { status: 'error' }, true],
    ['error.type', { attributes: { 'error.type': 'timeout' } }, true],
    ['HTTP 500 of a client', { attributes: { 'http.response.status_code': 500 } }, true],
    ['HTTP 404 of a client', { attributes: { 'http.response.status_code': 404 } }, true],
    ['HTTP 404 of a server', { kind: 'server', attributes: { 'http.response.status_code': 404 } }, false],
    ['HTTP 503 of a server', { kind: 'server', attributes: { 'http.response.status_code': 503 } }, true],
    ['HTTP 503 by the old name', { kind: 'server', attributes: { 'http.status_code': 503 } }, true],
    ['gRPC NOT_FOUND of a client', { attributes: { 'rpc.grpc.status_code': 5 } }, true],
    ['gRPC NOT_FOUND of a server', { kind: 'server', attributes: { 'rpc.grpc.status_code': 5 } }, false],
    ['gRPC UNAVAILABLE of a server', { kind: 'server', attributes: { 'rpc.grpc.status_code': 14 } }, true],
    [
      'gRPC UNAVAILABLE of a server by its name',
      { kind: 'server', attributes: { 'rpc.response.status_code': 'UNAVAILABLE' } },
      true,
    ],
    ['gRPC OK', { attributes: { 'rpc.grpc.status_code': 0 } }, false],
    ['a cancel that the client meant', { status: 'error', attributes: { 'rpc.grpc.status_code': 1 } }, false],
    ['nothing of the kind', { attributes: { 'http.response.status_code': 200 } }, false],
  ] as const)('what counts as an error: %s', (_, more, failed) => {
    const items = new Items()
    scanTraces(tracesRequest([{ service: 'web', spans: [{ ...span, ...more }] }]), items)
    expect((items.flags[0] & 1) === 1).toBe(failed)
  })
})
