//! A small deployment whose spans say for whom they are: two services, three regions, tenants and orders, through both planes.
import type { EventRecord } from '../../src/bus/bus.ts'
import { type PlainSpan, tracesRequest } from './odd.ts'
import { batchOf, recordedPlanes, START_MS } from './planes.ts'
import { bytes, chance, int, logNormal, pick, type Random, shuffled } from './random.ts'

export const REGIONS = ['eu', 'us', 'ap'] as const
const WINDOW_MS = 10_000
const PODS = 3

/** What one request to the shop is about. */
export interface Request {
  readonly region: string
  readonly tenant: string
  readonly zone: string
}

/** What is wrong: how many times as long the work for a request takes, and how likely it fails. */
export interface Fault {
  readonly slower?: (request: Request) => number
  readonly fails?: (request: Request) => number
}

interface Sent {
  readonly service: string
  readonly pod: string
  readonly zone: string
  readonly span: PlainSpan
}

/** One window of traces: `front` serves a request and calls `pay`, which does the work. Cache misses take eight times as long. */
function traces(random: Random, atMs: number, perWindow: number, fault: Fault): Sent[] {
  const sent: Sent[] = []
  for (let n = 0; n < perWindow; n++) {
    const pod = int(random, PODS)
    const request: Request = {
      region: pick(random, REGIONS),
      tenant: `t${Math.floor(30 * random() ** 3)}`,
      zone: `zone-${pod}`,
    }
    const miss = chance(random, 0.15)
    const workMs = logNormal(random, miss ? 160 : 20, 0.4) * (fault.slower?.(request) ?? 1)
    const failed = chance(random, fault.fails?.(request) ?? 0.005)
    const startMs = START_MS + atMs + random() * (WINDOW_MS - 3_000)
    const traceId = Buffer.from(bytes(random, 16)).toString('hex')
    const spanId = () => Buffer.from(bytes(random, 8)).toString('hex')
    const [root, call] = [spanId(), spanId()]
    const status = failed ? 'error' : 'unset'
    const ns = (ms: number) => BigInt(Math.round(ms * 1000)) * 1000n
    const span = (
      name: string,
      kind: 'server' | 'client',
      id: string,
      parent: string,
      beforeMs: number,
      overMs: number,
      attributes = {},
    ) =>
      ({
        name,
        kind,
        traceId,
        spanId: id,
        parentSpanId: parent,
        startNs: ns(startMs + beforeMs),
        durationNs: Math.round(overMs * 1e6),
        status,
        attributes: { 'http.response.status_code': failed ? 503 : 200, ...attributes },
      }) satisfies PlainSpan
    const about = {
      region: request.region,
      tenant: request.tenant,
      'order.id': traceId.slice(0, 12),
      'cache.hit': !miss,
      'http.request.method': 'POST',
    }
    const front = { service: 'front', pod: 'front-0', zone: 'zone-0' }
    sent.push(
      {
        service: 'pay',
        pod: `pay-${pod}`,
        zone: request.zone,
        span: span('POST /pay', 'server', spanId(), call, 2, workMs, about),
      },
      { ...front, span: span('POST', 'client', call, root, 1, workMs + 2) },
      { ...front, span: span('POST /order', 'server', root, '', 0, workMs + 4, about) },
    )
  }
  return sent
}

/** Requests as senders make them, a pod each; `order` shuffles what comes within a window, and splits it otherwise. */
function requests(sent: readonly Sent[], order: Random | null): Uint8Array[] {
  const all = order === null ? sent : shuffled(order, sent)
  const made: Uint8Array[] = []
  for (let at = 0; at < all.length; ) {
    const size = order === null ? all.length : 1 + int(order, 40)
    const groups = Map.groupBy(all.slice(at, at + size), ({ pod }) => pod)
    made.push(
      tracesRequest(
        [...groups].map(([pod, list]) => ({
          service: list[0].service,
          resource: {
            'k8s.pod.name': pod,
            'k8s.node.name': `node-${pod}`,
            'cloud.availability_zone': list[0].zone,
            'service.version': '1.0',
          },
          spans: list.map(({ span }) => span),
        })),
      ),
    )
    at += size
  }
  return made
}

/** Lets a deployment live for so many calm windows and so many with a fault, then three calm minutes; returns what is told. */
export async function lived(
  random: Random,
  calmWindows: number,
  fault: Fault,
  { faultWindows = 18, perWindow = 50, order = null as Random | null } = {},
): Promise<EventRecord[]> {
  const both = recordedPlanes()
  const windows = calmWindows + faultWindows + 18
  for (let window = 0; window < windows; window++) {
    const now = window >= calmWindows && window < calmWindows + faultWindows ? fault : {}
    for (const bytes of requests(traces(random, window * WINDOW_MS, perWindow, now), order))
      await both.inspector.send(batchOf(bytes))
  }
  both.inspector.flush()
  return both.events.filter(({ name }) => !name.includes('span'))
}
