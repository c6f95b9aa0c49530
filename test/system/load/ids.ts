//! Spans that can be told apart: each carries a number as its span id, and a recording backend reads the numbers back.
import { logNormal, type Random } from '../../kit/random.ts'
import { concat, delimited, fixed64Field, places, varintField } from '../../oracle/bytes.ts'

/** From the first to the last number, both included. */
export type Range = readonly [first: number, last: number]

const OPERATIONS = 20
const TRACE_PREFIX = Buffer.from('otlier-t', 'latin1')
const TRACE_ID_BYTES = 16
const SPAN_ID_BYTES = 8
/** The bytes before the number: the trace id with its tag and length, and the tag and length of the span id. */
const HEAD = [0x0a, TRACE_ID_BYTES] as const
const SPAN_ID_TAG_AT = 2 + TRACE_ID_BYTES
const SPAN_ID_AT = SPAN_ID_TAG_AT + 2

const text = (key: string, value: string) =>
  delimited(9, concat([delimited(1, key), delimited(2, delimited(1, value))]))

/** Of about 400 bytes, as those of a usual HTTP server are. */
const operations = Array.from({ length: OPERATIONS }, (_, at) => ({
  medianMs: 5 + 3 * at,
  name: delimited(5, `GET /api/resource-${at}/{id}`),
  attributes: concat([
    text('http.request.method', 'GET'),
    text('http.route', `/api/resource-${at}/{id}`),
    text('url.scheme', 'https'),
    text('server.address', 'shop.example'),
    text('network.protocol.version', '1.1'),
    text('user_agent.original', 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)'),
    text('k8s.pod.name', `shop-${at}-7f9c6d5b8-x2x4z`),
    text('thread.name', 'http-nio-8080-exec-7'),
  ]),
}))

const resource = delimited(
  1,
  delimited(1, concat([delimited(1, 'service.name'), delimited(2, delimited(1, 'shop'))])),
)
const scope = delimited(1, delimited(1, 'load'))

/** One request with the spans `first` to `last`, which end at the wall clock's `nowMs`. */
export function requestWith([first, last]: Range, nowMs: number, random: Random): Uint8Array {
  const spans: Uint8Array[] = []
  for (let id = first; id <= last; id++) {
    const { medianMs, name, attributes } = operations[id % OPERATIONS]
    const endNs = BigInt(Math.floor(nowMs)) * 1_000_000n
    const durationNs = BigInt(Math.round(logNormal(random, medianMs, 0.3) * 1e6))
    spans.push(
      delimited(
        2,
        concat([
          delimited(1, concat([TRACE_PREFIX, numberBytes(id)])),
          delimited(2, numberBytes(id)),
          name,
          varintField(6, 2),
          fixed64Field(7, endNs - durationNs),
          fixed64Field(8, endNs),
          attributes,
        ]),
      ),
    )
  }
  return delimited(1, concat([resource, delimited(2, concat([scope, ...spans]))]))
}

function numberBytes(id: number): Uint8Array {
  const bytes = Buffer.alloc(SPAN_ID_BYTES)
  bytes.writeBigUInt64BE(BigInt(id))
  return bytes
}

/** The numbers of all spans in a traces request, as runs in the order in which they stand. Throws on a span that is not ours. */
export function idsIn(request: Uint8Array): Range[] {
  const view = Buffer.from(request.buffer, request.byteOffset, request.byteLength)
  const ranges: [number, number][] = []
  for (const envelope of within(request, 0, request.length, 1)) {
    for (const scoped of within(request, envelope.from, envelope.to, 2)) {
      for (const { from } of within(request, scoped.from, scoped.to, 2)) {
        if (view[from] !== HEAD[0] || view[from + 1] !== HEAD[1] || view[from + SPAN_ID_TAG_AT] !== 0x12)
          throw new Error(`the span at ${from} was not made by this sender`)
        const id = Number(view.readBigUInt64BE(from + SPAN_ID_AT))
        const last = ranges.at(-1)
        if (last !== undefined && last[1] + 1 === id) last[1] = id
        else ranges.push([id, id])
      }
    }
  }
  return ranges
}

const within = (bytes: Uint8Array, from: number, to: number, field: number) =>
  places(bytes, from, to).filter(({ number, wire }) => number === field && wire === 2)

export const countOf = (ranges: readonly Range[]) =>
  ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0)
