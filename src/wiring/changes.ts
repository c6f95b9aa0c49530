//! Which settings take effect while Otlier runs, and which need a restart: every setting stands in one of two lists.
import { isDeepStrictEqual } from 'node:util'
import type { Config } from '../config.ts'

/** Settings, or whole sections, that a reload puts in force. */
export const LIVE: readonly string[] = [
  'shutdown_timeout',
  // But for what a listener is made of, and where its address stays: `receivers.ts` names that.
  'receivers',
  'processors.otlier.budget',
  'processors.otlier.allowed_lateness',
  'processors.otlier.trace_wait',
  'processors.otlier.max_series',
  'processors.otlier.rebaseline_after',
  'processors.otlier.jaeger_warnings',
  'processors.otlier.compat',
  // But for the kind of a queue: `destinations.ts` names that.
  'exporters',
  'service.pipelines',
  'service.logs',
]

type Reads = (config: Config) => unknown

/** Settings that are read once, at the start. */
export const AT_START: Readonly<Record<string, Reads>> = {
  directory: config => config.directory,
  memory_limit_mib: config => config.memoryLimitBytes,
  // What is usual from window to window has been learned for windows of this length.
  'processors.otlier.window': config => config.processors.otlier.windowMs,
  'service.metrics.endpoint': config => config.service.metrics.endpoint,
  'service.metrics.otlp': config => config.service.metrics.otlp,
  'service.health.endpoint': config => config.service.health.endpoint,
  'service.view.endpoint': config => config.service.view.endpoint,
}

/** The settings of `next` that stay as they were at the start, by their paths. */
export const needRestart = (started: Config, next: Config): string[] =>
  Object.entries(AT_START)
    .filter(([, read]) => !isDeepStrictEqual(read(started), read(next)))
    .map(([path]) => path)
