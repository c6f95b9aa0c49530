//! Logs for tests: one that remembers what it was told, and one that takes an error for a failure.
import { type Log, silentLog } from '../../src/base/log.ts'

export function recordingLog() {
  const lines: { level: string; message: string; fields: Record<string, unknown> }[] = []
  const at = (level: string) => (fields: object, message: string) =>
    void lines.push({ level, message, fields: fields as Record<string, unknown> })
  const log: Log = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
  return { log, lines }
}

/** What the service would survive is a bug in a test, and makes figures those of half a service. */
export const LOUD_LOG: Log = {
  ...silentLog,
  error(fields, message) {
    throw new Error(message, { cause: fields })
  },
}
