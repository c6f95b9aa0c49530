//! The laws of the demo's score: to which fault an incident belongs. What it comes to in ten minutes says `seeds.detection.ts`.
import { expect, test } from 'vitest'
import { FAULTS, type FaultName } from '../../../src/commands/demo/faults.ts'
import type { Said } from '../../../src/commands/demo/said.ts'
import { Scorecard } from '../../../src/commands/demo/scorecard.ts'

const opened = (suspect: string): Said => ({
  event: 'otlier.incident.opened',
  body: '',
  severity: 17,
  incident: 'x',
  suspects: [suspect],
  scores: [1],
  contributors: [],
})

/** A card with faults that begin at these seconds and last 40 s, and incidents at others. */
function score(faults: readonly [FaultName, number][], incidents: readonly [string, number][], nowS = 1000) {
  const card = new Scorecard()
  for (const [name, s] of faults) card.inject({ name, beginMs: s * 1000, endMs: (s + 40) * 1000 })
  for (const [suspect, s] of incidents) card.hear(opened(suspect), s * 1000)
  return card.score(nowS * 1000)
}

test('an incident with nothing wrong is a false alarm, and one during a fault is its detection', () => {
  expect(score([], [['payment', 10]])).toMatchObject({ injected: 0, falseAlarms: 1, medianDelayMs: null })
  expect(score([['silence', 10]], [['recommendations', 30]])).toMatchObject({
    detected: 1,
    located: 1,
    medianDelayMs: 20_000,
    falseAlarms: 0,
  })
  expect(score([['silence', 10]], [['recommendations', 200]])).toMatchObject({ detected: 0, falseAlarms: 1 })
})

test('a wrong suspect detects and does not locate, and a right one that comes after it does not mend that', () => {
  const incidents: [string, number][] = [
    ['frontend', 20],
    ['recommendations', 25],
  ]
  expect(score([['silence', 10]], incidents)).toMatchObject({ detected: 1, located: 0, again: 1 })
})

test('an incident that names the culprit of an earlier fault does not count for the next', () => {
  const faults: [FaultName, number][] = [
    ['slow-dependency', 0],
    ['silence', 100],
  ]
  const incidents: [string, number][] = [
    ['payment', 15],
    ['payment', 110],
  ]
  expect(score(faults, incidents)).toMatchObject({
    injected: 2,
    detected: 1,
    located: 1,
    again: 1,
    falseAlarms: 0,
  })
})

test('a fault that has just begun does not count before it could be seen', () => {
  expect(score([['silence', 10]], [], 30)).toMatchObject({ injected: 0, detected: 0 })
  expect(score([['silence', 10]], [], 50)).toMatchObject({ injected: 1, detected: 0 })
})

test('every fault says whom it must be blamed on, and what it does', () => {
  for (const { culprit, what, trouble } of Object.values(FAULTS)) {
    expect(what).toContain(culprit)
    expect(JSON.stringify(trouble)).toContain(culprit)
  }
})
