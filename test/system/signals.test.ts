//! Laws of the real process under load: what a signal costs, by its own count, the sender's answers and the backend's record.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, type TestContext, test } from 'vitest'
import { type BackendOptions, startBackend } from '../kit/backend.ts'
import { GrpcClient } from '../kit/client.ts'
import { begin, run, STOP_GRACE_MS, terminated } from '../kit/programs.ts'
import { arrived, load } from './load.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const ALONE = [
  'directory=none',
  'receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0',
  'receivers.otlp.protocols.http.endpoint=127.0.0.1:0',
  'service.metrics.endpoint=127.0.0.1:0',
  'service.health.endpoint=127.0.0.1:0',
  'service.view.endpoint=127.0.0.1:0',
].flatMap(setting => ['--set', setting])

/** The tests run side by side: each ends what it has started. */
type Scene = Pick<TestContext, 'onTestFinished'>

async function backend({ onTestFinished }: Scene, options: BackendOptions = {}) {
  const started = await startBackend(options)
  onTestFinished(() => started.stop())
  return started
}

const SHUTDOWN_MS = 3000

/** The configuration of one gRPC destination. */
const toward = (address: string, more = '') =>
  `shutdown_timeout: ${SHUTDOWN_MS}ms\nexporters:\n  otlp:\n    endpoint: http://${address}\n    compression: none\n${more}`

