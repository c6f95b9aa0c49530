//! The items of one batch as columns of numbers: byte offsets and times, no strings and no object per span.

/** `flags` of an item. */
export const FAILED = 1
/** The sender's bytes already carry `otlier.anomaly.detected`. */
export const CARRIES_MARK = 2
/** Start or end is missing, or the end lies before the start: counted, neither learned nor marked by its duration. */
export const NO_TIMES = 4

/** What is absent. */
export const NOWHERE = -1

/**
 * A span of two bytes is a span: without a bound, a request of 64 MiB would take 2 GiB of columns, for good. A quarter of a
 * million are 256 bytes each in the largest request, and 16 MiB here.
 */
export const MAX_ROWS = 2 ** 18

/** Grown to the largest batch seen, up to MAX_ROWS, and used again for the next. All offsets are into the batch's bytes. */
export class Items {
  count = 0
  /** Where the span's tag, its content and its end are. */
  tagAt: Int32Array = new Int32Array(0)
  contentAt: Int32Array = new Int32Array(0)
  endAt: Int32Array = new Int32Array(0)
  /** Index into the scopes below. */
  scope: Int32Array = new Int32Array(0)
  nameAt: Int32Array = new Int32Array(0)
  nameEnd: Int32Array = new Int32Array(0)
  /** 16 and 8 bytes, or NOWHERE. */
  traceIdAt: Int32Array = new Int32Array(0)
  spanIdAt: Int32Array = new Int32Array(0)
  parentIdAt: Int32Array = new Int32Array(0)
  /** A tracestate that is not empty, or NOWHERE; the end is meaningless then. */
  traceStateAt: Int32Array = new Int32Array(0)
  traceStateEnd: Int32Array = new Int32Array(0)
  kind: Uint8Array = new Uint8Array(0)
  flags: Uint8Array = new Uint8Array(0)
  /** Where the eight bytes of the end time are, or NOWHERE. */
  endTimeAt: Int32Array = new Int32Array(0)
  /** Nanoseconds, exact up to 2^53. */
  durationNs: Float64Array = new Float64Array(0)
  /** Milliseconds since 1970. */
  endMs: Float64Array = new Float64Array(0)
  /** Filled by the data plane. */
  series: Int32Array = new Int32Array(0)

  scopes = 0
  scopeTagAt: Int32Array = new Int32Array(0)
  scopeContentAt: Int32Array = new Int32Array(0)
  scopeEndAt: Int32Array = new Int32Array(0)
  /** Index into the resources below. */
  scopeResource: Int32Array = new Int32Array(0)

  resources = 0
  resourceTagAt: Int32Array = new Int32Array(0)
  resourceContentAt: Int32Array = new Int32Array(0)
  resourceEndAt: Int32Array = new Int32Array(0)
  /** The content of the Resource message: of several the last, empty where there is none. */
  resourceMessageAt: Int32Array = new Int32Array(0)
  resourceMessageEnd: Int32Array = new Int32Array(0)
  /** The string values of service.name, service.namespace and deployment.environment.name: from, to. NOWHERE where absent. */
  serviceAt: Int32Array = new Int32Array(0)
  serviceEnd: Int32Array = new Int32Array(0)
  namespaceAt: Int32Array = new Int32Array(0)
  namespaceEnd: Int32Array = new Int32Array(0)
  environmentAt: Int32Array = new Int32Array(0)
  environmentEnd: Int32Array = new Int32Array(0)

  clear(): void {
    this.count = 0
    this.scopes = 0
    this.resources = 0
  }

  /** Index of a new item; its columns hold what the last batch left there. */
  addItem(): number {
    if (this.count === this.tagAt.length) {
      for (const column of ITEM_COLUMNS) this[column] = grow(this[column]) as never
    }
    return this.count++
  }

  addScope(): number {
    if (this.scopes === this.scopeTagAt.length) {
      for (const column of SCOPE_COLUMNS) this[column] = grow(this[column])
    }
    return this.scopes++
  }

  addResource(): number {
    if (this.resources === this.resourceTagAt.length) {
      for (const column of RESOURCE_COLUMNS) this[column] = grow(this[column])
    }
    return this.resources++
  }
}

const ITEM_COLUMNS = [
  'tagAt',
  'contentAt',
  'endAt',
  'scope',
  'nameAt',
  'nameEnd',
  'traceIdAt',
  'spanIdAt',
  'parentIdAt',
  'traceStateAt',
  'traceStateEnd',
  'kind',
  'flags',
  'endTimeAt',
  'durationNs',
  'endMs',
  'series',
] as const
const SCOPE_COLUMNS = ['scopeTagAt', 'scopeContentAt', 'scopeEndAt', 'scopeResource'] as const
const RESOURCE_COLUMNS = [
  'resourceTagAt',
  'resourceContentAt',
  'resourceEndAt',
  'resourceMessageAt',
  'resourceMessageEnd',
  'serviceAt',
  'serviceEnd',
  'namespaceAt',
  'namespaceEnd',
  'environmentAt',
  'environmentEnd',
] as const

function grow<T extends Int32Array | Float64Array | Uint8Array>(column: T): T {
  if (column.length >= MAX_ROWS)
    throw new RangeError(`more than ${MAX_ROWS} spans, scopes or resources in one request`)
  const Column = column.constructor as new (length: number) => T
  const grown = new Column(Math.max(1024, column.length * 2))
  grown.set(column)
  return grown
}
