//! Chooses the exporter of a destination, and tells whether a destination is Otlier itself.
import { hostname, networkInterfaces } from 'node:os'
import type { Destination, Listen } from '../base/endpoints.ts'
import { MASK } from '../base/texts.ts'
import type { Exporter } from '../flow/sink.ts'
import { type DebugSettings, debugExporter } from './debug-out.ts'
import { grpcExporter } from './grpc-out.ts'
import { type HttpSettings, httpExporter } from './http-out.ts'
import type { SendingSettings, Surroundings } from './sending.ts'

/** One destination of the configuration, by its type. */
export type ExporterSettings =
  | (SendingSettings & { readonly type: 'otlp' })
  | (HttpSettings & { readonly type: 'otlphttp' })
  | (DebugSettings & { readonly type: 'debug' })

/** Connects when there is something to send. */
export function makeExporter(settings: ExporterSettings, around: Surroundings): Exporter {
  if (settings.type === 'debug') return debugExporter(settings, around.log)
  const exporter = settings.type === 'otlp' ? grpcExporter(settings, around) : httpExporter(settings, around)
  return discreet(exporter, Object.values(settings.headers))
}

/** A shorter value is no secret, and would be found everywhere. */
const MIN_SECRET_CHARS = 6

/** Destinations like to repeat the token that they refuse. What they say reaches a log, so the values of headers are taken out of it. */
function discreet(exporter: Exporter, values: readonly string[]): Exporter {
  const words = values.flatMap(value => [value, ...value.split(/\s+/)])
  const secrets = words
    .filter(word => word.length >= MIN_SECRET_CHARS)
    // A message of gRPC may come with more characters escaped than its client undoes.
    .flatMap(word => [word, encodeURIComponent(word.toWellFormed())])
    .sort((a, b) => b.length - a.length)
  if (secrets.length === 0) return exporter
  const hide = (text: string) => secrets.reduce((hidden, secret) => hidden.replaceAll(secret, MASK), text)
  return {
    ...exporter,
    async export(request) {
      const answer = await exporter.export(request)
      if (answer.kind === 'delivered') return { ...answer, message: hide(answer.message) }
      answer.cause.message = hide(answer.cause.message)
      return answer
    },
  }
}

/** Whether what is sent there would come in again at `address`, as far as names and addresses of this machine tell. */
export function leadsBackTo(
  settings: { readonly type: string; readonly endpoint?: Pick<Destination, 'host' | 'port'> },
  address: Listen,
): boolean {
  const { endpoint } = settings
  if (endpoint === undefined || endpoint.port !== address.port || endpoint.host === '') return false
  const reached = addressesOf(endpoint.host)
  if (isAny(address.host)) return reached.some(isOwn)
  const bound = addressesOf(address.host)
  return reached.some(one => bound.includes(one) || (isAny(one) && bound.some(isLoopback)))
}

/** The addresses that a name stands for, without asking anybody. */
function addressesOf(host: string): string[] {
  const name = host.toLowerCase().replace(/^\[|\]$|\.$/g, '')
  if (name === 'localhost' || name.endsWith('.localhost')) return ['127.0.0.1', '::1']
  if (name === hostname().toLowerCase()) return ['127.0.0.1', '::1', ...ownAddresses()]
  // The same address has several spellings.
  const mapped = /^::ffff:([\d.]+)$/.exec(name)
  return [mapped?.[1] ?? (/^[0:]+1$/.test(name) && name.includes(':') ? '::1' : name)]
}

const ownAddresses = () =>
  Object.values(networkInterfaces()).flatMap(list => (list ?? []).map(({ address }) => address.toLowerCase()))

const isAny = (host: string) => host === '' || host === '0.0.0.0' || /^[0:]+$/.test(host)
const isLoopback = (address: string) => address.startsWith('127.') || address === '::1'
// Sending to "any address" reaches this machine.
const isOwn = (address: string) => isLoopback(address) || isAny(address) || ownAddresses().includes(address)
