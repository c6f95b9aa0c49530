//! What was known of each incident: kept while it is open, and of the latest after it has ended.
import type { Attributes } from '../base/attributes.ts'
import { clip } from '../base/words.ts'
import type {
  EvidenceRecord,
  IncidentLine,
  IncidentRecord,
  SuspectRecord,
  ToldRecord,
} from '../bus/accounts.ts'
import type { EventRecord } from '../bus/bus.ts'
import type { Changes } from './changes.ts'
import type { Evidence } from './evidence.ts'
import type { Incident } from './incident.ts'
import type { Incidents } from './incidents.ts'
import { idAt } from './places.ts'
import { type Seen, type Sightings, see } from './sightings.ts'
import type { Suspect } from './suspects.ts'

/** Incidents that have ended are kept, the latest. */
const MOST_RESOLVED = 100
const MOST_TOLD = 50
const MOST_TRACES = 50
const MOST_ASIDE = 12
const MOST_SUSPECTS = 10
const MOST_CHARACTERS = 500
/** What changed so long before an incident is told with it. */
export const CHANGED_BEFORE_MS = 10 * 60_000
/** Evidence counts for so long. */
export const LOOK_BACK_MS = 180_000

interface Dossier {
  readonly id: string
  readonly told: ToldRecord[]
  readonly traceIds: Set<string>
  contributors: readonly string[]
  /** Null until the first window after its opening, and when it has ended. */
  incident: Incident | null
  /** Of each member what it showed at its peak, by place. */
  readonly peaks: Map<string, Seen>
  peakMs: number
  peak: number
  level: number
  changes: IncidentRecord['changes']
  aside: readonly EvidenceRecord[]
  asideTold: number
  ended: IncidentRecord | null
}

export class Dossiers {
  readonly #sightings: Sightings
  readonly #changes: Changes
  readonly #options: { readonly budgetPerDay: number }
  /** Oldest first. */
  readonly #all = new Map<string, Dossier>()

  constructor(sightings: Sightings, changes: Changes, options: { readonly budgetPerDay: number }) {
    this.#sightings = sightings
    this.#changes = changes
    this.#options = options
  }

  /** What was told of an incident. */
  hear({ name, attributes, observedMs, body }: EventRecord): void {
    const id = String(attributes['otlier.incident.id'])
    const dossier = this.#of(id)
    const { told, traceIds } = dossier
    told.push({ atMs: observedMs, event: name, text: clip(body, MOST_CHARACTERS) })
    if (told.length > MOST_TOLD) told.splice(1, 1)
    for (const trace of textsOf(attributes, 'otlier.incident.trace_ids'))
      if (traceIds.size < MOST_TRACES) traceIds.add(trace)
    const said = textsOf(attributes, 'otlier.incident.contributors')
    if (said.length > 0) dossier.contributors = said.map(text => clip(text, MOST_CHARACTERS))
  }

