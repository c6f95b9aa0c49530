//! The laws on recordings of real systems: fidelity of every batch, the same replay every time, and what is marked and what is not.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { finished } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { createGunzip } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { jsonToProto } from '../../src/wire/json.ts'
import { startBackend } from '../kit/backend.ts'
import { GrpcClient } from '../kit/client.ts'
import { startService, toGrpc } from '../kit/otlier.ts'
import { meaningOf } from '../oracle/meaning.ts'
import { parsedMeaning } from '../oracle/parsed.ts'
import { compare } from './fidelity.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const DATA = fileURLToPath(new URL('../../../shared/data', import.meta.url))
const TRACES = join(DATA, 'ob-0822', 'traces.jsonl.gz')
const present = existsSync(TRACES)
if (!present) console.log('SKIP: laws on recordings: ../shared/data is absent')

const linesOf = (file: string) =>
  createInterface({ input: createReadStream(file).pipe(createGunzip()), crlfDelay: Number.POSITIVE_INFINITY })

const folder = mkdtempSync(join(tmpdir(), 'otlier-recordings-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Runs the replay as a user does. Times are of the child alone. */
function replay(name: string, inputs: readonly string[]) {
  const [events, out] = [join(folder, `${name}.events.jsonl`), join(folder, `${name}.out.jsonl`)]
  const args = [join(ROOT, 'src/main.ts'), 'replay', '--events', events, '--out', out, ...inputs]
  const probe = join(ROOT, 'test/system/usage.mjs')
  const result = spawnSync(process.execPath, ['--import', probe, ...args], { cwd: folder, encoding: 'utf8' })
  const usage = JSON.parse(/^usage (.*)$/m.exec(result.stderr)?.[1] ?? '{}') as {
    cpuSeconds: number
    peakMib: number
  }
  return { status: result.status, summary: result.stdout, said: result.stderr, events, out, ...usage }
}

const digest = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex')

describe.runIf(present)('a replay of 846,632 spans', () => {
  let whole: ReturnType<typeof replay>
  beforeAll(() => {
    whole = replay('whole', [TRACES])
  })

  test('sums up spans, series, outliers, events and rate, within its bounds of CPU and memory', () => {
    console.log(whole.summary.trim(), `\nCPU ${whole.cpuSeconds} s, peak ${whole.peakMib} MiB`)
    expect(whole.status).toBe(0)
    expect(whole.summary).toMatch(/846,632 spans in 553 requests/)
    expect(whole.summary).toMatch(/\d+ series, [\d,]+ outliers, [\d,]+ events/)
    expect(whole.summary).toMatch(/items\/s/)
    expect(whole.cpuSeconds).toBeLessThan(25)
    expect(whole.peakMib).toBeLessThan(400)
  })

  test('gives the same bytes again, and the same with the input in three files', async () => {
    const again = replay('again', [TRACES])
    const parts = ['one', 'two', 'three'].map(name => join(folder, `${name}.jsonl`))
    const files = parts.map(path => createWriteStream(path))
    let at = 0
    for await (const line of linesOf(TRACES)) {
      const file = files[at++ % 3]
      if (!file.write(`${line}\n`)) await new Promise(resolve => file.once('drain', resolve))
    }
    for (const file of files) file.end()
    await Promise.all(files.map(file => finished(file)))
    const split = replay('split', parts)
    for (const other of [again, split]) {
      expect(digest(other.events)).toBe(digest(whole.events))
      expect(digest(other.out)).toBe(digest(whole.out))
    }
  })

  test('marks few spans before faults, and most of the slow calls of the network faults', async () => {
    const { calm, early, faults } = await marksAround(whole.out)
    const percent = ({ spans, marked }: Count) => (100 * marked) / Math.max(1, spans)
    const rows = faults.map(
      ({ fault, slow }) =>
        `${fault.at.slice(11, 16)} ${fault.type} ${fault.service}: ${slow.marked} of ${slow.spans} (${Math.round(percent(slow))} %)`,
    )
    console.log(
      `before faults ${percent(calm).toFixed(3)} %, before the first ${percent(early).toFixed(3)} %\n${rows.join('\n')}`,
    )
    expect(percent(calm)).toBeLessThanOrEqual(0.5)
    expect(percent(early)).toBeLessThanOrEqual(1)
    for (const at of ['04:27', '06:52', '07:17']) {
      const found = faults.find(({ fault }) => fault.at.slice(11, 16) === at)
      expect(percent(found?.slow ?? { spans: 0, marked: 0 })).toBeGreaterThanOrEqual(60)
    }
  })
})

interface Fault {
  readonly at: string
  readonly service: string
  readonly type: string
}
interface Count {
  spans: number
  marked: number
}

/** Of the spans that at least 200 of their series precede: those before faults, before the first fault, and the slow calls during each. */
async function marksAround(out: string) {
  const labels = JSON.parse(readFileSync(join(DATA, 'ob-0822', 'labels.json'), 'utf8')) as Fault[]
  const faults = labels.map(fault => ({ fault, atMs: Date.parse(fault.at), slow: { spans: 0, marked: 0 } }))
  const firstMs = Math.min(...faults.map(({ atMs }) => atMs))
  const calm = { spans: 0, marked: 0 }
  const early = { spans: 0, marked: 0 }
  const seen = new Map<string, number>()
  const calls = new Map<string, { endMs: number; marked: boolean }>()
  const served: [string, string][] = []
  for await (const line of createInterface({ input: createReadStream(out) })) {
    for (const { resource, scopeSpans } of JSON.parse(line).resourceSpans) {
      const service = resource.attributes.find((one: { key: string }) => one.key === 'service.name').value
        .stringValue
      for (const span of scopeSpans.flatMap((scope: { spans: object[] }) => scope.spans)) {
        const series = `${service} ${span.kind} ${span.name}`
        const before = seen.get(series) ?? 0
        seen.set(series, before + 1)
        const end = BigInt(span.endTimeUnixNano)
        const endMs = Number(end / 1_000_000n)
        const marked = (span.attributes ?? []).some(
          (one: { key: string }) => one.key === 'otlier.anomaly.detected',
        )
        if (span.kind === 3 && end - BigInt(span.startTimeUnixNano) >= 100_000_000n) {
          calls.set(span.traceId + span.spanId, { endMs, marked })
        }
        if (span.kind === 2) served.push([span.traceId + span.parentSpanId, service])
        if (before < 200) continue
        const count = (into: Count) => {
          into.spans++
          if (marked) into.marked++
        }
        for (const { fault, atMs } of faults) {
          // At 07:10 the fault before is still going on.
          if (fault.at.slice(11, 16) !== '07:10' && endMs >= atMs - 90_000 && endMs <= atMs - 15_000)
            count(calm)
        }
        if (endMs < firstMs) count(early)
      }
    }
  }
  for (const [id, service] of served) {
    const call = calls.get(id)
    if (call === undefined) continue
    for (const { fault, atMs, slow } of faults) {
      if (fault.service !== service || call.endMs < atMs || call.endMs > atMs + 180_000) continue
      slow.spans++
      if (call.marked) slow.marked++
    }
  }
  return { calm, early, faults: faults.filter(({ slow }) => slow.spans > 0) }
}

/** With so many requests, a line each. */
const FILES = [
  ['ob-0822', 'traces', 553],
  ['ob-0822', 'metrics', 1209],
  ['tt-0129', 'traces', 1020],
  ['tt-0129', 'metrics', 919],
  ['tt-0129', 'logs', 1019],
] as const

test.runIf(present)('every batch of the recordings arrives as the same bytes, marks taken off', async () => {
  const backend = await startBackend()
  const service = await startService(toGrpc(backend.grpc))
  const client = new GrpcClient(service.grpcPort)
  let requests = 0
  let marks = 0
  for (const [set, signal] of FILES) {
    let waiting: { signal: typeof signal; bytes: Uint8Array }[] = []
    const flush = async () => {
      const compared = await compare(client, backend, waiting)
      requests += compared.requests
      marks += compared.marks
      waiting = []
      ;(backend.requests as unknown[]).length = 0
    }
    for await (const line of linesOf(join(DATA, set, `${signal}.jsonl.gz`))) {
      waiting.push({ signal, bytes: jsonToProto(signal, Buffer.from(line)) })
      if (waiting.length >= 25) await flush()
    }
    await flush()
  }
  console.log(`${requests} requests compared, ${marks} marks taken off`)
  expect(requests).toBe(FILES.reduce((sum, [, , lines]) => sum + lines, 0))
  expect(marks).toBeGreaterThan(100)
  client.session.close()
  await service.stop()
  await backend.stop()
})

/** They are 560 MB, of which all would take two minutes of CPU. */
const EVERY = 7

test.runIf(present)('what becomes of the JSON of the recordings is what JSON.parse reads in it', async () => {
  for (const [set, signal, lines] of FILES) {
    let at = 0
    let compared = 0
    for await (const line of linesOf(join(DATA, set, `${signal}.jsonl.gz`))) {
      if (at++ % EVERY !== 0) continue
      const read = meaningOf(signal, jsonToProto(signal, Buffer.from(line)))
      const wanted = parsedMeaning(signal, line)
      // Lines are of hundreds of kilobytes, through which vitest goes slowly.
      if (!isDeepStrictEqual(read, wanted)) expect(read).toEqual(wanted)
      compared++
    }
    console.log(`${set} ${signal}: ${compared} of ${at} lines read again`)
    expect(compared).toBe(Math.ceil(lines / EVERY))
  }
})
