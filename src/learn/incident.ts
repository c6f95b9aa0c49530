//! What is known of an incident and of the departures that it consists of.
import type { Contributed } from './contribute.ts'
import type { Feature } from './feature.ts'
import type { Suspect } from './suspects.ts'

export interface Member {
  readonly feature: Feature
  readonly id: string
  readonly sinceMs: number
  /** How unusual it was by itself at most, and with what corroborates it. */
  peak: number
  decisive: number
  /** What it said at its peak. */
  phrase: string
  calm: number
  over: boolean
  /** Its end has been told. */
  told: boolean
  /** What sets its hurt spans apart, as it was found last. */
  contributors: readonly string[]
}

export interface Incident extends Contributed {
  readonly id: string
  readonly openedMs: number
  readonly sinceMs: number
  readonly members: Map<string, Member>
  suspects: readonly Suspect[]
  title: string
  severity: 'warning' | 'critical'
  quiet: number
  /** How many there were at the same place just before, one soon after the other. */
  readonly returns: number
  saidMs: number
  /** Names as they were said last. */
  said: string
  readonly starved: Map<string, number>
}

/** An open incident as it is kept over a restart. */
export interface StoredIncident
  extends Pick<
    Incident,
    'id' | 'openedMs' | 'sinceMs' | 'title' | 'severity' | 'saidMs' | 'said' | 'returns'
  > {
  readonly members: readonly {
    readonly place: string
    readonly sinceMs: number
    readonly peak: number
    readonly phrase: string
  }[]
}