  /** After each window and what was decided on it. */
  track(evidence: Evidence, { open, level }: Incidents, nowMs: number): void {
    const alive = new Set<string>()
    for (const incident of open) {
      alive.add(incident.id)
      this.#follow(this.#of(incident.id), incident, evidence, level, nowMs)
    }
    for (const dossier of this.#all.values()) {
      if (dossier.incident === null || alive.has(dossier.id)) continue
      dossier.ended = this.#record(dossier, dossier.incident, nowMs)
      dossier.incident = null
      dossier.peaks.clear()
    }
    for (const [id, { incident }] of this.#all) {
      if (this.#all.size - open.length <= MOST_RESOLVED) break
      if (incident === null) this.#all.delete(id)
    }
  }

  /** Those that are not open. */
  get ended(): number {
    return [...this.#all.values()].filter(({ incident }) => incident === null).length
  }

  /** Newest first. */
  lines(): IncidentLine[] {
    return [...this.#all.values()]
      .flatMap(dossier => {
        const record = this.#recordOf(dossier)
        return record === null ? [] : [lineOf(record)]
      })
      .reverse()
  }

  find(id: string): IncidentRecord | null {
    const dossier = this.#all.get(id)
    return dossier === undefined ? null : this.#recordOf(dossier)
  }

  /** Those that name the trace, newest first. */
  naming(traceId: string): IncidentRecord[] {
    return [...this.#all.values()]
      .filter(({ traceIds }) => traceIds.has(traceId))
      .flatMap(dossier => this.#recordOf(dossier) ?? [])
      .reverse()
  }

  #of(id: string): Dossier {
    let dossier = this.#all.get(id)
    if (dossier === undefined) {
      dossier = {
        id,
        told: [],
        traceIds: new Set(),
        contributors: [],
        incident: null,
        peaks: new Map(),
        peakMs: 0,
        peak: Number.NEGATIVE_INFINITY,
        level: Number.NaN,
        changes: [],
        aside: [],
        asideTold: 0,
        ended: null,
      }
      this.#all.set(id, dossier)
    }
    return dossier
  }

  #follow(dossier: Dossier, incident: Incident, evidence: Evidence, level: number, nowMs: number): void {
    const isNew = dossier.incident === null
    dossier.incident = incident
    dossier.level = level
    for (const [place, { feature, over }] of incident.members) {
      const known = dossier.peaks.get(place)
      if (known !== undefined && (over || feature.surprise <= known.surprise)) continue
      const seen = see(feature, evidence, level, nowMs)
      dossier.peaks.set(place, seen)
      if (seen.surprise <= dossier.peak) continue
      dossier.peak = seen.surprise
      dossier.peakMs = nowMs
    }
    if (isNew) {
      const before = incident.sinceMs - CHANGED_BEFORE_MS
      dossier.changes = this.#changes.between(before, nowMs, concerned(incident))
    }
    if (!isNew && dossier.asideTold === dossier.told.length) return
    dossier.asideTold = dossier.told.length
    dossier.aside = this.#sightings
      .strongest(nowMs - LOOK_BACK_MS, nowMs)
      .filter(one => !incident.members.has(idAt(one)))
      .slice(0, MOST_ASIDE)
      .map(seen => this.#sightings.record(seen, level))
  }

  #recordOf(dossier: Dossier): IncidentRecord | null {
    if (dossier.ended !== null) return dossier.ended
    return dossier.incident === null ? null : this.#record(dossier, dossier.incident, null)
  }

  #record(dossier: Dossier, incident: Incident, endedMs: number | null): IncidentRecord {
    const { id, title, severity, sinceMs, openedMs, suspects } = incident
    const { peaks, level, peakMs, changes, aside, contributors, traceIds, told } = dossier
    const record = (seen: Seen) => this.#sightings.record(seen, level)
    return {
      id,
      state: endedMs === null ? 'open' : 'resolved',
      title: clip(title, MOST_CHARACTERS),
      severity,
      sinceMs,
      openedMs,
      endedMs,
      suspected: suspects.slice(0, MOST_SUSPECTS).map(({ name }) => clip(name, MOST_CHARACTERS)),
      peakMs,
      level: Number.isFinite(level) ? level : null,
      budgetPerDay: this.#options.budgetPerDay,
      suspects: suspects
        .slice(0, MOST_SUSPECTS)
        .map(suspect => suspectRecord(suspect, at => peaks.get(at), record)),
      members: [...peaks.values()].sort((a, b) => b.surprise - a.surprise).map(record),
      aside,
      contributors,
      traceIds: [...traceIds],
      changes,
      told: [...told],
    }
  }
}

/** `seenAt`: what was kept of a place. */
export const suspectRecord = (
  { name, score, sinceMs, notes, features }: Suspect,
  seenAt: (id: string) => Seen | undefined,
  record: (seen: Seen) => EvidenceRecord,
): SuspectRecord => ({
  service: clip(name, MOST_CHARACTERS),
  score: Number(score.toFixed(2)),
  sinceMs: Number.isFinite(sinceMs) ? sinceMs : null,
  notes: notes.map(note => clip(note, MOST_CHARACTERS)),
  evidence: features.flatMap(feature => {
    const seen = seenAt(idAt(feature))
    return seen === undefined ? [] : [record(seen)]
  }),
})

/** The services of an incident, and those next to them. */
function concerned({ members, suspects }: Incident): Set<string> {
  const names = new Set(suspects.map(({ name }) => name))
  for (const { feature } of members.values()) {
    const { service, caller } = feature.place
    for (const near of [service, caller, ...service.callers, ...service.callees])
      if (near !== null) names.add(near.name)
  }
  return names
}

const lineOf = ({
  id,
  state,
  title,
  severity,
  sinceMs,
  openedMs,
  endedMs,
  suspected,
}: IncidentRecord): IncidentLine => ({
  id,
  state,
  title,
  severity,
  sinceMs,
  openedMs,
  endedMs,
  suspected,
})

function textsOf(attributes: Attributes, key: string): string[] {
  const value = attributes[key]
  return Array.isArray(value) ? value.map(String) : []
}
