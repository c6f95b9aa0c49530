//! The series and pods of a simulated world as the bus names them. They come into the tables when they are seen first, so that nobody reads there what is still to come.
import type { PodKey, SeriesKey } from '../../src/bus/bus.ts'
import { KINDS, resourceAttributes, SHOP } from '../world/otlp.ts'
import type { Pod } from '../world/pods.ts'
import { ZONES } from '../world/spans.ts'
import type { Series } from '../world/topology.ts'
import type { SimulatedWorld } from '../world/world.ts'

export class Catalogue {
  readonly keys: SeriesKey[] = []
  readonly peers: string[] = []
  readonly pods: PodKey[] = []
  /** By cell, a series in a pod: the numbers of both in these tables. */
  cellSeries = new Int32Array(4_096)
  cellPod = new Int32Array(4_096)
  /** By link: the numbers of parent and child in these tables. */
  readonly linkParent: number[] = []
  readonly linkChild: number[] = []
  private cells = 0
  /** By series of the world, as a child: the parent that was asked for last, and the link to it. */
  private readonly lastParent: Int32Array
  private readonly lastLink: Int32Array
  private readonly links = new Map<number, number>()
  /** By series of the world: the first that looks like it. Some operations of a service share a name, and no reader of spans tells them apart. */
  readonly alike: Int32Array
  private readonly series: readonly Series[]
  private readonly ids: string[]
  private readonly keyOf: Int32Array
  /** By series of the world: its place among those of its service; by service: how many these are. */
  private readonly within: Int32Array
  private readonly ofService: Int32Array
  /** By pod of the world: its number here, and its cells. */
  private readonly podOf: number[] = []
  private readonly cellsOf: (Int32Array | undefined)[] = []

  constructor({ topology: { series, services } }: SimulatedWorld) {
    this.series = series
    const { namespace, environment } = SHOP
    this.ids = series.map(({ service, kind, name }) =>
      JSON.stringify([namespace, service.name, environment, KINDS[kind], name]),
    )
    const first = new Map<string, number>()
    this.alike = Int32Array.from(this.ids, (id, at) => {
      const known = first.get(id) ?? at
      first.set(id, known)
      return known
    })
    this.lastParent = new Int32Array(series.length).fill(-1)
    this.lastLink = new Int32Array(series.length)
    this.keyOf = new Int32Array(series.length).fill(-1)
    this.within = new Int32Array(series.length)
    this.ofService = new Int32Array(services.length)
    for (const { id, service } of series) this.within[id] = this.ofService[service.id]++
  }

  /** The number of the cell of a series in a pod. Of those that are alike, ask for the first. */
  cell(pod: Pod, series: number): number {
    const cells = (this.cellsOf[pod.id] ??= this.meet(pod))
    const within = this.within[series]
    if (cells[within] >= 0) return cells[within]
    const cell = this.cells++
    if (cell >= this.cellSeries.length) {
      this.cellSeries = wider(this.cellSeries, new Int32Array(2 * cell))
      this.cellPod = wider(this.cellPod, new Int32Array(2 * cell))
    }
    this.cellSeries[cell] = this.key(series)
    this.cellPod[cell] = this.podOf[pod.id]
    cells[within] = cell
    return cell
  }

  /** The number of a series. Of those that are alike, ask for the first. */
  key(series: number): number {
    if (this.keyOf[series] >= 0) return this.keyOf[series]
    const { service, name, kind, peer } = this.series[series]
    const key = this.keys.length
    this.keyOf[series] = key
    this.keys.push({
      id: this.ids[series],
      service: service.name,
      operation: name,
      kind: KINDS[kind],
      ...SHOP,
      overflow: false,
    })
    this.peers.push(peer)
    return key
  }

  /** The number of the link from a parent series to a child series. Of those that are alike, ask for the first. */
  link(parent: number, child: number): number {
    if (this.lastParent[child] === parent) return this.lastLink[child]
    const pair = parent * 2 ** 16 + child
    let link = this.links.get(pair)
    if (link === undefined) {
      link = this.linkParent.length
      this.links.set(pair, link)
      this.linkParent.push(this.key(parent))
      this.linkChild.push(this.key(child))
    }
    this.lastParent[child] = parent
    this.lastLink[child] = link
    return link
  }

  private meet(pod: Pod): Int32Array {
    const service = pod.service.name
    const { namespace, environment } = SHOP
    this.podOf[pod.id] = this.pods.length
    this.pods.push({
      id: JSON.stringify([namespace, service, environment, pod.name]),
      service,
      namespace,
      environment,
      name: pod.name,
      attributes: apart(pod, environment),
    })
    return new Int32Array(this.ofService[pod.service.id]).fill(-1)
  }
}

/** What may set a pod apart from its siblings: all that its resource says but for its own name. */
function apart(pod: Pod, environment: string): Record<string, string> {
  const { 'service.instance.id': _, 'k8s.pod.name': __, ...rest } = resourceAttributes(pod, ZONES)
  return { ...rest, 'deployment.environment.name': environment }
}

/** The larger array with what was in the smaller. */
export const wider = <T extends { set(from: T): void }>(from: T, to: T) => {
  to.set(from)
  return to
}
