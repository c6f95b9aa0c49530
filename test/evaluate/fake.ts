//! A detector of a few lines that proves the harness, and nothing else: own time far from its running mean opens an incident of one service.
import type { Registry } from '../../src/base/counters.ts'
import { BINS_PER_E, type Bus, type EventRecord, type FeatureWindow, MEASURE } from '../../src/bus/bus.ts'
import type { PlaneOptions } from '../../src/learn/plane.ts'

interface Level {
  mean: number
  square: number
  windows: number
  strange: number
}

const LEAST_SAMPLES = 8
const LEARNING_WINDOWS = 60

export class LearningPlane {
  private readonly bus: Bus
  private readonly options: PlaneOptions
  private readonly levels = new Map<string, Level>()
  private readonly open = new Map<string, { id: string; untilMs: number }>()
  private readonly unlisten: () => void
  private count = 0

  constructor(bus: Bus, _: Registry, options: PlaneOptions) {
    this.bus = bus
    this.options = options
    this.unlisten = bus.listen('features', window => this.hear(window))
  }

  close() {
    this.unlisten()
  }

  private hear({ endMs, cells, bins, series }: FeatureWindow) {
    const n = new Float64Array(series.length)
    const y = new Float64Array(series.length)
    for (let bin = 0; bin < bins.length; bin++) {
      if (bins.measure[bin] !== MEASURE.self) continue
      const at = cells.series[bins.row[bin]]
      n[at] += bins.weight[bin]
      y[at] += (bins.weight[bin] * bins.bucket[bin]) / BINS_PER_E
    }
    for (const [at, { id, service }] of series.entries())
      if (n[at] >= LEAST_SAMPLES && this.isStrange(id, y[at] / n[at])) this.tell(service, endMs)
    const overMs = endMs - 60_000
    for (const [service, { id, untilMs }] of this.open)
      if (untilMs < overMs) {
        this.open.delete(service)
        this.say('resolved', id, service, endMs)
      }
  }

  private isStrange(id: string, value: number): boolean {
    let level = this.levels.get(id)
    if (level === undefined)
      this.levels.set(id, (level = { mean: value, square: 0.01, windows: 0, strange: 0 }))
    const off = value - level.mean
    const strange =
      level.windows > LEARNING_WINDOWS && off > Math.log(1.5) && off > 3 * Math.sqrt(level.square)
    level.strange = strange ? level.strange + 1 : 0
    if (!strange) {
      const weight = 1 / Math.min(LEARNING_WINDOWS, ++level.windows)
      level.mean += off * weight
      level.square += (off * off - level.square) * weight
    }
    return level.strange >= 2
  }

  private tell(service: string, endMs: number) {
    const open = this.open.get(service)
    if (open !== undefined) {
      open.untilMs = endMs
      return
    }
    const id = `incident ${++this.count}`
    this.open.set(service, { id, untilMs: endMs })
    this.say('opened', id, service, endMs)
  }

  private say(what: 'opened' | 'resolved', id: string, service: string, endMs: number) {
    const { windowMs, traceWaitMs, latenessMs } = this.options
    const event: EventRecord = {
      name: `otlier.incident.${what}`,
      timeNs: BigInt(endMs - 2 * windowMs) * 1_000_000n,
      observedMs: endMs + traceWaitMs / 4 + latenessMs,
      severity: what === 'opened' ? 13 : 9,
      body: `${service} is slow`,
      traceId: '',
      spanId: '',
      resource: { 'service.name': service },
      attributes: {
        'otlier.incident.id': id,
        'otlier.incident.title': `${service} is slow`,
        'otlier.incident.kinds': ['latency'],
        'otlier.incident.suspects': [service],
      },
    }
    this.bus.publish('event', service, event)
  }
}
