//! Uploads without a valid token cost the process next to nothing, as its own system counts it.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { httpCall, PROTOBUF } from '../kit/client.ts'
import { recordingLog } from '../kit/log.ts'
import { startService } from '../kit/otlier.ts'
import { begin } from '../kit/programs.ts'
import { grpcClient } from '../kit/receivers.ts'
import { connectHttp2, uploadHttp1, uploadHttp2 } from '../kit/uploads.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const MIB = 2 ** 20
const REQUESTS = 100

/** Figures of /proc for another process: resident memory now and at its highest, in bytes, and bytes read by system calls. */
function figures(pid: number) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const kib = (name: string) => 1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1])
  const read = Number(/^rchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1])
  return { residentBytes: kib('VmRSS'), peakBytes: kib('VmHWM'), readBytes: read }
}

test('100 concurrent uploads of 60 MiB with a bad token: at most 256 KiB of each are read, and memory grows by less than 32 MiB', async () => {
  if (!existsSync('/proc/self/clear_refs')) {
    console.log('SKIP: the peak of resident memory is read from /proc, which is not here')
    return
  }
  const folder = mkdtempSync(join(tmpdir(), 'otlier-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'tokens'), 's3cret\n')
  const protocols = 'receivers.otlp.protocols'
  const settings = [
    'directory=none',
    `${protocols}.grpc.endpoint=127.0.0.1:0`,
    `${protocols}.http.endpoint=127.0.0.1:0`,
    `${protocols}.grpc.auth.bearer_token_file=${folder}/tokens`,
    `${protocols}.http.auth.bearer_token_file=${folder}/tokens`,
    'service.metrics.endpoint=none',
    'service.health.endpoint=none',
    'service.view.endpoint=none',
  ]
  const service = begin(process.execPath, [main, ...settings.flatMap(one => ['--set', one])], {
    env: { MALLOC_MMAP_THRESHOLD_: '65536' },
  })
  onTestFinished(() => void service.child.kill('SIGKILL'))
  const portIn = async (line: RegExp) => Number((await service.line(line)).split(':').at(-1))
  const grpcPort = await portIn(/gRPC {2}http/)
  const httpPort = await portIn(/HTTP {2}http/)
  const pid = service.child.pid as number

  const attacks: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['gRPC on one connection', () => overHttp2('grpc', 1)],
    ['gRPC on 100 connections', () => overHttp2('grpc', REQUESTS)],
    ['HTTP/2 on one connection', () => overHttp2('http', 1)],
    ['HTTP/1.1 on 100 connections', overHttp1],
  ]
  async function overHttp2(transport: 'grpc' | 'http', count: number) {
    const port = transport === 'grpc' ? grpcPort : httpPort
    const sessions = Array.from({ length: count }, () => connectHttp2(port))
    const calls = Array.from({ length: REQUESTS }, (_, n) => uploadHttp2(sessions[n % count], transport))
    const replies = await Promise.all(calls)
    for (const { status, grpc, reset } of replies)
      expect([status, grpc, reset]).toEqual(transport === 'grpc' ? [200, '16', 0] : [401, undefined, 0])
    for (const session of sessions) session.destroy()
  }
  async function overHttp1() {
    const uploads = Array.from({ length: REQUESTS }, () => uploadHttp1(httpPort))
    const answers = await Promise.all(uploads.map(one => one.answer))
    // Who writes on until the connection is cut may lose the answer with it.
    for (const answer of answers) expect(answer).toMatch(/ 401 |^$/)
    expect(answers.filter(answer => answer !== '').length).toBeGreaterThan(REQUESTS / 2)
    await Promise.all(
      uploads.map(({ socket }) => socket.closed || new Promise(end => socket.on('close', end))),
    )
  }
  // Code that has never run takes memory too, once.
  const bad = { authorization: 'Bearer wrong' }
  for (let n = 0; n < 20; n++) {
    await grpcClient(grpcPort).export('traces', new Uint8Array(0), bad)
    await httpCall({ port: httpPort, headers: { ...PROTOBUF, ...bad }, body: 'x' })
  }
  for (const [name, attack] of attacks) {
    writeFileSync(`/proc/${pid}/clear_refs`, '5')
    const before = figures(pid)
    await attack()
    const after = figures(pid)
    const growth = after.peakBytes - before.residentBytes
    const each = (after.readBytes - before.readBytes) / REQUESTS
    console.log(`${name}: ${Math.round(each / 1024)} KiB read of each, +${(growth / MIB).toFixed(1)} MiB`)
    expect(each, name).toBeLessThan(256 * 1024)
    expect(growth, name).toBeLessThan(32 * MIB)
  }
  const good = { authorization: 'Bearer s3cret' }
  expect((await grpcClient(grpcPort).export('traces', new Uint8Array(0), good)).code).toBe(0)
  service.child.kill('SIGTERM')
  const { status, stdout, stderr } = await service.ended
  expect(status).toBe(0)
  // It is told, at a bounded rate, and never with what was shown.
  expect(stderr.match(/without a valid token or password was turned away/g)?.length).toBeLessThan(6)
  expect(stdout + stderr).not.toMatch(/s3cret|Bearer|wrong/)
})

test('attempts without a valid token are counted, and told at a bounded rate, without what was shown', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'otlier-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'tokens'), 's3cret\n')
  const { log, lines } = recordingLog()
  const auth = (name: string) =>
    `receivers.otlp.protocols.${name}.auth.bearer_token_file=${join(folder, 'tokens')}`
  const service = await startService([auth('grpc'), auth('http')], { log })
  onTestFinished(() => service.stop().then(() => {}))
  const bad = { authorization: 'Bearer hunter2' }
  for (let n = 0; n < 30; n++) await grpcClient(service.grpcPort).export('traces', new Uint8Array(0), bad)
  for (let n = 0; n < 12; n++)
    await httpCall({ port: service.httpPort, path: '/v1/logs', headers: { ...PROTOBUF, ...bad }, body: '' })
  const count = (signal: string) =>
    `otlier_receiver_refused_requests_total{signal="${signal}",reason="OTLIER_UNAUTHENTICATED"}`
  const metrics = await service.metrics()
  expect([metrics.get(count('traces')), metrics.get(count('logs'))]).toEqual([30, 12])
  expect(lines.filter(({ level }) => level === 'warn')).toEqual(
    new Array(2).fill({
      level: 'warn',
      message: 'a sender without a valid token or password was turned away',
      fields: { from: '127.0.0.1', suppressed: 0 },
    }),
  )
  expect(JSON.stringify(lines)).not.toMatch(/hunter2|s3cret/)
})

test('a start with a file of tokens that is not there says so, and nothing listens', async () => {
  const set = 'receivers.otlp.protocols.grpc.auth.bearer_token_file=/nowhere/tokens'
  await expect(startService([set])).rejects.toThrow(
    'receivers.otlp.protocols.grpc.auth.bearer_token_file: /nowhere/tokens does not exist',
  )
})
