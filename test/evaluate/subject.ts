//! What is evaluated: a learning plane that hears windows of features on the bus and answers with events there.
import { pathToFileURL } from 'node:url'
import type { Registry } from '../../src/base/counters.ts'
import type { Bus, EventRecord } from '../../src/bus/bus.ts'
import { LearningPlane, type PlaneOptions } from '../../src/learn/plane.ts'

export const DEFAULTS: PlaneOptions = {
  windowMs: 10_000,
  traceWaitMs: 10_000,
  latenessMs: 10_000,
  rebaselineMs: 3_600_000,
  maxSeries: 20_000,
  budgets: [1],
  ablate: [],
}

export type Subject = new (bus: Bus, registry: Registry, options: PlaneOptions) => { close(): void }

/** The learning plane, or what another module exports under the same name. */
export async function loadSubject(path: string): Promise<Subject> {
  if (path === '') return LearningPlane
  const other = (await import(pathToFileURL(path).href)) as { LearningPlane?: Subject }
  if (other.LearningPlane === undefined) throw new Error(`${path} has no LearningPlane`)
  return other.LearningPlane
}

/** What was said at one budget. Events without one belong to all. */
export function atBudget(events: readonly EventRecord[], budget: number): EventRecord[] {
  return events.filter(({ attributes }) => (attributes['otlier.budget'] ?? budget) === budget)
}
