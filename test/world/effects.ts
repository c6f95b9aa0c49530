//! What a fault does to one request at the service at fault: how much slower, how likely to fail.
import { gauss, under } from './draws.ts'
import type { Fault } from './faults.ts'
import type { Pod } from './pods.ts'

/** By what factor a fault slows down the work of a request that begins then, at a pod of the service at fault. */
export function slower(
  { kind, size, fails, pod: place, fromMs, toMs }: Fault,
  pod: Pod,
  atMs: number,
  address: number,
) {
  if (kind === 'slow dependency' || kind === 'retry storm') return size
  if (kind === 'slow drift') return 1 + ((size - 1) * (atMs - fromMs)) / (toMs - fromMs)
  // Whoever waits for a core waits for none of the time, or for long.
  if (kind === 'cpu contention') return Math.max(1, size * Math.exp(0.4 * gauss(under(address, 6)) - 0.08))
  if (kind === 'bad release' && !fails && pod.place === place) return size
  return 1
}

/** The share of such requests that it makes fail. */
export function failing({ kind, size, fails, pod: place }: Fault, pod: Pod) {
  if (kind === 'error burst') return size
  // An overloaded callee turns away the more, the slower it is.
  if (kind === 'retry storm') return 0.06 * size
  return kind === 'bad release' && fails && pod.place === place ? size : 0
}
