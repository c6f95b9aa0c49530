//! An exporter without sockets whose answers a test writes, for what stands before it.

import { Failure } from '../../src/base/errors.ts'
import type { World } from '../../src/base/world.ts'
import type { Answer, Exporter, ExportRequest } from '../../src/flow/sink.ts'

export const DELIVERED: Answer = { kind: 'delivered', rejectedItems: 0, message: '' }
export const BUSY: Answer = { kind: 'busy', retryAfterMs: null, cause: new Failure('OTLIER_UNREACHABLE') }
export const REFUSED: Answer = { kind: 'refused', cause: new Failure('OTLIER_DESTINATION_REFUSED') }
export const TOO_LARGE: Answer = { kind: 'too_large', cause: new Failure('OTLIER_DESTINATION_TOO_LARGE') }
export const UNSUPPORTED: Answer = {
  kind: 'unsupported',
  cause: new Failure('OTLIER_DESTINATION_UNSUPPORTED'),
}

export const partial = (rejectedItems: number, message = ''): Answer => ({
  kind: 'delivered',
  rejectedItems,
  message,
})
export const busyFor = (retryAfterMs: number): Answer => ({
  kind: 'busy',
  retryAfterMs,
  cause: new Failure('OTLIER_DESTINATION_BUSY'),
})

export interface Seen extends ExportRequest {
  /** Monotonic time at which it was sent. */
  readonly atMs: number
  readonly bytes: Uint8Array
}

export interface ScriptedExporter extends Exporter {
  readonly seen: readonly Seen[]
  /** Requests that wait for `answer` to resolve. */
  readonly open: number
  /** The most there were at once. */
  readonly mostOpen: number
  readonly closed: boolean
  /** What it says to each request. May be changed at any time. */
  answer: (request: Seen) => Answer | Promise<Answer>
}

export function scriptedExporter(
  world: World,
  answer: ScriptedExporter['answer'],
  id = 'otlp/test',
): ScriptedExporter {
  const seen: Seen[] = []
  let open = 0
  let mostOpen = 0
  let closed = false
  const exporter: ScriptedExporter = {
    id,
    seen,
    answer,
    get open() {
      return open
    },
    get mostOpen() {
      return mostOpen
    },
    get closed() {
      return closed
    },
    async export(request) {
      const one = { ...request, atMs: world.monotonic(), bytes: Buffer.concat(request.parts) }
      seen.push(one)
      open++
      mostOpen = Math.max(mostOpen, open)
      try {
        return await exporter.answer(one)
      } finally {
        open--
      }
    },
    async close() {
      closed = true
    },
  }
  return exporter
}
