//! Answers why: keeps what explaining needs of each window, and says who was suspected at a moment, and why nobody was told.
import { nearest } from '../base/nearest.ts'
import { clip } from '../base/words.ts'
import type {
  Accounts,
  Assessment,
  IncidentLine,
  MarkRecord,
  SuspectRecord,
  Unanswered,
} from '../bus/accounts.ts'
import type { EventRecord } from '../bus/bus.ts'
import { newJudged } from '../detect/judged.ts'
import { Changes } from './changes.ts'
import { CHANGED_BEFORE_MS, Dossiers, LOOK_BACK_MS, suspectRecord } from './dossiers.ts'
import type { Evidence } from './evidence.ts'
import type { Feature, Sighting } from './feature.ts'
import type { Incidents } from './incidents.ts'
import { idAt } from './places.ts'
import { type Aside, type Seen, Sightings } from './sightings.ts'
import { rankSuspects, type Scene } from './suspects.ts'

/** Read each time: they may change. */
export interface AccountOptions {
  readonly windowMs: number
  /** From the end of a window to the moment at which it is judged. */
  readonly delayMs: number
  readonly budgetPerDay: number
  /** Said with the events where several budgets are judged side by side: then only those of this budget count. */
  readonly tagged: boolean
}

/** Marked spans that are kept, the latest. */
const MOST_MARKS = 1000
const MOST_EVIDENCE = 20
const MOST_CHARACTERS = 300
/** Evidence is weighed from this strength on: what calm times show e^3 = 20 times an hour. */
const LEAST_STRENGTH = -3
/** What did not pass everything counts for so much of itself. */
const WEIGHT: Readonly<Record<Aside, number>> = {
  none: 1,
  level: 1,
  once: 0.6,
  floor: 0.5,
  shared: 0.2,
  rush: 0.4,
  hours: 0.2,
}
/** What starves a service slows down all that it does. One operation says little, where most of them agree that is worth so much. */
const AS_A_WHOLE = 3
const LEAST_RISEN = 3
const RISEN_Z = 2
const RISEN_SAMPLES = 2

export class Account implements Accounts {
  readonly #options: AccountOptions
  readonly #sightings: Sightings
  readonly #changes = new Changes()
  readonly #dossiers: Dossiers
  readonly #marks: (MarkRecord & { readonly traceId: string; readonly incidentId: string })[] = []
  #evidence: Evidence | null = null
  /** What is closed from now on is closed early: it had been seen by then. */
  #earlyMs = Number.POSITIVE_INFINITY

  constructor(options: AccountOptions) {
    this.#options = options
    this.#sightings = new Sightings(options.windowMs)
    this.#dossiers = new Dossiers(this.#sightings, this.#changes, options)
  }

