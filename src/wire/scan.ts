//! One pass over a traces request: checks the framing to full depth and yields items, without a string or an object per span.
import { CARRIES_MARK, FAILED, type Items, NO_TIMES, NOWHERE } from '../base/item.ts'
import { checkMessage, messageNumber } from './check.ts'
import { BROKEN, readLength, readTag, readVarint, skipUnknown, skipVarint, value } from './cursor.ts'
import { WIRE } from './fields.ts'
import { attribute, equalsAt, readAnyValue, readKeyValue } from './key-value.ts'

const RESOURCE = messageNumber('Resource')
const SCOPE = messageNumber('InstrumentationScope')
const KEY_VALUE = messageNumber('KeyValue')
const EVENT = messageNumber('Span.Event')
const LINK = messageNumber('Span.Link')
const STATUS = messageNumber('Status')

const CLIENT = 3
const SERVER = 2
const STATUS_ERROR = 2
const CANCELLED = 1

const encoder = new TextEncoder()
const SERVICE_NAME = encoder.encode('service.name')
const SERVICE_NAMESPACE = encoder.encode('service.namespace')
const ENVIRONMENT = encoder.encode('deployment.environment.name')
const ERROR_TYPE = encoder.encode('error.type')
const HTTP_STATUS = encoder.encode('http.response.status_code')
const HTTP_STATUS_BEFORE_1_21 = encoder.encode('http.status_code')
const GRPC_STATUS = encoder.encode('rpc.grpc.status_code')
const RPC_STATUS = encoder.encode('rpc.response.status_code')
const MARK = encoder.encode('otlier.anomaly.detected')

/** gRPC's codes by name, as `rpc.response.status_code` carries them. */
const RPC_NAMES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
].map(name => encoder.encode(name))
/** A server's own failures: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS. */
const SERVER_FAILURES = (1 << 2) | (1 << 4) | (1 << 12) | (1 << 13) | (1 << 14) | (1 << 15)

