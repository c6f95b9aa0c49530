//! The pods of the simulated world: where each runs, what version, how it warms up and pauses, and how autoscaling and deploys replace it.
import type { Almanac, Deploy } from './almanac.ts'
import { logNormal, logUniform, named, under, unit } from './draws.ts'
import { BAD_VERSION, type Fault } from './faults.ts'
import type { Service, Topology } from './topology.ts'

export interface Pod {
  /** Its number in `Pods.known`. One that comes back under its old name is known already. */
  readonly id: number
  /** No two pods share it; the same in twin runs. */
  readonly address: number
  readonly service: Service
  /** Its place among its siblings; the first is 0. */
  readonly place: number
  readonly name: string
  readonly node: number
  /** Which release of the service it runs, and what it calls itself. */
  readonly version: number
  readonly label: string
  /** When in each 5 s it exports, in ms. */
  readonly phaseMs: number
  /** How much slower than `usual` it is now: its node, and its first minutes. */
  slow: number
  /** Until when its spans are lost on the way out. */
  exporterDead: boolean
  readonly bornMs: number
  readonly cold: number
  readonly warmMs: number
  readonly pauseEveryMs: number
  pauseCell: number
  pauseFromMs: number
  pauseToMs: number
}

const SCALING_MS = 120_000

/** Who is alive. `step` must be told of every step of time, in order. */
export class Pods {
  /** By service. */
  readonly live: Pod[][]
  /** All that ever lived. */
  readonly known: Pod[] = []
  private readonly ids = new Map<string, number>()
  private readonly root: number
  private readonly deploys: Deploy[][]
  private readonly nodes: number
  private readonly badReleases: Fault[]
  private readonly load: Float64Array
  private readonly scaledMs: Float64Array
  private begun = false

  constructor(seed: number, topology: Topology, almanac: Almanac, faults: readonly Fault[]) {
    this.root = named(seed, 'pods')
    this.live = topology.services.map(() => [])
    this.deploys = topology.services.map(({ id }) => almanac.deploys.filter(one => one.service === id))
    this.nodes = almanac.nodes
    this.badReleases = faults.filter(({ kind }) => kind === 'bad release')
    this.load = new Float64Array(topology.services.length)
    this.scaledMs = new Float64Array(topology.services.length).fill(Number.NEGATIVE_INFINITY)
  }

  /** `demand`: by service, the work asked of it as a part of its ordinary busy load. */
  step(atMs: number, stepMs: number, services: readonly Service[], demand: Float64Array) {
    for (const service of services) {
      const { id } = service
      const pods = this.live[id]
      this.load[id] += (demand[id] - this.load[id]) * (this.begun ? Math.min(1, stepMs / 90_000) : 1)
      const wanted = Math.ceil(service.pods * this.load[id] - 0.25)
      const bounded = Math.min(2 * service.pods, Math.max(Math.ceil(service.pods / 2), wanted))
      const first = pods.length === 0
      if (first || (bounded !== pods.length && atMs - this.scaledMs[id] >= SCALING_MS)) {
        this.scaledMs[id] = atMs
        // One more or fewer at a time, as controllers do.
        const target = first ? bounded : pods.length + Math.sign(bounded - pods.length)
        while (pods.length < target) pods.push(this.start(service, pods.length, atMs, !this.begun))
        pods.length = target
      }
      for (let place = 0; place < pods.length; place++) {
        const pod = pods[place]
        if (this.label(service, place, this.version(service, place, atMs), atMs) === pod.label) continue
        pods[place] = this.start(service, place, atMs, false)
      }
    }
    this.begun = true
  }

  private version({ id }: Service, place: number, atMs: number): number {
    let version = 0
    for (const one of this.deploys[id]) {
      if (one.fromMs + place * one.betweenPodsMs > atMs) break
      version = one.version
    }
    return version
  }

  private label(service: Service, place: number, version: number, atMs: number): string {
    const bad = this.badReleases.some(
      one => one.service === service && one.pod === place && atMs >= one.fromMs && atMs < one.toMs,
    )
    return bad ? BAD_VERSION : `1.${version}.0`
  }

  private start(service: Service, place: number, atMs: number, wasThere: boolean): Pod {
    const version = this.version(service, place, atMs)
    const label = this.label(service, place, version, atMs)
    // The address leaves out the bad release: the twin's pod is the same but for that.
    const at = under(under(under(this.root, service.id), place), version)
    const before = this.live[service.id][place]
    const replaced = before !== undefined && before.version === version
    const build = under(under(this.root, service.id), version).toString(36).slice(0, 6)
    const own = under(at, label === BAD_VERSION ? 2 : 1)
      .toString(36)
      .slice(0, 5)
    const name = `${service.name}-${build}-${own}`
    const id = this.ids.get(name) ?? this.known.length
    const pod: Pod = {
      id,
      address: at,
      service,
      place,
      name,
      node: Math.floor(unit(under(at, 3)) * this.nodes),
      version,
      label,
      phaseMs: Math.floor(unit(under(at, 4)) * 5_000),
      slow: 1,
      exporterDead: false,
      bornMs: wasThere ? Number.NEGATIVE_INFINITY : replaced ? before.bornMs : atMs,
      cold: logUniform(under(at, 5), 1.5, 5),
      warmMs: logUniform(under(at, 6), 30_000, 120_000),
      pauseEveryMs: logUniform(under(at, 7), 15_000, 180_000),
      pauseCell: -1,
      pauseFromMs: 0,
      pauseToMs: 0,
    }
    this.ids.set(name, id)
    this.known[id] ??= pod
    return pod
  }
}

/** How much slower a pod is for being young: most at first, and gone after a few of its `warmMs`. */
export const youth = ({ bornMs, cold, warmMs }: Pod, atMs: number) =>
  atMs - bornMs > 8 * warmMs ? 1 : 1 + (cold - 1) * Math.exp((bornMs - atMs) / warmMs)

/** How long garbage collection holds up work of so many ms that begins now. */
export function paused(pod: Pod, atMs: number, workMs: number): number {
  const cell = Math.floor(atMs / pod.pauseEveryMs)
  if (cell !== pod.pauseCell) {
    const at = under(pod.address, cell)
    pod.pauseCell = cell
    pod.pauseFromMs = (cell + 0.9 * unit(under(at, 1))) * pod.pauseEveryMs
    pod.pauseToMs = pod.pauseFromMs + Math.min(1_000, logNormal(under(at, 2), 50, 0.8))
  }
  if (atMs >= pod.pauseToMs || atMs + workMs <= pod.pauseFromMs) return 0
  return pod.pauseToMs - Math.max(atMs, pod.pauseFromMs)
}
