//! The table of fields in the form that the JSON codec walks: one object a field with its tag, key, kind and limits.
import { type Field, MESSAGES, type MessageType } from './fields.ts'

/** What a value is in JSON and how it is written. */
export const OP = {
  MESSAGE: 0,
  STRING: 1,
  ID: 2,
  BYTES: 3,
  BOOL: 4,
  DOUBLE: 5,
  ENUM: 6,
  INT32: 7,
  SINT32: 8,
  UINT32: 9,
  INT64: 10,
  UINT64: 11,
  FIXED32: 12,
  FIXED64: 13,
} as const

const OP_OF: Record<string, number> = {
  message: OP.MESSAGE,
  string: OP.STRING,
  bytes: OP.BYTES,
  bool: OP.BOOL,
  double: OP.DOUBLE,
  enum: OP.ENUM,
  int32: OP.INT32,
  sint32: OP.SINT32,
  uint32: OP.UINT32,
  int64: OP.INT64,
  uint64: OP.UINT64,
  fixed32: OP.FIXED32,
  fixed64: OP.FIXED64,
  sfixed64: OP.FIXED64,
}

const IDS = new Set(['trace_id', 'span_id', 'parent_span_id'])
const SIGNED = new Set(['int32', 'sint32', 'enum', 'int64', 'sfixed64'])

/** One field. `next` and `prefix` are guesses that follow the input; being wrong costs time only. */
export class PlanField {
  readonly json: string
  readonly type: string
  readonly number: number
  /** The wire type of one value, and the tag as a number; a packed list has LEN. */
  readonly wire: number
  readonly tag: number
  readonly op: number
  readonly repeated: boolean
  readonly packable: boolean
  /** Whether it is written even when zero. */
  readonly explicit: boolean
  readonly oneof: boolean
  readonly signed: boolean
  /** The largest integer, and the magnitude of the smallest of a signed type, in halves. */
  readonly mostHigh: number
  readonly mostLow: number
  readonly leastHigh: number
  readonly leastLow: number
  /** Its own bit among the fields of its message. */
  readonly bit: number
  /** The name in JSON, bare; and as it is written, `"name":`. */
  readonly key: Uint8Array
  readonly label: Uint8Array
  /** The message that it holds. */
  plan: Plan | null = null
  /** The field that followed it the last time. */
  next: PlanField = this
  /** How many bytes its packed list's length took the last time. */
  prefix = 1

  constructor(field: Field, index: number) {
    this.json = field.json
    this.type = field.type
    this.number = field.number
    this.wire = field.wire
    this.repeated = field.repeated
    this.packable = field.packable
    this.tag = (field.number << 3) | (field.packable ? 2 : field.wire)
    this.op = IDS.has(field.name) ? OP.ID : OP_OF[field.type]
    this.explicit = field.presence !== 'implicit'
    this.oneof = field.presence === 'oneof'
    this.signed = SIGNED.has(field.type)
    const wide = field.type.endsWith('64')
    const most = this.signed ? 0x7fff_ffff : 0xffff_ffff
    this.mostHigh = wide ? most : 0
    this.mostLow = wide ? 0xffff_ffff : most
    this.leastHigh = wide && this.signed ? 0x8000_0000 : 0
    this.leastLow = !wide && this.signed ? 0x8000_0000 : 0
    this.bit = 1 << index
    this.key = new Uint8Array(Buffer.from(field.json))
    this.label = new Uint8Array(Buffer.from(`"${field.json}":`))
  }
}

/** One message. */
export class Plan {
  readonly name: string
  readonly fields: readonly PlanField[]
  readonly byNumber: readonly (PlanField | undefined)[]
  /** Stands before the first field: its `next` is the likely first one. */
  readonly start: PlanField
  /** How many bytes the length of such a message took the last time. */
  prefix = 1
  readonly #byLength: PlanField[][] = []

  constructor(type: MessageType) {
    if (type.fields.length > 31) throw new Error(`${type.name} has more fields than a number has bits`)
    this.name = type.name
    this.fields = type.fields.map((field, index) => new PlanField(field, index))
    const byNumber: PlanField[] = []
    for (const field of this.fields) {
      byNumber[field.number] = field
      this.#byLength[field.key.length] ??= []
      this.#byLength[field.key.length].push(field)
    }
    this.byNumber = Array.from(byNumber)
    for (let i = 0; i < this.fields.length; i++)
      this.fields[i].next = this.fields[(i + 1) % this.fields.length]
    this.start = new PlanField(type.fields[0], 0)
    this.start.next = this.fields[0]
  }

  /** The field whose name in JSON is [from, to) of `text`. */
  find(text: Uint8Array, from: number, to: number): PlanField | null {
    const candidates = this.#byLength[to - from]
    if (candidates === undefined) return null
    for (const field of candidates) {
      let i = 0
      while (i < field.key.length && text[from + i] === field.key[i]) i++
      if (i === field.key.length) return field
    }
    return null
  }
}

const PLANS = new Map<MessageType, Plan>()
for (const type of Object.values(MESSAGES)) PLANS.set(type, new Plan(type))
for (const [type, plan] of PLANS) {
  plan.fields.forEach((field, index) => {
    const message = type.fields[index].message
    if (message !== null) field.plan = PLANS.get(message) as Plan
  })
}

/** The plan of a message of the table. */
export const planOf = (type: MessageType): Plan => PLANS.get(type) as Plan
