//! The OTEL_EXPORTER_OTLP_* variables as settings that lie under every file.
import { parseTarget, parseUrl } from '../base/endpoints.ts'
import { nearest } from '../base/nearest.ts'
import { parseDuration } from '../base/numbers.ts'
import type { Variables } from '../base/substitute.ts'
import { branch, find, leaf, list, type Place, type Report, type Tree } from '../base/tree.ts'
import type { Signal } from '../config.ts'

const PREFIX = 'OTEL_EXPORTER_OTLP_'
const SIGNALS: readonly Signal[] = ['traces', 'metrics', 'logs']
const PROTOCOLS = ['grpc', 'http/protobuf', 'http/json']
const COMPRESSIONS = ['gzip', 'none']

export interface OtelLayer {
  readonly tree: Tree
  /** Exporters whose endpoint is one signal's whole URL. */
  readonly exact: ReadonlySet<string>
}

/**
 * Exporters as the variables describe them, when `named` (what files and `--set` say) defines none. Where an exporter
 * there has no endpoint, the variables give it theirs, with the headers and certificates that belong to it; one with an
 * endpoint of its own never gets them, because they are somebody else's credentials.
 */
export function otelLayer(variables: Variables, named: Tree, report: Report): OtelLayer {
  const read = reader(variables, report)
  const exporters = find(named, ['exporters'])
  if (exporters?.kind === 'branch' && exporters.entries.size > 0)
    return { tree: fill(read, exporters), exact: new Set() }
  const base = describe(read, null)
  const made = new Map<string, Tree>()
  const exact = new Set<string>()
  if (base !== null) made.set(base.type, base.tree)
  const routes: [string, Tree][] = []
  for (const signal of SIGNALS) {
    const apart = read.has(signal) ? describe(read, signal) : base
    let id = apart?.type ?? ''
    if (apart !== null && read.has(signal)) {
      id = `${apart.type}/${signal}`
      made.set(id, apart.tree)
      if (apart.exact) exact.add(id)
    }
    const targets = apart === null ? [] : [leaf(id, VARIABLES)]
    routes.push([signal, branch(VARIABLES, [['exporters', list(VARIABLES, targets)]])])
  }
  if (made.size === 0) return { tree: branch(VARIABLES), exact }
  // What every signal routes around is sent nothing.
  if (base !== null && SIGNALS.every(signal => read.has(signal))) made.delete(base.type)
  const pipelines = branch(VARIABLES, [['pipelines', branch(VARIABLES, routes)]])
  return {
    tree: branch(VARIABLES, [
      ['exporters', branch(VARIABLES, made)],
      ['service', pipelines],
    ]),
    exact,
  }
}

/** OTEL_EXPORTER_OTLP_COMPRESSION overrules what files say, for every exporter that compresses. */
export function compressionLayer(variables: Variables, named: Tree, report: Report): Tree {
  const compression = reader(variables, report).oneOf('COMPRESSION', null, COMPRESSIONS)
  const exporters = find(named, ['exporters'])
  if (compression === null || exporters?.kind !== 'branch') return branch(VARIABLES)
  const over = [...exporters.entries.keys()]
    .filter(id => /^(otlp|otlphttp)(\/|$)/.test(id))
    .map(id => [id, branch(compression.place, [['compression', compression]])] as const)
  return branch(VARIABLES, [['exporters', branch(VARIABLES, over)]])
}

const VARIABLES: Place = { source: `${PREFIX}*`, kind: 'variable', line: 0, column: 0 }

interface Described {
  readonly type: 'otlp' | 'otlphttp'
  readonly tree: Tree
  readonly exact: boolean
}

/** The exporter of one signal, or of all (`null`); null where no endpoint is given. */
function describe(read: Reader, signal: Signal | null): Described | null {
  const endpoint = read.get('ENDPOINT', signal)
  if (endpoint === null) return null
  const protocol = read.oneOf('PROTOCOL', signal, PROTOCOLS)?.text ?? guessProtocol(endpoint.text)
  const type = protocol === 'grpc' ? 'otlp' : 'otlphttp'
  const entries: [string, Tree][] = [['endpoint', leaf(endpoint.text, endpoint.place, true)]]
  if (protocol === 'http/json') entries.push(['encoding', leaf('json', endpoint.place)])
  const compression = read.oneOf('COMPRESSION', signal, COMPRESSIONS)
  if (compression !== null) entries.push(['compression', compression])
  entries.push(...credentials(read, signal, type), ...timeout(read, signal))
  const exact = type === 'otlphttp' && signal !== null && read.own('ENDPOINT', signal)
  return { type, tree: branch(endpoint.place, entries), exact }
}

/** http/protobuf, as the specification says; but nobody means HTTP by port 4317. */
function guessProtocol(endpoint: string): string {
  const url = parseUrl(endpoint)
  const target = 'wrong' in url ? parseTarget(endpoint) : url
  return 'port' in target && target.port === 4317 ? 'grpc' : 'http/protobuf'
}

