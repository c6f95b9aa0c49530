//! The Export responses: empty on full success, partial_success otherwise, never larger than senders have to take.
import { ITEM_NAMES, type Signal } from '../flow/sink.ts'
import { WIRE } from '../wire/fields.ts'
import { Writer } from '../wire/writer.ts'
import { cut } from './status.ts'

/** OTLP caps replies at 4 MiB; a little less leaves room for the envelope. */
const MAX_MESSAGE_BYTES = 4 * 2 ** 20 - 256

/** The two forms in which OTLP travels over HTTP, by their content types. */
export type Form = 'application/json' | 'application/x-protobuf'

/** What a Content-Type header says, its parameters left out; null where it is neither form. */
export function formOf(header: string | undefined): Form | null {
  switch (header?.split(';', 1)[0].trim().toLowerCase()) {
    case 'application/json':
      return 'application/json'
    case 'application/x-protobuf':
      return 'application/x-protobuf'
    default:
      return null
  }
}

const REJECTED_JSON = {
  traces: 'rejectedSpans',
  metrics: 'rejectedDataPoints',
  logs: 'rejectedLogRecords',
} as const

/** The sentence for the sender: the sink's own, or one that says how many. */
function told(signal: Signal, rejectedItems: number, message: string | undefined): string {
  if (message !== undefined && message !== '') return message
  return `${rejectedItems} ${ITEM_NAMES[signal].replace('_', ' ')} were rejected.`
}

/** `text` shortened until `size` of it fits a reply. */
function fitted(text: string, size: (text: string) => number): string {
  let fitting = text
  for (let bytes = size(fitting); bytes > MAX_MESSAGE_BYTES; bytes = size(fitting)) {
    fitting = cut(fitting, Math.floor((fitting.length * MAX_MESSAGE_BYTES) / bytes) - 1)
  }
  return fitting
}

const isFull = (rejectedItems: number, message: string | undefined) =>
  rejectedItems === 0 && (message === undefined || message === '')

/**
 * Export*ServiceResponse: partial_success = 1, of rejected_spans, rejected_data_points or rejected_log_records = 1 and
 * error_message = 2. A message without rejected items is a warning.
 */
export function responseProto(signal: Signal, rejectedItems: number, message?: string): Uint8Array {
  const out = new Writer(0)
  if (isFull(rejectedItems, message)) return out.take()
  out.tag(1, WIRE.LEN)
  const start = out.open(2)
  if (rejectedItems > 0) {
    out.tag(1, WIRE.VARINT)
    out.varint(rejectedItems)
  }
  out.tag(2, WIRE.LEN)
  out.string(fitted(told(signal, rejectedItems, message), Buffer.byteLength))
  out.close(start, 2)
  return out.take()
}

/** The same in OTLP/JSON. */
export function responseJson(signal: Signal, rejectedItems: number, message?: string): string {
  if (isFull(rejectedItems, message)) return '{}'
  const errorMessage = fitted(told(signal, rejectedItems, message), text =>
    Buffer.byteLength(JSON.stringify(text)),
  )
  const rejected = rejectedItems > 0 ? { [REJECTED_JSON[signal]]: String(rejectedItems) } : {}
  return JSON.stringify({ partialSuccess: { ...rejected, errorMessage } })
}
