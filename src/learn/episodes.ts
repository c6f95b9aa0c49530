//! Departures of calm times that would have been one incident: they are one peak in the record, and not as many as there are places.

import type { Feature } from './feature.ts'
import type { ServiceNode } from './landscape.ts'

/** What is so far apart is not told together. */
const APART_MS = 90_000
/** Departures that end later than this after the others are peaks of their own. */
const OPEN_MS = 5 * 60_000
const MOST_OPEN = 100

interface Episode {
  readonly services: Set<ServiceNode>
  sinceMs: number
  untilMs: number
  peakMs: number
  peak: number
}

/** What is called an incident gathers by the call graph and by time (`gather.ts`); here the same is done coarsely, after the fact. */
export class Episodes {
  readonly #open: Episode[] = []
  readonly #note: (peakMs: number, peak: number) => void

  constructor(note: (peakMs: number, peak: number) => void) {
    this.#note = note
  }

  /** A departure has ended. */
  add({ place, sinceMs, peakMs, peak }: Feature, nowMs: number): void {
    const own = place.caller === null ? [place.service] : [place.service, place.caller]
    let episode = this.#open.find(
      known =>
        sinceMs <= known.untilMs + APART_MS &&
        known.sinceMs <= nowMs + APART_MS &&
        own.some(service => isNear(service, known.services)),
    )
    if (episode === undefined) {
      episode = { services: new Set(), sinceMs, untilMs: nowMs, peakMs, peak }
      this.#open.push(episode)
      if (this.#open.length > MOST_OPEN) this.#end(this.#open[0])
    }
    for (const service of own) episode.services.add(service)
    episode.sinceMs = Math.min(episode.sinceMs, sinceMs)
    episode.untilMs = Math.max(episode.untilMs, nowMs)
    if (peak <= episode.peak) return
    episode.peak = peak
    episode.peakMs = peakMs
  }

  /** After each window. */
  turn(nowMs: number): void {
    for (const episode of [...this.#open]) if (nowMs - episode.untilMs >= OPEN_MS) this.#end(episode)
  }

  #end(episode: Episode): void {
    this.#open.splice(this.#open.indexOf(episode), 1)
    this.#note(episode.peakMs, episode.peak)
  }
}

const isNear = (service: ServiceNode, known: ReadonlySet<ServiceNode>): boolean => {
  if (known.has(service)) return true
  for (const other of known) if (other.callees.has(service) || service.callees.has(other)) return true
  return false
}
