//! From departures to incidents at one budget: what belongs together is told once, with whom it points at, until it is over.
import { clip } from '../base/words.ts'
import type { EventRecord, IncidentState } from '../bus/bus.ts'
import type { Attribution } from './attribution.ts'
import { contribute, NOTHING_FOUND } from './contribute.ts'
import type { Evidence } from './evidence.ts'
import type { Feature, Sighting } from './feature.ts'
import { belongs, seriesOf } from './gather.ts'
import type { Incident, Member, StoredIncident } from './incident.ts'
import { incidentId } from './incident-id.ts'
import { phrase, title } from './phrases.ts'
import { idAt } from './places.ts'
import { anomalyEvent, incidentEvent, isSevere, type Told } from './report.ts'
import { patience, Returns } from './returns.ts'
import { rankPlainly, rankSuspects, type Scene, sceneOf, zOf } from './suspects.ts'

/** Read each time: they may change. */
export interface IncidentOptions {
  /** False incidents a day that are accepted. */
  readonly budget: number
  readonly windowMs: number
  /** From the end of a window to the moment at which it is judged. */
  readonly delayMs: number
  /** Said with every event where several budgets are judged side by side. */
  readonly tag: boolean
  readonly explainAway: boolean
}

/** What joins an open incident may be this much less unusual than what opens one. */
export const JOIN_BELOW = 2.5
/** A departure is over after so many windows without a sign of it, or so many without any span. */
const CALM_WINDOWS = 3
const NO_DATA_WINDOWS = 18
/** An incident is resolved when all its departures have been over for so many windows; one that has come back waits longer. */
const QUIET_WINDOWS = 3
/** z on the two shorter scales below which there is no sign. */
const CALM_Z = 1.5
/** No update more often than this, unless who is suspected first changes. */
const UPDATE_MS = 60_000
const LEVEL_EVERY_MS = 10 * 60_000
/** After so long without data from anybody, what is open is resolved. */
const SILENCE_WINDOWS = 18
export const MOST_OPEN = 100
const MOST_MEMBERS = 50

export class Incidents {
  readonly open: Incident[] = []
  /** The deciding statistic from which on an incident opens. */
  level = Number.POSITIVE_INFINITY
  readonly #returns = new Returns()
  readonly #options: IncidentOptions
  readonly #publish: (event: EventRecord) => void
  readonly #mark: (state: IncidentState) => void
  #levelMs = Number.NEGATIVE_INFINITY
  /** The budget that `level` is for. */
  #levelBudget = Number.NaN

  /** `mark`: tells the data plane which series an incident affects. */
  constructor(
    options: IncidentOptions,
    publish: (event: EventRecord) => void,
    mark: (state: IncidentState) => void = () => {},
  ) {
    this.#options = options
    this.#publish = publish
    this.#mark = mark
  }

