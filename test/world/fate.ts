//! What becomes of a span on its way out: lost or late, alone or with the whole export that it leaves in.
import { logUniform, under, unit } from './draws.ts'
import type { Pod } from './pods.ts'

/** How often a pod exports. */
export const EXPORT_MS = 5_000

// Of spans alone, and of whole exports. Together 0.5 % lost and 2 % late.
const LOST_SPANS = 0.0025
const LOST_EXPORTS = 0.0025
const LATE_SPANS = 0.01
const LATE_EXPORTS = 0.01

export const isLost = (address: number) => unit(under(address, 301)) < LOST_SPANS

/** How much later than at its end a span is ready to leave, in ms: mostly not at all. */
export const lateMs = (address: number) =>
  unit(under(address, 302)) < LATE_SPANS ? logUniform(under(address, 303), 5_000, 60_000) : 0

/** The number of the export in which a pod sends what is ready then. */
export const exportOf = (pod: Pod, readyMs: number) => Math.ceil((readyMs - pod.phaseMs) / EXPORT_MS)

export const isExportLost = (pod: Pod, slot: number) =>
  pod.exporterDead || unit(under(under(pod.address, slot), 304)) < LOST_EXPORTS

/** When an export arrives: a little after it is due, or a good while. In ms since the world began. */
export function arrivalMs(pod: Pod, slot: number): number {
  const own = under(pod.address, slot)
  const late = unit(under(own, 305)) < LATE_EXPORTS ? logUniform(under(own, 306), 5_000, 60_000) : 0
  return slot * EXPORT_MS + pod.phaseMs + 1 + 30 * unit(under(own, 307)) + late
}