/** What proves who we are: it goes where the variables' endpoint leads, and nowhere else. */
function credentials(read: Reader, signal: Signal | null, type: string): [string, Tree][] {
  const entries: [string, Tree][] = []
  const headers = read.headers(signal)
  if (headers !== null) entries.push(['headers', headers])
  const tls: [string, Tree][] = []
  for (const [suffix, key] of [
    ['CERTIFICATE', 'ca_file'],
    ['CLIENT_CERTIFICATE', 'cert_file'],
    ['CLIENT_KEY', 'key_file'],
  ]) {
    const file = read.get(suffix, signal)
    if (file !== null) tls.push([key, leaf(file.text, file.place, true)])
  }
  const insecure = type === 'otlp' ? read.oneOf('INSECURE', signal, ['true', 'false']) : null
  if (insecure !== null) tls.push(['insecure', insecure])
  if (tls.length > 0) entries.push(['tls', branch(VARIABLES, tls)])
  return entries
}

function timeout(read: Reader, signal: Signal | null): [string, Tree][] {
  const written = read.get('TIMEOUT', signal)
  if (written === null) return []
  const ms = /^\d{1,9}$/.test(written.text) ? parseDuration(`${Number(written.text)}ms`) : null
  if (ms !== null && ms > 0 && ms <= 3_600_000) return [['timeout', leaf(`${ms}ms`, written.place)]]
  read.ignore(written, 'is not a number of milliseconds from 1 to 3600000')
  return []
}

function fill(read: Reader, exporters: Extract<Tree, { kind: 'branch' }>): Tree {
  const filled: [string, Tree][] = []
  for (const [id, { value }] of exporters.entries) {
    const type = id.split('/')[0]
    if (type !== 'otlp' && type !== 'otlphttp') continue
    const written = find(value, ['endpoint'])
    if (written !== undefined && !(written.kind === 'leaf' && written.text === null)) continue
    const endpoint = read.get('ENDPOINT', null)
    if (endpoint === null) continue
    const entries: [string, Tree][] = [['endpoint', leaf(endpoint.text, endpoint.place, true)]]
    filled.push([
      id,
      branch(endpoint.place, [...entries, ...credentials(read, null, type), ...timeout(read, null)]),
    ])
  }
  return filled.length === 0
    ? branch(VARIABLES)
    : branch(VARIABLES, [['exporters', branch(VARIABLES, filled)]])
}

interface Written {
  readonly text: string
  readonly place: Place
}
interface Reader {
  /** The signal's own variable, else the common one; null where neither is set. Empty counts as not set. */
  get(suffix: string, signal: Signal | null): Written | null
  own(suffix: string, signal: Signal): boolean
  /** Whether any variable is set for this signal alone. */
  has(signal: Signal): boolean
  /** The specification has unknown words ignored with a warning. */
  oneOf(
    suffix: string,
    signal: Signal | null,
    words: readonly string[],
  ): (Written & ReturnType<typeof leaf>) | null
  headers(signal: Signal | null): Tree | null
  ignore(written: Written, why: string): void
}

const SUFFIXES =
  'ENDPOINT PROTOCOL HEADERS COMPRESSION TIMEOUT INSECURE CERTIFICATE CLIENT_KEY CLIENT_CERTIFICATE'.split(
    ' ',
  )

function reader(variables: Variables, report: Report): Reader {
  const told = new Set<string>()
  const one = (name: string): Written | null => {
    const text = Object.hasOwn(variables, name) ? (variables[name]?.trim() ?? '') : ''
    return text === '' ? null : { text, place: { source: name, kind: 'variable', line: 0, column: 0 } }
  }
  const ignore = ({ place }: Written, why: string) => {
    if (told.has(place.source)) return
    told.add(place.source)
    report(place, '', `${why}; it is ignored`, 'warning')
  }
  const nameOf = (suffix: string, signal: Signal) => `${PREFIX}${signal.toUpperCase()}_${suffix}`
  const get = (suffix: string, signal: Signal | null) =>
    (signal === null ? null : one(nameOf(suffix, signal))) ?? one(`${PREFIX}${suffix}`)
  return {
    get,
    ignore,
    own: (suffix, signal) => one(nameOf(suffix, signal)) !== null,
    has: signal => SUFFIXES.some(suffix => one(nameOf(suffix, signal)) !== null),
    oneOf(suffix, signal, words) {
      const written = get(suffix, signal)
      if (written === null) return null
      const word = words.find(known => known === written.text.toLowerCase())
      if (word !== undefined) return leaf(word, written.place) as Written & ReturnType<typeof leaf>
      const near = nearest(written.text, words)
      ignore(
        written,
        `${JSON.stringify(written.text.slice(0, 40))} is not one of ${words.join(', ')}${near === null ? '' : ` (did you mean ${near}?)`}`,
      )
      return null
    },
    headers(signal) {
      const written = get('HEADERS', signal)
      if (written === null) return null
      const entries: [string, Tree][] = []
      for (const pair of written.text.split(',')) {
        if (pair.trim() === '') continue
        const cut = pair.indexOf('=')
        const name = decode(pair.slice(0, Math.max(cut, 0)).trim())
        // The pair stays out of the message: it may be a secret.
        if (cut === -1 || name === '') ignore(written, 'has an entry that is not name=value')
        else entries.push([name, leaf(decode(pair.slice(cut + 1).trim()), written.place, true)])
      }
      return branch(written.place, entries)
    },
  }
}

/** Percent-decoded; as it stands where that cannot be. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
