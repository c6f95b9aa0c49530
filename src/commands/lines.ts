//! Recordings as the Collector's file exporter writes them: one OTLP/JSON request a line, several files merged by time.
import { createReadStream } from 'node:fs'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { Failure } from '../base/errors.ts'
import type { Signal } from '../flow/sink.ts'
import { check } from '../wire/check.ts'
import { jsonToProto } from '../wire/json.ts'
import { latestTime } from '../wire/latest.ts'

/** A longer line is refused: the receivers' own limit. */
const MAX_LINE_BYTES = 64 * 2 ** 20

/** One request of a recording. */
export interface Line {
  readonly file: string
  /** Counted from 1. */
  readonly number: number
  /** The line as it stood there, without its end. */
  readonly text: Uint8Array
  readonly signal: Signal
  readonly bytes: Uint8Array
  readonly timeNs: bigint
}

/** A line that is no OTLP request. Reading goes on after it. */
export interface BadLine {
  readonly file: string
  readonly number: number
  readonly why: string
}

/**
 * All lines of all files by their latest time; of two with the same time, the earlier argument's comes first. Each file is read in
 * its own order. Rejects where a file cannot be read.
 */
export async function* mergedLines(
  files: readonly string[],
  onBad: (line: BadLine) => void,
): AsyncGenerator<Line> {
  const sources = await Promise.all(
    files.map(async file => {
      const lines = parsedLines(file, onBad)
      return { lines, head: await lines.next() }
    }),
  )
  for (;;) {
    let first: (typeof sources)[number] | null = null
    for (const source of sources) {
      if (source.head.done) continue
      if (first === null || source.head.value.timeNs < (first.head.value as Line).timeNs) first = source
    }
    if (first === null) return
    const line = first.head.value as Line
    first.head = await first.lines.next()
    yield line
  }
}

async function* parsedLines(file: string, onBad: (line: BadLine) => void): AsyncGenerator<Line> {
  let number = 0
  for await (const text of textLines(file)) {
    number++
    if (text === null) {
      onBad({ file, number, why: `the line is longer than ${MAX_LINE_BYTES} bytes` })
      continue
    }
    if (isBlank(text)) continue
    try {
      const signal = signalOf(text)
      const bytes = jsonToProto(signal, text)
      if (check(signal, bytes) < 0) throw new Failure('OTLIER_MALFORMED')
      yield { file, number, text, signal, bytes, timeNs: latestTime(signal, bytes) }
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      onBad({ file, number, why: error.message })
    }
  }
}

/** The bytes of each line; null for one that is too long. */
async function* textLines(file: string): AsyncGenerator<Uint8Array | null> {
  let parts: Buffer[] = []
  let length = 0
  let tooLong = false
  const finish = () => {
    const line = tooLong ? null : parts.length === 1 ? parts[0] : Buffer.concat(parts)
    parts = []
    length = 0
    tooLong = false
    return line
  }
  for await (const chunk of opened(file)) {
    let from = 0
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      parts.push(chunk.subarray(from, at))
      from = at + 1
      yield finish()
    }
    length += chunk.length - from
    if (length > MAX_LINE_BYTES) {
      tooLong = true
      parts = []
    } else if (from < chunk.length) parts.push(chunk.subarray(from))
  }
  if (parts.length > 0 || tooLong) yield finish()
}

/** The bytes of a file, unpacked by its ending. */
function opened(file: string): AsyncIterable<Buffer> {
  const raw = createReadStream(file, { highWaterMark: 1 << 20 })
  if (!file.endsWith('.gz') && !file.endsWith('.zst')) return raw
  const unpack = file.endsWith('.gz')
    ? createGunzip({ chunkSize: 1 << 20 })
    : createZstdDecompress({ chunkSize: 1 << 20 })
  raw.on('error', error => unpack.destroy(error))
  return raw.pipe(unpack)
}

const isBlank = (text: Uint8Array) => text.every(byte => byte === 32 || byte === 9 || byte === 13)

const KEYS = { resourceSpans: 'traces', resourceMetrics: 'metrics', resourceLogs: 'logs' } as const

/** The signal of a request by its first top-level key. */
function signalOf(text: Uint8Array): Signal {
  const start = new TextDecoder().decode(text.subarray(0, 200))
  const key = /^\uFEFF?\s*\{\s*"(resourceSpans|resourceMetrics|resourceLogs)"/.exec(start)?.[1]
  if (key === undefined) {
    throw new Failure(
      'OTLIER_MALFORMED',
      'A line begins with {"resourceSpans":, {"resourceMetrics": or {"resourceLogs":.',
    )
  }
  return KEYS[key as keyof typeof KEYS]
}
