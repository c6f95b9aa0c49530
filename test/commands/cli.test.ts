//! The laws of the command line, by the program itself.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { begin, type ProgramOptions, run } from '../kit/programs.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const otlier = (args: readonly string[], options: ProgramOptions = {}) =>
  run(process.execPath, [main, ...args], options)

/** Any free port for everything, and nothing on disk. */
const ALONE = [
  'directory=none',
  'receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0',
  'receivers.otlp.protocols.http.endpoint=127.0.0.1:0',
  'service.metrics.endpoint=127.0.0.1:0',
  'service.health.endpoint=127.0.0.1:0',
  'service.view.endpoint=127.0.0.1:0',
].flatMap(setting => ['--set', setting])

describe('the command line', () => {
  test('prints help, of everything and of each command, and the version', async () => {
    const [all, replay, command, version] = await Promise.all([
      otlier(['--help']),
      otlier(['replay', '--help']),
      otlier(['help', 'config']),
      otlier(['--version']),
    ])
    for (const name of [
      'run',
      'validate',
      'replay',
      'demo',
      'config',
      'healthcheck',
      '--config FILE',
      '--port-offset N',
    ])
      expect(all.stdout).toContain(name)
    expect(replay.stdout).toContain('--events FILE')
    expect(command.stdout).toContain('otlier config schema')
    expect(version.stdout).toMatch(/^otlier \d+\.\d+\.\d+ \(node v/)
    for (const ended of [all, replay, command, version]) expect([ended.status, ended.stderr]).toEqual([0, ''])
  })

  test('a demo or a fault that is asked for wrongly is told with what was meant, and starts nothing', async () => {
    const wrong = [
      [['inject'], 'inject what? known: slow-dependency'],
      [['inject', 'slow-dependancy'], 'did you mean slow-dependency?'],
      [['inject', 'silence', '--for', '2h'], 'no time from 1s to 1h'],
      [['inject', 'silence', '--seed', '2'], '--seed belongs to the demo'],
      [['injekt'], 'otlier demo inject NAME'],
      [['--for', 'long'], 'such as 30s'],
      [['--seed', '1.5'], '--seed is a whole number'],
    ] as const
    const ended = await Promise.all(wrong.map(([args]) => otlier(['demo', ...args])))
    for (const [at, { status, stdout, stderr }] of ended.entries()) {
      expect(stderr).toContain(wrong[at][1])
      expect([status, stdout]).toEqual([2, ''])
    }
  })

  test('bad usage is told with what was meant, and ends with 2', async () => {
    const [command, option, action] = await Promise.all([
      otlier(['vaildate']),
      otlier(['--confg=x']),
      otlier(['config', 'prnt']),
    ])
    expect(command.stderr).toContain('unknown command "vaildate"; did you mean validate?')
    expect(option.stderr).toContain('unknown option --confg; did you mean --config?')
    expect(action.stderr).toContain('did you mean print?')
    for (const ended of [command, option, action]) expect([ended.status, ended.stdout]).toEqual([2, ''])
  })
})

describe('with files', () => {
  let folder = ''
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'otlier-cli-'))
    writeFileSync(
      join(folder, 'good.yaml'),
      'exporters:\n  otlp/jaeger:\n    endpoint: http://jaeger:4317\n    headers: {key: hunter2}\n',
    )
    writeFileSync(
      join(folder, 'bad.yaml'),
      'exporters:\n  otlp/jaeger:\n    endpont: http://jaeger:4317\nservice:\n  logs: {level: loud}\n',
    )
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  test('validate says what is wrong, all of it, and where', async () => {
    const [good, bad] = await Promise.all([
      otlier(['validate', '--config', 'good.yaml'], { cwd: folder }),
      otlier(['validate', '-c', 'good.yaml', '-c', 'bad.yaml', '--set', 'a=1'], { cwd: folder }),
    ])
    expect([good.status, good.stdout, good.stderr]).toEqual([
      0,
      'good.yaml: valid; exporters: otlp/jaeger\n',
      '',
    ])
    expect([bad.status, bad.stdout]).toEqual([2, ''])
    expect(bad.stderr).toMatch(
      /^bad\.yaml:3:5: exporters\.otlp\/jaeger\.endpont: unknown key; did you mean endpoint\?/m,
    )
    expect(bad.stderr).toMatch(/^bad\.yaml:5:17: service\.logs\.level: "loud"/m)
    expect(bad.stderr).toMatch(/^--set a: a: unknown key/m)
    expect(bad.stderr).toContain('3 errors')
  })

  test('config print shows what is in force, without secrets; a bad configuration starts nothing', async () => {
    const [print, start] = await Promise.all([
      otlier(['config', 'print', '--config', 'good.yaml', '--port-offset', '10000'], { cwd: folder }),
      otlier(['--config', 'bad.yaml'], { cwd: folder }),
    ])
    expect(print.status).toBe(0)
    expect(print.stdout).toContain('key: "****"')
    expect(print.stdout).toContain('endpoint: 127.0.0.1:14317')
    expect(print.stdout + print.stderr).not.toContain('hunter2')
    expect([start.status, start.stdout]).toEqual([2, ''])
    expect(start.stderr).toContain('endpont')
  })
})

