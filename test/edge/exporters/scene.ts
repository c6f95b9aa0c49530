//! Exporters towards the recording backend, alone and behind a queue whose time is simulated.
import { Registry } from '../../../src/base/counters.ts'
import { parseTarget, parseUrl } from '../../../src/base/endpoints.ts'
import { realWorld } from '../../../src/base/world.ts'
import { type ExporterSettings, makeExporter } from '../../../src/edge/exporter.ts'
import type { HttpSettings } from '../../../src/edge/http-out.ts'
import { QUEUE_LIMITS, type QueueOptions, queue } from '../../../src/flow/queue.ts'
import { RETRY_DEFAULTS } from '../../../src/flow/retry.ts'
import type {
  Answer,
  CheckedBatch,
  Exporter,
  ExportRequest,
  Headers,
  Signal,
} from '../../../src/flow/sink.ts'
import { NO_HEADERS } from '../../../src/flow/sink.ts'
import type { Backend } from '../../kit/backend.ts'
import { recordingLog } from '../../kit/log.ts'
import { simulatedWorld } from '../../kit/world.ts'
import { concat, delimited } from '../../oracle/bytes.ts'

export const TRANSPORTS = ['otlp', 'otlphttp'] as const
export type Transport = (typeof TRANSPORTS)[number]

export const INSTANCE = 'instance-1'

/** An exporter as the configuration would make it: no compression, five seconds, no TLS. */
export function exporterTo(type: Transport, address: string, overrides: Partial<HttpSettings> = {}) {
  const endpoint = type === 'otlp' ? parseTarget(address) : parseUrl(address)
  if ('wrong' in endpoint) throw new Error(endpoint.wrong)
  const settings = {
    type,
    id: `${type}/test`,
    endpoint,
    plain: !address.startsWith('https'),
    headers: {},
    compression: 'none',
    timeoutMs: 5000,
    tls: { caFile: null, certFile: null, keyFile: null, insecureSkipVerify: false, serverNameOverride: null },
    encoding: 'proto',
    exact: false,
    ...overrides,
  } satisfies ExporterSettings
  const { log, lines } = recordingLog()
  const exporter = makeExporter(settings, { instanceId: INSTANCE, version: '1.2.3', world: realWorld, log })
  return { exporter, lines }
}

export const addressOf = (backend: Backend, type: Transport) =>
  type === 'otlp' ? backend.grpc : backend.http

/** A request with one item for each name, of any signal. */
export function requestOf(
  names: readonly string[],
  signal: Signal = 'traces',
  headers: Headers = NO_HEADERS,
) {
  const item = {
    traces: (name: string) => delimited(5, name),
    metrics: (name: string) => concat([delimited(1, name), delimited(5, delimited(1, ''))]),
    logs: (name: string) => delimited(3, name),
  }[signal]
  const bytes = delimited(1, delimited(2, concat(names.map(name => delimited(2, item(name))))))
  const request: ExportRequest = { signal, parts: [bytes], headers, items: names.length }
  const batch: CheckedBatch = { signal, bytes, headers, items: names.length, receivedMs: 0 }
  return { request, batch, bytes }
}

/** Which of the names that look like `a17` are in the bytes, in order. */
export const namesIn = (bytes: Uint8Array) =>
  Buffer.from(bytes)
    .toString('latin1')
    .match(/[a-z]+\d+/g) ?? []

/** What the destination said to one small request. */
export async function ask(exporter: Exporter, signal: Signal = 'traces'): Promise<Answer> {
  return exporter.export(requestOf(['a1'], signal).request)
}

/** A queue before a real exporter. Its clock stands still while a request is under way, and jumps from timer to timer otherwise. */
export function queued(
  type: Transport,
  address: string,
  options: Partial<QueueOptions> = {},
  overrides: Partial<HttpSettings> = {},
) {
  const world = simulatedWorld(1)
  const { exporter } = exporterTo(type, address, overrides)
  const sent: number[] = []
  let open = 0
  const watched: Exporter = {
    ...exporter,
    async export(request) {
      sent.push(world.monotonic())
      open++
      try {
        return await exporter.export(request)
      } finally {
        open--
      }
    },
  }
  const { log, lines } = recordingLog()
  const registry = new Registry()
  const sending = queue(watched, world, log, registry, {
    ...QUEUE_LIMITS,
    lingerMs: 5,
    sizeBytes: 64 * 2 ** 20,
    whenFull: 'refuse',
    numConsumers: 10,
    retry: RETRY_DEFAULTS,
    ...options,
  })
  const read = (what: string, reason?: string) =>
    registry.read(`otlier_exporter_${what}_spans`, {
      exporter: exporter.id,
      ...(reason === undefined ? {} : { reason }),
    })

  /** Lets time pass until `done`. */
  async function until(done: () => boolean) {
    while (!done()) {
      if (open > 0) await new Promise(resolve => setImmediate(resolve))
      else await world.until(() => open > 0 || done())
    }
  }
  return { world, sending, lines, read, until, sent, exporter }
}
