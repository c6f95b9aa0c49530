//! The whole as it is deployed: an ordinary user, a file system that it cannot write beside its directory, and nothing secret said.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, onTestFinished, test } from 'vitest'
import { startBackend } from '../kit/backend.ts'
import { httpCall, PROTOBUF } from '../kit/client.ts'
import { tracesRequest } from '../kit/odd.ts'
import { begin, run } from '../kit/programs.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
/** The user `nobody` of most systems: for tests that run as root. */
const NOBODY = 65_534
/** Whether others may go through all folders above a file. */
function isReachable(path: string): boolean {
  for (let at = dirname(path); ; at = dirname(at)) {
    if ((statSync(at).mode & 0o001) === 0) return false
    if (at === dirname(at)) return true
  }
}
const isRoot = process.getuid?.() === 0
/** Root cannot become somebody who would not reach the program. */
const isStuck = isRoot && !(isReachable(process.execPath) && isReachable(main))
if (isStuck) console.log('SKIP: an ordinary user: this checkout lies in a folder that others may not enter')

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'otlier-user-'))
  onTestFinished(() => {
    chmodSync(path, 0o755)
    rmSync(path, { recursive: true })
  })
  chmodSync(path, 0o755)
  return path
}

const ALONE = [
  'receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0',
  'receivers.otlp.protocols.http.endpoint=127.0.0.1:0',
  'service.metrics.endpoint=127.0.0.1:0',
  'service.health.endpoint=127.0.0.1:0',
  'service.view.endpoint=127.0.0.1:0',
]
const flags = (settings: readonly string[]) => settings.flatMap(setting => ['--set', setting])

/** The service as an ordinary user, in a working directory and with a home that it cannot write. */
function start(settings: readonly string[], cwd: string, env: Readonly<Record<string, string>> = {}) {
  const user = isRoot ? { uid: NOBODY, gid: NOBODY } : {}
  const service = begin(process.execPath, [main, ...flags([...ALONE, ...settings])], {
    cwd,
    env: { HOME: join(cwd, 'home'), XDG_STATE_HOME: '', OTLIER_DIRECTORY: '', ...env },
    ...user,
  })
  onTestFinished(() => void service.child.kill('SIGKILL'))
  const httpPort = async () => Number((await service.line(/HTTP {2}http/)).split(':').at(-1))
  return { service, httpPort }
}

const span = (durationMs: number, name = 'GET /', service = 'shop') => {
  const startNs = BigInt(Date.now() - 60_000) * 1_000_000n
  return { service, name, startNs, durationNs: durationMs * 1e6 }
}
const requestOf = (spans: readonly ReturnType<typeof span>[]) =>
  tracesRequest(
    spans.map(({ service, ...one }) => ({ service, spans: [{ kind: 'server' as const, ...one }] })),
  )

describe.skipIf(isStuck)('an ordinary user', () => {
  test('with a directory of its own on a file system that is read-only beside it writes there, and nowhere else', async () => {
    const root = folder()
    mkdirSync(join(root, 'data'), { mode: 0o700 })
    if (isRoot) (await import('node:fs')).chownSync(join(root, 'data'), NOBODY, NOBODY)
    chmodSync(root, 0o555)
    const { service, httpPort } = start([`directory=${join(root, 'data')}`], root)
    const port = await httpPort()
    const body = requestOf(Array.from({ length: 300 }, () => span(10)))
    expect((await httpCall({ port, headers: PROTOBUF, body })).status).toBe(200)
    service.child.kill('SIGTERM')
    const { status, stderr } = await service.ended
    expect([status, stderr]).toEqual([0, expect.not.stringMatching(/"level":"(warn|error)"/)])
    expect(readdirSync(root)).toEqual(['data'])
    expect(readdirSync(join(root, 'data')).length).toBeGreaterThan(0)
    if (isRoot) expect(statSync(join(root, 'data', readdirSync(join(root, 'data'))[0])).uid).toBe(NOBODY)
  })

  test('without any directory that it can write says so once, keeps what it learns in memory, and serves', async () => {
    const root = folder()
    mkdirSync(join(root, 'data'))
    chmodSync(join(root, 'data'), 0o555)
    chmodSync(root, 0o555)
    const { service, httpPort } = start([`directory=${join(root, 'data')}`], root)
    const port = await httpPort()
    expect((await httpCall({ port, headers: PROTOBUF, body: requestOf([span(10)]) })).status).toBe(200)
    service.child.kill('SIGTERM')
    const { status, stderr } = await service.ended
    const warnings = stderr.split('\n').filter(line => line.includes('"level":"warn"'))
    expect([status, warnings]).toEqual([0, [expect.stringContaining('cannot be written to')]])
    expect([readdirSync(root), readdirSync(join(root, 'data'))]).toEqual([['data'], []])
  })
})