describe('healthcheck', () => {
  const answering = async (status: number, body: string) => {
    const asked: (string | undefined)[] = []
    const server = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`)
      response.writeHead(status).end(body)
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const ended = await otlier(['healthcheck', '--set', `service.health.endpoint=0.0.0.0:${port}`])
    await new Promise(resolve => server.close(resolve))
    return { ...ended, asked, port }
  }

  test('is 0 when the service is ready, 1 when it is not, and prints what it said', async () => {
    const [ready, starting] = await Promise.all([answering(200, 'degraded\n'), answering(503, 'starting')])
    expect([ready.status, ready.stdout, ready.asked]).toEqual([0, 'degraded\n', ['GET /ready']])
    expect([starting.status, starting.stdout]).toEqual([1, 'starting\n'])
    const gone = await otlier(['healthcheck', '--set', `service.health.endpoint=127.0.0.1:${ready.port}`])
    expect([gone.status, gone.stdout]).toEqual([1, ''])
    expect(gone.stderr).toContain('is Otlier running?')
  })
})

describe('run', () => {
  test('is ready, answers its health check, and stops in order on a signal that comes twice', async () => {
    const service = begin(process.execPath, [main, ...ALONE], { timeoutMs: 30_000 })
    await service.line(/Ready\. Ctrl-C stops in order/)
    const [, health] = /health +http:\/\/(127\.0\.0\.1:\d+)\/ready/.exec(service.stdout()) ?? []
    expect((await otlier(['healthcheck', '--set', `service.health.endpoint=${health}`])).status).toBe(0)
    service.child.kill('SIGINT')
    service.child.kill('SIGINT')
    const { status, stderr } = await service.ended
    expect(stderr).toContain('nothing was lost by stopping')
    expect(status).toBe(0)
  })

  test('with a port taken serves nothing, and names the port, the setting and the way out', async () => {
    const holder = createServer()
    await new Promise<void>(resolve => holder.listen(0, '127.0.0.1', resolve))
    const { port } = holder.address() as AddressInfo
    const path = 'receivers.otlp.protocols.http.endpoint'
    const taken = await otlier([...ALONE, '--set', `${path}=127.0.0.1:${port}`])
    await new Promise(resolve => holder.close(resolve))
    expect([taken.status, taken.stdout]).toEqual([1, ''])
    expect(taken.stderr).toContain(`cannot listen on 127.0.0.1:${port} (${path})`)
    expect(taken.stderr).toContain('--port-offset 10000 --set directory=none')
  })
})

test.each(['throw new TypeError("a bug")', 'Promise.reject(new TypeError("a bug"))'])(
  'a bug is logged and ends the process with 70: %s',
  async bug => {
    const source = (path: string) =>
      JSON.stringify(new URL(`../../src/commands/${path}`, import.meta.url).href)
    const program = `
      const { catchBugs } = await import(${source('run.ts')})
      const { openLog } = await import(${source('logger.ts')})
      catchBugs(openLog('info', false))
      setTimeout(() => { ${bug} }, 1)
      setTimeout(() => {}, 10_000)`
    const { status, stderr } = await run(process.execPath, ['--input-type=module', '--eval', program])
    expect(status).toBe(70)
    expect(JSON.parse(stderr)).toMatchObject({ level: 'fatal', err: { type: 'TypeError', message: 'a bug' } })
  },
)