  get #told(): Told {
    const { delayMs, tag, budget } = this.#options
    return { level: this.level, delayMs, budget: tag ? budget : null }
  }

  /** After each window. `attribution` has it already. */
  step(evidence: Evidence, attribution: Attribution, levelFor: (budget: number) => number): void {
    const nowMs = evidence.nowMs
    const { budget } = this.#options
    if (nowMs - this.#levelMs >= LEVEL_EVERY_MS || budget !== this.#levelBudget) {
      this.#levelMs = nowMs
      this.#levelBudget = budget
      this.level = levelFor(budget)
    }
    if (evidence.silentWindows > 0) {
      if (evidence.silentWindows >= SILENCE_WINDOWS)
        for (const incident of this.open.splice(0)) this.#resolve(incident, nowMs, 'no data any more')
      return
    }
    const active = evidence.features
      .filter(feature => feature.decisive >= Math.max(1, this.level - JOIN_BELOW) && isLive(feature))
      .sort((a, b) => b.decisive - a.decisive || (idAt(a) < idAt(b) ? -1 : 1))
    for (const incident of this.open) {
      for (const member of incident.members.values()) {
        follow(member)
        if (member.over && !member.told) {
          member.told = true
          this.#publish(anomalyEvent('otlier.anomaly.resolved', incident, member, nowMs, this.#told))
        }
      }
    }
    for (const feature of active) {
      if (this.open.some(incident => incident.members.get(idAt(feature))?.over === false)) continue
      const home = this.open.find(incident => belongs(incident, feature))
      if (home !== undefined) this.#join(home, feature, nowMs, attribution)
      else if (feature.decisive >= this.level && this.open.length < MOST_OPEN)
        this.#begin(feature, nowMs, attribution)
    }
    const scene = sceneOf(evidence)
    for (const incident of [...this.open]) this.#review(incident, scene, evidence, attribution)
  }

  store(): StoredIncident[] {
    return this.open.map(({ id, openedMs, sinceMs, members, title, severity, saidMs, said, returns }) => ({
      id,
      openedMs,
      sinceMs,
      title,
      severity,
      saidMs,
      said,
      returns,
      members: [...members.values()]
        .filter(({ over }) => !over)
        .map(member => ({
          place: idAt(member.feature),
          sinceMs: member.sinceMs,
          peak: member.peak,
          phrase: member.phrase,
        })),
    }))
  }

  /** An incident that was open goes on; nothing is said of it again. */
  restore(stored: readonly StoredIncident[], find: (id: string) => Feature | undefined): void {
    for (const { members, ...each } of stored) {
      const incident: Incident = {
        ...each,
        ...NOTHING_FOUND,
        members: new Map(),
        suspects: [],
        quiet: 0,
        starved: new Map(),
      }
      for (const { place, sinceMs, peak, phrase } of members) {
        const feature = find(place)
        if (feature === undefined) continue
        const id = incidentId(incident.openedMs, `${incident.id} ${place}`)
        const member = {
          feature,
          id,
          sinceMs,
          peak,
          decisive: peak,
          phrase,
          calm: 0,
          over: false,
          told: false,
        }
        incident.members.set(place, { ...member, contributors: [] })
      }
      if (incident.members.size === 0) continue
      this.open.push(incident)
      this.#mark({ id: incident.id, open: true, series: seriesOf(incident) })
    }
  }

  /** The departures of these features have become normal. */
  adopted(features: readonly Feature[], nowMs: number): void {
    for (const incident of [...this.open]) {
      let known = false
      for (const feature of features) {
        const member = incident.members.get(idAt(feature))
        if (member === undefined) continue
        member.over = known = true
      }
      if (!known) continue
      if ([...incident.members.values()].every(each => each.over || each.calm > 0)) {
        this.open.splice(this.open.indexOf(incident), 1)
        this.#resolve(incident, nowMs, 'the new level is taken as normal')
      }
    }
  }

  #begin(feature: Feature, nowMs: number, attribution: Attribution): void {
    const incident: Incident = {
      id: incidentId(nowMs, idAt(feature)),
      openedMs: nowMs,
      sinceMs: feature.sinceMs,
      members: new Map(),
      suspects: [],
      title: '',
      severity: 'warning',
      ...NOTHING_FOUND,
      quiet: 0,
      returns: this.#returns.of(idAt(feature), nowMs),
      saidMs: Number.NEGATIVE_INFINITY,
      said: '',
      starved: new Map(),
    }
    this.open.push(incident)
    this.#join(incident, feature, nowMs, attribution)
  }

  #join(incident: Incident, feature: Feature, nowMs: number, attribution: Attribution): void {
    const known = incident.members.get(idAt(feature))
    if (known !== undefined) {
      known.over = false
      known.calm = 0
      if (known.told) this.#publish(anomalyEvent('otlier.anomaly.opened', incident, known, nowMs, this.#told))
      known.told = false
      return
    }
    if (incident.members.size >= MOST_MEMBERS) return
    const member: Member = {
      feature,
      id: incidentId(incident.openedMs, `${incident.id} ${idAt(feature)}`),
      sinceMs: feature.sinceMs,
      peak: feature.surprise,
      decisive: feature.decisive,
      phrase: phrase(feature),
      calm: 0,
      over: false,
      told: false,
      contributors: attribution.of(feature),
    }
    incident.members.set(idAt(feature), member)
    this.#publish(anomalyEvent('otlier.anomaly.opened', incident, member, nowMs, this.#told))
    this.#mark({ id: incident.id, open: true, series: seriesOf(incident) })
  }

  #review(
    incident: Incident,
    shown: Omit<Scene, 'starved'>,
    evidence: Evidence,
    attribution: Attribution,
  ): void {
    const { nowMs } = evidence
    const members = [...incident.members.values()]
    const now = members.filter(member => !member.over)
    if (now.length === 0) {
      if (++incident.quiet < QUIET_WINDOWS * patience(incident.returns)) return
      this.open.splice(this.open.indexOf(incident), 1)
      this.#resolve(incident, nowMs, 'back to normal')
      return
    }
    incident.quiet = 0
    const weights = new Map<Sighting, number>(members.map(member => [member.feature, member.peak]))
    const suspects = this.#options.explainAway
      ? rankSuspects(
          [...weights.keys()],
          { ...shown, starved: incident.starved },
          feature => weights.get(feature) ?? 0,
        )
      : rankPlainly(members)
    incident.suspects = suspects
    const lead = leading(incident)
    incident.severity = members.some(isSevere) ? 'critical' : incident.severity
    const isFound = contribute(incident, evidence, attribution)
    incident.title = titleOf(incident, phrase(lead))
    const said = suspects
      .slice(0, 3)
      .map(({ name }) => name)
      .join()
    const first = incident.saidMs === Number.NEGATIVE_INFINITY
    const isNews =
      isFound ||
      (said !== incident.said &&
        (nowMs - incident.saidMs >= UPDATE_MS || firstOf(said) !== firstOf(incident.said)))
    if (!first && !isNews) return
    incident.said = said
    incident.saidMs = nowMs
    const name = first ? 'otlier.incident.opened' : 'otlier.incident.updated'
    this.#publish(incidentEvent(name, incident, nowMs, incident.title, this.#told))
  }

  #resolve(incident: Incident, nowMs: number, why: string): void {
    this.#mark({ id: incident.id, open: false, series: [] })
    this.#returns.end(incident.members.keys(), incident.returns, nowMs)
    for (const member of incident.members.values()) {
      if (member.told) continue
      member.told = true
      this.#publish(anomalyEvent('otlier.anomaly.resolved', incident, member, nowMs, this.#told))
    }
    const minutes = Math.max(1, Math.round((nowMs - incident.sinceMs) / 60_000))
    // What it was at its worst, and not what is left of it now.
    const peak = incident.members.get(idAt(leading(incident)))?.phrase
    if (peak !== undefined) incident.title = titleOf(incident, peak)
    const body = clip(
      `${incident.suspects[0]?.name ?? ''}: over after ${minutes} min, ${why}. ${incident.title}`,
      400,
    )
    this.#publish(incidentEvent('otlier.incident.resolved', incident, nowMs, body, this.#told))
  }
}

