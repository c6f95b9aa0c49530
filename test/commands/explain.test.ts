//! Laws of `otlier explain`: what may be asked, of the running service and of a recording, and what stands on standard output.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { silentLog } from '../../src/base/log.ts'
import { readArguments, UsageError } from '../../src/commands/arguments.ts'
import { explain as command, readQuery } from '../../src/commands/explain.ts'
import { COMMANDS } from '../../src/commands/help.ts'
import { replayFiles } from '../../src/commands/replay-files.ts'
import { protoToJson } from '../../src/wire/json-out.ts'
import { GrpcClient } from '../kit/client.ts'
import { runCommand } from '../kit/command.ts'
import { requests } from '../kit/gateway.ts'
import { startService } from '../kit/otlier.ts'
import { DETECTING } from '../kit/planes.ts'
import { run } from '../kit/programs.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const program = (...args: readonly string[]) => run(process.execPath, [main, 'explain', ...args])

const explain = (...args: readonly string[]) => runCommand(command, args)
const MINUTE_MS = 60_000
const START_MS = Date.UTC(2026, 0, 5, 12)
const FAULT_MS = START_MS + 20 * MINUTE_MS
const END_MS = START_MS + 25 * MINUTE_MS
const at = (ms: number) => new Date(ms).toISOString()

let folder = ''
let whole = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'otlier-explain-'))
  whole = join(folder, 'whole.jsonl')
  const lines = requests(START_MS, FAULT_MS, END_MS).map(({ bytes }) => protoToJson('traces', bytes))
  writeFileSync(whole, lines.map(line => `${Buffer.from(line)}\n`).join(''))
})
afterAll(() => rmSync(folder, { recursive: true }))

describe('what is asked', () => {
  const query = (...args: string[]) => readQuery(readArguments(args, COMMANDS.explain.options, 'INCIDENT'))

  test('an id says itself whether it is an incident or a trace, and a time without an offset is UTC', () => {
    expect(query()).toEqual({ kind: 'list' })
    expect(query('01jabcdefghjkmnpqrstvwxyz0')).toEqual({
      kind: 'incident',
      id: '01JABCDEFGHJKMNPQRSTVWXYZ0',
    })
    expect(query('AB'.repeat(16))).toEqual({ kind: 'trace', id: 'ab'.repeat(16) })
    const atMs = Date.UTC(2026, 0, 31, 14, 3)
    for (const time of [
      '2026-01-31T14:03:00Z',
      '2026-01-31T15:03+01:00',
      '2026-01-31 14:03',
      '2026-01-31t14:03:00.000z',
    ])
      expect(query('--at', time, '--service', 'shop')).toEqual({ kind: 'at', atMs, service: 'shop' })
  })

  test.each([
    [['x'], 'neither the id of an incident'],
    [['a'.repeat(32), 'b'.repeat(32)], 'one id too many'],
    [['--at', 'yesterday'], 'is no time; write it as'],
    [['--at', '2026-02-31T14:03:00X'], 'is no time'],
    [['--at', '2026-01-31T14:03:00Z', 'a'.repeat(32)], 'leave one of them out'],
    [['--service', 'shop'], 'belongs to --at TIME'],
    [['--json'], '--json gives the suspects of one'],
  ])('%j is bad usage', (args, words) => {
    expect(() => query(...args)).toThrow(UsageError)
    expect(() => query(...args)).toThrow(words)
  })
})

const replayed = (untilMs?: number) =>
  replayFiles({
    inputs: [whole],
    events: null,
    out: null,
    detecting: DETECTING,
    version: '0.0.0',
    log: silentLog,
    onBad: () => {},
    ...(untilMs === undefined ? {} : { untilMs }),
  })

