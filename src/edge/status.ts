//! What a sender is told when its request is not taken: codes for both transports, and google.rpc.Status in protobuf and JSON.
import { GRPC } from '../base/errors.ts'
import type { Outcome } from '../flow/sink.ts'
import { WIRE } from '../wire/fields.ts'
import { Writer } from '../wire/writer.ts'

export type NotTaken = Exclude<Outcome, { kind: 'accepted' }>

export interface Refusal {
  readonly grpc: number
  readonly http: number
  readonly message: string
  /** How long the sender should wait, null where nothing is said about it. */
  readonly retryAfterMs: number | null
  /** The bytes themselves are wrong, and the message says how. */
  readonly isBadRequest: boolean
}

/** The codes after which OTLP lets a sender try again. RESOURCE_EXHAUSTED is left out: from Otlier it is always final. */
const RETRYABLE_GRPC: readonly number[] = [
  GRPC.CANCELLED,
  GRPC.DEADLINE_EXCEEDED,
  GRPC.ABORTED,
  GRPC.OUT_OF_RANGE,
  GRPC.UNAVAILABLE,
  GRPC.DATA_LOSS,
]
const RETRYABLE_HTTP: readonly number[] = [429, 502, 503, 504]

const MAX_MESSAGE_CHARS = 1024

/** Header blocks are small in many clients, so a message is cut to about a thousand characters. */
export function refusalOf(outcome: NotTaken): Refusal {
  const { cause } = outcome
  const message = cut(cause.message, MAX_MESSAGE_CHARS)
  if (outcome.kind === 'refused') {
    const isBadRequest = cause.code === 'OTLIER_MALFORMED'
    return { grpc: cause.grpc, http: cause.http, message, retryAfterMs: null, isBadRequest }
  }
  // A moment's trouble must never look final: the sender would throw its data away.
  const grpc = RETRYABLE_GRPC.includes(cause.grpc) ? cause.grpc : GRPC.UNAVAILABLE
  const http = RETRYABLE_HTTP.includes(cause.http) ? cause.http : 503
  return { grpc, http, message, retryAfterMs: outcome.retryAfterMs, isBadRequest: false }
}

/** The first `chars` UTF-16 units of `text`, never half a character. */
export function cut(text: string, chars: number): string {
  if (text.length <= chars) return text
  const last = text.charCodeAt(chars - 1)
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? chars - 1 : chars)
}

const TYPE = 'type.googleapis.com/google.rpc.'

/** Whether google.rpc.Status would say more than code and message. */
export const hasDetails = (refusal: Refusal): boolean => refusal.retryAfterMs !== null || refusal.isBadRequest

/** google.rpc.Status: code = 1, message = 2, repeated google.protobuf.Any details = 3. */
export function statusProto(refusal: Refusal): Uint8Array {
  const out = new Writer(256)
  out.tag(1, WIRE.VARINT)
  out.varint(refusal.grpc)
  out.tag(2, WIRE.LEN)
  out.string(refusal.message)
  if (refusal.retryAfterMs !== null) any(out, 'RetryInfo', retryInfo(refusal.retryAfterMs))
  if (refusal.isBadRequest) any(out, 'BadRequest', badRequest(refusal.message))
  return out.take()
}

/** google.protobuf.Any: type_url = 1, value = 2. */
function any(out: Writer, type: string, value: Uint8Array): void {
  const inner = new Writer(value.length + 64)
  inner.tag(1, WIRE.LEN)
  inner.string(TYPE + type)
  inner.tag(2, WIRE.LEN)
  inner.delimited(value)
  out.tag(3, WIRE.LEN)
  out.delimited(inner.bytes, 0, inner.length)
}

/** google.rpc.RetryInfo: google.protobuf.Duration retry_delay = 1, of seconds = 1 and nanos = 2. */
function retryInfo(delayMs: number): Uint8Array {
  const wholeMs = Math.ceil(delayMs)
  const out = new Writer(32)
  out.tag(1, WIRE.LEN)
  const start = out.open(1)
  out.tag(1, WIRE.VARINT)
  out.varint(Math.floor(wholeMs / 1000))
  out.tag(2, WIRE.VARINT)
  out.varint((wholeMs % 1000) * 1_000_000)
  out.close(start, 1)
  return out.take()
}

/** google.rpc.BadRequest: repeated field_violations = 1, of field = 1 and description = 2. */
function badRequest(description: string): Uint8Array {
  const out = new Writer(256)
  out.tag(1, WIRE.LEN)
  const start = out.open(2)
  out.tag(2, WIRE.LEN)
  out.string(description)
  out.close(start, 2)
  return out.take()
}

/** The same in protobuf's JSON mapping. */
export function statusJson(refusal: Refusal): string {
  const details: object[] = []
  if (refusal.retryAfterMs !== null) {
    details.push({ '@type': `${TYPE}RetryInfo`, retryDelay: `${Math.ceil(refusal.retryAfterMs) / 1000}s` })
  }
  if (refusal.isBadRequest) {
    details.push({ '@type': `${TYPE}BadRequest`, fieldViolations: [{ description: refusal.message }] })
  }
  return JSON.stringify({ code: refusal.grpc, message: refusal.message, details })
}

/** Value of grpc-message: UTF-8 with all but printable ASCII as %XX. */
export function grpcMessage(text: string): string {
  if (/^[ -$&-~]*$/.test(text)) return text
  let encoded = ''
  for (const byte of Buffer.from(text)) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25
    encoded += isPlain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return encoded
}

/** Value of grpc-status-details-bin: base64 without padding. */
export const grpcDetails = (refusal: Refusal): string =>
  Buffer.from(statusProto(refusal)).toString('base64').replace(/=+$/, '')

/** Value of Retry-After: whole seconds, at least one. */
export const retryAfter = (retryAfterMs: number): string =>
  String(Math.max(1, Math.ceil(retryAfterMs / 1000)))
