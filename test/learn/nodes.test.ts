//! Laws of nodes: what all pods of a machine have in common is the machine's, a service is not excused by itself, and small moods are not believed.
import { expect, test } from 'vitest'
import type { Pod, ServiceNode } from '../../src/learn/landscape.ts'
import { Nodes } from '../../src/learn/nodes.ts'

const service = (name: string) => ({ name }) as unknown as ServiceNode
const pod = (of: ServiceNode, node: string) =>
  ({ service: of, key: { attributes: node === '' ? {} : { 'k8s.node.name': node } } }) as unknown as Pod

const [a, b, c, d, e] = ['a', 'b', 'c', 'd', 'e'].map(service)
const noisy = [a, b, c, d].map(of => pod(of, 'one'))
const quiet = [a, b, c, e].map(of => pod(of, 'two'))

/** What is said of each node's pods after some windows in which each pod has so many samples, of a spread of a fifth, and lies so far above. */
function shifts(shown: (pod: Pod) => number, samples = 20): (of: Pod) => number {
  const nodes = new Nodes()
  for (let n = 0; n < 6; n++)
    nodes.window(
      [...noisy, ...quiet].map(one => [
        one,
        { residual: samples * shown(one), variance: samples * 0.2, n: samples },
      ]),
    )
  return of => nodes.shiftOf(of)
}

test('a machine that slows down all its pods by 2.7 is believed to, by each of them and by nobody elsewhere', () => {
  const shiftOf = shifts(one => (noisy.includes(one) ? 1 : 0))
  for (const one of noisy) {
    expect(shiftOf(one)).toBeGreaterThan(0.9)
    expect(shiftOf(one)).toBeLessThan(1.1)
  }
  for (const one of quiet) expect(Math.abs(shiftOf(one))).toBeLessThan(0.05)
})

test('a service that is slow alone is not excused by itself', () => {
  const shiftOf = shifts(one => (one.service === a ? 1.5 : 0))
  expect(Math.abs(shiftOf(noisy[0]))).toBeLessThan(0.05)
})

test('a mood of a twentieth is believed in part only, and of a pod on no machine nothing is said', () => {
  const shiftOf = shifts(() => 0.05, 3)
  expect(shiftOf(noisy[0])).toBeGreaterThan(0.01)
  expect(shiftOf(noisy[0])).toBeLessThan(0.04)
  expect(shiftOf(pod(e, ''))).toBe(0)
})

test('in one calm night few samples are enough to tell a noisy machine from a quiet one', () => {
  const shiftOf = shifts(one => (noisy.includes(one) ? 1 : 0), 2)
  expect(shiftOf(noisy[0])).toBeGreaterThan(0.75)
})
