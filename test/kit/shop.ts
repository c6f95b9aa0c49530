//! A little shop as windows of features: a gateway that calls carts and prices, which call a database that says nothing of itself.
import {
  BINS_PER_E,
  type FeatureWindow,
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
  /** Pods (`carts-1`) of which nothing is seen, while they serve as before. */
  readonly mutePods?: readonly string[]
  /** Pods that are gone: their siblings serve what they did. */
  readonly gone?: readonly string[]
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
/** More than any bucket. */
const BUCKETS = 2 ** 16

/** What one series did at one pod in a window. */
class Row {
  readonly at: number
  traces = 0
  origins = 0
  roots = 0
  answered = 0
  slowNs = 0
  /** One number for each sample, in the order in which bins stand: by measure, then by bucket. */
  readonly samples: number[] = []

  constructor(at: number) {
    this.at = at
  }

  /** A span that took so long. */
  took(ns: number) {
    this.traces++
    if (ns > this.slowNs) this.slowNs = ns
  }

  sample(measure: number, ns: number) {
    this.samples.push(measure * BUCKETS + Math.round(BINS_PER_E * Math.log(ns)))
  }
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
    const rows: Row[] = []
    const links = new Map<number, number>()
    const requests = Math.round(this.#perWindow * (trouble.traffic ?? 1))
    for (let n = 0; n < requests; n++) this.#serve('gateway', true, trouble, rows, links)
    const window = this.#publish(rows, links)
    this.atMs += this.#windowMs
    return window
  }

  #row(rows: Row[], series: number, pod: number): Row {
    const at = series * this.pods.length + pod
    rows[at] ??= new Row(at)
    return rows[at]
  }

  #link(links: Map<number, number>, parent: number, child: number) {
    const key = parent * this.series.length + child
    links.set(key, (links.get(key) ?? 0) + 1)
  }

  #serve(
    service: string,
    root: boolean,
    trouble: Trouble,
    rows: Row[],
    links: Map<number, number>,
  ): { ns: number; failed: boolean } {
    const { mute = [], mutePods = [], gone = [] } = trouble
    let place = Math.floor(this.#random() * PODS)
    if (gone.includes(`${service}-${place}`)) place = (place + 1) % PODS
    const server = SERVICES.indexOf(service as (typeof SERVICES)[number])
    const pod = server * PODS + place
    const seen = !mute.includes(service) && !mutePods.includes(`${service}-${place}`)
    const factor = (trouble.slow?.[service] ?? 1) * (trouble.pod?.[`${service}-${place}`] ?? 1)
    const own = this.#logNormal(OWN_MS[service] * factor, 0.5)
    let below = 0
    let failedBelow = false
    for (const [at, { from, to }] of CALLS.entries()) {
      if (from !== service || this.#random() >= (trouble.calls?.[`${from}>${to}`] ?? 1)) continue
      const client = SERVICES.length + at
      const way = this.#logNormal(WAY_MS * (trouble.way?.[`${from}>${to}`] ?? 1), 0.3)
      const answer =
        to === ''
          ? { ns: this.#logNormal(PEER_MS, 0.4), failed: false }
          : this.#serve(to, false, trouble, rows, links)
      below += way + answer.ns
      failedBelow ||= answer.failed
      if (!seen) continue
      const row = this.#row(rows, client, pod)
      row.took(way + answer.ns)
      if (to === '') row.sample(MEASURE.duration, way + answer.ns)
      this.#link(links, server, client)
      if (to !== '' && !mute.includes(to)) {
        row.answered++
        row.sample(MEASURE.gap, way)
        this.#link(links, client, SERVICES.indexOf(to as (typeof SERVICES)[number]))
      }
    }
    const origin = this.#random() < (trouble.failing?.[service] ?? 0.002)
    const failed = origin || failedBelow
    if (seen) {
      const row = this.#row(rows, server, pod)
      row.took(own + below)
      row.sample(MEASURE.self, own)
      if (root) row.roots++
      if (origin && !failedBelow) row.origins++
    }
    return { ns: own + below, failed }
  }

  #logNormal(ms: number, sigma: number): number {
    return logNormal(this.#random, ms * 1e6, sigma)
  }

  #publish(sparse: readonly Row[], links: ReadonlyMap<number, number>): FeatureWindow {
    const rows = sparse.filter(row => row !== undefined)
    const column = (of: (row: Row) => number) => Float64Array.from(rows, of)
    const length = rows.reduce((sum, { samples }) => sum + samples.length, 0)
    const bins = {
      length,
      row: new Int32Array(length),
      measure: new Uint8Array(length),
      bucket: new Int16Array(length),
      weight: new Float64Array(length).fill(1),
    }
    let at = 0
    for (const [row, { samples }] of rows.entries())
      for (const sample of Int32Array.from(samples).sort()) {
        bins.row[at] = row
        bins.measure[at] = Math.floor(sample / BUCKETS)
        bins.bucket[at++] = sample % BUCKETS
      }
    return {
      startMs: this.atMs,
      endMs: this.atMs + this.#windowMs,
      series: this.series,
      peers: this.peers,
      pods: this.pods,
      cells: {
        length: rows.length,
        series: Int32Array.from(rows, row => Math.floor(row.at / this.pods.length)),
        pod: Int32Array.from(rows, row => row.at % this.pods.length),
        spans: column(({ traces }) => traces),
        roots: column(({ roots }) => roots),
        traces: column(({ traces }) => traces),
        origins: column(({ origins }) => origins),
        away: new Float64Array(rows.length),
        timed: column(({ traces }) => traces),
        timedSquares: column(({ traces }) => traces),
        answered: column(({ answered }) => answered),
        answeredSquares: column(({ answered }) => answered),
        slowTrace: new Uint8Array(16 * rows.length).fill(7),
        slowNs: column(({ slowNs }) => slowNs),
      },
      bins,
      links: {
        length: links.size,
        parent: Int32Array.from(links.keys(), key => Math.floor(key / this.series.length)),
        child: Int32Array.from(links.keys(), key => key % this.series.length),
        parents: Float64Array.from(links.values()),
        children: Float64Array.from(links.values()),
        most: new Int32Array(links.size).fill(1),
      },
      samples: NO_SAMPLES,
    }
  }
}
