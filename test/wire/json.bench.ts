//! How fast OTLP/JSON is read and written: `node test/wire/json.bench.ts [FILE.jsonl.gz]`, in megabytes of JSON per CPU second.
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { jsonToProto } from '../../src/wire/json.ts'
import { protoToJson } from '../../src/wire/json-out.ts'
import { plainRequest } from '../kit/odd.ts'
import { seeded } from '../kit/random.ts'

export interface Speed {
  readonly jsonBytes: number
  readonly protoBytes: number
  /** MB of JSON per CPU second of the whole process, collection of garbage included. */
  readonly read: number
  readonly write: number
}

/** The requests of a recording of traces, or generated ones of 500 spans. */
export function requests(file: string | undefined, count: number): Uint8Array[] {
  if (file !== undefined) {
    const text = gunzipSync(readFileSync(file))
    const lines: Uint8Array[] = []
    for (let at = 0, end = 0; at < text.length && lines.length < count; at = end + 1) {
      end = text.indexOf('\n', at)
      if (end < 0) end = text.length
      if (end > at) lines.push(text.subarray(at, end))
    }
    return lines
  }
  return Array.from({ length: count }, (_, seed) =>
    protoToJson('traces', plainRequest(seeded(seed), { spans: 500 })),
  )
}

export function measure(lines: readonly Uint8Array[]): Speed {
  const cpu = () => {
    const { user, system } = process.cpuUsage()
    return user + system
  }
  const began = cpu()
  const protos = lines.map(line => jsonToProto('traces', line))
  const turned = cpu()
  let written = 0
  for (const bytes of protos) written += protoToJson('traces', bytes).length
  const ended = cpu()
  const sum = (parts: readonly Uint8Array[]) => parts.reduce((total, part) => total + part.length, 0)
  const jsonBytes = sum(lines)
  return {
    jsonBytes,
    protoBytes: sum(protos),
    read: jsonBytes / Math.max(1, turned - began),
    write: written / Math.max(1, ended - turned),
  }
}

if (import.meta.main) {
  const lines = requests(process.argv[2], process.argv[2] === undefined ? 200 : Number.POSITIVE_INFINITY)
  for (let run = 0; run < 5; run++) {
    const { jsonBytes, protoBytes, read, write } = measure(lines)
    console.log(
      `${(jsonBytes / 1e6).toFixed(1)} MB of JSON, ${(protoBytes / 1e6).toFixed(1)} MB of protobuf: ` +
        `read at ${read.toFixed(0)} MB/s, written at ${write.toFixed(0)} MB/s`,
    )
  }
}
