//! One attribute as a KeyValue message, for what Otlier adds to telemetry.
import type { AttributeValue } from '../base/attributes.ts'
import { WIRE } from './fields.ts'
import { Writer } from './writer.ts'

// message KeyValue { string key = 1; AnyValue value = 2; }
// message AnyValue { oneof value { string string_value = 1; bool bool_value = 2; int64 int_value = 3;
//   double double_value = 4; ArrayValue array_value = 5; ... } }   message ArrayValue { repeated AnyValue values = 1; }

/** The bytes of one KeyValue message, without a tag or length before it. A bigint is an int (its low 64 bits), a number a double. */
export function keyValue(key: string, value: AttributeValue): Uint8Array {
  const out = new Writer(128)
  writeKeyValue(out, key, value)
  return out.take()
}

/** The same, appended to `out`. */
export function writeKeyValue(out: Writer, key: string, value: AttributeValue): void {
  if (key !== '') {
    out.tag(1, WIRE.LEN)
    out.string(key)
  }
  out.tag(2, WIRE.LEN)
  const start = out.open(1)
  anyValue(out, value)
  out.close(start, 1)
}

function anyValue(out: Writer, value: AttributeValue): void {
  switch (typeof value) {
    case 'string':
      out.tag(1, WIRE.LEN)
      out.string(value)
      break
    case 'boolean':
      out.tag(2, WIRE.VARINT)
      out.varint(value ? 1 : 0)
      break
    case 'bigint':
      out.tag(3, WIRE.VARINT)
      out.varint64(Number(BigInt.asUintN(32, value >> 32n)), Number(BigInt.asUintN(32, value)))
      break
    case 'number':
      out.tag(4, WIRE.FIXED64)
      out.double(value)
      break
    default: {
      out.tag(5, WIRE.LEN)
      const array = out.open(1)
      for (const element of value) {
        out.tag(1, WIRE.LEN)
        const start = out.open(1)
        anyValue(out, element)
        out.close(start, 1)
      }
      out.close(array, 1)
    }
  }
}
