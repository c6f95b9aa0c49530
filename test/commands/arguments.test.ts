//! The laws of command-line options.
import { describe, expect, test } from 'vitest'
import {
  CONFIG_OPTIONS,
  configFlags,
  type Options,
  readArguments,
  UsageError,
} from '../../src/commands/arguments.ts'

const options: Options = { ...CONFIG_OPTIONS, quiet: { help: 'Says nothing.' } }

describe('options', () => {
  test('are read in both forms, repeated where they may be, in their order', () => {
    const args = readArguments(
      ['--config', 'a', '-c', 'b', '--config=c', '--set=x=y=z', '--port-offset', '-5', '--quiet'],
      options,
    )
    expect(configFlags(args)).toEqual({ config: ['a', 'b', 'c'], set: ['x=y=z'], portOffset: '-5' })
    expect(args.has('quiet')).toBe(true)
    expect(args.one('nothing')).toBe(null)
  })

  test('may stand among other words, and end at --', () => {
    expect(readArguments(['a', '--quiet', 'b', '--', '--config'], options, 'INPUT...').positionals).toEqual([
      'a',
      'b',
      '--config',
    ])
  })

  test.each([
    [['--confg', 'x'], 'unknown option --confg; did you mean --config?'],
    [['--xyz'], 'unknown option --xyz; known here: --config, --set, --port-offset, --quiet'],
    [['-x'], 'unknown option -x; known here:'],
    [['--constructor'], 'unknown option --constructor'],
    [['--config'], '--config needs a value: --config FILE'],
    [['--config', '--set', 'a=b'], '--config needs a value'],
    [['--quiet=yes'], '--quiet takes no value'],
    [['--port-offset', '1', '--port-offset', '2'], '--port-offset is given twice'],
    [['word'], '"word" is not expected here'],
  ])('%j: %s', (args, message) => {
    expect(() => readArguments(args, options)).toThrow(UsageError)
    expect(() => readArguments(args, options)).toThrow(message)
  })

  test('that a command does not know are told even when it knows none', () => {
    expect(() => readArguments(['--quiet'], {})).toThrow('it takes no options')
  })
})
