//! What can be asked about what was seen: incidents with their reasoning, traces, and who was suspected at a moment. Plain values.

/** One thing that was seen at one place, at its strongest. */
export interface EvidenceRecord {
  /** End of the window in which it was strongest, in milliseconds since 1970. */
  readonly atMs: number
  /** Whom it points at by itself. */
  readonly service: string
  /** Empty where the place has none. */
  readonly operation: string
  readonly caller: string
  readonly pod: string
  /** As in `otlier.anomaly.feature`, and the class of features that it is calibrated with. */
  readonly feature: string
  readonly detector: string
  /** The sentence with its numbers. */
  readonly phrase: string
  /**
   * How seldom calm times show the like: ln of one over the times an hour that it is expected somewhere in the deployment. 0 is once
   * an hour, 3.2 once a day. Before what `aside` says is taken off.
   */
  readonly strength: number
  /** Standard deviations beyond what is usual. */
  readonly z: number
  /** The departure: of durations and counts in logarithms, of shares their difference. */
  readonly shift: number
  /** What is normal: of durations ln(nanoseconds), of shares the share, of counts how many are expected. */
  readonly normal: number
  /** Samples behind it; of counts how many are expected. */
  readonly samples: number
  /** How long a time was looked at together, in milliseconds. */
  readonly overMs: number
  /** Why it opened nothing, in words; empty where it did or would have. */
  readonly aside: string
}

export interface SuspectRecord {
  readonly service: string
  readonly score: number
  /** Since when what speaks for it departs; null where it passed no floor. */
  readonly sinceMs: number | null
  /** What would point elsewhere, and why it does not. */
  readonly notes: readonly string[]
  /** Strongest first. */
  readonly evidence: readonly EvidenceRecord[]
}

/** Something new in a service that had been known for a while. */
export interface ChangeRecord {
  readonly atMs: number
  readonly service: string
  readonly what: string
}

/** What was said, and when by the stream clock. */
export interface ToldRecord {
  readonly atMs: number
  readonly event: string
  readonly text: string
}

export interface IncidentLine {
  readonly id: string
  readonly state: 'open' | 'resolved'
  readonly title: string
  readonly severity: 'warning' | 'critical'
  readonly sinceMs: number
  readonly openedMs: number
  /** Null while it is open. */
  readonly endedMs: number | null
  /** Names, likeliest first. */
  readonly suspected: readonly string[]
}

export interface IncidentRecord extends IncidentLine {
  readonly peakMs: number
  /** The strength from which on incidents open, and the false incidents a day that it stands for. */
  readonly level: number | null
  readonly budgetPerDay: number
  readonly suspects: readonly SuspectRecord[]
  /** All that belongs to it. */
  readonly members: readonly EvidenceRecord[]
  /** What else was seen when it was told last, and opened nothing. */
  readonly aside: readonly EvidenceRecord[]
  readonly contributors: readonly string[]
  readonly traceIds: readonly string[]
  /** What changed in the services it is about, in the ten minutes before. */
  readonly changes: readonly ChangeRecord[]
  readonly told: readonly ToldRecord[]
}

/** A span of a trace that was marked. */
export interface MarkRecord {
  readonly atMs: number
  readonly service: string
  readonly text: string
}

export interface TraceRecord {
  readonly traceId: string
  readonly marks: readonly MarkRecord[]
  /** Those that name the trace, newest first. */
  readonly incidents: readonly IncidentRecord[]
}

/** Who was suspected at a moment, by what had been seen in the three minutes before it. */
export interface Assessment {
  readonly atMs: number
  readonly fromMs: number
  readonly level: number | null
  readonly budgetPerDay: number
  /** Likeliest first. */
  readonly suspects: readonly SuspectRecord[]
  /** What was asked for, or null. */
  readonly service: string | null
  /** Of that service all that was kept; else the strongest of all. Strongest first. */
  readonly evidence: readonly EvidenceRecord[]
  /** Incidents that were open at that moment, and had been opened by then. */
  readonly incidents: readonly IncidentLine[]
  /** What changed in the ten minutes before. */
  readonly changes: readonly ChangeRecord[]
  /** Sentences on what limits the answer: nothing came in, the service is new, only part was kept. */
  readonly limits: readonly string[]
}

/** Why there is no answer: a sentence. */
export interface Unanswered {
  readonly wrong: string
}

export interface Accounts {
  /** Newest first. */
  incidents(): readonly IncidentLine[]
  /** Null where no incident that is kept has this id. */
  incident(id: string): IncidentRecord | null
  /** Null where nothing that is kept names this trace. */
  trace(id: string): TraceRecord | null
  /** `atMs` null: now. */
  assess(atMs: number | null, service: string | null): Assessment | Unanswered
}
