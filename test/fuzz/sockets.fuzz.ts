//! Mutated requests through the sockets of a running Otlier: refused exactly when broken, and what is taken arrives unchanged.
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { gunzipSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startBackend } from '../kit/backend.ts'
import { frame, GrpcClient, httpCall, JSON_TYPE, PROTOBUF } from '../kit/client.ts'
import { mutateGzip, mutateJson, mutateProto } from '../kit/mutate.ts'
import { chance, pick, type Random, seeded } from '../kit/random.ts'
import { concat, delimited, type Signal, sameBytes } from '../oracle/bytes.ts'
import { framing } from '../oracle/framing.ts'
import { judgeJson, type Verdict } from '../oracle/json.ts'
import { meaningOf } from '../oracle/meaning.ts'
import { entry, SIGNALS } from './corpus.ts'

const COLLECT = fileURLToPath(new URL('collect.mjs', import.meta.url))
const INPUTS = 20_000
/** So many are under way before what has arrived is compared. */
const GROUP = 100
const MEMORY_GROWTH_MAX = 0.1

/** One input, with what must become of it: the bytes that arrive, null for refused, or for JSON what the book says. */
interface Input {
  readonly signal: Signal
  readonly kind: 'grpc' | 'grpc gzip' | 'http' | 'http gzip' | 'json'
  readonly body: Uint8Array
  readonly arrives: Uint8Array | null | Verdict
}

/** What must arrive: these bytes; or a request that means what was written, and ends where the mark stands. */
type Due = Uint8Array | { readonly verdict: Verdict; readonly mark: Uint8Array }

const whole = (signal: Signal, bytes: Uint8Array) => (framing(signal, bytes).ok ? bytes : null)

function draw(random: Random): Input {
  const signal = pick(random, SIGNALS)
  const [one, other] = [entry(random, signal), entry(random, signal)]
  const kind = pick(random, ['grpc', 'grpc', 'grpc gzip', 'http', 'http gzip', 'json'] as const)
  if (kind === 'json') {
    const body = mutateJson(random, one.json, other.json)
    return { signal, kind, body, arrives: judgeJson(signal, body) }
  }
  const plain = chance(random, 0.3) ? one.bytes : mutateProto(random, signal, one.bytes, other.bytes)
  if (kind === 'grpc' || kind === 'http') return { signal, kind, body: plain, arrives: whole(signal, plain) }
  const packed = gzipSync(plain)
  const body = chance(random, 0.5) ? mutateGzip(random, packed, gzipSync(other.bytes)) : packed
  try {
    return { signal, kind, body, arrives: whole(signal, gunzipSync(body, { maxOutputLength: 64 * 2 ** 20 })) }
  } catch {
    return { signal, kind, body, arrives: null }
  }
}

let backend: Awaited<ReturnType<typeof startBackend>>
let child: ChildProcess
let client: GrpcClient
let httpPort = 0

beforeAll(async () => {
  backend = await startBackend()
  const settings = [
    ...[
      'receivers.otlp.protocols.grpc',
      'receivers.otlp.protocols.http',
      'service.metrics',
      'service.health',
      'service.view',
    ].map(path => `${path}.endpoint=127.0.0.1:0`),
    'directory=none',
    `exporters.otlp.endpoint=http://${backend.grpc}`,
    'exporters.otlp.compression=none',
    'exporters.otlp.sending_queue.num_consumers=1',
  ]
  const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
  child = spawn(
    process.execPath,
    ['--import', COLLECT, main, ...settings.flatMap(setting => ['--set', setting])],
    {
      env: { ...process.env, MALLOC_MMAP_THRESHOLD_: '65536' },
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  )
  const said: string[] = []
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
    said.push(line)
    if (line.includes('Ready')) break
  }
  const port = (pattern: RegExp) => Number(pattern.exec(said.join('\n'))?.[1])
  client = new GrpcClient(port(/gRPC +http:\/\/127\.0\.0\.1:(\d+)/))
  httpPort = port(/HTTP +http:\/\/127\.0\.0\.1:(\d+)/)
})
afterAll(async () => {
  client.session.close()
  child.kill('SIGKILL')
  await backend.stop()
})

/** Whether it was taken. Anything but success and "malformed" (or a size, or a flag that is none) is a fault. */
async function send({ signal, kind, body }: Omit<Input, 'arrives'>): Promise<boolean> {
  if (kind === 'grpc' || kind === 'grpc gzip') {
    const gzip = kind === 'grpc gzip'
    const headers = gzip ? { 'grpc-encoding': 'gzip' } : {}
    const { code } = await client.call({ signal, headers, body: [frame(body, gzip ? 1 : 0)] })
    expect([0, 3]).toContain(code)
    return code === 0
  }
  const headers = {
    ...(kind === 'json' ? JSON_TYPE : PROTOBUF),
    ...(kind === 'http gzip' ? { 'content-encoding': 'gzip' } : {}),
  }
  const { status } = await httpCall({ port: httpPort, path: `/v1/${signal}`, headers, body })
  expect([200, 400]).toContain(status)
  return status === 200
}

