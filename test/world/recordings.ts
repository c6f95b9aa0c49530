//! The fault-free minutes of the recordings of real systems, as durations by series and window, and how much these change.
import { createReadStream, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createGunzip } from 'node:zlib'

const DATA = fileURLToPath(new URL('../../../shared/data', import.meta.url))
export const RECORDINGS = ['ob-0822', 'tt-0129'].filter(name =>
  existsSync(join(DATA, name, 'traces.jsonl.gz')),
)

/** Durations in ms by series, in order of their start; windows by number. */
export type Windows = Map<number, Map<string, number[]>>

/** Labels are off by up to 90 s, and a fault lasts about three minutes: from so long before to so long after, nothing is fault-free. */
const BEFORE_MS = 30_000
const AFTER_MS = 240_000

/** The windows of a recording in which no fault can have been. Times in ms since 1970. */
export async function faultFree(name: string, widthMs: number): Promise<Windows> {
  const labels = JSON.parse(readFileSync(join(DATA, name, 'labels.json'), 'utf8')) as { at: string }[]
  const faults = labels.map(({ at }) => Date.parse(at))
  const windows: Windows = new Map()
  const input = createReadStream(join(DATA, name, 'traces.jsonl.gz')).pipe(createGunzip())
  for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY }))
    for (const { resource, scopeSpans } of JSON.parse(line).resourceSpans) {
      const service = resource.attributes.find((one: { key: string }) => one.key === 'service.name').value
        .stringValue
      for (const { spans } of scopeSpans)
        for (const span of spans) {
          const startMs = Number(BigInt(span.startTimeUnixNano) / 1_000n) / 1_000
          const window = Math.floor(startMs / widthMs)
          const [fromMs, toMs] = [window * widthMs, (window + 1) * widthMs]
          if (faults.some(atMs => toMs > atMs - BEFORE_MS && fromMs < atMs + AFTER_MS)) continue
          const durationMs = Number(BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)) / 1e6
          note(windows, window, `${service} ${span.name} ${span.kind}`, durationMs)
        }
    }
  return windows
}

export function note(windows: Windows, window: number, series: string, durationMs: number) {
  let here = windows.get(window)
  if (here === undefined) windows.set(window, (here = new Map()))
  const list = here.get(series)
  if (list === undefined) here.set(series, [durationMs])
  else list.push(durationMs)
}

/**
 * From a window to the next, by how much a quantile of a series changes: logarithms, without their sign. Only where both have
 * `least` values, and only the first `least` of each count, so that busy and idle systems can be compared.
 */
export function changes(windows: Windows, share: number, least: number): number[] {
  const list: number[] = []
  for (const [window, series] of windows)
    for (const [name, now] of series) {
      const next = windows.get(window + 1)?.get(name)
      if (next === undefined || now.length < least || next.length < least) continue
      list.push(
        Math.abs(Math.log(quantile(next.slice(0, least), share) / quantile(now.slice(0, least), share))),
      )
    }
  return list.sort((a, b) => a - b)
}

export const quantile = (values: number[], share: number) =>
  values.sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(share * values.length))]
