//! Sends requests through a running Otlier and compares what arrives: the same bytes, marks taken off.
import { expect } from 'vitest'
import { SIGNALS, type Signal } from '../../src/flow/sink.ts'
import type { Backend } from '../kit/backend.ts'
import { concat, places, sameBytes, toHex, varintField } from '../oracle/bytes.ts'
import { minimalPrefixes, removeMarks, spansWithDetected } from '../oracle/marks.ts'

interface Request {
  readonly signal: Signal
  readonly bytes: Uint8Array
}

/** Sends a request; a code other than 0 says that it was not taken. */
interface Client {
  export(signal: Signal, bytes: Uint8Array): Promise<{ readonly code: number; readonly message: string }>
}

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

/** What was sent of a signal, and the requests in which it arrived. */
interface Passed {
  readonly signal: Signal
  readonly sent: Uint8Array
  readonly parts: readonly Uint8Array[]
}

/** Sends all requests in order, and waits until everything has arrived. Otlier must deliver in order: with one consumer. */
export async function pass(
  client: Client,
  backend: Backend,
  requests: readonly Request[],
): Promise<readonly Passed[]> {
  const before = backend.requests.length
  const last = varintField(LAST_FIELD, ++comparisons)
  const signals = SIGNALS.filter(signal => requests.some(request => request.signal === signal))
  const all = [...requests, ...signals.map(signal => ({ signal, bytes: last }))]
  for (const { signal, bytes } of all) {
    const reply = await client.export(signal, bytes)
    expect({ code: reply.code, message: reply.message }).toEqual({ code: 0, message: '' })
  }
  const partsOf = (signal: Signal) => {
    const parts = backend.requests.slice(before).filter(request => request.signal === signal)
    return parts.map(({ bytes }) => (signal === 'logs' ? withoutOwn(bytes) : bytes))
  }
  const isThere = (signal: Signal) => sameBytes(concat(partsOf(signal)).subarray(-last.length), last)
  for (let waited = 0; waited < 2000 && !signals.every(isThere); waited++) {
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  return signals.map(signal => ({
    signal,
    sent: concat(all.filter(request => request.signal === signal).map(({ bytes }) => bytes)),
    parts: partsOf(signal),
  }))
}

/**
 * Passes the requests, and holds the concatenation of what arrives for each signal against the concatenation of what was sent. None may
 * be so large that Otlier splits it.
 */
export async function compare(
  client: Client,
  backend: Backend,
  requests: readonly Request[],
): Promise<Compared> {
  const before = backend.requests.length
  let marks = 0
  for (const { sent, parts } of await pass(client, backend, requests)) {
    const arrived = concat(parts)
    if (sameBytes(sent, arrived)) continue
    const both = withoutMarks(sent, arrived)
    marks += both.marks
    if (!sameBytes(both.arrived, both.sent)) expect(toHex(both.arrived)).toBe(toHex(both.sent))
  }
  return { requests: requests.length, marks, arrived: backend.requests.length - before }
}

/** What arrived less its marks, and what was sent as it then has to be: with minimal lengths above the spans that were marked. */
export function withoutMarks(sent: Uint8Array, arrived: Uint8Array) {
  const { bytes, marks } = removeMarks(arrived, { leaveAlone: spansWithDetected(sent) })
  const marked = marks.map(({ index }) => index)
  return { arrived: bytes, sent: minimalPrefixes(sent, marked), marks: marks.length }
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