test.skipIf(isStuck)('names in telemetry reach the log, and steer no terminal', async () => {
  const { service, httpPort } = start(['directory=none', 'exporters.debug={}'], folder())
  const port = await httpPort()
  const evil = '\u001b]0;title\u0007\u001b[2J\u009b31m\r\nfake \u202e'
  const send = (spans: readonly ReturnType<typeof span>[]) =>
    httpCall({ port, headers: PROTOBUF, body: requestOf(spans) })
  expect((await send(Array.from({ length: 300 }, () => span(10, evil, evil)))).status).toBe(200)
  expect((await send([span(5000, evil, evil)])).status).toBe(200)
  const line = await service.line(/otlier\.span\.outlier/)
  expect(line).toContain('\\u001b]0;title')
  service.child.kill('SIGTERM')
  const { stdout, stderr } = await service.ended
  expect((stdout + stderr).replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202e]/u)
})

test.skipIf(isStuck)(
  'CVE-2020-10750 no credential stands in what is said, at any level, whatever goes wrong',
  async () => {
    const root = folder()
    const secrets = [
      'hunter2-header',
      'hunter3-variable',
      'hunter4-url',
      'hunter5-token',
      'hunter6-password',
      'hunter7-shown',
    ]
    const backend = await startBackend()
    onTestFinished(() => backend.stop())
    // It repeats what it was shown.
    backend.script = ({ headers }) => ({
      kind: 'http',
      status: 401,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        code: 16,
        message: `${headers['authorization']} and ${headers['x-key']} are not known`,
      }),
    })
    writeFileSync(join(root, 'tokens'), 'hunter5-token\n')
    writeFileSync(join(root, 'users'), 'ada:hunter6-password\n')
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is the syntax of the file
    const authorization = 'Bearer ${env:VENDOR_TOKEN}'
    const settings = [
      'directory=none',
      'service.logs.level=debug',
      'receivers.otlp.protocols.http.auth.bearer_token_file=tokens',
      'receivers.otlp.protocols.http.auth.basic_file=users',
      `exporters.otlphttp.endpoint=http://me:hunter4-url@127.0.0.1:${backend.httpPort}`,
      'exporters.otlphttp.headers.x-key=hunter2-header',
      `exporters.otlphttp.headers.authorization=${authorization}`,
      'exporters.otlphttp.encoding=json',
      'exporters.otlphttp.compression=none',
    ]
    const env = { VENDOR_TOKEN: 'hunter3-variable' }
    const { service, httpPort } = start(settings, root, env)
    const port = await httpPort()
    const shown = { authorization: 'Bearer hunter7-shown' }
    expect((await httpCall({ port, headers: { ...PROTOBUF, ...shown }, body: '' })).status).toBe(401)
    const known = { authorization: 'Bearer hunter5-token' }
    expect(
      (await httpCall({ port, headers: { ...PROTOBUF, ...known }, body: requestOf([span(10)]) })).status,
    ).toBe(200)
    await service.line(/rejected a request for good/)
    expect(backend.requests.at(-1)?.headers).toMatchObject({
      authorization: 'Bearer hunter3-variable',
      'x-key': 'hunter2-header',
    })
    service.child.kill('SIGTERM')
    const ended = await service.ended
    const options = { cwd: root, env: { ...env, OTLIER_DIRECTORY: '' } }
    const others = await Promise.all([
      run(process.execPath, [main, 'config', 'print', ...flags(settings)], options),
      run(process.execPath, [main, 'validate', ...flags(settings)], options),
      // A taken port, and a setting that is wrong.
      run(
        process.execPath,
        [main, ...flags(settings), '--set', `service.metrics.endpoint=127.0.0.1:${backend.httpPort}`],
        options,
      ),
      run(
        process.execPath,
        [main, ...flags(settings), '--set', 'exporters.otlphttp.headers.x-key="hunter2-header\\n"'],
        options,
      ),
    ])
    const said = [ended, ...others].map(one => one.stdout + one.stderr)
    for (const text of said) expect(text.length).toBeGreaterThan(20)
    for (const secret of secrets)
      expect([secret, said.some(text => text.includes(secret))]).toEqual([secret, false])
    expect(existsSync(join(root, 'tokens'))).toBe(true)
  },
)
