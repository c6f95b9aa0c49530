//! The laws of what the demo shows: incidents with their reasons, a score, and nothing that steers a terminal.
import { expect, test } from 'vitest'
import { Feed, scoreWords } from '../../../src/commands/demo/feed.ts'
import { type Said, saidIn } from '../../../src/commands/demo/said.ts'
import { Scorecard } from '../../../src/commands/demo/scorecard.ts'

const AT_MS = Date.UTC(2026, 0, 5, 12)

const event = (name: string, more: Partial<Said> = {}): Said => ({
  event: `otlier.${name}`,
  body: 'payment: own time 90 ms, normally 18 ms (5 times), since 12:00:00 UTC',
  severity: 17,
  incident: 'X1',
  suspects: ['payment'],
  scores: [7.5],
  contributors: [],
  ...more,
})

function shown(events: readonly Said[], isColoured = false): string[] {
  const lines: string[] = []
  const feed = new Feed(line => lines.push(line), isColoured)
  for (const each of events) feed.hear(each, AT_MS)
  return lines
}

test('an incident is told with its time, suspects, what was seen before it opened, and what sets it apart', () => {
  const lines = shown([
    event('anomaly.opened', { body: 'payment: own time 90 ms, normally 18 ms (5 times)' }),
    event('anomaly.opened', { body: 'payment: pod b is slow' }),
    event('incident.opened', { contributors: ['service.version=2'] }),
    event('anomaly.opened', { body: 'frontend: waits' }),
    event('incident.resolved', { body: 'payment: over after 2 min' }),
  ])
  expect(lines.map(line => line.trim().replaceAll(/ {2,}/g, ' | '))).toEqual([
    '12:00:00 | INCIDENT | payment: own time 90 ms, normally 18 ms (5 times), since 12:00:00 UTC',
    'suspects | payment (7.5)',
    'because | payment: pod b is slow',
    'apart | service.version=2',
    'incident | X1',
    '12:00:00 | also | frontend: waits',
    '12:00:00 | resolved | payment: over after 2 min',
  ])
})

test('what telemetry brings in cannot steer the terminal, in any place of it', () => {
  const evil = '\u001b]0;gone\u0007\r\u009b2J\u202e'
  const said = event('incident.opened', {
    body: evil,
    incident: evil,
    suspects: [evil],
    contributors: [evil],
  })
  const lines = shown([event('anomaly.opened', { body: evil, incident: evil }), said])
  const card = new Scorecard()
  card.inject({ name: 'silence', beginMs: 0, endMs: 1000 })
  card.hear(said, 500)
  const text = [...lines, ...scoreWords(card.score(AT_MS))].join('')
  expect(text).toContain('gone')
  expect(text).not.toMatch(/[\p{Cc}\u202e]/u)
})

test('without end, what is seen of incidents that never open is not kept', () => {
  const many = Array.from({ length: 500 }, (_, n) => event('anomaly.opened', { incident: `I${n}` }))
  const lines = shown([...many, event('incident.opened', { incident: 'I400' })])
  expect(lines.filter(line => line.includes('INCIDENT'))).toHaveLength(1)
  expect(lines.filter(line => line.includes('because'))).toHaveLength(0)
})

test('the score names every fault with what came of it', () => {
  const card = new Scorecard()
  card.inject({ name: 'slow-dependency', beginMs: 0, endMs: 40_000 })
  card.inject({ name: 'silence', beginMs: 100_000, endMs: 140_000 })
  card.hear(event('incident.opened', { suspects: ['frontend'] }), 15_000)
  const text = scoreWords(card.score(200_000)).join('\n')
  expect(text).toMatch(/slow-dependency +after 15 s +suspect frontend, and it was payment/)
  expect(text).toMatch(/silence +not detected/)
  expect(text).toMatch(/injected 2, detected 1, located 0, median delay 15 s, false alarms 0/)
})

test('JSON that is no request of OTLP says nothing, and what is no JSON is refused', () => {
  for (const text of ['{}', '[]', 'null', '{"resourceLogs":3}', '{"resourceLogs":[{"scopeLogs":[null]}]}'])
    expect(saidIn(text)).toEqual([])
  const odd = {
    resourceLogs: [{ scopeLogs: [{ logRecords: [{ body: 5, attributes: [null, { key: 3 }] }] }] }],
  }
  expect(saidIn(JSON.stringify(odd))).toMatchObject([{ event: '', body: '', suspects: [] }])
  expect(() => saidIn('{')).toThrow(SyntaxError)
})
