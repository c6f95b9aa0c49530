//! Where a self-test may inject what: places with enough traffic, at which the fault would be one.
import type { FeatureWindow } from '../../bus/bus.ts'
import type { ServiceNode } from '../landscape.ts'
import type { Series } from '../series.ts'
import type { Fault, Size } from './faults.ts'
import type { Lived } from './shadow.ts'

/** The kinds and sizes that are injected, in the order of the report. */
export const SIZES: readonly Size[] = [
  { kind: 'slow service', factor: 2 },
  { kind: 'slow service', factor: 3 },
  { kind: 'slow service', factor: 5 },
  { kind: 'slow operation', factor: 3 },
  { kind: 'slow way', addedNs: 20e6 },
  { kind: 'slow way', addedNs: 100e6 },
  { kind: 'failures', share: 0.1 },
  { kind: 'failures', share: 0.5 },
  { kind: 'silence' },
]

/** Fewer hurt spans a minute are hardly anybody's fault to find. */
const LEAST_A_MINUTE = 10
/** What is slow costs at least this much more. */
const LEAST_ADDED_NS = 1e6

/** What a stretch has of each series, by id: traces, and calls whose other side was seen. */
export class Traffic {
  readonly #of = new Map<string, { traces: number; answered: number }>()
  #ms = 0

  add({ cells, series, startMs, endMs }: FeatureWindow): void {
    this.#ms += endMs - startMs
    for (let row = 0; row < cells.length; row++) {
      const { id } = series[cells.series[row]]
      let own = this.#of.get(id)
      if (own === undefined) this.#of.set(id, (own = { traces: 0, answered: 0 }))
      own.traces += cells.traces[row]
      own.answered += cells.answered[row]
    }
  }

  /** Of several series, a minute. */
  perMinute(of: readonly Series[], what: 'traces' | 'answered'): number {
    let sum = 0
    for (const { key } of of) sum += this.#of.get(key.id)?.[what] ?? 0
    return this.#ms === 0 ? 0 : (sum * 60_000) / this.#ms
  }
}

/** All faults of a size that fit into a stretch, in an order that depends on nothing else. */
export function faultsOf(size: Size, { plane, concerned }: Lived, traffic: Traffic): Fault[] {
  // What is next to an incident would be taken for a part of it.
  const isNear = (service: ServiceNode): boolean =>
    [service, ...service.callers, ...service.callees].some(each => concerned.has(each))
  const services = [...plane.evidence.landscape.services.values()].filter(service => !isNear(service))
  return services.flatMap(service => faultsAt(size, service, traffic))
}

function faultsAt(size: Size, service: ServiceNode, traffic: Traffic): Fault[] {
  const own = service.series.filter(({ isCall, key }) => !isCall && !key.overflow)
  const isEnough = (of: readonly Series[], share = 1) =>
    traffic.perMinute(of, 'traces') * share >= LEAST_A_MINUTE
  const callsOf = [...service.callers].map(caller =>
    caller.series.filter(({ callee, isAsync }) => callee === service && !isAsync),
  )
  const isAnswered = (calls: readonly Series[]) => traffic.perMinute(calls, 'answered') >= LEAST_A_MINUTE
  const at = (series: readonly Series[], callers: readonly Series[] = []): Fault => ({
    service: service.name,
    size,
    series: new Set(series.map(({ key }) => key.id)),
    callers: new Set(callers.map(({ key }) => key.id)),
  })
  const isSlower = (of: readonly Series[], factor: number) =>
    of.some(({ self }) => self.samples > 0 && Math.exp(self.mean) * (factor - 1) >= LEAST_ADDED_NS)
  switch (size.kind) {
    case 'slow service':
      return isEnough(own) && isSlower(own, size.factor) ? [at(own)] : []
    case 'slow operation':
      return own.filter(one => isEnough([one]) && isSlower([one], size.factor)).map(one => at([one]))
    case 'slow way':
      return callsOf.flatMap(calls => {
        const isDoubled = calls.every(({ gap }) => Math.exp(gap.mean) <= size.addedNs)
        return isAnswered(calls) && isDoubled ? [at(calls)] : []
      })
    case 'failures':
      return isEnough(own, size.share) ? [at(own)] : []
    case 'silence': {
      const calls = callsOf.flat()
      return isAnswered(calls) ? [at(service.series, calls)] : []
    }
  }
}

export function sizeWords(size: Size): string {
  if (size.kind === 'slow way') return `+${size.addedNs / 1e6} ms`
  if (size.kind === 'failures') return `${size.share * 100} %`
  return size.kind === 'silence' ? '' : `x${size.factor}`
}
