//! How often each operation of the simulated shop is asked, and by whom: the calls between services follow from the rates.
import { named, shuffledBy, under, unit } from './draws.ts'
import { addCall, type Operation, type Topology } from './topology.ts'

// Rates are dealt out first, log-uniform, and callers found who can bear them: so no tier is all hot or all cold.
export function setRates(topology: Topology, root: number, count: number) {
  const at = named(root, 'rates')
  const entries = topology.operations.filter(({ service, kind }) => service.tier === 0 || kind === 'internal')
  topology.entries.push(...entries)
  const deal = (list: Operation[], key: number) => {
    for (const [n, one] of shuffledBy(key, list).entries())
      one.rate = 0.02 * 1000 ** ((n + 0.5) / list.length)
  }
  deal(entries, under(at, 1))
  const others = topology.operations.filter(one => !entries.includes(one))
  deal(others, under(at, 2))
  for (const operation of others) {
    const own = under(under(at, 3), operation.id)
    const callers = Math.min(3, 1 + Math.floor(-Math.log2(1 - unit(under(own, 0))) / 2))
    const asked = operation.rate / callers
    operation.rate = 0
    for (let n = 0; n < callers; n++) {
      const caller = findCaller(topology, operation, asked, under(own, 1 + n), count)
      if (caller === null) continue
      const missing = caller.rate * (1 - caller.hitShare)
      const mean = Math.min(3, Math.max(0.02, asked / missing))
      addCall(topology, caller, operation, under(own, 10 + n), mean)
      operation.rate += missing * mean
    }
  }
}

function findCaller(
  topology: Topology,
  operation: Operation,
  rate: number,
  at: number,
  count: number,
): Operation | null {
  let best: Operation | null = null
  let bestWeight = 0
  for (const one of topology.operations) {
    const up = operation.service.tier - one.service.tier
    if (up <= 0 || one.calls.length > 5 || one.calls.some(({ to }) => to === operation)) continue
    const mean = rate / (one.rate * (1 - one.hitShare))
    const fits = mean < 0.03 ? 0.02 : mean <= 1 ? 1 : mean <= 2.5 ? 0.4 : 0.0005 / mean
    const near = up === 1 ? 24 : 1
    const weight = (fits * near) / (-Math.log(1 - unit(under(at, one.id % (count * 50)))) + 1e-9)
    if (weight > bestWeight) [best, bestWeight] = [one, weight]
  }
  return best
}
