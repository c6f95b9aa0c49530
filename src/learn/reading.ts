//! From a window's rows to the places that they belong to: each feature gets its sums of the window.
import { type FeatureWindow, MEASURE } from '../bus/bus.ts'
import type { CountTrack } from '../detect/counts.ts'
import type { Middle } from '../detect/robust.ts'
import { effective } from '../detect/significance.ts'
import { type Call, endWindow, isStep, Steps } from './calls.ts'
import type { Feature } from './feature.ts'
import { isYoung, type Landscape, type Pod, type ServiceNode } from './landscape.ts'
import { livingOf, noteEntries } from './mute.ts'
import { Nodes } from './nodes.ts'
import type { FeatureClass } from './places.ts'
import { noteRepeats } from './repeats.ts'
import { add, addParts, excuse, newParts, type Parts, residualOf } from './residuals.ts'
import { Rows } from './rows.ts'
import { NO_SUMS, newSums, type Series } from './series.ts'
import { count, share, unitOf } from './weights.ts'

const SERVER = 2
const NONE = -1
const HOUR_MS = 3_600_000
/** What came of the usual traffic follows by this part in a window. */
const ENTRIES_FOLLOW = 1 / 3

/** What a place is made of beside its service. */
export interface At {
  readonly caller?: ServiceNode | null
  readonly series?: Series | null
  readonly pod?: Pod | null
  readonly target?: string
  readonly targetService?: ServiceNode | null
  readonly detail?: string
}

/** The feature of a place, made where there is none. */
type Find = (name: FeatureClass, service: ServiceNode, at?: At) => Feature

export class Reading {
  readonly #landscape: Landscape
  readonly #feature: Find
  readonly #rows = new Rows()
  readonly #middle: Middle = { n: 0, mean: 0, variance: 0 }
  readonly #nodes = new Nodes()
  readonly #steps = new Steps()
  /** By service, over its pods. */
  readonly #nodeShift = new Map<ServiceNode, { n: number; sum: number }>()
  readonly #touched: Series[] = []
  readonly #services = new Map<ServiceNode, Parts>()
  readonly #pods = new Map<Pod, Parts>()
  #nowMs = 0
  #hour = Number.NaN

  constructor(landscape: Landscape, feature: Find) {
    this.#landscape = landscape
    this.#feature = feature
  }

  /** Reads a window into the sums of its features. */
  read(window: FeatureWindow): void {
    this.#nowMs = window.endMs
    this.#readCells(window)
    this.#readLinks(window)
    this.#spread(window.endMs - window.startMs)
    this.#rows.end()
    this.#touched.length = 0
    this.#services.clear()
    this.#pods.clear()
  }

