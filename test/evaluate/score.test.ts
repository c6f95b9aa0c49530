//! The laws of the scorer, with events made by hand: what counts as detected, located, over and opened again, and for which fault.
import { describe, expect, test } from 'vitest'
import type { EventRecord } from '../../src/bus/bus.ts'
import { incidentsOf, openings } from './incidents.ts'
import { DETECTED_AFTER_MS, LATE_AFTER_MS, score, type Truth } from './score.ts'
import { atBudget } from './subject.ts'

const START_MS = Date.UTC(2026, 2, 3, 12)
const MINUTE_MS = 60_000

/** A fault from minute 10 to minute 20. */
const truth = (more: Partial<Truth> = {}): Truth => ({
  kind: 'slow dependency',
  size: 'clear',
  shift: 10,
  affected: 50,
  fromMs: START_MS + 10 * MINUTE_MS,
  toMs: START_MS + 20 * MINUTE_MS,
  timedMs: START_MS + 10 * MINUTE_MS,
  service: 'stock',
  named: [],
  among: '',
  ...more,
})

const event = (
  what: 'opened' | 'updated' | 'resolved',
  minute: number,
  suspects: readonly string[] = ['stock'],
  more: Record<string, readonly string[] | string | number> = {},
): EventRecord => ({
  name: `otlier.incident.${what}`,
  timeNs: BigInt(START_MS) * 1_000_000n,
  observedMs: START_MS + minute * MINUTE_MS,
  severity: what === 'resolved' ? 9 : 13,
  body: 'It is slow.',
  traceId: '',
  spanId: '',
  resource: {},
  attributes: { 'otlier.incident.id': 'one', 'otlier.incident.suspects': suspects, ...more },
})

const scored = (truths: readonly Truth[], ...events: EventRecord[]) => score(truths, incidentsOf(events))
const id = (name: string) => ({ 'otlier.incident.id': name })

describe('detected', () => {
  test('is a fault by an incident that opens while it lasts, or until its last windows are closed', () => {
    for (const minute of [10, 15, 20 + DETECTED_AFTER_MS / MINUTE_MS]) {
      const { faults, strays } = scored([truth()], event('opened', minute))
      expect(faults[0]).toMatchObject({ detected: true, delayMs: (minute - 10) * MINUTE_MS, located: true })
      expect(strays).toHaveLength(0)
    }
  })

  test('is it not by an incident from before', () => {
    const { faults, strays } = scored([truth()], event('opened', 9.9), event('updated', 12))
    expect(faults[0]).toMatchObject({ detected: false, delayMs: Number.POSITIVE_INFINITY, located: false })
    expect(strays).toHaveLength(1)
  })

  test('is it not by an incident long after, which is one of its incidents still', () => {
    const { faults, strays } = scored([truth()], event('opened', 22))
    expect(faults[0]).toMatchObject({ detected: false, openings: 1 })
    expect(strays).toHaveLength(0)
    const late = scored([truth()], event('opened', 20.1 + LATE_AFTER_MS / MINUTE_MS))
    expect(late.faults[0].openings).toBe(0)
    expect(late.strays).toHaveLength(1)
  })

  test('is it by what opened, not by what was only updated or resolved', () => {
    const { faults, strays } = scored([truth()], event('updated', 12), event('resolved', 14))
    expect(faults[0].detected).toBe(false)
    expect(strays).toHaveLength(0)
  })

  test('is a drift from when it exceeds its size, and no sooner than at once', () => {
    const drift = truth({ kind: 'slow drift', timedMs: START_MS + 15 * MINUTE_MS })
    expect(scored([drift], event('opened', 16)).faults[0].delayMs).toBe(MINUTE_MS)
    expect(scored([drift], event('opened', 12)).faults[0].delayMs).toBe(0)
  })
})

