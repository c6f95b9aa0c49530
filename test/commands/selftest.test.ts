//! Laws of `otlier selftest`: what it prints, by the running service, and what it says where there is nothing to print.
import { expect, test } from 'vitest'
import { UsageError } from '../../src/commands/arguments.ts'
import { selftest as command, reportWords } from '../../src/commands/selftest.ts'
import { GrpcClient } from '../kit/client.ts'
import { runCommand } from '../kit/command.ts'
import { requests } from '../kit/gateway.ts'
import { startService } from '../kit/otlier.ts'

const selftest = (...args: readonly string[]) => runCommand(command, args)

const MINUTE_MS = 60_000
const START_MS = Date.UTC(2026, 0, 5, 12)
const END_MS = START_MS + 22 * MINUTE_MS

test('the running service says first how much traffic it needs, and then what it found: as a table, as JSON, in the metrics', async () => {
  const service = await startService(['exporters.debug={}', 'service.pipelines.traces.exporters=[]'])
  const client = new GrpcClient(service.grpcPort)
  try {
    const here = ['--set', `service.view.endpoint=127.0.0.1:${service.viewPort}`]
    const early = await selftest(...here)
    expect([early.status, early.stdout, early.stderr]).toEqual([
      1,
      '',
      'otlier: A self-test needs 18.3 minutes of traffic since the start; there are 0 so far.\n',
    ])
    expect((await service.metrics()).get('otlier_selftest_recall_ratio')).toBeNaN()
    for (const { bytes } of requests(START_MS, END_MS, END_MS)) await client.export('traces', bytes)
    const told = await selftest(...here, '--seed', '3')
    expect([told.status, told.stderr]).toEqual([0, ''])
    for (const words of [
      'Self-test with seed 3',
      'slow service',
      'x5',
      'Recall ',
      'False alarms: 0 incidents',
    ])
      expect(told.stdout).toContain(words)
    const json = await selftest(...here, '--seed', '3', '--json')
    const report = JSON.parse(json.stdout)
    expect(report).toMatchObject({ seed: 3, recall: report.detected / report.trials, falseAlarms: 0 })
    expect(report.trials).toBeGreaterThan(10)
    expect(report.recall).toBeGreaterThan(0.5)
    expect(told.stdout).toBe(`${reportWords(report)}\n`)
    const metrics = await service.metrics()
    expect(metrics.get('otlier_selftest_recall_ratio')).toBe(report.recall)
    expect(metrics.get('otlier_selftest_delay_seconds')).toBe(report.delayS)
  } finally {
    client.session.close()
    await service.stop()
  }
})

test('where nobody listens it is said how to start one; what is no Otlier is told apart', async () => {
  const service = await startService([])
  const other = `service.view.endpoint=127.0.0.1:${service.metricsPort}`
  const wrong = await selftest('--set', other)
  await service.stop()
  const gone = await selftest('--set', `service.view.endpoint=127.0.0.1:${service.viewPort}`)
  const off = await selftest('--set', 'service.view.endpoint=none')
  expect([wrong.status, wrong.stdout]).toEqual([1, ''])
  expect([gone.status, gone.stdout]).toEqual([1, ''])
  expect(gone.stderr).toMatch(/nothing listens there; is Otlier running\?\nStart it with: otlier run/)
  expect([off.status, off.stdout]).toEqual([1, ''])
  expect(off.stderr).toContain('there is nobody to ask')
})

test('a seed is a whole number, and nothing else is expected', async () => {
  for (const args of [['--seed', 'x'], ['--seed', '4294967296'], ['--seed=-1'], ['carts'], ['--sede', '1']])
    await expect(command(args), args.join(' ')).rejects.toThrow(UsageError)
})

test('the table shows every kind, also those without a place, and shares with their interval', () => {
  const row = { kind: 'slow service', size: 'x5', trials: 5, detected: 4, located: 3, delayS: 49.6 }
  const text = reportWords({
    seed: 1,
    fromMs: START_MS,
    untilMs: START_MS + 20 * MINUTE_MS,
    windows: 120,
    windowMs: 10_000,
    rows: [row, { kind: 'silence', size: '', trials: 0, detected: 0, located: 0, delayS: null }],
    trials: 5,
    detected: 4,
    located: 3,
    delayS: 49.6,
    elsewhere: 1,
    falseAlarms: 2,
    openedForReal: 0,
    limits: ['What limits it.'],
  })
  expect(text).toBe(
    [
      'Self-test with seed 1, on copies of 20 minutes of real windows, 2026-01-05T12:00:00Z to 2026-01-05T12:20:00Z.',
      '',
      'fault           size         injected    detected named first       delay',
      'slow service    x5                  5           4           3        50 s',
      'silence                      no place',
      'all                                 5           4           3        50 s',
      '',
      'Recall 80 % (38 to 96 %), with the right service first 60 % (23 to 88 %).',
      '1 incident opened because of a fault without naming its service.',
      'False alarms: 2 incidents in the same windows without a fault.',
      'What limits it.',
    ].join('\n'),
  )
})