  /** After each window, when all has been decided on it. */
  note(evidence: Evidence, decider: Incidents): void {
    this.#evidence = evidence
    const atMs = Math.min(evidence.nowMs, this.#earlyMs)
    this.#changes.look(evidence.landscape, evidence.nowMs)
    this.#sightings.note(evidence, decider.level, atMs, this.#earlyMs === Number.POSITIVE_INFINITY)
    this.#dossiers.track(evidence, decider, atMs)
  }

  /** An hour is over, and something may have been forgotten. */
  passHour(evidence: Evidence): void {
    this.#changes.forgot(evidence.landscape)
  }

  /** The recording ends at this moment: windows that are closed from now on were not whole. */
  endAt(ms: number): void {
    this.#earlyMs = ms
  }

  hear(event: EventRecord): void {
    const { name, attributes, traceId, observedMs, body, resource } = event
    if (name.startsWith('otlier.incident.')) {
      if (!this.#options.tagged || attributes['otlier.budget'] === this.#options.budgetPerDay)
        this.#dossiers.hear(event)
    } else if (name === 'otlier.span.outlier' && traceId !== '') {
      this.#marks.push({
        traceId,
        atMs: observedMs,
        service: clip(String(resource['service.name'] ?? ''), MOST_CHARACTERS),
        text: clip(body, MOST_CHARACTERS),
        incidentId: String(attributes['otlier.incident.id'] ?? ''),
      })
      if (this.#marks.length > MOST_MARKS) this.#marks.shift()
    }
  }

  /** How much is kept: windows, the most sightings of one, and incidents that have ended. */
  memory() {
    return { ...this.#sightings.memory(), incidents: this.#dossiers.ended }
  }

  incidents() {
    return this.#dossiers.lines()
  }

  incident(id: string) {
    return this.#dossiers.find(id)
  }

  trace(id: string) {
    const marks = this.#marks.filter(({ traceId }) => traceId === id)
    const incidents = this.#dossiers.naming(id)
    for (const { incidentId } of marks) {
      const incident = incidentId === '' ? null : this.#dossiers.find(incidentId)
      if (incident !== null && !incidents.some(known => known.id === incident.id)) incidents.push(incident)
    }
    if (marks.length === 0 && incidents.length === 0) return null
    return {
      traceId: id,
      marks: marks.map(({ atMs, service, text }) => ({ atMs, service, text })),
      incidents: incidents.sort((a, b) => b.openedMs - a.openedMs),
    }
  }

  assess(wantedMs: number | null, service: string | null): Assessment | Unanswered {
    const evidence = this.#evidence
    const kept = this.#sightings.span
    if (evidence === null || kept === null) return { wrong: 'No window of traces has been judged yet.' }
    const atMs = wantedMs ?? kept.untilMs
    const fromMs = atMs - LOOK_BACK_MS
    const windows = this.#sightings.between(fromMs, atMs)
    const last = windows.at(-1)
    if (last === undefined) {
      return {
        wrong: `Nothing was judged in the three minutes before ${iso(atMs)}. What is kept goes from ${iso(kept.fromMs)} to ${iso(kept.untilMs)}.`,
      }
    }
    const names = new Set([...evidence.landscape.services.values()].map(({ name }) => name))
    for (const { place } of evidence.features) if (place.target !== '') names.add(place.target)
    if (service !== null && !names.has(service)) {
      const near = nearest(service, [...names])
      return { wrong: `No span of ${service} has been seen.${near === null ? '' : ` Did you mean ${near}?`}` }
    }
    const { level } = last
    const seen = this.#sightings.strongest(fromMs, atMs)
    const record = (one: Seen) => this.#sightings.record(one, level)
    const suspects = rank(seen, this.#sightings.highest(fromMs, atMs), evidence, record)
    const concerned = service === null ? seen : seen.filter(({ place }) => concerns(place, service))
    return {
      atMs,
      fromMs,
      level: Number.isFinite(level) ? level : null,
      budgetPerDay: this.#options.budgetPerDay,
      suspects,
      service,
      evidence: concerned.slice(0, MOST_EVIDENCE).map(record),
      incidents: this.#openAt(atMs),
      changes: this.#changes.between(
        atMs - CHANGED_BEFORE_MS,
        atMs,
        service === null ? null : new Set([service]),
      ),
      limits: this.#limits(windows, atMs, service, evidence),
    }
  }

  #openAt(atMs: number): IncidentLine[] {
    return this.#dossiers
      .lines()
      .filter(({ openedMs, endedMs }) => openedMs <= atMs && (endedMs === null || endedMs > atMs))
  }

  #limits(
    windows: ReturnType<Sightings['between']>,
    atMs: number,
    service: string | null,
    evidence: Evidence,
  ): string[] {
    const limits: string[] = []
    const silent = windows.filter(window => window.silent).length
    if (silent > 0)
      limits.push(
        `No trace ended in ${silent} of these ${windows.length} windows: the senders, or what lies between, were silent.`,
      )
    if (windows.some(({ cut }) => cut))
      limits.push('So much departed at once that of each window only the 64 strongest signs were kept.')
    const { delayMs } = this.#options
    if (this.#earlyMs === Number.POSITIVE_INFINITY && evidence.nowMs < atMs)
      limits.push(
        `What came after ${iso(evidence.nowMs)} is not judged yet: a window waits ${delayMs / 1000} s for late spans.`,
      )
    for (const known of evidence.landscape.services.values()) {
      if (known.name !== service) continue
      const own = known.series.filter(({ isCall }) => !isCall)
      const learning = own.filter(({ self }) => !self.isReady).length
      if (learning > 0)
        limits.push(
          `Of ${own.length} operations of ${service}, ${learning} had too few samples to be judged.`,
        )
    }
    return limits
  }
}

/** Who would explain what was seen, by the strongest sighting of each feature. */
function rank(
  seen: readonly Seen[],
  highest: ReadonlyMap<Feature, Seen>,
  evidence: Evidence,
  record: (seen: Seen) => SuspectRecord['evidence'][number],
): SuspectRecord[] {
  const byId = new Map(seen.map(one => [idAt(one), one]))
  const kept = (feature: Feature): Sighting => highest.get(feature) ?? calm(feature)
  const scene: Scene = {
    selfOf(id) {
      const feature = evidence.find(`service self|${id}|||||`)
      return feature === undefined ? undefined : kept(feature)
    },
    gapsFrom: id => (evidence.gapsFrom.get(id) ?? []).map(kept),
    starved: new Map(),
  }
  const weightOf = (one: Sighting): number => {
    const { strength, aside } = byId.get(idAt(one)) as Seen
    return Math.max(0, strength - LEAST_STRENGTH) * WEIGHT[aside]
  }
  const suspects = rankSuspects(seen, scene, weightOf)
  for (const [name, { risen, active }] of risenAsAWhole(highest, evidence)) {
    const at = suspects.findIndex(suspect => suspect.name === name)
    const known =
      at >= 0
        ? suspects.splice(at, 1)[0]
        : { name, score: 0, features: risen, sinceMs: Number.NaN, notes: [] }
    const note = `${risen.length} of its ${active} operations rose together`
    suspects.push({ ...known, score: known.score + AS_A_WHOLE, notes: [...known.notes, note] })
  }
  return suspects
    .sort((a, b) => b.score - a.score || (a.name < b.name ? -1 : 1))
    .map(suspect => suspectRecord(suspect, id => byId.get(id), record))
}

/** Services of whose operations with traffic most, and not only one or two, were slower than usual within the time. */
function risenAsAWhole(
  highest: ReadonlyMap<Feature, Seen>,
  { features }: Evidence,
): Map<string, { readonly risen: Seen[]; active: number }> {
  const services = new Map<string, { readonly risen: Seen[]; active: number }>()
  for (const feature of features) {
    if (feature.class !== 'operation self' || feature.judged.every(({ n }) => n === 0)) continue
    const { name } = feature.place.service
    let known = services.get(name)
    if (known === undefined) services.set(name, (known = { risen: [], active: 0 }))
    known.active++
    const seen = highest.get(feature)
    // One slow trace slows everything that it passes: that is one observation, and no agreement.
    if (seen?.judged.some(({ z, n }) => z >= RISEN_Z && n >= RISEN_SAMPLES)) known.risen.push(seen)
  }
  for (const [name, { risen, active }] of services)
    if (risen.length < LEAST_RISEN || 2 * risen.length < active) services.delete(name)
  return services
}

/** A feature of which nothing was kept at that moment: it showed nothing. */
const calm = ({ place, class: of, name, judged }: Feature): Sighting => ({
  place,
  class: of,
  name,
  judged: judged.map(({ n, level }) => ({ ...newJudged(), n, level })),
  scale: 0,
  surprise: Number.NEGATIVE_INFINITY,
  sinceMs: Number.NaN,
})

const concerns = ({ service, caller, target }: Sighting['place'], name: string): boolean =>
  service.name === name || caller?.name === name || target === name

const iso = (ms: number): string => new Date(ms).toISOString().replace('.000Z', 'Z')