const firstOf = (said: string) => said.split(',')[0]

/** The feature to tell of: the strongest of the first suspect. */
function leading(incident: Incident): Sighting {
  const of = incident.suspects[0]?.features[0]
  return of ?? ([...incident.members.values()][0] as Member).feature
}

function titleOf(incident: Incident, shown: string): string {
  const { suspects, sinceMs, contributors } = incident
  return title(suspects[0]?.name ?? leading(incident).place.service.name, shown, sinceMs, contributors)
}

/** A departure that has ended lingers on the longest scale; only the shorter ones say that it is still going on. */
export const isLive = (feature: Feature): boolean => {
  const { judged } = feature
  return (judged[0].n === 0 && judged[1].n === 0) || zOf(feature) > CALM_Z
}

function follow(member: Member): void {
  const { feature } = member
  if (member.over) return
  member.decisive = Math.max(member.decisive, feature.decisive)
  if (feature.surprise > member.peak) {
    member.peak = feature.surprise
    member.phrase = phrase(feature)
  }
  const { judged } = feature
  const hasData = judged[0].n > 0 || judged[1].n > 0
  const limit = hasData ? CALM_WINDOWS : NO_DATA_WINDOWS
  member.calm = hasData && zOf(feature) > CALM_Z ? 0 : member.calm + 1
  if (member.calm >= limit) member.over = true
}
