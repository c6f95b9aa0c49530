//! When a checked request happened: the latest span end, data point time or record time in it, to the nanosecond.
import { readLength, readTag, skipUnknown, value } from './cursor.ts'
import { MESSAGES, type MessageType, REQUESTS, WIRE } from './fields.ts'

/** Which field of which message tells the time. A log record without a time has the time at which it was observed. */
const TIMES = new Map<MessageType, readonly number[]>([
  [MESSAGES.Span, [8]],
  [MESSAGES.NumberDataPoint, [3]],
  [MESSAGES.HistogramDataPoint, [3]],
  [MESSAGES.ExponentialHistogramDataPoint, [3]],
  [MESSAGES.SummaryDataPoint, [3]],
  [MESSAGES.LogRecord, [1, 11]],
])

/** Nanoseconds since 1970; 0 where nothing in the request carries a time. The framing must have been checked. */
export function latestTime(signal: keyof typeof REQUESTS, bytes: Uint8Array): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return latestIn(REQUESTS[signal], view, bytes, 0, bytes.length)
}

function latestIn(type: MessageType, view: DataView, bytes: Uint8Array, at: number, end: number): bigint {
  const times = TIMES.get(type)
  const found: bigint[] = times === undefined ? [] : times.map(() => 0n)
  let latest = 0n
  while (at < end) {
    at = readTag(bytes, at, end)
    const tag = value
    const number = tag >>> 3
    const wire = tag & 7
    const child = times === undefined && wire === WIRE.LEN ? type.byNumber[number]?.message : null
    if (child) {
      at = readLength(bytes, at, end)
      const stop = at + value
      const inside = latestIn(child, view, bytes, at, stop)
      if (inside > latest) latest = inside
      at = stop
      continue
    }
    const slot = wire === WIRE.FIXED64 ? (times?.indexOf(number) ?? -1) : -1
    if (slot >= 0) found[slot] = view.getBigUint64(at, true)
    at = skipUnknown(bytes, at, end, tag, 0)
    if (at < 0) break
  }
  const own = found.find(time => time > 0n) ?? 0n
  return own > latest ? own : latest
}
