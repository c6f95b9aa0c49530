//! Sends requests through a running Otlier and compares what arrives: the same bytes, marks taken off.
import { expect } from 'vitest'
import type { Signal } from '../../src/flow/sink.ts'
import type { Backend } from '../kit/backend.ts'
import type { GrpcClient } from '../kit/client.ts'
import { concat, sameBytes, toHex } from '../oracle/bytes.ts'
import { minimalPrefixes, removeMarks, spansWithDetected } from '../oracle/marks.ts'

/** What was compared. */
export interface Compared {
  requests: number
  marks: number
  /** Requests that arrived; fewer than were sent where some were merged, more where some were split. */
  arrived: number
}

/**
 * Sends all requests in order, several under way at once, and holds the concatenation of what arrives for each signal against
 * the concatenation of what was sent. Otlier must deliver in order (one consumer) and have no larger batch to split.
 */
export async function compare(
  client: GrpcClient,
  backend: Backend,
  requests: readonly { readonly signal: Signal; readonly bytes: Uint8Array }[],
): Promise<Compared> {
  const before = backend.requests.length
  for (const { signal, bytes } of requests) {
    const reply = await client.export(signal, bytes)
    expect({ code: reply.code, message: reply.message }).toEqual({ code: 0, message: '' })
  }
  const expected = { traces: 0, metrics: 0, logs: 0 }
  for (const { signal, bytes } of requests) expected[signal] += bytes.length
  const arrivedOf = (signal: Signal) =>
    backend.requests.slice(before).filter(request => request.signal === signal && !isOwn(request.bytes))
  // Marks only add bytes: when as many have arrived as were sent, the last has, unless the end was marked.
  for (let waited = 0; waited < 400; waited++) {
    const whole = (['traces', 'metrics', 'logs'] as const).every(
      signal => arrivedOf(signal).reduce((sum, { bytes }) => sum + bytes.length, 0) >= expected[signal],
    )
    if (whole) break
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  await new Promise(resolve => setTimeout(resolve, 30))
  let marks = 0
  for (const signal of ['traces', 'metrics', 'logs'] as const) {
    const sent = concat(requests.filter(request => request.signal === signal).map(({ bytes }) => bytes))
    const arrived = concat(arrivedOf(signal).map(({ bytes }) => bytes))
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

/** Otlier's own events come beside the senders' logs. */
const isOwn = (bytes: Uint8Array) =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes('otlier.span.outlier')
