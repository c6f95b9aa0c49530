//! One fault at a time before the whole service: spans with numbers go in, the destination misbehaves and is cured, and both sides are counted.
import { onTestFinished } from 'vitest'
import type { Parts } from '../../../src/commands/run.ts'
import { differences, exporterBooks, imbalances, type Scrape, scrapeAccounts } from '../../kit/accounts.ts'
import { type Backend, type BackendOptions, type Reply, startBackend } from '../../kit/backend.ts'
import { GrpcClient } from '../../kit/client.ts'
import { startService } from '../../kit/otlier.ts'
import { seeded } from '../../kit/random.ts'
import { idsIn, requestWith } from '../load/ids.ts'

export const SPANS_PER_REQUEST = 10
const WAIT_MS = 15_000

export const TRANSPORTS = ['otlp', 'otlphttp'] as const
export type Transport = (typeof TRANSPORTS)[number]

/** Waits until `done`; fails with `what` after a while. */
export async function until(what: string, done: () => boolean | Promise<boolean>, limitMs = WAIT_MS) {
  const endMs = performance.now() + limitMs
  while (!(await done())) {
    if (performance.now() > endMs) throw new Error(`waited in vain until ${what}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

/** A backend that counts the spans it has taken. It can go away and come back on its ports. */
export async function countingBackend(options: Omit<BackendOptions, 'script' | 'raw'> = {}) {
  /** How often each span was answered with success, or left without an answer. */
  const came = new Map<number, number>()
  let rejected = 0
  let faults = 0
  let running: Backend | null = null
  const backend = {
    came,
    /** By partial success. */
    get rejected() {
      return rejected
    },
    /** How many requests with spans it has treated otherwise than with plain success. */
    get faults() {
      return faults
    },
    /** How it answers from now on. */
    reply: (): Reply | Promise<Reply> => ({ kind: 'ok' }),
    grpcPort: 0,
    httpPort: 0,
    addressOf: (transport: Transport, port?: number) =>
      `${options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${port ?? (transport === 'otlp' ? backend.grpcPort : backend.httpPort)}`,
    async start(changed: Partial<BackendOptions> = {}) {
      running = await startBackend({
        ...options,
        ...changed,
        raw: true,
        grpcPort: backend.grpcPort,
        httpPort: backend.httpPort,
        async script({ signal, bytes }) {
          const ids = signal === 'traces' ? idsIn(bytes) : []
          const reply = await backend.reply()
          if (signal === 'traces' && reply.kind !== 'ok') faults++
          if (reply.kind === 'partial') rejected += Number(reply.rejected)
          if (reply.kind !== 'status' && reply.kind !== 'http' && reply.kind !== 'reset')
            for (const [first, last] of ids)
              for (let id = first; id <= last; id++) came.set(id, (came.get(id) ?? 0) + 1)
          return reply
        },
      })
      backend.grpcPort = running.grpcPort
      backend.httpPort = running.httpPort
    },
    async stop() {
      await running?.stop()
      running = null
    },
  }
  await backend.start()
  onTestFinished(() => backend.stop())
  return backend
}

export type CountingBackend = Awaited<ReturnType<typeof countingBackend>>

/** Settings of one destination whose retries and timeouts are short. */
export const quick = (transport: Transport, address: string, name = '', more: readonly string[] = []) => {
  const id = name === '' ? transport : `${transport}/${name}`
  return [
    `endpoint=${address}`,
    'compression=none',
    'timeout=1s',
    'retry_on_failure.initial_interval=20ms',
    'retry_on_failure.max_interval=200ms',
    ...more,
  ].map(setting => `exporters.${id}.${setting}`)
}

export async function scene(settings: readonly string[], parts: Partial<Parts> = {}) {
  const service = await startService(['shutdown_timeout=1s', ...settings], parts)
  const client = new GrpcClient(service.grpcPort)
  let stopped: Promise<number> | null = null
  const stop = () => {
    client.session.destroy()
    stopped ??= service.stop()
    return stopped
  }
  onTestFinished(async () => void (await stop()))
  const random = seeded(1)
  let nextId = 1
  let accepted = 0
  const codes = new Map<number, number>()

  async function scrape(): Promise<Scrape> {
    const found = await scrapeAccounts(service.metricsPort)
    const wrong = imbalances(found)
    if (wrong.length > 0) throw new Error(`the accounts do not balance: ${wrong.join('; ')}`)
    return found
  }

  return {
    service,
    client,
    stop,
    scrape,
    /** Answers by their gRPC status. */
    codes,
    get accepted() {
      return accepted
    },
    /** Sends so many requests one after the other, each once, and scrapes in between. Returns their statuses. */
    async send(requests: number): Promise<number[]> {
      const answers: number[] = []
      for (let at = 0; at < requests; at++) {
        const ids = [nextId, nextId + SPANS_PER_REQUEST - 1] as const
        nextId += SPANS_PER_REQUEST
        const { code } = await client.export('traces', requestWith(ids, Date.now(), random))
        answers.push(code)
        codes.set(code, (codes.get(code) ?? 0) + 1)
        if (code === 0) accepted += SPANS_PER_REQUEST
        if (at % 5 === 0) await scrape()
      }
      return answers
    },
    /** Nothing is waiting or under way for the destination. */
    settled: (exporter: string, limitMs?: number) =>
      until(
        `everything for ${exporter} has been dealt with`,
        async () => {
          const { queued, inFlight } = exporterBooks(await scrape(), exporter, 'traces')
          return queued + inFlight === 0
        },
        limitMs,
      ),
    /** Sentences about what the accounts say and neither side has counted. */
    async compared(exporter: string, backend: CountingBackend, rejected = backend.rejected) {
      return differences(await scrape(), 'traces', {
        accepted,
        destinations: { [exporter]: { sent: backend.came.size - backend.rejected, rejected } },
      })
    },
  }
}

/** Spans that came more than once. */
export const twice = ({ came }: CountingBackend) => [...came].filter(([, times]) => times > 1)