/** A real Otlier with `text` as its configuration, and a load on it. */
async function underLoad({ onTestFinished }: Scene, text: string, args: readonly string[] = []) {
  const folder = mkdtempSync(join(tmpdir(), 'otlier-signals-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'otlier.yaml')
  writeFileSync(file, text)
  const otlier = begin(process.execPath, [MAIN, '--config', file, ...ALONE, ...args])
  onTestFinished(async () => {
    otlier.child.kill('SIGKILL')
    await otlier.ended
  })
  await otlier.line(/Ready\. Ctrl-C stops in order/)
  const url = (row: string) => new RegExp(`${row} +(http\\S+)`).exec(otlier.stdout())?.[1] ?? ''
  const client = new GrpcClient(Number(new URL(url('gRPC')).port))
  onTestFinished(() => client.close())
  return { ...otlier, file, sending: load(client), health: url('health'), metrics: url('metrics') }
}

/** The lines of the log, as they are written for machines. */
const logOf = (stderr: string): Record<string, unknown>[] =>
  stderr
    .split('\n')
    .filter(line => line.startsWith('{'))
    .map(line => JSON.parse(line))

describe.concurrent('SIGTERM', () => {
  test('with a healthy backend loses nothing and ends with 0, within the deadline', async scene => {
    const { expect } = scene
    const peer = await backend(scene)
    const otlier = await underLoad(scene, toward(peer.grpc))
    await otlier.sending.more(500)
    const { status, stderr, tookMs } = await terminated(otlier)
    await otlier.sending.end()
    expect([status, stderr]).toEqual([0, expect.stringContaining('nothing was lost by stopping')])
    expect(tookMs).toBeLessThan(SHUTDOWN_MS)
    expect(arrived(peer).toSorted()).toEqual(otlier.sending.accepted.toSorted())
  })

  test('with a backend that asks for patience again and again loses nothing either', async scene => {
    const { expect } = scene
    const peer = await backend(scene, {
      script: (_, index) => (index % 3 === 0 ? { kind: 'ok' } : { kind: 'status', code: 14 }),
    })
    const otlier = await underLoad(
      scene,
      toward(peer.grpc, '    retry_on_failure: {initial_interval: 100ms}\n'),
    )
    await otlier.sending.more(200)
    const { status, tookMs } = await terminated(otlier)
    await otlier.sending.end()
    expect(status).toBe(0)
    expect(tookMs).toBeLessThan(SHUTDOWN_MS + STOP_GRACE_MS)
    const delivered = new Set(arrived(peer))
    expect(otlier.sending.accepted.filter(name => !delivered.has(name))).toEqual([])
  })

  test('with a backend that hangs ends at the deadline, not with 0, and with the exact count and where', async scene => {
    const { expect } = scene
    const peer = await backend(scene)
    const otlier = await underLoad(
      scene,
      toward(peer.grpc, '    timeout: 60s\n    sending_queue: {num_consumers: 2}\n'),
    )
    await otlier.sending.more(200)
    let answered = 0
    peer.script = () => ({ kind: 'hang' })
    answered = peer.requests.length
    await otlier.sending.more(200)
    const { status, stderr, tookMs } = await terminated(otlier)
    await otlier.sending.end()
    expect(status).toBe(1)
    expect(tookMs).toBeGreaterThan(SHUTDOWN_MS - 100)
    expect(tookMs).toBeLessThan(SHUTDOWN_MS + STOP_GRACE_MS)
    const delivered = new Set(arrived({ requests: peer.requests.slice(0, answered) }))
    const lost = otlier.sending.accepted.filter(name => !delivered.has(name)).length
    expect(lost).toBeGreaterThan(0)
    expect(stderr).toContain(`stopped; ${lost} accepted items were not delivered and are lost`)
    const told = logOf(stderr).filter(({ msg }) => String(msg).startsWith('stopping lost'))
    expect(told).toMatchObject([{ exporter: 'otlp', signal: 'traces', items: lost }])
  })

  test('twice ends at once, not with 0, and with the exact count and where', async scene => {
    const { expect } = scene
    const peer = await backend(scene, { script: () => ({ kind: 'hang' }) })
    const patient = toward(peer.grpc, '    timeout: 60s\n').replace(`${SHUTDOWN_MS}ms`, '60s')
    const otlier = await underLoad(scene, patient)
    await otlier.sending.more(200)
    otlier.child.kill('SIGTERM')
    await new Promise(resolve => setTimeout(resolve, 1500))
    const { status, stderr, tookMs } = await terminated(otlier)
    await otlier.sending.end()
    expect(status).toBe(143)
    expect(tookMs).toBeLessThan(STOP_GRACE_MS)
    const lost = otlier.sending.accepted.length
    expect(stderr).toContain(`ending at once; ${lost} accepted items were not delivered and are lost`)
    const told = logOf(stderr).filter(({ msg }) => String(msg).startsWith('ending at once loses'))
    expect(told).toMatchObject([{ exporter: 'otlp', signal: 'traces', items: lost }])
  })
})

test('a stop ends also where nobody reads the log any more', async scene => {
  const { expect } = scene
  const peer = await backend(scene)
  const otlier = await underLoad(scene, toward(peer.grpc))
  await otlier.sending.more(50)
  otlier.child.stderr.destroy()
  otlier.child.stdout.destroy()
  const { status, tookMs } = await terminated(otlier)
  expect(status).toBe(0)
  expect(tookMs).toBeLessThan(SHUTDOWN_MS + STOP_GRACE_MS)
  await otlier.sending.end()
  expect(arrived(peer).toSorted()).toEqual(otlier.sending.accepted.toSorted())
})

/** Starts its arguments on a terminal of their own, closes that once they are ready, and prints what they ended with. */
const ON_A_TERMINAL = `
import os, pty, select, sys, time
pid, fd = pty.fork()
if pid == 0: os.execv(sys.argv[1], sys.argv[1:])
seen, until = b'', time.time() + 15
while b'Ready.' not in seen and time.time() < until:
    if select.select([fd], [], [], 0.1)[0]: seen += os.read(fd, 4096)
os.close(fd)
until, ended = time.time() + 10, 0
while not ended and time.time() < until:
    time.sleep(0.05)
    ended, status = os.waitpid(pid, os.WNOHANG)
if not ended: os.kill(pid, 9)
print('ended with', os.waitstatus_to_exitcode(status) if ended else 'nothing')`

test('a terminal that is closed ends it in order: it does not stay behind on its ports', async ({
  expect,
  skip,
}) => {
  const { status, stdout } = await run('python3', ['-c', ON_A_TERMINAL, process.execPath, MAIN, ...ALONE])
  if (status === 127) {
    console.log('SKIP: there is no python3 to make a terminal with')
    skip()
  }
  expect(stdout).toContain('ended with 0')
})

describe.concurrent('a reload', () => {
  test('by SIGHUP: a bad file changes nothing and says why, a good one loses nothing, and it stays ready', async scene => {
    const { expect } = scene
    const [first, second] = [await backend(scene), await backend(scene)]
    const otlier = await underLoad(scene, toward(first.grpc))
    await otlier.sending.more(100)
    writeFileSync(otlier.file, toward(second.grpc).replace('endpoint', 'endpont'))
    otlier.child.kill('SIGHUP')
    await otlier.line(/otlier\.yaml:4:5: exporters\.otlp\.endpont: unknown key; did you mean endpoint\?/)
    await otlier.line(/the one before stays in force/)
    await otlier.sending.more(100)
    expect(second.requests).toEqual([])
    writeFileSync(otlier.file, toward(second.grpc))
    otlier.child.kill('SIGHUP')
    await otlier.line(/is in force/)
    expect((await fetch(otlier.health)).status).toBe(200)
    const scraped = await (await fetch(otlier.metrics)).text()
    expect(scraped).toMatch(/^otlier_config_reloads_total\{.*result="applied".*\} 1$/m)
    expect(scraped).toMatch(/^otlier_config_reloads_total\{.*result="refused".*\} 1$/m)
    await otlier.sending.more(100)
    await otlier.sending.end()
    expect(otlier.sending.odd).toEqual([])
    otlier.child.kill('SIGTERM')
    expect((await otlier.ended).status).toBe(0)
    expect([...arrived(first), ...arrived(second)].toSorted()).toEqual(otlier.sending.accepted.toSorted())
    expect(arrived(second).length).toBeGreaterThan(0)
  })

  test('by --watch: when the file has changed, and once', async scene => {
    const { expect } = scene
    const [first, second] = [await backend(scene), await backend(scene)]
    const otlier = await underLoad(scene, toward(first.grpc), ['--watch'])
    await otlier.sending.more(50)
    writeFileSync(otlier.file, `${toward(second.grpc)}service:\n  logs: {level: warn}\n`)
    await otlier.line(/is in force/)
    while (arrived(second).length === 0) await otlier.sending.more(5)
    await otlier.sending.end()
    otlier.child.kill('SIGTERM')
    const { status, stderr } = await otlier.ended
    expect(status).toBe(0)
    expect([...arrived(first), ...arrived(second)].toSorted()).toEqual(otlier.sending.accepted.toSorted())
    // The level of the log is one of the things that it took over.
    expect(stderr).not.toContain('stopped;')
  })

  test('--watch without a file is bad usage', async ({ expect }) => {
    const { status, stderr } = await begin(process.execPath, [MAIN, ...ALONE, '--watch']).ended
    expect([status, stderr]).toEqual([2, expect.stringContaining('--watch needs a file to watch')])
  })
})
