//! What the exporters of both transports share: their settings, the headers of a request, and patience with what is not there yet.
import type { Destination } from '../base/endpoints.ts'
import type { Log } from '../base/log.ts'
import type { World } from '../base/world.ts'
import { type Headers, VIA } from '../flow/sink.ts'
import type { ClientTls } from './tls.ts'

/** The settings that `exporters.otlp` and `exporters.otlphttp` have in common. */
export interface SendingSettings {
  readonly id: string
  readonly endpoint: Destination
  /** Without TLS. */
  readonly plain: boolean
  readonly headers: Readonly<Record<string, string>>
  readonly compression: 'gzip' | 'none'
  /** For one attempt, from its first byte to the whole answer. */
  readonly timeoutMs: number
  readonly tls: ClientTls
}

export interface Surroundings {
  readonly instanceId: string
  readonly version: string
  readonly world: World
  readonly log: Log
  /** How long a connection is used: CONNECTION_AGE_MS, unless a test has no time. */
  readonly connectionAgeMs?: number
}

/** Headers that belong to the connection or to the exporter, whoever names them. */
const OWN = new Set([
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'expect',
  'host',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'user-agent',
  'accept-encoding',
  'http2-settings',
])
const NAME = /^[0-9a-z_.!#$%&'*+^`|~-]+$/
const VALUE = /^[\t -~]*$/

/** The headers of one request: the configured ones, those that travel with the batch, and the mark that makes loops visible. */
export function requestHeaders(
  settings: SendingSettings,
  forwarded: Headers,
  instanceId: string,
): [string, string][] {
  const headers = new Map<string, string>()
  for (const source of [forwarded, settings.headers]) {
    for (const [key, value] of Object.entries(source)) {
      const name = key.toLowerCase()
      // What could not be sent must not fail the request, let alone the process.
      if (!OWN.has(name) && !name.startsWith('grpc-') && NAME.test(name) && VALUE.test(value))
        headers.set(name, value)
    }
  }
  const via = forwarded[VIA]
  headers.set(VIA, via === undefined || !VALUE.test(via) ? instanceId : `${via},${instanceId}`)
  return [...headers]
}

export const userAgent = (version: string) => `otlier/${version}`

/**
 * Opens a client whose making may fail for reasons outside the program, such as a certificate that is not there yet:
 * again for each request, until it works.
 */
export function lazily<C>(open: () => Promise<C>, settings: SendingSettings, log: Log): () => Promise<C> {
  let opening: Promise<C> | null = null
  const client = () => {
    opening ??= open().catch((error: unknown) => {
      opening = null
      throw error
    })
    return opening
  }
  // At the start, so that a wrong path is told before the first request.
  client().catch((error: Error) =>
    log.error({ exporter: settings.id, cause: error.message }, 'the exporter cannot start yet'),
  )
  return client
}
