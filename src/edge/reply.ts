//! What destinations answer, read with bounds: partial success, google.rpc.Status with RetryInfo, Retry-After.
import { clip } from '../base/words.ts'
import { BROKEN, readLength, readTag, readVarint, skipUnknown, value } from '../wire/cursor.ts'
import { WIRE } from '../wire/fields.ts'

/** OTLP's limit for replies, after decompression. */
export const MAX_REPLY_BYTES = 4 * 2 ** 20

export interface PartialSuccess {
  readonly rejectedItems: number
  readonly message: string
}

/** What of a reply reaches a log line, in characters. */
const MAX_TEXT_CHARS = 500
const NEGATIVE = 2 ** 63

/** Export*ServiceResponse: partial_success = 1, of rejected_* = 1 and error_message = 2, alike for all signals. Null where it is no such message. */
export function readResponse(bytes: Uint8Array): PartialSuccess | null {
  let rejectedItems = 0
  let message = ''
  const whole = eachField(bytes, 0, bytes.length, (number, wire, from, to) => {
    if (number !== 1 || wire !== WIRE.LEN) return true
    return eachField(bytes, from, to, (inner, innerWire, innerFrom, innerTo, varint) => {
      if (inner === 1 && innerWire === WIRE.VARINT) rejectedItems = varint >= NEGATIVE ? 0 : varint
      if (inner === 2 && innerWire === WIRE.LEN) message = text(bytes, innerFrom, innerTo)
      return true
    })
  })
  return whole ? { rejectedItems, message } : null
}

/** The same in OTLP/JSON. */
export function readJsonResponse(bytes: Uint8Array): PartialSuccess | null {
  const reply = parseObject(bytes)
  if (reply === null) return null
  const partial = reply['partialSuccess'] ?? {}
  if (typeof partial !== 'object') return null
  const { rejectedSpans, rejectedDataPoints, rejectedLogRecords, errorMessage } = partial as Record<
    string,
    unknown
  >
  const rejected = Number(rejectedSpans ?? rejectedDataPoints ?? rejectedLogRecords ?? 0)
  return {
    rejectedItems: Number.isSafeInteger(rejected) ? Math.max(0, rejected) : 0,
    message: typeof errorMessage === 'string' ? clip(errorMessage, MAX_TEXT_CHARS) : '',
  }
}

export interface RpcStatus {
  readonly message: string
  /** Null where there is no RetryInfo. */
  readonly retryDelayMs: number | null
}

/** More details than anybody sends. */
const MAX_DETAILS = 32
/** A trailer is smaller; a body that is larger is no status. */
const MAX_STATUS_BYTES = 64 * 1024

/** google.rpc.Status: code = 1, message = 2, details = 3. What cannot be read says nothing. */
export function readStatus(bytes: Uint8Array): RpcStatus {
  let message = ''
  let retryDelayMs: number | null = null
  let details = 0
  if (bytes.length > MAX_STATUS_BYTES) return { message, retryDelayMs }
  const whole = eachField(bytes, 0, bytes.length, (number, wire, from, to) => {
    if (wire !== WIRE.LEN) return true
    if (number === 2) message = text(bytes, from, to)
    if (number === 3 && ++details <= MAX_DETAILS)
      retryDelayMs = readRetryInfo(bytes, from, to) ?? retryDelayMs
    return true
  })
  return whole ? { message, retryDelayMs } : { message: '', retryDelayMs: null }
}

/** google.protobuf.Any: type_url = 1, value = 2; null unless it is a google.rpc.RetryInfo that can be read. */
function readRetryInfo(bytes: Uint8Array, at: number, end: number): number | null {
  let isRetryInfo = false
  let contentFrom = 0
  let contentTo = 0
  const whole = eachField(bytes, at, end, (number, wire, from, to) => {
    if (wire !== WIRE.LEN) return true
    if (number === 1) isRetryInfo = text(bytes, from, to).endsWith('/google.rpc.RetryInfo')
    if (number === 2) [contentFrom, contentTo] = [from, to]
    return true
  })
  if (!whole || !isRetryInfo) return null
  // RetryInfo: retry_delay = 1, a Duration of seconds = 1 and nanos = 2.
  let delayMs = 0
  const read = eachField(bytes, contentFrom, contentTo, (number, wire, from, to) => {
    if (number !== 1 || wire !== WIRE.LEN) return true
    return eachField(bytes, from, to, (inner, innerWire, _from, _to, varint) => {
      if (innerWire === WIRE.VARINT && varint < NEGATIVE) {
        if (inner === 1) delayMs += varint * 1000
        if (inner === 2) delayMs += varint / 1e6
      }
      return true
    })
  })
  return read ? delayMs : null
}

/** google.rpc.Status in a body of either encoding: its message, empty where there is none. */
export function readStatusBody(bytes: Uint8Array, json: boolean): string {
  if (!json) return readStatus(bytes).message
  const message = bytes.length > MAX_STATUS_BYTES ? undefined : parseObject(bytes)?.['message']
  return typeof message === 'string' ? clip(message, MAX_TEXT_CHARS) : ''
}

/** Retry-After in milliseconds: whole seconds or an HTTP date; null where it is neither. */
export function readRetryAfter(header: string | undefined, nowMs: number): number | null {
  if (header === undefined) return null
  const trimmed = header.trim()
  if (/^\d{1,12}$/.test(trimmed)) return Number(trimmed) * 1000
  // The three forms of RFC 9110 begin with a weekday; anything else Date.parse would guess at.
  const atMs =
    /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)/.test(trimmed) && trimmed.length < 64 ? Date.parse(trimmed) : Number.NaN
  return Number.isNaN(atMs) ? null : Math.max(0, atMs - nowMs)
}

/** Calls `read` for every field; `varint` is the value of one. False where the framing is broken or `read` says so. */
function eachField(
  bytes: Uint8Array,
  at: number,
  end: number,
  read: (number: number, wire: number, from: number, to: number, varint: number) => boolean,
): boolean {
  while (at < end) {
    const from = readTag(bytes, at, end)
    if (from === BROKEN) return false
    const tag = value
    const to = skipUnknown(bytes, from, end, tag, 0)
    if (to === BROKEN) return false
    const wire = tag & 7
    const content = wire === WIRE.LEN ? readLength(bytes, from, end) : from
    if (wire === WIRE.VARINT) readVarint(bytes, from, end)
    if (!read(tag >>> 3, wire, content, to, wire === WIRE.VARINT ? value : 0)) return false
    at = to
  }
  return true
}

const text = (bytes: Uint8Array, from: number, to: number) =>
  clip(
    Buffer.from(bytes.buffer, bytes.byteOffset + from, Math.min(to - from, 4 * MAX_TEXT_CHARS)).toString(),
    MAX_TEXT_CHARS,
  )

function parseObject(bytes: Uint8Array): Record<string, unknown> | null {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString())
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)
      ? (parsed as Record<string, unknown>)
      : null
  } catch {
    return null
  }
}