describe('a recording', () => {
  test('--at ranks by what had been seen up to then: nothing that ends later is read, and what waits counts', async () => {
    const atMs = FAULT_MS + 40_000
    const cut = join(folder, 'cut.jsonl')
    const lines = requests(START_MS, FAULT_MS, END_MS).filter(({ endMs }) => endMs <= atMs)
    writeFileSync(cut, lines.map(({ bytes }) => `${Buffer.from(protoToJson('traces', bytes))}\n`).join(''))
    const all = await explain('--input', whole, '--at', at(atMs), '--json')
    const part = await explain('--input', cut, '--at', at(atMs), '--json')
    const early = await explain('--input', whole, '--at', at(START_MS), '--json')
    expect([all.status, all.stderr]).toEqual([0, ''])
    const { suspects, ...rest } = JSON.parse(all.stdout)
    expect(rest).toEqual({})
    expect(suspects[0]).toEqual({ service: 'carts', score: expect.any(Number) })
    expect(part.stdout).toBe(all.stdout)
    expect([early.status, early.stdout, early.stderr]).toEqual([
      1,
      '',
      'otlier: Nothing of the recording ends by that time.\n',
    ])
  })

  test('a replay until a moment reads nothing that ends later, and has seen the silence before it', async () => {
    const untilMs = FAULT_MS + 8_000
    const { accounts, lastNs } = await replayed(untilMs)
    expect(Number(lastNs / 1_000_000n)).toBeLessThanOrEqual(untilMs)
    const answer = accounts.assess(untilMs, null)
    if ('wrong' in answer) throw new Error(answer.wrong)
    // The fault is in a window that has not ended, and has been seen all the same.
    expect(answer.suspects[0]?.service).toBe('carts')
    expect(answer.suspects[0]?.evidence[0].atMs).toBe(untilMs)
    const later = (await replayed(END_MS + 2 * MINUTE_MS)).accounts.assess(END_MS + 2 * MINUTE_MS, null)
    expect('limits' in later && later.limits.join()).toMatch(/No trace ended in \d+ of these \d+ windows/)
  })

  test('the incidents of a recording are listed', async () => {
    const list = await program('--input', whole)
    expect([list.status, list.stderr]).toEqual([0, ''])
    expect(list.stdout).toMatch(/^[0-9A-Z]{26} {2}resolved {2}carts: /m)
  })

  test('an incident of a recording is told whole: suspects, numbers, what was set aside, and what was said', async () => {
    const { accounts } = await replayed()
    const [{ id }] = accounts.incidents()
    const told = await explain('--input', whole, id)
    const json = await explain('--input', whole, id.toLowerCase(), '--json')
    const other = await explain('--input', whole, '01JABCDEFGHJKMNPQRSTVWXYZ0')
    expect(told.status).toBe(0)
    for (const part of [
      `Incident ${id}`,
      'Suspects:',
      '1. carts',
      'z ',
      'strength',
      'Incidents open from strength',
      'Told:',
      'otlier.incident.resolved',
    ])
      expect(told.stdout).toContain(part)
    expect(JSON.parse(json.stdout).suspects[0].service).toBe('carts')
    expect([other.status, other.stdout]).toEqual([1, ''])
    expect(other.stderr).toContain('No incident of the recording has the id')
  })

  test('a moment of calm is answered too: nobody was told, and how far it was', async () => {
    const calm = await explain('--input', whole, '--at', at(FAULT_MS - MINUTE_MS), '--service', 'carts')
    expect(calm.status).toBe(0)
    expect(calm.stdout).toMatch(/Nobody was told of carts/)
    const unknown = await explain('--input', whole, '--at', at(FAULT_MS), '--service', 'crats')
    expect([unknown.status, unknown.stdout]).toEqual([1, ''])
    expect(unknown.stderr).toContain('Did you mean carts?')
  })

  test('a file that is not there is told by name', async () => {
    const gone = await explain('--input', join(folder, 'gone.jsonl'))
    expect([gone.status, gone.stdout]).toEqual([1, ''])
    expect(gone.stderr).toContain('gone.jsonl')
  })
})

describe('the running service', () => {
  test('is asked at service.view.endpoint, and says the same as a recording', async () => {
    const service = await startService(['exporters.debug={}', 'service.pipelines.traces.exporters=[]'])
    const client = new GrpcClient(service.grpcPort)
    try {
      const here = ['--set', `service.view.endpoint=127.0.0.1:${service.viewPort}`]
      const none = await explain(...here)
      expect([none.status, none.stdout]).toEqual([0, 'No incident is kept: none has opened.\n'])
      const unjudged = await explain(...here, '--at', at(FAULT_MS))
      expect([unjudged.status, unjudged.stderr]).toEqual([
        1,
        'otlier: No window of traces has been judged yet.\n',
      ])
      const sent = requests(START_MS, FAULT_MS, END_MS)
      for (const { bytes } of sent) await client.export('traces', bytes)
      const list = await explain(...here)
      const [, id = ''] = /^([0-9A-Z]{26}) /m.exec(list.stdout) ?? []
      const told = await explain(...here, id)
      const json = await explain(...here, '--at', at(FAULT_MS + MINUTE_MS), '--json')
      const unknown = await explain(...here, '01JABCDEFGHJKMNPQRSTVWXYZ0')
      expect(told.stdout).toContain('1. carts')
      expect(JSON.parse(json.stdout).suspects[0].service).toBe('carts')
      expect([unknown.status, unknown.stdout, unknown.stderr]).toEqual([
        1,
        '',
        'otlier: No incident that is kept has the id 01JABCDEFGHJKMNPQRSTVWXYZ0.\n',
      ])
    } finally {
      client.session.close()
      await service.stop()
    }
  })

  test('where nobody listens it is said how to start one; what is no Otlier is told apart', async () => {
    const service = await startService([])
    const other = [
      '--set',
      `service.view.endpoint=127.0.0.1:${service.listening['service.metrics.endpoint']?.port}`,
    ]
    const wrong = await explain(...other)
    await service.stop()
    const gone = await explain('--set', `service.view.endpoint=127.0.0.1:${service.viewPort}`)
    const off = await explain('--set', 'service.view.endpoint=none')
    expect([wrong.status, wrong.stdout]).toEqual([1, ''])
    expect([gone.status, gone.stdout]).toEqual([1, ''])
    expect(gone.stderr).toMatch(/nothing listens there; is Otlier running\?\nStart it with: otlier run/)
    expect([off.status, off.stdout]).toEqual([1, ''])
    expect(off.stderr).toContain('there is nobody to ask')
  })
})

test('what a name of a service holds cannot steer the terminal', async () => {
  const file = join(folder, 'odd.jsonl')
  writeFileSync(file, readFileSync(whole, 'utf8').replaceAll('"carts"', '"car\\u001b[2Jts"'))
  const told = await explain('--input', file, '--at', at(FAULT_MS + MINUTE_MS))
  expect(told.stdout).toContain('car [2Jts')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not come.
  expect(told.stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/)
})
