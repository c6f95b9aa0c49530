//! What the data plane knows of each series: the latest model, and its limits as columns of numbers for the scoring loop.
import { doubleSlots } from '../base/slots.ts'
import type { Bus, IncidentState, SeriesKey, SeriesModel } from '../bus/bus.ts'

/** Numbers of a model. */
const WIDTH = 13
const STATES = ['learning', 'ready', 'frozen'] as const

/** Where the state stands. */
const STATE = 1

function store({ generation, state, effectiveMs, observedNs, latency, failure }: SeriesModel): number[] {
  const { samples, p50Ns, lowerNs, upperNs, limitNs } = latency
  return [
    generation,
    STATES.indexOf(state),
    effectiveMs,
    observedNs,
    samples,
    p50Ns,
    lowerNs,
    upperNs,
    limitNs,
    failure.samples,
    failure.failures,
    failure.rate,
    Number(failure.rare),
  ]
}

function load(series: SeriesKey, numbers: Float64Array, from: number): SeriesModel {
  const [generation, state, effectiveMs, observedNs, ...rest] = numbers.subarray(from, from + WIDTH)
  const [samples, p50Ns, lowerNs, upperNs, limitNs, tried, failures, rate, rare] = rest
  return {
    series,
    generation,
    effectiveMs,
    state: STATES[state],
    observedNs,
    latency: { samples, p50Ns, lowerNs, upperNs, limitNs },
    failure: { samples: tried, failures, rate, rare: rare === 1 },
  }
}

export class Models {
  /** Nanoseconds by series number; Infinity while learning. */
  limitNs: Float64Array = new Float64Array(1024).fill(Number.POSITIVE_INFINITY)
  /** 1 where a single failure is an outlier. */
  failureRare: Uint8Array = new Uint8Array(1024)
  /** 1 until there are enough samples. */
  learning: Uint8Array = new Uint8Array(1024).fill(1)
  /** Whose model is known, by number, and what it is: rows of the same numbers. */
  readonly #keys: (SeriesKey | undefined)[] = []
  readonly #rows = doubleSlots(WIDTH)
  /** Models of series that no span has named yet: restored ones. */
  readonly #waiting = new Map<string, SeriesModel>()
  /** Open incidents by series id. */
  readonly #incidents = new Map<string, readonly string[]>()
  readonly #numberOf: (id: string) => number

  constructor(bus: Bus, numberOf: (id: string) => number) {
    this.#numberOf = numberOf
    bus.listen('model', model => this.#take(model))
    bus.listen('incident', incident => this.#hearOf(incident))
    bus.listen('forgotten', ({ ids }) => {
      for (const id of ids) this.#drop(id)
    })
  }

  /** To be called for each new series, in the order of their numbers. */
  met(series: number, key: SeriesKey): void {
    if (series >= this.limitNs.length) this.#grow()
    const waiting = this.#waiting.get(key.id)
    if (waiting === undefined) return
    this.#waiting.delete(key.id)
    this.#set(series, waiting)
  }

  /** The incident that a series is affected by, empty where there is none. */
  incidentOf(series: SeriesModel): string {
    return this.#incidents.get(series.series.id)?.at(-1) ?? ''
  }

  #hearOf({ id, open, series }: IncidentState): void {
    for (const [key, ids] of this.#incidents) {
      const others = ids.filter(each => each !== id)
      if (others.length === 0) this.#incidents.delete(key)
      else this.#incidents.set(key, others)
    }
    if (open) for (const key of series) this.#incidents.set(key, [...(this.#incidents.get(key) ?? []), id])
  }

  of(series: number): SeriesModel | undefined {
    const key = this.#keys[series]
    return key === undefined ? undefined : load(key, this.#rows.pieceOf(series), this.#rows.fromOf(series))
  }

  /** The models of all series that have been met. */
  *all(): Generator<SeriesModel> {
    for (const series of this.#keys.keys()) {
      const model = this.of(series)
      if (model !== undefined) yield model
    }
  }

  /**
   * How many models are in each state.
   * @param isStale of a series, or of all that have not been seen since the start where it is -1
   */
  states(isStale: (series: number) => boolean): Record<SeriesModel['state'] | 'stale', number> {
    const states = { learning: 0, ready: 0, frozen: 0, stale: 0 }
    for (const [series, key] of this.#keys.entries())
      if (key !== undefined) states[isStale(series) ? 'stale' : this.#stateOf(series)]++
    for (const model of this.#waiting.values()) states[isStale(-1) ? 'stale' : model.state]++
    return states
  }

  /** The number of a series will stand for another. */
  forget(series: number): void {
    this.#keys[series] = undefined
    this.limitNs[series] = Number.POSITIVE_INFINITY
    this.failureRare[series] = 0
    this.learning[series] = 1
  }

  /** Nothing is known of a series any more. It may come again. */
  #drop(id: string): void {
    this.#waiting.delete(id)
    const series = this.#numberOf(id)
    if (series >= 0) this.forget(series)
  }

  #take(model: SeriesModel): void {
    const series = this.#numberOf(model.series.id)
    if (series < 0) {
      const waiting = this.#waiting.get(model.series.id)
      if (waiting === undefined || waiting.generation < model.generation)
        this.#waiting.set(model.series.id, model)
      return
    }
    if (this.#keys[series] === undefined || this.#generationOf(series) < model.generation)
      this.#set(series, model)
  }

  #generationOf(series: number): number {
    return this.#rows.pieceOf(series)[this.#rows.fromOf(series)]
  }

  #stateOf(series: number): SeriesModel['state'] {
    return STATES[this.#rows.pieceOf(series)[this.#rows.fromOf(series) + STATE]]
  }

  #set(series: number, model: SeriesModel): void {
    while (this.#rows.size <= series) this.#rows.take()
    this.#keys[series] = model.series
    this.#rows.pieceOf(series).set(store(model), this.#rows.fromOf(series))
    // An overflow series mixes operations: its band says nothing about any of them.
    const mark = !model.series.overflow && model.state !== 'learning'
    this.limitNs[series] = mark ? model.latency.limitNs : Number.POSITIVE_INFINITY
    this.failureRare[series] = mark && model.failure.rare ? 1 : 0
    this.learning[series] = model.state === 'learning' ? 1 : 0
  }

  #grow(): void {
    const length = this.limitNs.length * 2
    const limitNs = new Float64Array(length).fill(Number.POSITIVE_INFINITY)
    limitNs.set(this.limitNs)
    const failureRare = new Uint8Array(length)
    failureRare.set(this.failureRare)
    const learning = new Uint8Array(length).fill(1)
    learning.set(this.learning)
    this.limitNs = limitNs
    this.failureRare = failureRare
    this.learning = learning
  }
}
