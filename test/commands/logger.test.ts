//! The law of the log at a terminal.
import { expect, test } from 'vitest'
import { humanLine } from '../../src/commands/logger.ts'

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
  const evil = '\x1b]0;title\x07\x1b[2J\r\n\x9b31mfake'
  for (const text of [
    line({ msg: evil }),
    line({ service: evil }),
    line({ msg: 'x', [evil]: 1 }),
    line({ msg: 'x', deep: { evil } }),
  ]) {
    expect(text.slice(0, -1)).not.toMatch(/\p{Cc}/u)
  }
})
