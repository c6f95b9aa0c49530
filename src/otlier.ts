//! The wiring: read from top to bottom it is the architecture.
import type { Registry } from './base/counters.ts'
import type { Log } from './base/log.ts'
import type { World } from './base/world.ts'
import type { Bus } from './bus/bus.ts'
import { memoryBus } from './bus/memory.ts'
import { type Inspector, type InspectOptions, inspect } from './flow/inspect.ts'
import type { CheckedBatch, Sink } from './flow/sink.ts'
import { Learner, type LearnOptions } from './learn/learner.ts'

/** What detection is told by the configuration. */
export type Detecting = Omit<InspectOptions, 'latestMs'> & LearnOptions

export interface Planes {
  readonly bus: Bus
  readonly inspector: Inspector
  readonly learner: Learner
}

/** Both planes over one bus: what `otlier run` and `otlier replay` share to the line. */
export function planes(
  next: Sink<CheckedBatch>,
  world: World,
  log: Log,
  registry: Registry,
  options: Detecting,
  latestMs: () => number,
): Planes {
  const bus = memoryBus(error => log.error({ error }, 'a listener on the bus failed'))
  const learner = new Learner(bus, registry, options)
  const inspector = inspect(next, world, bus, log, registry, { ...options, latestMs })
  return { bus, inspector, learner }
}
