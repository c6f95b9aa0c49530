//! The simulated world at the level of spans: the export requests of all pods in the order in which they arrive.
import { STEP_MS } from './climate.ts'
import { arrivalMs, exportOf, isExportLost, isLost, lateMs } from './fate.ts'
import { request, resource, type Template, template, writeTime } from './otlp.ts'
import type { Pod } from './pods.ts'
import { FAILED, MUTE, type Trace } from './trace.ts'
import { BEGINNING_MS, Life, type Request, type SimulatedWorld, type Span } from './world.ts'

/** One export of one pod. */
export interface ExportRequest {
  /** When it arrives, in ms since 1970, by a clock that is right. */
  readonly timeMs: number
  /** The pod's name. */
  readonly pod: string
  /** An ExportTraceServiceRequest in OTLP protobuf. It is the reader's to keep. */
  readonly bytes: Uint8Array
  readonly spans: number
}

/** Nodes are spread over so many. */
export const ZONES = 3

/** Spans that wait for the next export of their pod. */
interface Parcel {
  sendMs: number
  bytes: Uint8Array
  view: DataView
  length: number
  spans: number
}

interface Waiting {
  readonly pod: Pod
  readonly head: Uint8Array
  readonly parcels: Map<number, Parcel>
}

/**
 * All exports of a stretch of the world. Deterministic; memory is bounded by what is under way: the longest trace, and the
 * latest of the late. Spans that end after the stretch are not exported.
 */
export function* spans(world: SimulatedWorld, stretch: Span): Generator<ExportRequest> {
  const life = new Life(world, stretch)
  const post = new Post(world, life, stretch.sampled ?? false)
  const visit = (trace: Trace, asked: Request) => post.take(trace, asked)
  while (life.climate.atMs + STEP_MS < stretch.toMs) {
    life.step(visit)
    yield* post.due(life.climate.atMs + STEP_MS)
  }
}

/** Holds what the pods have not sent yet. */
export class Post {
  private readonly world: SimulatedWorld
  private readonly life: Life
  private readonly sampled: boolean
  private readonly templates: Template[] = []
  private readonly waiting = new Map<Pod, Waiting>()
  private readonly spare: Uint8Array[] = []

  constructor(world: SimulatedWorld, life: Life, sampled: boolean) {
    this.world = world
    this.life = life
    this.sampled = sampled
  }

  take(trace: Trace, { id }: Request) {
    const { parent, pod, flags, address, endMs, series, startMs } = trace
    for (let row = 0; row < trace.length; row++) {
      const own = address[row]
      if ((flags[row] & MUTE) !== 0 || isLost(own)) continue
      const parcel = this.parcel(pod[row], endMs[row] + lateMs(own))
      if (parcel === null) continue
      const above = parent[row]
      const form = this.form(series[row], (flags[row] & FAILED) !== 0, above >= 0)
      const at = parcel.length
      const size = form.bytes.length
      if (at + size > parcel.bytes.length) grow(parcel)
      const { bytes, view } = parcel
      bytes.set(form.bytes, at)
      for (let word = 0; word < 4; word++) view.setUint32(at + form.traceIdAt + 4 * word, id[word])
      writeId(view, at + form.spanIdAt, own, id[3])
      if (above >= 0) writeId(view, at + form.parentAt, address[above], id[3])
      const skewMs = this.life.climate.clockMs[pod[row].node]
      writeTime(view, at + form.startAt, BEGINNING_MS, startMs[row] + skewMs)
      writeTime(view, at + form.endAt, BEGINNING_MS, endMs[row] + skewMs)
      parcel.length = at + size
      parcel.spans++
    }
  }

  /** How many bytes wait now. */
  get held(): number {
    let bytes = 0
    for (const { parcels } of this.waiting.values())
      for (const parcel of parcels.values()) bytes += parcel.bytes.length
    return bytes + this.spare.reduce((sum, one) => sum + one.length, 0)
  }

  /** Everything that has left by then, in order of arrival. */
  due(nowMs: number): ExportRequest[] {
    const out: ExportRequest[] = []
    for (const waiting of this.waiting.values()) {
      const { pod, parcels } = waiting
      for (const [slot, parcel] of parcels) {
        if (parcel.sendMs > nowMs) continue
        parcels.delete(slot)
        const bytes = request(waiting.head, parcel.bytes.subarray(0, parcel.length))
        out.push({
          timeMs: Math.round(BEGINNING_MS + parcel.sendMs),
          pod: pod.name,
          bytes,
          spans: parcel.spans,
        })
        this.spare.push(parcel.bytes)
      }
      if (parcels.size === 0) this.waiting.delete(pod)
    }
    return out.sort((a, b) => a.timeMs - b.timeMs)
  }

  /** The parcel in which a span leaves that is ready then; null where that is lost. */
  private parcel(pod: Pod, readyMs: number): Parcel | null {
    const slot = exportOf(pod, readyMs)
    let waiting = this.waiting.get(pod)
    const known = waiting?.parcels.get(slot)
    if (known !== undefined) return known
    if (isExportLost(pod, slot)) return null
    if (waiting === undefined) {
      waiting = { pod, head: resource(pod, ZONES), parcels: new Map() }
      this.waiting.set(pod, waiting)
    }
    const bytes = this.spare.pop() ?? new Uint8Array(2 ** 14)
    const view = new DataView(bytes.buffer)
    const parcel: Parcel = { sendMs: arrivalMs(pod, slot), bytes, view, length: 0, spans: 0 }
    waiting.parcels.set(slot, parcel)
    return parcel
  }

  private form(series: number, failed: boolean, hasParent: boolean): Template {
    const place = series * 4 + (failed ? 2 : 0) + (hasParent ? 1 : 0)
    return (this.templates[place] ??= template(
      this.world.topology.series[series],
      failed,
      hasParent,
      this.sampled,
    ))
  }
}

function grow(parcel: Parcel) {
  const bytes = new Uint8Array(parcel.bytes.length * 2)
  bytes.set(parcel.bytes)
  parcel.bytes = bytes
  parcel.view = new DataView(bytes.buffer)
}

// Unlike 0, which no id may be.
function writeId(view: DataView, at: number, address: number, traceWord: number) {
  view.setUint32(at, address)
  view.setUint32(at + 4, (Math.imul(address, 0x9e3779b1) ^ traceWord) | 1)
}