async function residentMib(): Promise<number> {
  child.kill('SIGUSR2')
  // The signal is heard in the next turn of its loop; the answer to a request comes after that.
  await fetch(`http://127.0.0.1:${httpPort}/`)
  await new Promise(resolve => setTimeout(resolve, 300))
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) / 1024
}

test('20,000 mutated inputs through live sockets: refused exactly when broken, forwarded unchanged, no crash, no leak', {
  timeout: 600_000,
}, async () => {
  const asked = process.env.OTLIER_SEED ?? ''
  const first = /^\d+$/.test(asked) ? Number(asked) : Math.floor(Math.random() * 2 ** 40)
  console.log(`sockets: seeds ${first} to ${first + INPUTS - 1}`)
  const resident: number[] = []
  let taken = 0
  let understood = 0
  for (let n = 0; n < INPUTS; n += GROUP) {
    const inputs = Array.from({ length: GROUP }, (_, at) => draw(seeded(first + n + at)))
    const due: Record<Signal, Due[]> = { traces: [], metrics: [], logs: [] }
    for (const [at, { signal, kind, body, arrives }] of inputs.entries()) {
      const accepted = await send({ signal, kind, body })
      const isVerdict = arrives !== null && 'kind' in arrives
      const mayDiffer = isVerdict && arrives.kind === 'either'
      const isLawful = isVerdict ? arrives.kind === 'accept' : arrives !== null
      if (!mayDiffer && accepted !== isLawful) {
        throw new Error(`seed ${first + n + at}: ${kind} ${signal} was ${accepted ? 'taken' : 'refused'}`)
      }
      if (!accepted || arrives === null) continue
      taken++
      if (!isVerdict) due[signal].push(arrives)
      else {
        const mark = await sendMark(signal)
        due[signal].push({ verdict: arrives, mark }, mark)
        if (arrives.kind === 'accept') understood++
      }
    }
    await arrived(due, `seeds from ${first + n}`)
    ;(backend.requests as unknown[]).length = 0
    if ((n + GROUP) % (INPUTS / 10) === 0 && process.platform === 'linux') resident.push(await residentMib())
  }
  console.log(
    `sockets: ${taken} taken, ${understood} of them by their meaning, resident ${resident.map(Math.round).join(' ')} MiB`,
  )
  expect(child.exitCode).toBeNull()
  expect(taken).toBeGreaterThan(INPUTS / 10)
  expect(understood).toBeGreaterThan(INPUTS / 100)
  if (resident.length > 0)
    expect((resident.at(-1) as number) / resident[0] - 1).toBeLessThanOrEqual(MEMORY_GROWTH_MAX)
})

let marks = 0

/** Sends an unknown field of the request, as no input has it: it arrives as it is, and shows where what came before it ends. */
async function sendMark(signal: Signal): Promise<Uint8Array> {
  const body = delimited(1000, `the end of ${marks++}`)
  expect(await send({ signal, kind: 'grpc', body })).toBe(true)
  return body
}

/** Waits until everything that was taken has arrived, and holds it against what is due, signal by signal. */
async function arrived(due: Record<Signal, Due[]>, where: string): Promise<void> {
  for (const signal of SIGNALS) {
    const last = await sendMark(signal)
    const got = () =>
      concat(backend.requests.filter(request => request.signal === signal).map(({ bytes }) => bytes))
    for (let waited = 0; waited < 1000 && !sameBytes(got().subarray(-last.length), last); waited++)
      await new Promise(resolve => setTimeout(resolve, 5))
    const bytes = Buffer.from(got())
    let at = 0
    for (const one of [...due[signal], last]) {
      const to = 'verdict' in one ? bytes.indexOf(one.mark, at) : at + one.length
      const part = bytes.subarray(at, to)
      const isRight = 'verdict' in one ? isMeant(signal, part, one.verdict) : sameBytes(part, one)
      if (to < at || !isRight) throw new Error(`${where}: ${signal} did not arrive as it was sent`)
      at = to
    }
    if (at !== bytes.length) throw new Error(`${where}: of ${signal} more arrived than was sent`)
  }
}

const isMeant = (signal: Signal, bytes: Uint8Array, verdict: Verdict) =>
  framing(signal, bytes).ok &&
  (verdict.kind !== 'accept' || isDeepStrictEqual(meaningOf(signal, bytes), verdict.meaning))
