//! The learning plane for traces: hears windows of features, learns and judges, and tells of incidents.
import type { Registry } from '../base/counters.ts'
import { duration, number } from '../base/words.ts'
import type { Bus, EventRecord, FeatureWindow } from '../bus/bus.ts'
import { delayOf, type Waits } from '../bus/delay.ts'
import { levelFor } from '../detect/unusual.ts'
import { Account } from './account.ts'
import { Attribution } from './attribution.ts'
import { type Adopted, Evidence } from './evidence.ts'
import { Incidents } from './incidents.ts'
import { countAnomaly, registerOutputs } from './outputs.ts'
import type { Part } from './parts.ts'
import { percent } from './phrases.ts'
import { CLASSES, idAt } from './places.ts'
import { resourceOf } from './report.ts'
import { Suppressed } from './suppressed.ts'
import { Workers } from './workers.ts'

/** Read each time: all but `windowMs`, and how many budgets there are, may change. */
export interface PlaneOptions extends Waits {
  readonly windowMs: number
  readonly rebaselineMs: number
  readonly maxSeries: number
  /** False incidents a day that are accepted. Several are judged side by side over one evidence; events then carry `otlier.budget`. */
  readonly budgets: readonly number[]
  /** How many workers assemble traces, each its own; one unless told. */
  readonly workers?: number
  /** Parts switched off, to see what they are worth. */
  readonly ablate?: readonly Part[]
}

const HOUR_MS = 3_600_000

export class LearningPlane {
  evidence: Evidence
  readonly deciders: readonly Incidents[]
  /** What can be asked about it all, at the first budget. */
  readonly account: Account
  readonly #suppressed: Suppressed
  /** Of the hour that has begun. */
  #activeMs = 0
  readonly #options: PlaneOptions
  readonly #bus: Bus
  readonly #workers: Workers
  readonly #unlisten: () => void
  #attribution = new Attribution()

  constructor(bus: Bus, registry: Registry, options: PlaneOptions) {
    const { windowMs, budgets, ablate = [], workers = 1 } = options
    this.#options = options
    this.#bus = bus
    this.evidence = new Evidence(options)
    this.deciders = budgets.map(
      (_, at) =>
        new Incidents(
          {
            get budget() {
              return options.budgets[at]
            },
            windowMs,
            get delayMs() {
              return delayOf(options)
            },
            tag: budgets.length > 1,
            explainAway: !ablate.includes('explaining'),
          },
          event => {
            // Metrics tell of the first budget.
            if (at === 0) countAnomaly(registry, event)
            this.#publish(event)
          },
          state => this.#bus.publish('incident', state.id, state),
        ),
    )
    this.account = new Account({
      windowMs,
      get delayMs() {
        return delayOf(options)
      },
      get budgetPerDay() {
        return options.budgets[0]
      },
      tagged: budgets.length > 1,
    })
    this.#suppressed = new Suppressed(registry)
    registerOutputs(registry, {
      windowMs,
      features: () => this.evidence.features,
      open: () => this.deciders[0].open,
      crowded: () => this.evidence.landscape.crowded,
    })
    const deaf = bus.listen('event', event => this.account.hear(event))
    this.#workers = new Workers(workers, windowMs, registry)
    const still = bus.listen('features', part => {
      for (const window of this.#workers.take(part)) this.#hear(window)
    })
    this.#unlisten = () => {
      still()
      deaf()
    }
  }

  /** As if nothing had been learned. */
  forget(): void {
    this.evidence = new Evidence(this.#options)
    this.#attribution = new Attribution()
    for (const { open } of this.deciders) open.length = 0
  }

  /** Hears all that waits for a worker, once they have all handed over what they had. */
  flush(): void {
    for (const window of this.#workers.flush()) this.#hear(window)
  }

  close(): void {
    this.#unlisten()
  }

  #hear(window: FeatureWindow): void {
    if (window.isPartial === true) return
    const adopted = this.evidence.window(window)
    this.#attribution.note(window, this.evidence)
    for (const one of adopted) {
      this.#tellShift(one)
      for (const decider of this.deciders) decider.adopted(one.same, window.endMs)
    }
    for (const decider of this.deciders)
      decider.step(this.evidence, this.#attribution, budget => levelFor(this.evidence.record, budget))
    if (this.evidence.silentWindows === 0) this.#suppressed.look(this.evidence, this.deciders[0])
    this.account.note(this.evidence, this.deciders[0])
    if (window.cells.length > 0) this.#passTime(window.endMs)
  }

  /** Counts the hours in which traces come: idleness is measured in them. */
  #passTime(endMs: number): void {
    this.#activeMs += this.#options.windowMs
    if (this.#activeMs < HOUR_MS) return
    this.#activeMs = 0
    this.evidence.passHour()
    this.#attribution.passHour(this.evidence.landscape)
    this.account.passHour(this.evidence)
    this.#bus.publish('hour', '', { endMs })
  }

  #publish(event: EventRecord): void {
    this.#bus.publish('event', String(event.attributes['otlier.incident.id']), event)
  }

  /** A new normal. */
  #tellShift({ feature, sinceMs, before, after }: Adopted): void {
    const { place, name } = feature
    const isTime = CLASSES[feature.class].kind === 'location'
    const isRate = name === 'rate'
    const scale = isTime ? 1e-9 : isRate ? 1000 / this.#options.windowMs : 1
    const value = (of: number) =>
      isTime ? duration(of) : isRate ? `${number(scale * of)} requests a second` : percent(of)
    this.#bus.publish('event', idAt(feature), {
      name: 'otlier.baseline.shift',
      timeNs: BigInt(Math.round(sinceMs)) * 1_000_000n,
      observedMs: this.evidence.nowMs + delayOf(this.#options),
      severity: 9,
      body: `${place.service.name}: ${name}${place.pod === null ? '' : ` in pod ${place.pod.key.name}`} is now normally ${value(after)} (before: ${value(before)})`,
      traceId: '',
      spanId: '',
      resource: resourceOf(place.service),
      attributes: {
        'otlier.anomaly.feature': name,
        'otlier.anomaly.series.service': place.service.name,
        'otlier.baseline.before': scale * before,
        'otlier.baseline.after': scale * after,
        'otlier.baseline.since': new Date(sinceMs).toISOString(),
        'otlier.anomaly.unit': isTime ? 's' : isRate ? '{span}/s' : '1',
      },
    })
  }
}
