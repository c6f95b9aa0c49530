//! Ordinary traces and logs requests from a short description: the same bytes each time.

import { createHash } from 'node:crypto'
import { between, chance, logNormal, pick, type Random } from '../kit/random.ts'
import { concat, delimited, fixed32Field, fixed64Field, varintField } from './bytes.ts'
import {
  type Attributes,
  anyValue,
  attributesOf,
  id,
  none,
  type Origin,
  resourceOf,
  scopeOf,
  text,
  type Value,
} from './values.ts'

/** Ids are hex; those not given follow from the span's place and content, and `''` leaves the field away. */
export type PlainSpan = {
  name: string
  kind?: 'internal' | 'server' | 'client' | 'producer' | 'consumer' | number
  traceId?: string
  spanId?: string
  parentSpanId?: string
  traceState?: string
  flags?: number
  startNs: bigint
  durationNs: number
  status?: 'unset' | 'ok' | 'error' | number
  statusMessage?: string
  attributes?: Attributes
  events?: readonly { name: string; timeNs: bigint; attributes?: Attributes }[]
  links?: readonly { traceId: string; spanId: string; attributes?: Attributes }[]
}

export type PlainRecord = {
  timeNs: bigint
  observedNs?: bigint
  severity?: number
  severityText?: string
  body?: Value
  eventName?: string
  traceId?: string
  spanId?: string
  attributes?: Attributes
}

const KINDS = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 }
const CODES = { unset: 0, ok: 1, error: 2 }

/** A traces request: one ResourceSpans with one ScopeSpans for each group. */
export function tracesRequest(groups: readonly (Origin & { spans: readonly PlainSpan[] })[]): Uint8Array {
  return concat(
    groups.map((group, place) => {
      const scope = scopeOf(group)
      const spans = group.spans.map((span, at) => delimited(2, spanBytes(span, group, `${place}/${at}`)))
      return delimited(1, concat([resourceOf(group), delimited(2, concat([scope, ...spans]))]))
    }),
  )
}

/** A logs request: one ResourceLogs with one ScopeLogs for each group. */
export function logsRequest(groups: readonly (Origin & { records: readonly PlainRecord[] })[]): Uint8Array {
  return concat(
    groups.map(group => {
      const records = group.records.map(record => delimited(2, recordBytes(record)))
      return delimited(1, concat([resourceOf(group), delimited(2, concat([scopeOf(group), ...records]))]))
    }),
  )
}

export type PlainRequest = {
  services?: readonly string[]
  operations?: readonly string[]
  /** How many spans in all. They form traces of `spansPerTrace`, each a server span and what it calls. */
  spans: number
  spansPerTrace?: number
  startNs?: bigint
  /** The stretch of time over which the traces start. */
  overMs?: number
  medianMs?: number
  sigma?: number
  errors?: number
  namespace?: string
  environment?: string
}

/** An ordinary traces request: log-normal durations, a share of errors, traces that cross the services. */
export function plainRequest(random: Random, options: PlainRequest): Uint8Array {
  const services = options.services ?? ['front', 'cart', 'pay']
  const operations = options.operations ?? ['GET /', 'GET /items', 'POST /pay']
  const startNs = options.startNs ?? 1_790_000_000_000_000_000n
  const groups = new Map<string, PlainSpan[]>(services.map(service => [service, []]))
  let traceId = ''
  let parentSpanId = ''
  let traceStartNs = startNs
  for (let n = 0; n < options.spans; n++) {
    const isRoot = n % (options.spansPerTrace ?? 5) === 0
    if (isRoot) {
      traceId = hexId(random, 16)
      traceStartNs = startNs + BigInt(between(random, 0, (options.overMs ?? 1_000) * 1_000)) * 1_000n
    }
    const spanId = hexId(random, 8)
    const status = chance(random, options.errors ?? 0.01) ? 'error' : 'unset'
    groups.get(pick(random, services))?.push({
      name: pick(random, operations),
      kind: isRoot ? 'server' : pick(random, ['internal', 'server', 'client'] as const),
      traceId,
      spanId,
      ...(isRoot ? {} : { parentSpanId }),
      startNs: traceStartNs + (isRoot ? 0n : BigInt(between(random, 0, 5_000_000))),
      durationNs: Math.round(logNormal(random, (options.medianMs ?? 20) * 1e6, options.sigma ?? 0.5)),
      status,
      attributes: {
        'http.request.method': 'GET',
        'http.response.status_code': status === 'error' ? 500 : 200,
      },
    })
    if (isRoot || chance(random, 0.5)) parentSpanId = spanId
  }
  const origin = {
    scope: { name: 'plain', version: '1.0.0' },
    ...(options.namespace === undefined ? {} : { namespace: options.namespace }),
    ...(options.environment === undefined ? {} : { environment: options.environment }),
  }
  const filled = [...groups].filter(([, spans]) => spans.length > 0)
  return tracesRequest(filled.map(([service, spans]) => ({ ...origin, service, spans })))
}

/** A random id of so many bytes, in hex, never all zero. */
export function hexId(random: Random, length: number): string {
  let hex = ''
  for (let n = 0; n < length; n++) hex += between(random, 1, 255).toString(16).padStart(2, '0')
  return hex
}

function spanBytes(span: PlainSpan, origin: Origin, place: string): Uint8Array {
  const seed = `${place} ${origin.service} ${span.name} ${span.startNs} ${span.durationNs}`
  const kind = typeof span.kind === 'string' ? KINDS[span.kind] : (span.kind ?? 0)
  const code = typeof span.status === 'string' ? CODES[span.status] : (span.status ?? 0)
  const status = concat([text(2, span.statusMessage), code === 0 ? none : varintField(3, code)])
  return concat([
    id(1, span.traceId ?? derivedId(`trace ${seed}`, 16)),
    id(2, span.spanId ?? derivedId(`span ${seed}`, 8)),
    text(3, span.traceState),
    id(4, span.parentSpanId),
    text(5, span.name),
    kind === 0 ? none : varintField(6, kind),
    fixed64Field(7, span.startNs),
    fixed64Field(8, span.startNs + BigInt(Math.round(span.durationNs))),
    attributesOf(9, span.attributes),
    ...(span.events ?? []).map(event =>
      delimited(
        11,
        concat([fixed64Field(1, event.timeNs), text(2, event.name), attributesOf(3, event.attributes)]),
      ),
    ),
    ...(span.links ?? []).map(link =>
      delimited(13, concat([id(1, link.traceId), id(2, link.spanId), attributesOf(4, link.attributes)])),
    ),
    status.length === 0 ? none : delimited(15, status),
    span.flags === undefined ? none : fixed32Field(16, span.flags),
  ])
}

function recordBytes(record: PlainRecord): Uint8Array {
  return concat([
    fixed64Field(1, record.timeNs),
    record.severity === undefined ? none : varintField(2, record.severity),
    text(3, record.severityText),
    record.body === undefined ? none : delimited(5, anyValue(record.body)),
    attributesOf(6, record.attributes),
    id(9, record.traceId),
    id(10, record.spanId),
    fixed64Field(11, record.observedNs ?? record.timeNs),
    text(12, record.eventName),
  ])
}

function derivedId(seed: string, length: number): string {
  return createHash('sha256')
    .update(seed)
    .digest('hex')
    .slice(0, 2 * length)
}
