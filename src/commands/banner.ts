//! What a person reads when the service is up, and when a port is taken.
import { formatListen, type Listen, maskUrl } from '../base/endpoints.ts'
import { DirectoryInUse } from '../base/lock.ts'
import type { Config } from '../config.ts'
import { listeners } from './settle-config.ts'

/** What came of the start, as far as a person is told. */
export interface Started {
  /** Where it listens now, by the setting's path: with the real port where the setting says 0. Null or absent: off. */
  readonly listening: Readonly<Record<string, Listen | null>>
  /** Where models are kept; null in memory only. */
  readonly directory: string | null
  /** By exporter id, what is to be said about it: that it is not used because it leads back here, for example. */
  readonly notes: Readonly<Record<string, string>>
}

const GRPC = 'receivers.otlp.protocols.grpc.endpoint'
const HTTP = 'receivers.otlp.protocols.http.endpoint'
const METRICS = 'service.metrics.endpoint'
const HEALTH = 'service.health.endpoint'
const VIEW = 'service.view.endpoint'

export function banner(config: Config, started: Started, version: string): string {
  const { tls: grpcTls } = config.receivers.otlp.protocols.grpc ?? { tls: null }
  const { tls: httpTls } = config.receivers.otlp.protocols.http ?? { tls: null }
  const url = (path: string, suffix = '', secure = false) => {
    const address = started.listening[path] ?? null
    if (address === null) return null
    const everywhere = address.host === '0.0.0.0' || address.host === '::' ? '  (all interfaces)' : ''
    return `${secure ? 'https' : 'http'}://${formatListen(address)}${suffix}${everywhere}`
  }
  const grpc = url(GRPC, '', grpcTls !== null && grpcTls.certFile !== null)
  const http = url(HTTP, '', httpTls !== null && httpTls.certFile !== null)
  const rows: [string, string][] = []
  const add = (label: string, lines: readonly (string | null)[]) =>
    lines
      .filter(line => line !== null)
      .forEach((line, index) => void rows.push([index === 0 ? label : '', line]))
  add('OTLP in', [grpc && `gRPC  ${grpc}`, http && `HTTP  ${http}`])
  add('goes to', destinations(config, started.notes))
  add('models in', [
    started.directory ?? (config.directory === 'none' ? 'memory only (directory: none)' : 'memory only'),
  ])
  add('metrics', [url(METRICS, '/metrics')])
  add('health', [url(HEALTH, '/ready')])
  add('incidents', [url(VIEW, '/api/incidents')])
  const width = Math.max(...rows.map(([label]) => label.length))
  const here = http ?? grpc
  const lines = [
    '',
    `  Otlier ${version}`,
    '',
    ...rows.map(([label, line]) => `  ${label.padEnd(width)}   ${line}`),
  ]
  if (here !== null) {
    const protocol = http === null ? ' OTEL_EXPORTER_OTLP_PROTOCOL=grpc' : ''
    const plain = here.replace(/ {2}\(.*$/, '').replace(/\/\/(0\.0\.0\.0|\[::\])/, '//localhost')
    lines.push('', `  Point a program here:  export OTEL_EXPORTER_OTLP_ENDPOINT=${plain}${protocol}`)
  }
  return [...lines, '', '  Ready. Ctrl-C stops in order.', ''].join('\n')
}

/** One line for each destination, and one for what goes nowhere. */
function destinations(config: Config, notes: Readonly<Record<string, string>>): string[] {
  const on = Object.entries(config.service.pipelines).flatMap(([signal, pipeline]) =>
    pipeline === null ? [] : [{ signal, exporters: pipeline.exporters }],
  )
  const lines = config.exporters.flatMap(exporter => {
    const signals = on.filter(({ exporters }) => exporters.includes(exporter.id)).map(({ signal }) => signal)
    if (signals.length === 0) return []
    const where = exporter.type === 'debug' ? 'the log' : maskUrl(exporter.endpoint.url)
    const note = notes[exporter.id]
    return [`${exporter.id}  ${where}  (${signals.join(', ')})`, ...(note === undefined ? [] : [`  ${note}`])]
  })
  const nowhere = on.filter(({ exporters }) => exporters.length === 0).map(({ signal }) => signal)
  if (lines.length > 0)
    return nowhere.length === 0 ? lines : [...lines, `nowhere  (${nowhere.join(', ')}: taken and let go)`]
  return [
    'nowhere: nothing is forwarded. Traces are learned and let go, outliers are told in the log.',
    'To forward, set OTEL_EXPORTER_OTLP_ENDPOINT, or name exporters in a file (otlier config init).',
  ]
}

const COLLECTOR = 'an OpenTelemetry Collector, Jaeger or another Otlier'
const HOLDERS: Readonly<Record<string, string>> = {
  [GRPC]: COLLECTOR,
  [HTTP]: COLLECTOR,
  [METRICS]: 'an OpenTelemetry Collector, Jaeger or another Otlier, and sometimes by Jupyter',
  [HEALTH]: 'an OpenTelemetry Collector, Jaeger or another Otlier',
}

/**
 * The error of a bind in the words of the settings, with a command that helps; null where `error` is no such error.
 * `command` is what was typed.
 */
export function explainBind(error: unknown, config: Config, command: string): string | null {
  const failed = failedBind(error, config)
  if (failed === null) return null
  const { sentence, found, port, isTaken } = failed
  if (!isTaken) return `otlier: ${sentence}. Nothing was started.`
  const holder = (found === undefined ? undefined : HOLDERS[found.path]) ?? 'another Otlier'
  return [
    `otlier: ${sentence}. Nothing was started.`,
    `Port ${port} is usually held by ${holder}. To run beside it on other ports:`,
    '',
    `  ${command}`,
    '',
    ...(found === undefined
      ? []
      : [
          `or move this one alone: --set ${found.path}=${formatListen({ ...found.address, port: 0 }).replace(/0$/, 'PORT')}`,
        ]),
  ].join('\n')
}

/** The same for a directory that another Otlier works in. */
export function explainDirectory(error: unknown, command: string): string | null {
  if (!(error instanceof DirectoryInUse)) return null
  return [
    `otlier: cannot start: ${error.directory} (directory) is in use by another Otlier. Nothing was started.`,
    'What it has learned is there, and so are its queues on disk. To run beside it, on other ports:',
    '',
    `  ${command}`,
    '',
    'or give this one a directory of its own: --set directory=PATH',
  ].join('\n')
}

/** What went wrong, as a part of a sentence, and with which listener; null where `error` is no error of a bind. */
export function failedBind(error: unknown, config: Config) {
  const { code, syscall, port, address } = error as NodeJS.ErrnoException & {
    port?: number
    address?: string
  }
  if (code === undefined || (syscall !== 'listen' && syscall !== 'getaddrinfo')) return null
  const samePort = listeners(config).filter(listener => listener.address.port === port)
  const found = samePort.find(listener => listener.address.host === address) ?? samePort[0]
  const where = found === undefined ? `port ${port}` : `${formatListen(found.address)} (${found.path})`
  const why: Readonly<Record<string, string>> = {
    EADDRINUSE: 'the port is taken',
    EACCES: 'this user may not; ports below 1024 need privileges',
    EADDRNOTAVAIL: 'this machine has no such address',
    ENOTFOUND: 'the host has no address',
  }
  const sentence = `cannot listen on ${where}: ${why[code] ?? code}`
  return { sentence, found, port, isTaken: code === 'EADDRINUSE' }
}

const OFFSET = 10_000

/** Headers may be set one by one, or in the value of a section above them; a URL may hold a password. */
const withoutSecrets = (arg: string) =>
  arg.includes('headers')
    ? arg.replace(/^((?:--set=)?exporters[^=]*=).*/s, '$1...')
    : arg.replace(/:\/\/[^/@]*@/g, '://...@')

/** The command that was typed, with its ports moved and nothing shared. Values of headers and passwords in URLs are left out. */
export function commandBeside(args: readonly string[], throughNpm: boolean): string {
  const kept: string[] = []
  let offset = OFFSET
  for (let at = 0; at < args.length; at++) {
    const [name, inline] = args[at].startsWith('--port-offset=') ? args[at].split('=') : [args[at], undefined]
    if (name === '--port-offset') offset += Number(inline ?? args[++at]) || 0
    else if (/^(--set=)?directory=/.test(args[at])) {
      if (kept.at(-1) === '--set') kept.pop()
    } else kept.push(withoutSecrets(args[at]))
  }
  const words = [...kept, '--port-offset', String(offset), '--set', 'directory=none']
  const quoted = words.map(word =>
    /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`,
  )
  return `${throughNpm ? 'npm start --' : 'otlier'} ${quoted.join(' ')}`
}
