//! What the events of a run say of each incident: when it opened, what it said when, and when it was over.
import type { AttributeValue } from '../../src/base/attributes.ts'
import type { EventRecord } from '../../src/bus/bus.ts'

/** What an incident said at a moment. */
export interface State {
  readonly atMs: number
  readonly suspects: readonly string[]
  readonly kinds: readonly string[]
  readonly title: string
}

/** Times in ms since 1970, by the stream's clock at emission. */
export interface Incident {
  readonly id: string
  /** When it was first opened. */
  openedMs: number
  /** Each opening and resolution, in order. */
  readonly turns: { readonly atMs: number; readonly open: boolean }[]
  readonly states: State[]
  /** `attribute=value`, and since when it is named. */
  readonly contributors: { readonly atMs: number; readonly text: string }[]
}

const list = (value: AttributeValue | undefined): readonly string[] =>
  Array.isArray(value) ? value.map(String) : []

/** The incidents that were opened, in order of their opening. Records need not be in order. */
export function incidentsOf(events: readonly EventRecord[]): Incident[] {
  const known = new Map<string, Incident>()
  for (const { name, observedMs, attributes, body } of [...events].sort(
    (a, b) => a.observedMs - b.observedMs,
  )) {
    const id = attributes['otlier.incident.id']
    if (typeof id !== 'string') {
      if (name.startsWith('otlier.incident.')) throw new Error(`${name} without otlier.incident.id`)
      continue
    }
    let incident = known.get(id)
    if (incident === undefined) {
      incident = { id, openedMs: Number.POSITIVE_INFINITY, turns: [], states: [], contributors: [] }
      known.set(id, incident)
    }
    for (const key of ['otlier.incident.contributors', 'otlier.anomaly.contributors'])
      for (const text of list(attributes[key])) incident.contributors.push({ atMs: observedMs, text })
    if (!name.startsWith('otlier.incident.')) continue
    if (name === 'otlier.incident.opened') {
      incident.openedMs = Math.min(incident.openedMs, observedMs)
      incident.turns.push({ atMs: observedMs, open: true })
    }
    if (name === 'otlier.incident.resolved') incident.turns.push({ atMs: observedMs, open: false })
    if (attributes['otlier.incident.suspects'] !== undefined)
      incident.states.push({
        atMs: observedMs,
        suspects: list(attributes['otlier.incident.suspects']),
        kinds: list(attributes['otlier.incident.kinds']),
        title: String(attributes['otlier.incident.title'] ?? body),
      })
  }
  return [...known.values()]
    .filter(({ openedMs }) => openedMs < Number.POSITIVE_INFINITY)
    .sort((a, b) => a.openedMs - b.openedMs)
}

/** What it had said last by then; nothing where it had said nothing. */
export function stateAt({ states }: Incident, atMs: number): State {
  return states.findLast(state => state.atMs <= atMs) ?? { atMs, suspects: [], kinds: [], title: '' }
}

export const openings = ({ turns }: Incident) => turns.filter(({ open }) => open).length

/** Whether it was over by then. */
export const isOverAt = ({ turns }: Incident, atMs: number) =>
  turns.findLast(turn => turn.atMs <= atMs)?.open === false
