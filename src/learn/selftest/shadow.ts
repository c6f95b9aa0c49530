//! A learning plane beside the running one, which hears copies of real windows and tells nobody but the self-test.
import { Registry } from '../../base/counters.ts'
import type { World } from '../../base/world.ts'
import { memoryBus } from '../../bus/memory.ts'
import { loadParts } from '../keep.ts'
import type { ServiceNode } from '../landscape.ts'
import { LearningPlane, type PlaneOptions } from '../plane.ts'
import { type Fault, inject } from './faults.ts'
import { partsOf, type Stretch } from './recorder.ts'

/** Of the time of this thread, while a self-test runs: the requests come first. */
const SHARE = 0.25
/** Suspects are those that an incident names so long after it opened, or at its end. */
const NAMED_AFTER_MS = 60_000

/** Thrown where the service stops in the middle. */
export class Stopped extends Error {}

/** Does the work in slices, and leaves the thread to others in between. */
export class Slices {
  readonly #world: World
  stopped = false
  /** CPU time in milliseconds: of all slices, and of the longest. */
  totalMs = 0
  longestMs = 0

  constructor(world: World) {
    this.#world = world
  }

  async slice<T>(act: () => T): Promise<T> {
    const startedMs = this.#world.cpu()
    const result = act()
    const spentMs = this.#world.cpu() - startedMs
    this.totalMs += spentMs
    this.longestMs = Math.max(this.longestMs, spentMs)
    await this.#world.sleep(spentMs * (1 / SHARE - 1))
    if (this.stopped) throw new Stopped()
    return result
  }
}

/** An incident that a shadow opened. */
export interface Opened {
  readonly id: string
  /** When it is told, by the clock of the windows. */
  readonly toldMs: number
  /** Names, likeliest first, as it said within a minute. */
  suspects: readonly string[]
}

/** A fault from the `onset`-th window of a stretch on. */
export interface Injection {
  readonly fault: Fault
  readonly onset: number
  readonly random: () => number
}

export interface Lived {
  readonly plane: LearningPlane
  readonly opened: readonly Opened[]
  /** Services that were part of an incident at any time. */
  readonly concerned: ReadonlySet<ServiceNode>
}

/** Lets a shadow live through the first `count` windows of a stretch. Rejects where the plane throws: that is a bug. */
export async function live(
  { windows, ...stretch }: Stretch,
  count: number,
  injection: Injection | null,
  options: PlaneOptions,
  slices: Slices,
): Promise<Lived> {
  const bugs: unknown[] = []
  const bus = memoryBus(error => bugs.push(error))
  const opened = new Map<string, Opened>()
  bus.listen('event', ({ name, attributes, observedMs }) => {
    if (name !== 'otlier.incident.opened' && name !== 'otlier.incident.updated') return
    const id = String(attributes['otlier.incident.id'])
    const suspects = attributes['otlier.incident.suspects'] as readonly string[]
    const known = opened.get(id)
    if (known !== undefined && observedMs - known.toldMs <= NAMED_AFTER_MS) known.suspects = suspects
    if (name.endsWith('opened')) opened.set(id, { id, toldMs: observedMs, suspects })
  })
  const plane = new LearningPlane(bus, new Registry(), { ...options, budgets: options.budgets.slice(0, 1) })
  const loading = loadParts(plane, await slices.slice(() => partsOf({ windows, ...stretch })))
  while (!(await slices.slice(() => loading.next())).done);
  const concerned = new Set<ServiceNode>()
  for (let at = 0; at < count; at++) {
    await slices.slice(() => {
      const copy = windows[at].unpack()
      const isIn = injection !== null && at >= injection.onset
      bus.publish('features', '', isIn ? inject(copy, injection.fault, injection.random) : copy)
    })
    if (bugs.length > 0) throw bugs[0]
    for (const { members } of plane.deciders[0].open)
      for (const { feature } of members.values()) {
        concerned.add(feature.place.service)
        if (feature.place.caller !== null) concerned.add(feature.place.caller)
      }
  }
  await bus.close()
  return { plane, opened: [...opened.values()], concerned }
}