  #readCells(window: FeatureWindow): void {
    const { cells } = window
    const rows = this.#rows
    rows.begin(window)
    for (let row = 0; row < cells.length; row++) {
      const series = this.#landscape.seriesAt(window, cells.series[row])
      if (series === null) continue
      const pod = this.#landscape.podAt(window, cells.pod[row])
      if (series.sums === NO_SUMS) {
        series.beginSlow()
        series.row = NONE
        series.sums = newSums()
        this.#touched.push(series)
      }
      const { sums } = series
      sums.spans += cells.spans[row]
      sums.traces += cells.traces[row]
      sums.roots += cells.roots[row]
      sums.origins += cells.origins[row] - cells.away[row]
      sums.away += cells.away[row]
      sums.weights += cells.timed[row]
      sums.squares += cells.timedSquares[row]
      sums.clients += effective(cells.timed[row], cells.timedSquares[row])
      sums.answered += effective(cells.answered[row], cells.answeredSquares[row])
      series.noteSlow(cells, row)
      if (pod === null || !isYoung(pod, window.endMs)) rows.join(series, row)
      if (pod === null) continue
      let parts = this.#pods.get(pod)
      if (parts === undefined) this.#pods.set(pod, (parts = newParts()))
      parts.origins += cells.origins[row] - cells.away[row]
      if (series.isCall) continue
      if (isEntry(series) && cells.roots[row] > 0) noteEntries(pod, cells.roots[row])
      parts.traces += cells.traces[row]
      parts.weights += cells.timed[row]
      parts.squares += cells.timedSquares[row]
      rows.middleOfRow(row, MEASURE.self, series.self, this.#middle)
      residualOf(series.self, this.#middle, parts)
    }
    for (const series of this.#touched) {
      if (series.isCall) {
        rows.middle(series, MEASURE.gap, series.gap)
        rows.middle(series, MEASURE.duration, series.duration)
      } else rows.middle(series, MEASURE.self, series.self)
    }
  }

  #readLinks(window: FeatureWindow): void {
    const { links } = window
    this.#steps.clear()
    for (let row = 0; row < links.length; row++) {
      const parent = this.#landscape.seriesAt(window, links.parent[row])
      const child = this.#landscape.seriesAt(window, links.child[row])
      if (parent === null || child === null) continue
      if (parent.isCall) {
        if (!child.isCall) this.#landscape.saw(parent, child, links.children[row])
        continue
      }
      if (child.isCall) noteRepeats(child, links.most[row], this.#nowMs)
      const call = this.#landscape.callOf(parent, child)
      if (call !== null) call.parents += links.parents[row]
      if (isStep(parent, child)) this.#steps.note(parent, child, links.parents[row])
    }
    if (this.#steps.size === 0) return
    for (let row = 0; row < links.length; row++) {
      const parent = this.#landscape.seriesAt(window, links.parent[row])
      const child = this.#landscape.seriesAt(window, links.child[row])
      if (parent !== null && child !== null) this.#steps.credit(parent, child, links.parents[row])
    }
  }

  /** From series to the places that they belong to. */
  #spread(windowMs: number): void {
    this.#nodes.window(this.#pods)
    this.#nodeShift.clear()
    for (const [pod, { n }] of this.#pods) {
      const of = this.#nodeShift.get(pod.service) ?? { n: 0, sum: 0 }
      of.n += n
      of.sum += n * this.#nodes.shiftOf(pod)
      this.#nodeShift.set(pod.service, of)
    }
    for (const series of this.#touched) {
      const { service } = series
      let parts = this.#services.get(service)
      if (parts === undefined) this.#services.set(service, (parts = newParts()))
      parts.origins += series.sums.origins
      if (series.isCall) {
        this.#spreadCall(series)
        continue
      }
      parts.traces += series.sums.traces
      parts.weights += series.sums.weights
      parts.squares += series.sums.squares
      if (series.self.now.n > 0) {
        const said = residualOf(series.self, series.self.now, newParts())
        // What the machines do to all that run on them is not the service's.
        said.residual -= said.n * this.#nodeShiftOf(service)
        // A rush at the service as a whole is looked at later.
        excuse(said, Math.max(0, series.surge - service.load.more[0]))
        addParts(parts, said)
        add(this.#timesOf(series, 'operation self', service), said)
      }
      const failing = this.#failuresOf(series, 'operation failure', service)
      share(failing, series.sums.origins, series.sums.traces, series.sums)
      for (const call of series.calls) {
        const { child } = call
        const missing = this.#missingOf(series, call)
        if (service.releases.moved(series, child, this.#nowMs)) missing.restart()
        else share(missing, Math.min(call.parents, series.sums.spans), series.sums.spans, series.sums)
        endWindow(call)
      }
      if (series.sums.roots > 0 && isEntry(series)) {
        if (Number.isNaN(service.entrySeen)) service.entrySeen = 1
        count(this.#feature('entry rate', service), series.sums.roots, series.sums)
      }
    }
    for (const [service, parts] of this.#services) {
      service.load.add(parts.traces, parts.traces * unitOf(parts))
      if (parts.traces > 0) {
        add(this.#feature('service self', service), parts)
        share(this.#feature('service failure', service), parts.origins, parts.traces, parts)
      }
    }
    this.#landscape.warmUp.turn(this.#nowMs)
    for (const [pod, parts] of this.#pods) this.#spreadPod(pod, parts, windowMs)
    for (const service of this.#landscape.services.values())
      if (!Number.isNaN(service.entrySeen)) this.#countMute(service, windowMs)
    const hour = Math.floor(this.#nowMs / HOUR_MS)
    if (hour === this.#hour) return
    this.#hour = hour
    for (const service of this.#landscape.services.values()) this.#spreadHour(service, hour)
  }

  /** What comes from outside is counted as if the pods whose telemetry is lost had served their part of it. */
  #countMute(service: ServiceNode, windowMs: number): void {
    const feature = this.#feature('entry rate', service)
    const track = feature.track as CountTrack
    const { expected, unit } = track
    const { a: came } = feature
    if (expected > 0) service.entrySeen += ENTRIES_FOLLOW * (came / expected - service.entrySeen)
    const { part, isLost, isGivenUp } = livingOf(service, service.entrySeen, unit, this.#nowMs, windowMs)
    if (part === 1 || !(came > 0)) return
    if (isGivenUp) track.scale(part)
    else {
      // As long as others may have taken over, more than usual is not believed to have come.
      const whole = isLost ? came / part : Math.max(came, Math.min(expected, came / part))
      feature.b *= whole / came
      feature.a = whole
    }
  }

  /** By how much the levels of a service have moved within the hour that is over. */
  #spreadHour(service: ServiceNode, hour: number): void {
    let weight = 0
    let moved = 0
    let level = 0
    for (const { isCall, self } of service.series) {
      if (isCall || !self.isReady) continue
      const { samples, mean } = self
      if (!Number.isNaN(self.hourly)) {
        weight += samples
        moved += samples * (mean - self.hourly)
        level += samples * mean
      }
      self.hourly = mean
    }
    if (weight === 0) return
    const drift = this.#feature('service drift', service)
    drift.a = moved / weight
    drift.b = hour
    drift.d = weight
    drift.e = level / weight
  }

  #spreadCall(series: Series): void {
    const { service, callee } = series
    if (callee !== null) {
      if (!series.isAsync) {
        if (series.gap.now.n > 0)
          add(
            this.#timesOf(series, 'edge gap', callee),
            excuse(residualOf(series.gap, series.gap.now, newParts()), series.surge),
          )
        const unseen = this.#feature('service unseen', callee)
        unseen.a += Math.max(0, series.sums.clients - series.sums.answered)
        unseen.b += series.sums.clients
      }
    } else if (series.duration.now.n > 0)
      // Whoever is called sends no telemetry: it is a place of its own, seen from its callers.
      add(
        this.#timesOf(series, 'peer duration', service),
        excuse(residualOf(series.duration, series.duration.now, newParts()), series.surge),
      )
    const failing = this.#failuresOf(series, 'edge failure', callee ?? service)
    share(failing, series.sums.away, series.sums.traces, series.sums)
  }

  // What is asked for in every window is looked up once, and again where somebody else is called.

  #timesOf(series: Series, name: FeatureClass, service: ServiceNode): Feature {
    if (series.times?.place.targetService === series.callee) return series.times
    const feature = this.#feature(name, service, atOf(series))
    series.times = isOwn(feature, series) ? feature : null
    return feature
  }

  #failuresOf(series: Series, name: FeatureClass, service: ServiceNode): Feature {
    if (series.failures?.place.targetService === series.callee) return series.failures
    const feature = this.#feature(name, service, atOf(series))
    series.failures = isOwn(feature, series) ? feature : null
    return feature
  }

  #missingOf(series: Series, call: Call): Feature {
    const { child } = call
    const { service } = series
    const target = child.callee ?? (child.service === service ? null : child.service)
    if (call.missing?.place.targetService === target) return call.missing
    const feature = this.#feature(isStep(series, child) ? 'step missing' : 'call missing', service, {
      series,
      target: target?.name ?? (child.peer || child.key.operation),
      targetService: target,
      detail: child.key.id,
    })
    call.missing = isOwn(feature, series) ? feature : null
    return feature
  }

  /** A pod against its siblings. What all of them share cancels out, and of a young one how pods warm up. */
  #spreadPod(pod: Pod, parts: Parts, windowMs: number): void {
    share(this.#feature('pod failure', pod.service, { pod }), parts.origins, parts.traces, parts)
    if (parts.n === 0) return
    const whole = newParts()
    for (const sibling of pod.service.pods) {
      const other = sibling === pod ? undefined : this.#pods.get(sibling)
      if (other !== undefined) addParts(whole, other)
    }
    const young = isYoung(pod, this.#nowMs)
    if (whole.n === 0 && !young) return
    const feature = this.#feature(young ? 'young pod self' : 'pod self', pod.service, { pod })
    const rest = whole.n > 0 ? whole.residual / whole.n : 0
    const restVariance = whole.n > 0 ? whole.variance / (whole.n * whole.n) : 0
    const node = this.#nodes.shiftOf(pod) - (whole.n > 0 ? this.#nodeShiftOf(pod.service) : 0)
    const shift = parts.residual / parts.n - rest - node
    const variance = parts.variance + parts.n * parts.n * restVariance
    let { doubt } = parts
    let usual = 0
    if (young) {
      const { warmUp } = this.#landscape
      const ageMs = this.#nowMs - pod.firstSeenMs
      usual = warmUp.mean(ageMs)
      // How fast a pod warms up is its own: more samples do not tell.
      doubt += parts.n * parts.n * warmUp.variance(ageMs)
      if (!feature.isFrozen) warmUp.note(this.#nowMs, ageMs, shift, variance / (parts.n * parts.n), windowMs)
    }
    feature.a += parts.n * (shift - usual)
    feature.b += variance
    feature.c += doubt
    feature.d += parts.n
    feature.e += parts.level
  }

  #nodeShiftOf(service: ServiceNode): number {
    const of = this.#nodeShift.get(service)
    return of === undefined || of.n === 0 ? 0 : of.sum / of.n
  }
}

const isEntry = ({ key }: Series): boolean => key.kind === SERVER

/** Where the features of one series are: an operation, or a way from the caller to whom it calls. */
const atOf = (series: Series): At =>
  series.isCall
    ? {
        caller: series.service,
        target: series.callee?.name ?? (series.peer || series.key.operation),
        targetService: series.callee,
      }
    : { series }

/** Whether it is not the one that takes what there is no room for. */
const isOwn = ({ place }: Feature, series: Series): boolean =>
  place.series === series || place.caller === series.service
