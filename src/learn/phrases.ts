//! Incidents in words: what is wrong, how much against what is normal, since when, and because of what.
import { clip, duration, number } from '../base/words.ts'
import { oddsZ } from '../detect/significance.ts'
import type { Sighting as Feature } from './feature.ts'

const MOST = 200

/** `14:03:20 UTC`. */
export const clock = (ms: number): string => `${new Date(ms).toISOString().slice(11, 19)} UTC`

export const percent = (share: number): string => `${number(100 * Math.max(0, share))} %`

const hours = (count: number): string => (count < 48 ? `${count} h` : `${number(count / 24)} days`)

/** What one feature shows, with its numbers: `own time 19 ms, normally 5.8 ms`. */
export function phrase(feature: Feature): string {
  const { class: kind, place } = feature
  const { level, shift, n } = feature.judged[feature.scale]
  const normal = Math.exp(level)
  const now = Math.exp(level + shift)
  const times = `${duration(now)}, normally ${duration(normal)} (${number(Math.exp(shift))} times)`
  switch (kind) {
    case 'service self':
    case 'operation self':
      return `own time ${times}${place.series === null ? '' : ` in ${place.series.key.operation}`}`
    case 'service drift':
      return `own time ${times}, slowly risen for ${hours(n)}`
    case 'pod self':
    case 'young pod self':
      return `pod ${place.pod?.key.name} takes ${number(Math.exp(shift))} times as long as its siblings`
    case 'edge gap':
      return `${place.caller?.name} waits ${times} for the way to ${place.service.name} and back`
    case 'peer duration':
      return `${place.target} answers ${place.caller?.name} in ${times}`
    case 'service failure':
    case 'operation failure':
      return `${percent(level + shift)} fail${place.series === null ? '' : ` in ${place.series.key.operation}`}, normally ${percent(level)}`
    case 'pod failure':
      return `${percent(level + shift)} fail in pod ${place.pod?.key.name}, normally ${percent(level)}`
    case 'edge failure':
      return `${percent(level + shift)} of the calls from ${place.caller?.name} to ${place.target} fail, normally ${percent(level)}`
    case 'service unseen':
      return `${percent(level + shift)} of the calls to it show no span of it, normally ${percent(level)}`
    case 'call missing':
    case 'step missing':
      return `${place.series?.key.operation} calls ${place.target} in ${percent(level - shift)} of its requests, normally in ${percent(level)}`
    case 'entry rate':
      return `${number(level / Math.exp(shift))} requests instead of ${number(level)}`
  }
}

/** One line for a tired person. `shown`: what a feature shows. `contributors`: what sets the hurt ones apart, the first says for whom. */
export function title(
  service: string,
  shown: string,
  sinceMs: number,
  contributors: readonly string[],
): string {
  const whom = contributors.length === 0 ? '' : `, where ${contributors[0].replace(/ \([^(]*\)$/, '')}`
  return clip(`${service}: ${shown}, since ${clock(sinceMs)}${whom}`, MOST)
}

/** A pod must lie so far out against its siblings to be named. */
const POD_Z = 3
/** Of a pod that fails: so many times as often as its siblings. */
const POD_RATIO = 3
/** And so far out, in standard errors. */
const SIBLINGS_Z = 2.5

/**
 * What sets the hurt ones apart: a pod against its siblings, and its version or node where no sibling shares it.
 * @param pods the pods' features of the first suspect
 * @returns what is told, and the values in it
 */
export function contributors(
  pods: readonly Feature[],
  nowMs: number,
): { readonly texts: string[]; readonly values: readonly string[] } {
  const here = pods.filter(
    ({ place, judged }) => place.pod !== null && judged[1].n > 0 && place.pod.lastSeenMs >= nowMs - 60_000,
  )
  let best: { feature: Feature; how: string; z: number } | null = null
  for (const feature of here) {
    const z = Math.max(feature.judged[1].z, feature.judged[2].z)
    if (z < POD_Z || (best !== null && z <= best.z)) continue
    const { shift, level } = feature.judged[1]
    if (feature.name !== 'failure') {
      best = { feature, z, how: `${number(Math.exp(shift))} times as slow as its siblings` }
      continue
    }
    let failed = 0
    let whole = 0
    for (const other of here) {
      if (other === feature || other.name !== 'failure') continue
      failed += other.judged[1].n * (other.judged[1].level + other.judged[1].shift)
      whole += other.judged[1].n
    }
    const elsewhere = whole > 0 ? failed / whole : 0
    if (whole === 0 || shift <= 0 || level + shift < POD_RATIO * elsewhere) continue
    const { n } = feature.judged[1]
    const own = n * (level + shift)
    // One or two that failed more in a pod are chance, as long as its siblings fail as well.
    if (oddsZ(own, n - own, failed, whole - failed) < SIBLINGS_Z) continue
    best = { feature, z, how: `${percent(level + shift)} fail, ${percent(elsewhere)} elsewhere` }
  }
  const pod = best?.feature.place.pod
  if (best === null || pod == null) return { texts: [], values: [] }
  const siblings = [...pod.service.pods].filter(other => other !== pod && other.lastSeenMs >= nowMs - 60_000)
  const found: string[] = []
  const values = [pod.key.name]
  // A version says more than a node, and a node more than a pod.
  for (const name of ['service.version', 'k8s.node.name', 'cloud.availability_zone']) {
    const value = pod.key.attributes[name]
    if (
      value !== undefined &&
      siblings.length > 0 &&
      siblings.every(other => other.key.attributes[name] !== value)
    ) {
      found.push(clip(`${name}=${value} (${best.how})`, MOST))
      values.push(value)
    }
  }
  found.push(clip(`k8s.pod.name=${pod.key.name} (${best.how})`, MOST))
  return { texts: found, values }
}
