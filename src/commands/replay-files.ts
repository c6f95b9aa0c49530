//! Runs recordings through both planes in event time, as fast as the machine can, with the same result every time.
import { createWriteStream } from 'node:fs'
import { finished } from 'node:stream/promises'
import { Registry } from '../base/counters.ts'
import type { Log } from '../base/log.ts'
import { realDisk, type World } from '../base/world.ts'
import type { Accounts } from '../bus/accounts.ts'
import type { EventRecord } from '../bus/bus.ts'
import { encodeEvents } from '../edge/encode.ts'
import { ACCEPTED, type CheckedBatch, NO_HEADERS, type Signal } from '../flow/sink.ts'
import { type Detecting, planes } from '../otlier.ts'
import { protoToJson } from '../wire/json-out.ts'
import { type BadLine, type Line, mergedLines } from './lines.ts'

export interface ReplayOptions {
  readonly inputs: readonly string[]
  /** Where the event records go; none are written where it is null. */
  readonly events: string | null
  /** Where the annotated telemetry goes. */
  readonly out: string | null
  readonly detecting: Detecting
  readonly version: string
  readonly log: Log
  readonly onBad: (line: BadLine) => void
  /** Requests that end later, in milliseconds since 1970, are not read; at that moment the recording ends. */
  readonly untilMs?: number
  /** Called after each line. */
  readonly onLine?: (progress: ReplaySummary) => void
}

export interface ReplaySummary {
  lines: number
  readonly items: Record<Signal, number>
  series: number
  outliers: number
  events: number
  bad: number
  firstNs: bigint
  lastNs: bigint
}

export interface Replayed extends ReplaySummary {
  /** What can be asked about it. */
  readonly accounts: Accounts
}

/** Rejects where a file cannot be read or written. */
export async function replayFiles(options: ReplayOptions): Promise<Replayed> {
  const summary: ReplaySummary = {
    lines: 0,
    items: { traces: 0, metrics: 0, logs: 0 },
    series: 0,
    outliers: 0,
    events: 0,
    bad: 0,
    firstNs: 0n,
    lastNs: 0n,
  }
  const registry = new Registry()
  const { untilMs = Number.POSITIVE_INFINITY } = options
  let endMs = 0
  const world = recordedWorld(() => Math.max(endMs, Number(summary.lastNs / 1_000_000n)))
  let forwarded: CheckedBatch | null = null
  const next = {
    async send(batch: CheckedBatch) {
      forwarded = batch
      return ACCEPTED
    },
    async close() {},
  }
  const { inspector, bus, plane } = planes(
    next,
    world,
    options.log,
    registry,
    options.detecting,
    () => Number.POSITIVE_INFINITY,
  )
  let pending: EventRecord[] = []
  bus.listen('event', event => pending.push(event))

  const out = options.out === null ? null : new LineFile(options.out)
  const events = options.events === null ? null : new LineFile(options.events)
  const writeEvents = async () => {
    if (pending.length === 0) return
    summary.events += pending.length
    await events?.write(protoToJson('logs', encodeEvents(pending, options.version).bytes))
    pending = []
  }
  const onBad = (line: BadLine) => {
    summary.bad++
    options.onBad(line)
  }
  for await (const line of mergedLines(options.inputs, onBad)) {
    // By the nanosecond: what ends within the last millisecond is later.
    if (Number(line.timeNs) > untilMs * 1e6) continue
    summary.lines++
    if (summary.firstNs === 0n) summary.firstNs = line.timeNs
    if (line.timeNs > summary.lastNs) summary.lastNs = line.timeNs
    const receivedMs = world.now()
    await inspector.send({ signal: line.signal, bytes: line.bytes, receivedMs, headers: NO_HEADERS })
    const batch = forwarded as unknown as CheckedBatch
    summary.items[line.signal] += batch.items
    await out?.write(textOf(line, batch))
    await writeEvents()
    options.onLine?.(summary)
  }
  if (untilMs < Number.POSITIVE_INFINITY) {
    // Silence up to that moment has been seen too, and so has all that waits for its window, or is in one that has not ended.
    endMs = untilMs
    inspector.passTime()
    plane.account.endAt(untilMs)
    inspector.flush(Number.POSITIVE_INFINITY)
  } else inspector.flush()
  await writeEvents()
  await Promise.all([out?.end(), events?.end()])
  summary.series = registry.read('otlier.series.tracked')
  summary.outliers = registry.total('otlier.outliers')
  await inspector.close()
  return { ...summary, accounts: plane.account }
}

/** A request that was not marked is written as it was read. */
const textOf = (line: Line, batch: CheckedBatch) =>
  batch.bytes === line.bytes ? line.text : protoToJson(line.signal, batch.bytes)

/** Time is the recording's, chance is not asked, and the disk is left alone but for the files that were named. */
const recordedWorld = (nowMs: () => number): World => ({
  now: nowMs,
  monotonic: nowMs,
  // What a replay finds must not depend on how fast the machine is.
  cpu: () => 0,
  random: () => 0.5,
  after: () => () => {},
  sleep: async () => {},
  disk: realDisk,
})

/** A file that is written line by line, as fast as the disk takes it. */
class LineFile {
  readonly #stream
  readonly #done: Promise<void>
  #failed: Error | null = null

  constructor(path: string) {
    this.#stream = createWriteStream(path, { highWaterMark: 1 << 20 })
    this.#done = finished(this.#stream)
    this.#done.catch((error: Error) => {
      this.#failed = error
    })
  }

  async write(line: Uint8Array): Promise<void> {
    if (this.#failed !== null) throw this.#failed
    this.#stream.write(line)
    if (this.#stream.write('\n')) return
    await Promise.race([new Promise(resolve => this.#stream.once('drain', resolve)), this.#done])
  }

  async end(): Promise<void> {
    this.#stream.end()
    await this.#done
  }
}
