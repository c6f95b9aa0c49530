//! The law of the log at a terminal.
import { expect, test } from 'vitest'
import { humanLine, machineLine } from '../../src/commands/logger.ts'

const line = (fields: object) =>
  humanLine(JSON.stringify({ level: 'info', time: '2026-11-23T12:03:44.000Z', ...fields }))

test('a line has time, level, message and fields', () => {
  expect(line({ msg: 'the queue is full', exporter: 'otlp/jaeger', items: 3, nested: { a: 1 } })).toBe(
    '12:03:44 info  the queue is full  exporter=otlp/jaeger  items=3  nested={"a":1}\n',
  )
  expect(line({ msg: 'failed', err: { type: 'Error', message: 'refused', stack: '...' } })).toContain(
    'error=refused',
  )
})

test('nothing that came over the network can steer the terminal or begin a line', () => {
  const evil = '\x1b]0;title\x07\x1b[2J\r\n\x9b31mfake\u202edesrever\u2028'
  for (const text of [
    line({ msg: evil }),
    line({ service: evil }),
    line({ msg: 'x', [evil]: 1 }),
    line({ msg: 'x', deep: { evil } }),
  ]) {
    expect(text.slice(0, -1)).not.toMatch(/[\p{Cc}\p{Zl}\u202e]/u)
  }
})

test('a line for machines cannot steer the terminal of who looks at it, and reads as the same JSON', () => {
  const fields = {
    level: 'warn',
    msg: 'a\x1b[2J\x9b31m\x7f\u202e\u2028b',
    service: '\u0085',
    ordinary: 'größer 大 😀',
  }
  const text = machineLine(`${JSON.stringify(fields)}\n`)
  expect(text.slice(0, -1)).not.toMatch(/[\p{Cc}\p{Zl}\u202e]/u)
  expect(text.endsWith('\n')).toBe(true)
  expect(JSON.parse(text)).toEqual(fields)
  expect(text).toContain('größer 大 😀')
})
