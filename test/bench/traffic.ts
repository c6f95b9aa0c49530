//! The traffic of the benches: 2,000 operations, 512 spans of 450 bytes and ten attributes a request, one in a hundred slow on demand.

import { between, bytes, logNormal, pick, type Random, seeded } from '../kit/random.ts'
import { concat, delimited, fixed64Field, varintField } from '../oracle/bytes.ts'

export const SERVICES = 40
export const OPERATIONS = 50
export const SERIES = SERVICES * OPERATIONS
export const SPANS = 512
/** After so many requests every operation has the 200 samples that its model needs, and some more. */
export const READY_AFTER = 1000
/** As a Collector in front would send them: a few resources a request, two scopes each. */
const RESOURCES = 4
const SCOPES = 2
const SPAN_BYTES = 450
/** One span in so many is slow, when it is asked for. */
export const SLOW_EVERY = 100
/** Far beyond the band of the slowest operation. */
const SLOW_NS = 3e9
const SIGMA = 0.3
const STRIDE = 17

/** One export request, made once and sent many times: before each time its spans are given new times. */
export interface Request {
  readonly bytes: Uint8Array
  /** Lets the spans end within the millisecond before `endMs`; of a hundred, one is slow if `slow`. */
  stamp(endMs: number, slow: boolean): void
}

/** What stands where the times will be, so that they are found in the finished bytes: a start and an end, with their tags. */
const TIMES = concat([fixed64Field(7, 0xfeed_f00d_feed_f00dn), fixed64Field(8, 0xfeed_f00d_feed_f00dn)])
const START_AT = 1
const END_AT = 10

export function requests(count: number, seed = 1): Request[] {
  const random = seeded(seed)
  return Array.from({ length: count }, (_, index) => request(random, index))
}

function request(random: Random, index: number): Request {
  const durations: number[] = []
  const resources = Array.from({ length: RESOURCES }, (_, nth) => {
    // Every service in turn, and of each every operation: all of them are as frequent.
    const turn = index * RESOURCES + nth
    const service = turn % SERVICES
    let next = Math.floor(turn / SERVICES) * (SPANS / RESOURCES)
    const scopes = Array.from({ length: SCOPES }, (_, scope) => {
      const spans = Array.from({ length: SPANS / RESOURCES / SCOPES }, () => {
        // A stride without common factors, so that neighbours are not alike.
        const operation = (next++ * STRIDE) % OPERATIONS
        durations.push(Math.round(logNormal(random, medianNs(operation), SIGMA)))
        return delimited(2, span(random, service, operation))
      })
      return delimited(2, concat([delimited(1, scopeOf(scope)), ...spans]))
    })
    return delimited(1, concat([delimited(1, resource(random, service)), ...scopes]))
  })
  const joined = concat(resources)
  const whole = Buffer.from(joined.buffer)
  const view = new DataView(joined.buffer)
  const places: number[] = []
  for (let at = whole.indexOf(TIMES); at >= 0; at = whole.indexOf(TIMES, at + TIMES.length)) places.push(at)
  if (places.length !== SPANS) throw new Error(`${places.length} spans have their times, not ${SPANS}`)
  return {
    bytes: joined,
    stamp(endMs, slow) {
      // Without garbage, which would be collected in the middle of what is measured.
      const endNs = BigInt(Math.floor(endMs)) * 1_000_000n - 1n
      const high = Number(endNs >> 32n)
      const low = Number(endNs & 0xffff_ffffn)
      for (let i = 0; i < SPANS; i++) {
        const durationNs = slow && (index * SPANS + i) % SLOW_EVERY === 0 ? SLOW_NS : durations[i]
        put(view, places[i] + START_AT, high, low - i - durationNs)
        put(view, places[i] + END_AT, high, low - i)
      }
    },
  }
}

/** A fixed64 of two halves, of which the lower may be less than nothing, down to -2^33. */
function put(view: DataView, at: number, high: number, low: number): void {
  const borrowed = low >= 0 ? 0 : low >= -(2 ** 32) ? 1 : 2
  view.setUint32(at, low + borrowed * 2 ** 32, true)
  view.setUint32(at + 4, high - borrowed, true)
}

/** Each operation has its own level, from 2 to 100 ms. */
const medianNs = (operation: number) => 2e6 * (1 + operation)

const text = (key: string, value: string) => concat([delimited(1, key), delimited(2, delimited(1, value))])
const whole = (key: string, value: number) => concat([delimited(1, key), delimited(2, varintField(3, value))])

function resource(random: Random, service: number): Uint8Array {
  const attributes = [
    text('service.name', `shop-service-${service}`),
    text('service.namespace', 'shop'),
    text('deployment.environment.name', 'production'),
    text('service.version', '3.14.15'),
    text('service.instance.id', Buffer.from(bytes(random, 16)).toString('hex')),
    text('k8s.pod.name', `shop-service-${service}-7f9c6d5b8-x2x4z`),
    text('telemetry.sdk.language', 'java'),
    text('telemetry.sdk.version', '1.61.0'),
  ]
  return concat(attributes.map(attribute => delimited(1, attribute)))
}

const scopeOf = (scope: number) =>
  concat([delimited(1, `io.opentelemetry.instrumentation-${scope}`), delimited(2, '2.27.0-alpha')])

const METHODS = ['GET', 'GET', 'GET', 'POST', 'PUT', 'DELETE']

function span(random: Random, service: number, operation: number): Uint8Array {
  const route = `/api/v1/resource-${operation}/{id}`
  const attributes = [
    text('http.request.method', pick(random, METHODS)),
    text('http.route', route),
    text('url.path', `/api/v1/resource-${operation}/${between(random, 10_000, 99_999)}`),
    text('url.scheme', 'http'),
    text('server.address', `service-${service}`),
    whole('server.port', 8080),
    text('network.protocol.version', '1.1'),
    whole('http.response.status_code', 200),
    whole('thread.id', between(random, 1, 200)),
  ]
  const fields = [
    delimited(1, bytes(random, 16)),
    delimited(2, bytes(random, 8)),
    delimited(4, bytes(random, 8)),
    delimited(5, `GET ${route}`),
    varintField(6, 2),
    TIMES,
    ...attributes.map(attribute => delimited(9, attribute)),
    delimited(15, new Uint8Array(0)),
  ]
  const length = fields.reduce((sum, field) => sum + field.length, 0)
  // The tenth attribute makes every span 450 bytes long: its key and the prefixes take 23.
  const agent = text('user_agent.name', 'Mozilla/5.0 '.padEnd(SPAN_BYTES - length - 23, 'X11; Linux '))
  const made = concat([...fields, delimited(9, agent)])
  if (made.length !== SPAN_BYTES) throw new Error(`a span has ${made.length} bytes, not ${SPAN_BYTES}`)
  return made
}
