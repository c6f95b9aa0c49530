//! Laws of contributors from end to end: what spans say of themselves leads to what an incident says of whom it hurts.
import { expect, test } from 'vitest'
import type { EventRecord } from '../../src/bus/bus.ts'
import { Side } from '../../src/learn/attribution.ts'
import { seeded } from '../kit/random.ts'
import { type Fault, lived } from '../kit/regions.ts'

const CALM_WINDOWS = 120

const contributors = ({ attributes }: EventRecord, of: string) =>
  (attributes[`otlier.${of}.contributors`] ?? []) as readonly string[]

const told = (events: readonly EventRecord[], name: string) => events.filter(event => event.name === name)

const FAULTS: readonly (readonly [string, Fault, string, 'slow' | 'failed'])[] = [
  ['slow in one region', { slower: ({ region }) => (region === 'eu' ? 8 : 1) }, 'region=eu', 'slow'],
  [
    'failing for one region',
    { fails: ({ region }) => (region === 'us' ? 0.5 : 0.005) },
    'region=us',
    'failed',
  ],
]

test.each(FAULTS)(
  'what is %s is told of with its shares, by the incident, its title and its anomalies',
  async (_, fault, name, hurt) => {
    const events = await lived(seeded(1), CALM_WINDOWS, fault)
    const [incident] = told(events, 'otlier.incident.resolved')
    const [first, ...others] = contributors(incident, 'incident')
    expect(others).toEqual([])
    const [, ofHurt, ofNormal] = /^\S+ \((\d+) % of \w+, (\d+) % of normal\)$/.exec(first) ?? []
    expect(first.startsWith(`${name} (`)).toBe(true)
    expect(first).toContain(` % of ${hurt}, `)
    expect(Number(ofHurt)).toBeGreaterThanOrEqual(70)
    expect(Number(ofNormal)).toBeLessThanOrEqual(35)
    expect(incident.attributes['otlier.incident.title']).toMatch(new RegExp(`, where ${name}$`))
    // What is told within half a minute has few spans to go by: then its end says it.
    const anomalies = ['opened', 'resolved']
      .flatMap(turn => told(events, `otlier.anomaly.${turn}`))
      .flatMap(each => contributors(each, 'anomaly'))
    expect(anomalies.length).toBeGreaterThan(0)
    for (const text of anomalies) expect(text.startsWith(`${name} (`)).toBe(true)
  },
)

test('a fault that hits all alike opens an incident that names no attribute', async () => {
  for (const fault of [{ slower: () => 4 }, { fails: () => 0.3 }]) {
    const events = await lived(seeded(2), CALM_WINDOWS, fault, { perWindow: 30 })
    expect(told(events, 'otlier.incident.opened').length).toBeGreaterThan(0)
    for (const event of events) {
      expect(contributors(event, 'incident')).toEqual([])
      expect(contributors(event, 'anomaly')).toEqual([])
    }
  }
})

test('the same spans in another order and other batches give the same events', async () => {
  const fault: Fault = { fails: ({ region }) => (region === 'us' ? 0.5 : 0.005) }
  const options = { perWindow: 25 }
  const [one, mixed] = [
    await lived(seeded(3), CALM_WINDOWS, fault, options),
    await lived(seeded(3), CALM_WINDOWS, fault, { ...options, order: seeded(9) }),
  ]
  expect(one.some(event => contributors(event, 'incident').length > 0)).toBe(true)
  expect(mixed).toEqual(one)
})

test('identifiers without end make room for each other, and for what comes later and stays', () => {
  const side = new Side()
  for (let n = 0; n < 10_000; n++) {
    side.of('user.id', `u${n}`)?.add(1, 0, false)
    side.of('url.full', `/${n}`)?.add(1, 0, false)
  }
  for (let n = 0; n < 5; n++) side.of('cloud.region', 'eu')?.add(1, 0, false)
  expect(side.byKey.get('cloud.region')?.get('eu')?.n).toBe(5)
  const kept = [...side.byKey.values()].reduce((sum, values) => sum + values.size, 0)
  expect(kept).toBeLessThanOrEqual(96)
})
