//! The exporter that prints: a line for every batch, and in detail what is in it.
import type { Log } from '../base/log.ts'
import type { Exporter } from '../flow/sink.ts'
import { protoToJson } from '../wire/json-out.ts'
import { merge } from '../wire/merge.ts'

export interface DebugSettings {
  readonly id: string
  /** `detailed` adds every batch as OTLP/JSON, cut at MAX_JSON_CHARS. */
  readonly verbosity?: 'basic' | 'detailed'
}

const MAX_JSON_CHARS = 64 * 1024

export function debugExporter({ id, verbosity = 'basic' }: DebugSettings, log: Log): Exporter {
  return {
    id,
    async export({ signal, parts, items }) {
      const bytes = parts.reduce((sum, part) => sum + part.length, 0)
      const fields = { exporter: id, signal, items, bytes }
      if (verbosity === 'basic') log.info(fields, 'batch')
      else {
        const json = Buffer.from(protoToJson(signal, merge(parts))).toString()
        log.info(
          { ...fields, json: json.length > MAX_JSON_CHARS ? `${json.slice(0, MAX_JSON_CHARS)}...` : json },
          'batch',
        )
      }
      return { kind: 'delivered', rejectedItems: 0, message: '' }
    },
    async close() {},
  }
}