describe('located', () => {
  test('counts what the incident names 60 s after it opened', () => {
    const wrong = event('opened', 11, ['basket'])
    expect(scored([truth()], wrong, event('updated', 12, ['stock', 'basket'])).faults[0].located).toBe(true)
    const late = scored([truth()], wrong, event('updated', 12.1, ['stock']))
    expect(late.faults[0]).toMatchObject({ detected: true, located: false, rank: 0 })
    const second = scored([truth()], event('opened', 11, ['basket', 'stock']))
    expect(second.faults[0]).toMatchObject({ located: false, first: false, rank: 2 })
  })

  test('wants the pod or the version of a bad release with the service', () => {
    const bad = truth({ named: ['service.version=9.9.0', 'k8s.pod.name=stock-1'] })
    const named = (text: string) =>
      scored([bad], event('opened', 11, ['stock'], { 'otlier.incident.contributors': [text] })).faults[0]
    expect(named('service.version=9.9.0').located).toBe(true)
    expect(named('k8s.pod.name=stock-1 (96 % of slow, 11 % of normal)').located).toBe(true)
    expect(named('k8s.pod.name=stock-12').located).toBe(false)
    expect(scored([bad], event('opened', 11)).faults[0]).toMatchObject({ located: false, first: true })
  })

  test('takes contributors from the anomalies of the incident, not from those of another', () => {
    const bad = truth({ named: ['service.version=9.9.0'] })
    const anomaly = (incident: string): EventRecord => ({
      ...event('opened', 11.2),
      name: 'otlier.anomaly.opened',
      attributes: { ...id(incident), 'otlier.anomaly.contributors': ['service.version=9.9.0'] },
    })
    expect(scored([bad], event('opened', 11), anomaly('one')).faults[0].located).toBe(true)
    expect(scored([bad], event('opened', 11), anomaly('two')).faults[0].located).toBe(false)
  })

  test('wants the retrying caller of a retry storm among the first three', () => {
    const storm = truth({ kind: 'retry storm', among: 'basket' })
    const names = (...suspects: string[]) => scored([storm], event('opened', 11, suspects)).faults[0].located
    expect(names('stock', 'tax', 'basket')).toBe(true)
    expect(names('stock', 'tax', 'geo', 'basket')).toBe(false)
    expect(names('basket', 'stock')).toBe(false)
  })
})

describe('an incident', () => {
  const first = truth()
  const second = truth({
    service: 'tax',
    fromMs: START_MS + 15 * MINUTE_MS,
    toMs: START_MS + 25 * MINUTE_MS,
    timedMs: START_MS + 15 * MINUTE_MS,
  })

  test('counts for one fault: among those that last, for the one that it names', () => {
    const { faults } = scored([first, second], event('opened', 16, ['stock']))
    expect(faults.map(one => one.detected)).toEqual([true, false])
  })

  test('counts for the fault that began last where it names none of them', () => {
    const { faults } = scored([first, second], event('opened', 16, ['geo']))
    expect(faults.map(one => one.detected)).toEqual([false, true])
  })

  test('counts for a fault that lasts before one that is over, whomever it names', () => {
    const { faults } = scored([first, second], event('opened', 22, ['stock']))
    expect(faults.map(one => [one.detected, one.located])).toEqual([
      [false, false],
      [true, false],
    ])
  })

  test('is counted with all its openings', () => {
    const { faults } = scored(
      [first],
      event('opened', 11),
      event('resolved', 13),
      event('opened', 14),
      event('opened', 17, ['geo'], id('two')),
    )
    expect(faults[0]).toMatchObject({ openings: 3, reopened: true })
  })

  test('without an id is an error', () => {
    const { attributes: _, ...rest } = event('opened', 11)
    expect(() => incidentsOf([{ ...rest, attributes: {} }])).toThrow('otlier.incident.id')
  })

  test('is read in the order of its time, whatever order its records come in', () => {
    const [incident] = incidentsOf([
      event('resolved', 14),
      event('updated', 12, ['geo']),
      event('opened', 11),
    ])
    expect(incident.turns.map(({ open }) => open)).toEqual([true, false])
    expect(incident.states.map(({ suspects }) => suspects[0])).toEqual(['stock', 'geo', 'stock'])
    expect(openings(incident)).toBe(1)
  })
})

describe('over', () => {
  const resolvedAt = (minute: number) =>
    scored([truth()], event('opened', 11), event('resolved', minute)).faults[0].resolved

  test('is an incident that is resolved within three minutes of the end of the fault', () => {
    expect(resolvedAt(21)).toBe(true)
    expect(resolvedAt(23)).toBe(true)
    expect(resolvedAt(23.1)).toBe(false)
    expect(scored([truth()], event('opened', 11)).faults[0].resolved).toBe(false)
  })

  test('is it not where it has opened again', () => {
    const { faults } = scored([truth()], event('opened', 11), event('resolved', 21), event('opened', 22))
    expect(faults[0]).toMatchObject({ resolved: false, reopened: true })
  })

  test('counts as opened again when another with the same first suspect follows, and not when one of another does', () => {
    const then = (suspect: string) =>
      scored([truth()], event('opened', 11), event('resolved', 14), event('opened', 16, [suspect], id('two')))
        .faults[0].reopened
    expect(then('stock')).toBe(true)
    expect(then('geo')).toBe(false)
    const beside = scored([truth()], event('opened', 11), event('opened', 12, ['stock'], id('two')))
    expect(beside.faults[0].reopened).toBe(false)
  })
})

test('what is said at one budget is told from what is said at another', () => {
  const at = (budget: number) => event('opened', 11, ['stock'], { 'otlier.budget': budget })
  const events = [at(1), at(5), at(5), event('opened', 12)]
  expect([0.2, 1, 5].map(budget => atBudget(events, budget).length)).toEqual([1, 2, 3])
})
