//! What is new in services that had been known for a while: a version, an operation, a call to another service.

import { clip } from '../base/words.ts'
import type { ChangeRecord } from '../bus/accounts.ts'
import type { Landscape, ServiceNode } from './landscape.ts'

/** In a service that has been known for less than this everything is new, and nothing is news. */
const SETTLED_MS = 10 * 60_000
/** The latest are kept. */
const MOST_CHANGES = 500
const MOST_CHARACTERS = 300

interface Known {
  series: number
  pods: number
  readonly versions: Set<string>
  callees: number
}

export class Changes {
  readonly #known = new WeakMap<ServiceNode, Known>()
  readonly #latest: ChangeRecord[] = []

  /** After each window. */
  look(landscape: Landscape, nowMs: number): void {
    for (const service of landscape.services.values()) {
      const known = this.#known.get(service)
      if (known === undefined) {
        this.#known.set(service, knownOf(service))
        continue
      }
      const isNews = nowMs - service.firstSeenMs >= SETTLED_MS
      const tell = (what: string) => {
        if (isNews) this.#tell({ atMs: nowMs, service: service.name, what: clip(what, MOST_CHARACTERS) })
      }
      for (const { key } of service.series.slice(known.series)) tell(`a new operation: ${key.operation}`)
      known.series = service.series.length
      if (service.pods.size !== known.pods) {
        known.pods = service.pods.size
        for (const version of versionsOf(service)) {
          if (known.versions.has(version)) continue
          known.versions.add(version)
          tell(`a new version: ${version}`)
        }
      }
      if (service.callees.size === known.callees) continue
      for (const callee of [...service.callees].slice(known.callees))
        tell(`it calls ${callee.name} for the first time`)
      known.callees = service.callees.size
    }
  }

  /** Something was forgotten: what is new is told from what is left. To be called when all that is new has been. */
  forgot(landscape: Landscape): void {
    for (const service of landscape.services.values())
      if (this.#known.has(service)) this.#known.set(service, knownOf(service))
  }

  /** What changed in these services after `fromMs` and by `untilMs`, of all where none is named. Latest last. */
  between(fromMs: number, untilMs: number, services: ReadonlySet<string> | null): ChangeRecord[] {
    return this.#latest.filter(
      ({ atMs, service }) => atMs > fromMs && atMs <= untilMs && (services?.has(service) ?? true),
    )
  }

  #tell(change: ChangeRecord): void {
    this.#latest.push(change)
    if (this.#latest.length > MOST_CHANGES) this.#latest.shift()
  }
}

const knownOf = (service: ServiceNode): Known => ({
  series: service.series.length,
  pods: service.pods.size,
  versions: versionsOf(service),
  callees: service.callees.size,
})

/** Of those that run. Bounded by the number of pods that the landscape keeps. */
function versionsOf({ pods }: ServiceNode): Set<string> {
  const versions = new Set<string>()
  for (const { key } of pods) {
    const version = key.attributes['service.version']
    if (version !== undefined) versions.add(version)
  }
  return versions
}
