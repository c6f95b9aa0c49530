//! What the pods of a node have in common: a noisy machine slows down all of them, and that is no fault of any service.
import type { Pod, ServiceNode } from './landscape.ts'

/** Of a node's pods the last few windows count. */
const KEPT = 0.5
/** Standard deviation of a pod's own level from window to window, as a logarithm. */
const POD_SPREAD = 0.15
/** The same of a node that is quiet, and of one that is noisy, as one in a hundred is at any moment. */
const QUIET_SPREAD = 0.1
const NOISY_SPREAD = 0.7
const NOISY_SHARE = 0.01
/** One pod says no more of its node than that it is so much slower. */
const CLIP = 1.2

interface Said {
  weight: number
  sum: number
}

/**
 * How much slower each node makes its pods, told from the pods of other services on it. Shrunk towards not at all, and hardly where they
 * leave no doubt that it is noisy: most nodes are quiet, and what a noisy one does is large (a mixture of two normal laws).
 */
export class Nodes {
  readonly #ofPod = new Map<Pod, Said>()
  readonly #ofNode = new Map<string, Map<ServiceNode, Said>>()

  /**
   * The next window begins. `pods`: each with its shift against the levels of its series, the variance of that, and its samples.
   */
  window(pods: Iterable<readonly [Pod, { residual: number; variance: number; n: number }]>): void {
    for (const [pod, said] of this.#ofPod) {
      said.weight *= KEPT
      said.sum *= KEPT
      if (said.weight < 1e-3) this.#ofPod.delete(pod)
    }
    for (const [pod, { residual, variance, n }] of pods) {
      if (n === 0 || nodeOf(pod) === '') continue
      let said = this.#ofPod.get(pod)
      if (said === undefined) this.#ofPod.set(pod, (said = { weight: 0, sum: 0 }))
      const weight = 1 / (variance / (n * n) + POD_SPREAD ** 2)
      said.weight += weight
      said.sum += weight * Math.max(-CLIP, Math.min(CLIP, residual / n))
    }
    this.#ofNode.clear()
    for (const [pod, said] of this.#ofPod) {
      const node = nodeOf(pod)
      let services = this.#ofNode.get(node)
      if (services === undefined) this.#ofNode.set(node, (services = new Map()))
      const own = services.get(pod.service)
      if (own === undefined) services.set(pod.service, { ...said })
      else {
        own.weight += said.weight
        own.sum += said.sum
      }
    }
  }

  /** The logarithm of the factor by which the node of a pod slows it down, as the pods of other services there show. */
  shiftOf(pod: Pod): number {
    let weight = 0
    let sum = 0
    const services = this.#ofNode.get(nodeOf(pod))
    if (services !== undefined)
      for (const [service, said] of services) {
        if (service === pod.service) continue
        weight += said.weight
        sum += said.sum
      }
    return weight > 0 ? believed(sum / weight, 1 / weight) : 0
  }
}

/** What is believed of a node's shift, of which a mean with this variance was seen: the mean of its law afterwards. */
function believed(mean: number, variance: number): number {
  const quiet = QUIET_SPREAD ** 2 + variance
  const noisy = NOISY_SPREAD ** 2 + variance
  const exponent = (mean * mean * (1 / quiet - 1 / noisy)) / 2
  const odds = (NOISY_SHARE / (1 - NOISY_SHARE)) * Math.sqrt(quiet / noisy) * Math.exp(Math.min(50, exponent))
  const isNoisy = odds / (1 + odds)
  return mean * ((isNoisy * NOISY_SPREAD ** 2) / noisy + ((1 - isNoisy) * QUIET_SPREAD ** 2) / quiet)
}

const nodeOf = ({ key }: Pod): string => key.attributes['k8s.node.name'] ?? key.attributes['host.name'] ?? ''
