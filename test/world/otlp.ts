//! The bytes of simulated spans: for each kind of span its OTLP protobuf once, with gaps into which ids and times are written.
import { concat, delimited, fixed32Field, fixed64Field, tag, varint, varintField } from '../oracle/bytes.ts'
import { type Attributes, attributesOf, resourceOf, scopeOf, text } from '../oracle/values.ts'
import type { Pod } from './pods.ts'
import type { Series } from './topology.ts'

/** OTLP's SpanKind. */
export const KINDS = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 }

/** A span as one entry of its ScopeSpans, and where in it the changing parts stand. */
export interface Template {
  readonly bytes: Uint8Array
  readonly traceIdAt: number
  readonly spanIdAt: number
  /** 0: it has no parent. */
  readonly parentAt: number
  readonly startAt: number
  readonly endAt: number
}

/**
 * message Span { bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; bytes parent_span_id = 4; string name = 5;
 * SpanKind kind = 6; fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8; repeated KeyValue attributes = 9;
 * Status status = 15; fixed32 flags = 16; }
 */
export function template(series: Series, failed: boolean, hasParent: boolean, sampled: boolean): Template {
  const before = concat([delimited(1, new Uint8Array(16)), delimited(2, new Uint8Array(8))])
  const state = text(3, sampled ? 'ot=th:e666' : undefined)
  const parent = hasParent ? delimited(4, new Uint8Array(8)) : new Uint8Array(0)
  const name = concat([text(5, series.name), varintField(6, KINDS[series.kind])])
  const times = concat([fixed64Field(7, 0n), fixed64Field(8, 0n)])
  // Sampled, and with a random trace id.
  const flags = fixed32Field(16, 3)
  const after = concat([
    attributesOf(9, attributes(series, failed)),
    failed ? delimited(15, varintField(3, 2)) : new Uint8Array(0),
    flags,
  ])
  const content = concat([before, state, parent, name, times, after])
  const bytes = delimited(2, content)
  const head = bytes.length - content.length
  const timesAt = head + before.length + state.length + parent.length + name.length
  return {
    bytes,
    traceIdAt: head + 2,
    spanIdAt: head + 20,
    parentAt: hasParent ? head + before.length + state.length + 2 : 0,
    startAt: timesAt + 1,
    endAt: timesAt + 10,
  }
}

function attributes({ kind, http, peer, name }: Series, failed: boolean): Attributes {
  const status = { 'http.response.status_code': failed ? 503 : 200 }
  if (peer !== '') return { 'server.address': peer, 'db.operation.name': 'query' }
  if (http && kind === 'server') {
    const [method, route] = name.split(' ')
    return { 'http.request.method': method, 'http.route': route ?? '/', ...status }
  }
  if (http && kind === 'client') return { 'http.request.method': name.split(' ')[0], ...status }
  if (kind === 'server' || kind === 'client') return { 'rpc.system.name': 'grpc', 'rpc.method': name }
  return kind === 'internal' ? {} : { 'messaging.system': 'kafka', 'messaging.destination.name': name }
}

/** How all services of the shop are called beside their names. */
export const SHOP = { namespace: 'shop', environment: 'production' }

/** The beginning of a pod's ResourceSpans: its resource. */
export function resource(pod: Pod, zones: number): Uint8Array {
  return resourceOf({ service: pod.service.name, ...SHOP, resource: resourceAttributes(pod, zones) })
}

/** What a pod's resource says beside the service. */
export const resourceAttributes = (pod: Pod, zones: number) => ({
  'service.version': pod.label,
  'service.instance.id': pod.name,
  'k8s.pod.name': pod.name,
  'k8s.node.name': `node-${pod.node}`,
  'cloud.availability_zone': `zone-${'abcdefgh'[pod.node % zones]}`,
})

const SCOPE = scopeOf({ scope: { name: 'shop-instrumentation', version: '2.1.0' } })

/** An ExportTraceServiceRequest of one resource and one scope around spans that are written out already. */
export function request(resourceBytes: Uint8Array, spans: Uint8Array): Uint8Array {
  // Lengths first, so that the spans are copied once.
  const inside = [tag(2, 2), varint(SCOPE.length + spans.length), SCOPE, spans]
  const length = [resourceBytes, ...inside].reduce((sum, part) => sum + part.length, 0)
  return concat([tag(1, 2), varint(length), resourceBytes, ...inside])
}

/** A fixed64 of nanoseconds since 1970, from ms since `originMs`. Sums of less than 2^53 stay exact. */
export function writeTime(view: DataView, at: number, originMs: number, ms: number) {
  const whole = Math.floor(ms)
  const seconds = Math.floor((originMs + whole) / 1_000)
  const nanos = (originMs + whole - seconds * 1_000) * 1e6 + Math.round((ms - whole) * 1e6)
  // seconds * 1e9 = seconds * 0x3b9aca00, in two halves of 16 bits, so that nothing passes 2^53.
  const low = (seconds % 2 ** 16) * 1e9 + nanos
  const middle = Math.floor(seconds / 2 ** 16) * 1e9
  const sumLow = (middle % 2 ** 16) * 2 ** 16 + (low % 2 ** 32)
  const high = Math.floor(middle / 2 ** 16) + Math.floor(low / 2 ** 32) + Math.floor(sumLow / 2 ** 32)
  view.setUint32(at, (sumLow % 2 ** 32) >>> 0, true)
  view.setUint32(at + 4, high, true)
}
