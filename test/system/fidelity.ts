//! Sends requests through a running Otlier and compares what arrives: the same bytes, marks taken off.
import { expect } from 'vitest'
import { SIGNALS, type Signal } from '../../src/flow/sink.ts'
import type { Backend } from '../kit/backend.ts'
import type { GrpcClient } from '../kit/client.ts'
import { concat, places, sameBytes, toHex, varintField } from '../oracle/bytes.ts'
import { minimalPrefixes, removeMarks, spansWithDetected } from '../oracle/marks.ts'

/** What was compared. */
export interface Compared {
  requests: number
  marks: number
  /** Requests that arrived; fewer than were sent where some were merged, more where some were split. */
  arrived: number
}

/** Stands at the end of what is sent of a signal: an unknown field of the request, which Otlier forwards like any other. */
const LAST_FIELD = 1000
let comparisons = 0

/**
 * Sends all requests in order, and holds the concatenation of what arrives for each signal against the concatenation of what was
 * sent. Otlier must deliver in order (one consumer) and have no larger batch to split.
 */
export async function compare(
  client: GrpcClient,
  backend: Backend,
  requests: readonly { readonly signal: Signal; readonly bytes: Uint8Array }[],
): Promise<Compared> {
  const before = backend.requests.length
  const last = varintField(LAST_FIELD, ++comparisons)
  const signals = SIGNALS.filter(signal => requests.some(request => request.signal === signal))
  const all = [...requests, ...signals.map(signal => ({ signal, bytes: last }))]
  for (const { signal, bytes } of all) {
    const reply = await client.export(signal, bytes)
    expect({ code: reply.code, message: reply.message }).toEqual({ code: 0, message: '' })
  }
  const arrivedOf = (signal: Signal) => {
    const requests = backend.requests.slice(before).filter(request => request.signal === signal)
    const bytes = concat(requests.map(request => request.bytes))
    return signal === 'logs' ? withoutOwn(bytes) : bytes
  }
  const isThere = (signal: Signal) => sameBytes(arrivedOf(signal).subarray(-last.length), last)
  for (let waited = 0; waited < 2000 && !signals.every(isThere); waited++) {
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  let marks = 0
  for (const signal of signals) {
    const sent = concat(all.filter(request => request.signal === signal).map(({ bytes }) => bytes))
    const arrived = arrivedOf(signal)
    if (sameBytes(sent, arrived)) continue
    const leaveAlone = spansWithDetected(sent)
    const removed = removeMarks(arrived, { leaveAlone })
    marks += removed.marks.length
    const wanted = minimalPrefixes(
      sent,
      removed.marks.map(mark => mark.index),
    )
    if (!sameBytes(removed.bytes, wanted)) expect(toHex(removed.bytes)).toBe(toHex(wanted))
  }
  return { requests: requests.length, marks, arrived: backend.requests.length - before }
}

/** Otlier's own events go where the senders' logs go, between them: whole ResourceLogs, which are left out here. */
function withoutOwn(bytes: Uint8Array): Uint8Array {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (!text.includes('otlier.span.outlier')) return bytes
  return concat(
    places(bytes).flatMap(({ start, end }) =>
      text.subarray(start, end).includes('otlier.span.outlier') ? [] : [bytes.subarray(start, end)],
    ),
  )
}
