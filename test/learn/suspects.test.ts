//! Laws of who is named behind a service that fails: whoever asks it more often than usual, and not whoever is rare.
import { expect, test } from 'vitest'
import type { Sighting } from '../../src/learn/feature.ts'
import type { ServiceNode } from '../../src/learn/landscape.ts'
import { rankSuspects } from '../../src/learn/suspects.ts'

/** What a caller's traces ask of the service: calls in each usually and now, traces in a window, and calls of one request beyond what any made before. */
type Asks = readonly [usual: number, now: number, traces: number, beyond?: number]

function suspectsOf(callers: Readonly<Record<string, Asks>>): string[] {
  const service = { id: 'pay', name: 'pay', callers: new Set(), callees: new Set() } as unknown as ServiceNode
  for (const [name, [usualPerTrace, nowPerTrace, nowTraces, beyond = 0]] of Object.entries(callers))
    (service.callers as Set<ServiceNode>).add({
      name,
      series: [{ callee: service, usualPerTrace, nowPerTrace, nowTraces, repeats: { beyond } }],
    } as unknown as ServiceNode)
  const failing = {
    class: 'service failure',
    name: 'failure',
    sinceMs: 0,
    place: { id: 'place', service, caller: null, targetService: null, target: '' },
  } as unknown as Sighting
  const scene = { selfOf: () => undefined, gapsFrom: () => [], starved: new Map() }
  return rankSuspects([failing], scene, () => 8).map(({ name }) => name)
}

test('behind a service that fails stand the caller that adds most calls, and the one that multiplies its own', () => {
  const calm: Asks = [1, 1, 50]
  expect(suspectsOf({ web: calm, shop: calm })).toEqual(['pay'])
  expect(suspectsOf({ web: calm, shop: [1, 3, 40] })).toEqual(['pay', 'shop'])
  // A tenth more of much is more than three times a little, and both are told.
  expect(suspectsOf({ web: [1, 1.1, 900], shop: [1, 3, 20], app: calm }).toSorted()).toEqual([
    'pay',
    'shop',
    'web',
  ])
})

test('a caller with a call now and then is not named for one that came twice', () => {
  expect(suspectsOf({ rare: [1, 2, 0.1], shop: [1, 1.4, 40] })).toEqual(['pay', 'shop'])
})

test('who tries again more often in a row than ever is named before who merely asks more', () => {
  expect(suspectsOf({ web: [1, 1.3, 900], app: [1, 1.4, 40, 1], shop: [1, 1.01, 20, 3] })).toEqual([
    'pay',
    'shop',
    'web',
  ])
})

test('of several that try again and ask no more than usual one is named, and not the next as who asks more', () => {
  expect(suspectsOf({ app: [1, 1, 40, 1], shop: [1, 1, 20, 3] })).toEqual(['pay', 'shop'])
})