/** Little-endian. */
const uint32 = (bytes: Uint8Array, at: number) =>
  (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0

// message ExportTraceServiceRequest { repeated ResourceSpans resource_spans = 1; }
/**
 * Scans a traces request into `items`, which is cleared first.
 * @returns the number of spans, or -1 where the framing is broken (`items` is then meaningless)
 */
export function scanTraces(bytes: Uint8Array, items: Items): number {
  items.clear()
  const end = bytes.length
  let at = 0
  while (at < end) {
    const tagAt = at
    at = readTag(bytes, at, end)
    if (at === BROKEN) return BROKEN
    const tag = value
    if (tag >>> 3 !== 1) {
      at = skipUnknown(bytes, at, end, tag, 0)
      if (at === BROKEN) return BROKEN
      continue
    }
    if ((tag & 7) !== WIRE.LEN) return BROKEN
    at = readLength(bytes, at, end)
    if (at === BROKEN) return BROKEN
    const stop = at + value
    if (!scanResourceSpans(bytes, tagAt, at, stop, items)) return BROKEN
    at = stop
  }
  return items.count
}

// message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; string schema_url = 3; }
function scanResourceSpans(
  bytes: Uint8Array,
  tagAt: number,
  from: number,
  end: number,
  items: Items,
): boolean {
  const resource = items.addResource()
  items.resourceTagAt[resource] = tagAt
  items.resourceContentAt[resource] = from
  items.resourceEndAt[resource] = end
  items.serviceAt[resource] = items.namespaceAt[resource] = items.environmentAt[resource] = NOWHERE
  items.resourceMessageAt[resource] = items.resourceMessageEnd[resource] = from
  let at = from
  while (at < end) {
    const fieldAt = at
    at = readTag(bytes, at, end)
    if (at === BROKEN) return false
    const tag = value
    const number = tag >>> 3
    if (number < 1 || number > 3) {
      at = skipUnknown(bytes, at, end, tag, 1)
      if (at === BROKEN) return false
      continue
    }
    if ((tag & 7) !== WIRE.LEN) return false
    at = readLength(bytes, at, end)
    if (at === BROKEN) return false
    const stop = at + value
    if (number === 1) {
      if (checkMessage(bytes, at, stop, RESOURCE, 2) === BROKEN) return false
      items.resourceMessageAt[resource] = at
      items.resourceMessageEnd[resource] = stop
      readResource(bytes, at, stop, items, resource)
    } else if (number === 2 && !scanScopeSpans(bytes, fieldAt, at, stop, items, resource)) return false
    at = stop
  }
  return true
}

// message Resource { repeated KeyValue attributes = 1; ... }
/** Notes where the identity of the service stands. The framing has been checked; of a key given twice, the last counts. */
function readResource(bytes: Uint8Array, at: number, end: number, items: Items, resource: number): void {
  while (at < end) {
    at = readTag(bytes, at, end)
    const tag = value
    if (tag !== 0x0a) {
      at = skipUnknown(bytes, at, end, tag, 0)
      if (at === BROKEN) return
      continue
    }
    at = readLength(bytes, at, end)
    const stop = at + value
    readKeyValue(bytes, at, stop)
    if (attribute.stringAt !== NOWHERE) {
      if (equalsAt(bytes, attribute.keyAt, attribute.keyEnd, SERVICE_NAME)) {
        items.serviceAt[resource] = attribute.stringAt
        items.serviceEnd[resource] = attribute.stringEnd
      } else if (equalsAt(bytes, attribute.keyAt, attribute.keyEnd, SERVICE_NAMESPACE)) {
        items.namespaceAt[resource] = attribute.stringAt
        items.namespaceEnd[resource] = attribute.stringEnd
      } else if (equalsAt(bytes, attribute.keyAt, attribute.keyEnd, ENVIRONMENT)) {
        items.environmentAt[resource] = attribute.stringAt
        items.environmentEnd[resource] = attribute.stringEnd
      }
    }
    at = stop
  }
}

// message ScopeSpans { InstrumentationScope scope = 1; repeated Span spans = 2; string schema_url = 3; }
function scanScopeSpans(
  bytes: Uint8Array,
  tagAt: number,
  from: number,
  end: number,
  items: Items,
  resource: number,
): boolean {
  const scope = items.addScope()
  items.scopeTagAt[scope] = tagAt
  items.scopeContentAt[scope] = from
  items.scopeEndAt[scope] = end
  items.scopeResource[scope] = resource
  let at = from
  while (at < end) {
    const fieldAt = at
    at = readTag(bytes, at, end)
    if (at === BROKEN) return false
    const tag = value
    const number = tag >>> 3
    if (number < 1 || number > 3) {
      at = skipUnknown(bytes, at, end, tag, 2)
      if (at === BROKEN) return false
      continue
    }
    if ((tag & 7) !== WIRE.LEN) return false
    at = readLength(bytes, at, end)
    if (at === BROKEN) return false
    const stop = at + value
    if (number === 1) {
      if (checkMessage(bytes, at, stop, SCOPE, 3) === BROKEN) return false
    } else if (number === 2) {
      const item = items.addItem()
      items.tagAt[item] = fieldAt
      items.contentAt[item] = at
      items.endAt[item] = stop
      items.scope[item] = scope
      if (!scanSpan(bytes, at, stop, items, item)) return false
    }
    at = stop
  }
  return true
}

/** What the attributes of the span in hand say about its success. One object, used again for every span. */
const verdict = { errorType: false, marked: false, http: 0, grpc: NOWHERE }

// message Span {
//   bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; bytes parent_span_id = 4; fixed32 flags = 16;
//   string name = 5; SpanKind kind = 6; fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8;
//   repeated KeyValue attributes = 9; uint32 dropped_attributes_count = 10; repeated Event events = 11;
//   uint32 dropped_events_count = 12; repeated Link links = 13; uint32 dropped_links_count = 14; Status status = 15;
// }
function scanSpan(bytes: Uint8Array, from: number, end: number, items: Items, item: number): boolean {
  let traceIdAt = NOWHERE
  let spanIdAt = NOWHERE
  let parentIdAt = NOWHERE
  let traceStateAt = NOWHERE
  let nameAt = from
  let nameEnd = from
  let kind = 0
  let startAt = NOWHERE
  let endTimeAt = NOWHERE
  let status = 0
  verdict.errorType = false
  verdict.marked = false
  verdict.http = 0
  verdict.grpc = NOWHERE
  let at = from
  while (at < end) {
    let tag = bytes[at]
    // Most fields are short attributes.
    if (tag === 0x4a && at + 1 < end && bytes[at + 1] < 0x80) {
      const stop = at + 2 + bytes[at + 1]
      if (stop > end || !scanAttribute(bytes, at + 2, stop)) return false
      at = stop
      continue
    }
    if (tag >= 0x80 || tag < 8) {
      at = readTag(bytes, at, end)
      if (at === BROKEN) return false
      tag = value
    } else at++
    const number = tag >>> 3
    if (number > 16) {
      at = skipUnknown(bytes, at, end, tag, 3)
      if (at === BROKEN) return false
      continue
    }
    // The length of a length-delimited field; unused by the others.
    let stop = at
    if ((tag & 7) === WIRE.LEN) {
      if (at < end && bytes[at] < 0x80) {
        stop = at + 1 + bytes[at]
        at++
        if (stop > end) return false
      } else {
        at = readLength(bytes, at, end)
        if (at === BROKEN) return false
        stop = at + value
      }
    }
    switch (tag) {
      case 0x0a:
        traceIdAt = stop - at === 16 ? at : NOWHERE
        at = stop
        break
      case 0x12:
        spanIdAt = stop - at === 8 ? at : NOWHERE
        at = stop
        break
      case 0x1a:
        traceStateAt = stop > at ? at : NOWHERE
        items.traceStateEnd[item] = at = stop
        break
      case 0x22:
        parentIdAt = stop - at === 8 ? at : NOWHERE
        at = stop
        break
      case 0x2a:
        nameAt = at
        nameEnd = at = stop
        break
      case 0x30:
        at = readVarint(bytes, at, end)
        if (at === BROKEN) return false
        kind = value <= 5 ? value : 0
        break
      case 0x39:
        startAt = at
        at += 8
        if (at > end) return false
        break
      case 0x41:
        endTimeAt = at
        at += 8
        if (at > end) return false
        break
      case 0x4a:
        if (!scanAttribute(bytes, at, stop)) return false
        at = stop
        break
      case 0x5a:
        if (checkMessage(bytes, at, stop, EVENT, 4) === BROKEN) return false
        at = stop
        break
      case 0x6a:
        if (checkMessage(bytes, at, stop, LINK, 4) === BROKEN) return false
        at = stop
        break
      case 0x7a: {
        // Most SDKs write a status that says nothing.
        if (stop === at) break
        if (checkMessage(bytes, at, stop, STATUS, 4) === BROKEN) return false
        const code = readStatus(bytes, at, stop)
        if (code !== NOWHERE) status = code
        at = stop
        break
      }
      case 0x50:
      case 0x60:
      case 0x70:
        at = skipVarint(bytes, at, end)
        if (at === BROKEN) return false
        break
      case 0x85:
        at += 4
        if (at > end) return false
        break
      default:
        // A known field (1 to 16) with a wire type that is not its own.
        return false
    }
  }
  items.nameAt[item] = nameAt
  items.nameEnd[item] = nameEnd
  items.traceIdAt[item] = traceIdAt
  items.spanIdAt[item] = spanIdAt
  items.parentIdAt[item] = parentIdAt
  items.traceStateAt[item] = traceStateAt
  items.kind[item] = kind
  items.endTimeAt[item] = endTimeAt
  let flags = verdict.marked ? CARRIES_MARK : 0
  if (failed(kind, status)) flags |= FAILED
  let durationNs = -1
  let endMs = 0
  if (startAt !== NOWHERE && endTimeAt !== NOWHERE) {
    const endHigh = uint32(bytes, endTimeAt + 4)
    const endLow = uint32(bytes, endTimeAt)
    // Subtract before rounding: nanoseconds since 1970 do not fit a double.
    durationNs = (endHigh - uint32(bytes, startAt + 4)) * 2 ** 32 + (endLow - uint32(bytes, startAt))
    endMs = (endHigh * 2 ** 32 + endLow) / 1e6
  }
  if (durationNs < 0 || endMs <= 0) {
    flags |= NO_TIMES
    durationNs = 0
  }
  items.flags[item] = flags
  items.durationNs[item] = durationNs
  items.endMs[item] = endMs
  return true
}

/** The conventions' rule for what counts as an error. */
function failed(kind: number, status: number): boolean {
  // A cancel is what the client meant, whatever its SDK made of it.
  if (verdict.grpc === CANCELLED) return false
  if (status === STATUS_ERROR || verdict.errorType) return true
  if (verdict.http >= 500 || (verdict.http >= 400 && kind === CLIENT)) return true
  if (verdict.grpc > 0) {
    if (kind === CLIENT) return true
    if (kind === SERVER) return ((1 << verdict.grpc) & SERVER_FAILURES) !== 0
  }
  return false
}

// message KeyValue { string key = 1; AnyValue value = 2; }
// message AnyValue { oneof value { string string_value = 1; bool bool_value = 2; int64 int_value = 3; ... } }
/** Checks one attribute of a span and notes what it says about success. */
function scanAttribute(bytes: Uint8Array, at: number, end: number): boolean {
  // Nearly all attributes are: key, then a value that holds one string (or number), nothing else. Those are stepped over here.
  if (end - at > 4 && bytes[at] === 0x0a) {
    const keyLength = bytes[at + 1]
    const keyAt = at + 2
    const valueAt = keyAt + keyLength
    const inner = valueAt + 2
    if (
      keyLength < 0x80 &&
      inner + 1 < end &&
      end - inner < 0x80 &&
      bytes[valueAt] === 0x12 &&
      inner + bytes[valueAt + 1] === end &&
      (bytes[inner] === 0x0a ? inner + 2 + bytes[inner + 1] === end : isNumber(bytes, inner, end))
    ) {
      if (FIRST_LETTER[keyLength] !== bytes[keyAt]) return true
      readAnyValue(bytes, inner, end)
      noteAttribute(bytes, keyAt, valueAt)
      return true
    }
  }
  if (checkMessage(bytes, at, end, KEY_VALUE, 4) === BROKEN) return false
  readKeyValue(bytes, at, end)
  noteAttribute(bytes, attribute.keyAt, attribute.keyEnd)
  return true
}

/** Whether an AnyValue is exactly one bool, int or double. */
function isNumber(bytes: Uint8Array, at: number, end: number): boolean {
  const tag = bytes[at]
  if (tag === 0x10 || tag === 0x18) return skipVarint(bytes, at + 1, end) === end
  return tag === 0x21 && at + 9 === end
}

/** By the length of a key, the first letter of the one that matters; 0 where none does. */
const FIRST_LETTER = new Uint8Array(128)
for (const key of [ERROR_TYPE, HTTP_STATUS, HTTP_STATUS_BEFORE_1_21, GRPC_STATUS, RPC_STATUS, MARK]) {
  FIRST_LETTER[key.length] = key[0]
}

/** Notes in `verdict` what the value just read says, where its key matters. */
function noteAttribute(bytes: Uint8Array, keyAt: number, keyEnd: number): void {
  const { stringAt, stringEnd, int } = attribute
  const length = keyEnd - keyAt
  // Nearly every status of HTTP says that all is well: while none has said otherwise, it makes no difference whose it is.
  if (
    int < 400 &&
    verdict.http < 400 &&
    (length === HTTP_STATUS.length || length === HTTP_STATUS_BEFORE_1_21.length)
  )
    return
  if (equalsAt(bytes, keyAt, keyEnd, ERROR_TYPE)) {
    verdict.errorType = true
  } else if (
    equalsAt(bytes, keyAt, keyEnd, HTTP_STATUS) ||
    equalsAt(bytes, keyAt, keyEnd, HTTP_STATUS_BEFORE_1_21)
  ) {
    if (int >= 0) verdict.http = int
  } else if (equalsAt(bytes, keyAt, keyEnd, GRPC_STATUS)) {
    if (int >= 0 && int <= 16) verdict.grpc = int
  } else if (equalsAt(bytes, keyAt, keyEnd, RPC_STATUS)) {
    if (int >= 0 && int <= 16) verdict.grpc = int
    else if (stringAt !== NOWHERE) {
      for (let code = 0; code < RPC_NAMES.length; code++) {
        if (equalsAt(bytes, stringAt, stringEnd, RPC_NAMES[code])) verdict.grpc = code
      }
    }
  } else if (equalsAt(bytes, keyAt, keyEnd, MARK)) verdict.marked = true
}

// message Status { string message = 2; StatusCode code = 3; }
/** The code of a checked Status, or NOWHERE where it has none. */
function readStatus(bytes: Uint8Array, at: number, end: number): number {
  let code = NOWHERE
  while (at < end) {
    at = readTag(bytes, at, end)
    const tag = value
    if (tag === 0x18) {
      at = readVarint(bytes, at, end)
      code = value
    } else {
      at = skipUnknown(bytes, at, end, tag, 0)
      if (at === BROKEN) return code
    }
  }
  return code
}
