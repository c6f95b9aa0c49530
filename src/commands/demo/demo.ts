//! `otlier demo`: a simulated shop sends real telemetry to a real Otlier, faults come and go, and incidents are told as they open.

/** Requests from outside, a second. */
export const PER_SECOND = 10
/** So much of the past is sent before anything goes wrong. */
export const HISTORY_MS = 45 * 60_000
/** Otlier's configuration: nothing leaves the machine, nothing is kept, and windows are short, so that incidents open sooner. */
export const SETTINGS = [
  'directory=none',
  'receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0',
  'service.metrics.endpoint=none',
  'service.health.endpoint=none',
  'service.view.endpoint=none',
  'service.logs.level=error',
  'processors.otlier.window=5s',
  'processors.otlier.trace_wait=2s',
  'processors.otlier.allowed_lateness=2s',
]
