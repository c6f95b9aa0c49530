//! A little shop as windows of features: a gateway that calls carts and prices, which call a database that says nothing of itself.
import {
  BINS_PER_E,
  type FeatureWindow,
  type LogMoments,
  MEASURE,
  NO_SAMPLES,
  type PodKey,
  type SeriesKey,
} from '../../src/bus/bus.ts'
import { logNormal, type Random, seeded } from './random.ts'

export const WINDOW_MS = 10_000
export const MIDNIGHT_MS = Date.UTC(2026, 0, 5)

/** What is wrong in a window, by factor or share. */
export interface Trouble {
  /** Own time of a service: a factor. */
  readonly slow?: Readonly<Record<string, number>>
  /** The way from one to the other, as `gateway>carts`: a factor. */
  readonly way?: Readonly<Record<string, number>>
  /** Share of requests that begin to fail at a service. */
  readonly failing?: Readonly<Record<string, number>>
  /** Services of which nothing is seen. */
  readonly mute?: readonly string[]
  /** Pods (`carts-1`) that are slow alone: a factor. */
  readonly pod?: Readonly<Record<string, number>>
  /** Share of requests that come at all. */
  readonly traffic?: number
  /** Share of calls that are still made, as `gateway>carts`. */
  readonly calls?: Readonly<Record<string, number>>
}

const SERVER = 2
const CLIENT = 3
const SERVICES = ['gateway', 'carts', 'prices'] as const
const CALLS = [
  { from: 'gateway', to: 'carts', peer: '' },
  { from: 'gateway', to: 'prices', peer: '' },
  { from: 'carts', to: '', peer: 'cart-db' },
] as const
const OWN_MS: Readonly<Record<string, number>> = { gateway: 4, carts: 12, prices: 6 }
const WAY_MS = 2
const PEER_MS = 5
const PODS = 2

interface Row {
  traces: number
  failures: number
  origins: number
  away: number
  roots: number
  readonly samples: { readonly measure: number; readonly ns: number }[]
  readonly durations: number[]
}

/** Makes windows one after the other from a seed. `perWindow`: requests. */
export class Shop {
  readonly series: SeriesKey[] = []
  readonly peers: string[] = []
  readonly pods: PodKey[] = []
  readonly #random: Random
  readonly #perWindow: number
  readonly #windowMs: number
  atMs = MIDNIGHT_MS

  constructor(seed: number, perWindow = 60, windowMs = WINDOW_MS) {
    this.#random = seeded(seed)
    this.#perWindow = perWindow
    this.#windowMs = windowMs
    for (const service of SERVICES) {
      this.#meet(service, `POST /${service}`, SERVER, '')
      for (let pod = 0; pod < PODS; pod++) this.#pod(service, `${service}-${pod}`)
    }
    for (const { from, to, peer } of CALLS) this.#meet(from, `call ${to || peer}`, CLIENT, peer)
  }

