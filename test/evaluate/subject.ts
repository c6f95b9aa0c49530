//! What is evaluated: a learning plane that hears windows of features on the bus and answers with events there.
import { pathToFileURL } from 'node:url'
import type { Registry } from '../../src/base/counters.ts'
import type { Bus, EventRecord } from '../../src/bus/bus.ts'

export interface SubjectOptions {
  readonly windowMs: number
  readonly traceWaitMs: number
  readonly latenessMs: number
  readonly rebaselineMs: number
  readonly maxSeries: number
  /** False incidents a day. Where there are several, each event says in `otlier.budget` whose it is. */
  readonly budgets: readonly number[]
  /** Parts that are switched off, by the names that the plane knows. */
  readonly ablate: readonly string[]
}

export const DEFAULTS: SubjectOptions = {
  windowMs: 10_000,
  traceWaitMs: 10_000,
  latenessMs: 10_000,
  rebaselineMs: 3_600_000,
  maxSeries: 20_000,
  budgets: [1],
  ablate: [],
}

export type Subject = new (bus: Bus, registry: Registry, options: SubjectOptions) => { close(): void }

/** The learning plane, or what another module exports under the same name. */
export async function loadSubject(path: string): Promise<Subject> {
  const url = path === '' ? new URL('../../src/learn/plane.ts', import.meta.url) : pathToFileURL(path)
  const { LearningPlane } = (await import(url.href)) as { LearningPlane?: Subject }
  if (LearningPlane === undefined) throw new Error(`${path || 'src/learn/plane.ts'} has no LearningPlane`)
  return LearningPlane
}

/** What was said at one budget. Events without one belong to all. */
export function atBudget(events: readonly EventRecord[], budget: number): EventRecord[] {
  return events.filter(({ attributes }) => (attributes['otlier.budget'] ?? budget) === budget)
}