  #meet(service: string, operation: string, kind: number, peer: string) {
    const id = JSON.stringify(['', service, '', kind, operation])
    this.series.push({ id, service, operation, kind, namespace: '', environment: '', overflow: false })
    this.peers.push(peer)
  }

  #pod(service: string, name: string) {
    this.pods.push({
      id: JSON.stringify(['', service, '', name]),
      service,
      namespace: '',
      environment: '',
      name,
      attributes: { 'k8s.pod.name': name, 'service.version': name.endsWith('1') ? '2.0' : '1.0' },
    })
  }

  /** The next window. */
  window(trouble: Trouble = {}): FeatureWindow {
    const rows = new Map<string, Row>()
    const links = new Map<string, { parents: number; children: number }>()
    const requests = Math.round(this.#perWindow * (trouble.traffic ?? 1))
    for (let n = 0; n < requests; n++) this.#request(trouble, rows, links)
    const window = this.#publish(rows, links)
    this.atMs += this.#windowMs
    return window
  }

  #request(
    trouble: Trouble,
    rows: Map<string, Row>,
    links: Map<string, { parents: number; children: number }>,
  ) {
    const { mute = [] } = trouble
    const put = (series: number, pod: number): Row => {
      const key = `${series}/${pod}`
      let row = rows.get(key)
      if (row === undefined)
        rows.set(
          key,
          (row = { traces: 0, failures: 0, origins: 0, away: 0, roots: 0, samples: [], durations: [] }),
        )
      row.traces++
      return row
    }
    const link = (parent: number, child: number) => {
      const key = `${parent}/${child}`
      const one = links.get(key) ?? { parents: 0, children: 0 }
      one.parents++
      one.children++
      links.set(key, one)
    }
    const serve = (service: string, root: boolean): { ns: number; failed: boolean } => {
      const place = Math.floor(this.#random() * PODS)
      const podName = `${service}-${place}`
      const server = SERVICES.indexOf(service as (typeof SERVICES)[number])
      const pod = server * PODS + place
      const seen = !mute.includes(service)
      const factor = (trouble.slow?.[service] ?? 1) * (trouble.pod?.[podName] ?? 1)
      const own = this.#logNormal(OWN_MS[service] * factor, 0.5)
      let below = 0
      let failedBelow = false
      for (const [at, call] of CALLS.entries()) {
        if (call.from !== service || this.#random() >= (trouble.calls?.[`${call.from}>${call.to}`] ?? 1))
          continue
        const client = SERVICES.length + at
        const way = this.#logNormal(WAY_MS * (trouble.way?.[`${call.from}>${call.to}`] ?? 1), 0.3)
        const answer =
          call.to === '' ? { ns: this.#logNormal(PEER_MS, 0.4), failed: false } : serve(call.to, false)
        below += way + answer.ns
        failedBelow ||= answer.failed
        if (!seen) continue
        const row = put(client, pod)
        row.durations.push(way + answer.ns)
        if (answer.failed) row.failures++
        link(server, client)
        if (call.to === '') row.samples.push({ measure: MEASURE.duration, ns: way + answer.ns })
        else if (!mute.includes(call.to)) {
          row.samples.push({ measure: MEASURE.gap, ns: way })
          link(client, SERVICES.indexOf(call.to as (typeof SERVICES)[number]))
        }
      }
      const origin = this.#random() < (trouble.failing?.[service] ?? 0.002)
      const failed = origin || failedBelow
      if (seen) {
        const row = put(server, pod)
        row.samples.push({ measure: MEASURE.self, ns: own })
        row.durations.push(own + below)
        if (root) row.roots++
        if (failed) row.failures++
        if (origin && !failedBelow) row.origins++
      }
      return { ns: own + below, failed }
    }
    serve('gateway', true)
  }

  #logNormal(ms: number, sigma: number): number {
    return logNormal(this.#random, ms * 1e6, sigma)
  }

  #publish(rows: Map<string, Row>, links: Map<string, { parents: number; children: number }>): FeatureWindow {
    const list = [...rows].sort(([a], [b]) => (a < b ? -1 : 1))
    const column = (of: (row: Row) => number) => Float64Array.from(list, ([, row]) => of(row))
    const moments = (measure: number): LogMoments => {
      const ys = list.map(([, row]) =>
        measure === MEASURE.duration
          ? row.durations.map(Math.log)
          : row.samples.filter(one => one.measure === measure).map(({ ns }) => Math.log(ns)),
      )
      const sum = (of: (y: number) => number) =>
        Float64Array.from(ys, each => each.reduce((total, y) => total + of(y), 0))
      return { n: sum(() => 1), n2: sum(() => 1), y: sum(y => y), yy: sum(y => y * y) }
    }
    const bins = list
      .flatMap(([, row], at) =>
        row.samples.map(({ measure, ns }) => ({
          at,
          measure,
          bucket: Math.round(BINS_PER_E * Math.log(ns)),
        })),
      )
      .sort((a, b) => a.at - b.at || a.measure - b.measure || a.bucket - b.bucket)
    const pairs = [...links]
    return {
      startMs: this.atMs,
      endMs: this.atMs + this.#windowMs,
      series: this.series,
      peers: this.peers,
      pods: this.pods,
      cells: {
        length: list.length,
        series: Int32Array.from(list, ([key]) => Number(key.split('/')[0])),
        pod: Int32Array.from(list, ([key]) => Number(key.split('/')[1])),
        spans: column(({ traces }) => traces),
        roots: column(({ roots }) => roots),
        failures: column(({ failures }) => failures),
        traces: column(({ traces }) => traces),
        origins: column(({ origins }) => origins),
        away: column(({ away }) => away),
        duration: moments(MEASURE.duration),
        self: moments(MEASURE.self),
        gap: moments(MEASURE.gap),
        slowTrace: new Uint8Array(16 * list.length).fill(7),
        slowNs: column(({ durations }) => Math.max(0, ...durations)),
        plainTrace: new Uint8Array(16 * list.length).fill(3),
      },
      bins: {
        length: bins.length,
        row: Int32Array.from(bins, ({ at }) => at),
        measure: Uint8Array.from(bins, ({ measure }) => measure),
        bucket: Int16Array.from(bins, ({ bucket }) => bucket),
        weight: new Float64Array(bins.length).fill(1),
      },
      links: {
        length: pairs.length,
        parent: Int32Array.from(pairs, ([key]) => Number(key.split('/')[0])),
        child: Int32Array.from(pairs, ([key]) => Number(key.split('/')[1])),
        parents: Float64Array.from(pairs, ([, { parents }]) => parents),
        children: Float64Array.from(pairs, ([, { children }]) => children),
      },
      samples: NO_SAMPLES,
    }
  }
}
