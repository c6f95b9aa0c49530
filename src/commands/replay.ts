//! `otlier replay`: runs recordings through the whole pipeline, writes what came of it, and sums it up.
import { realWorld } from '../base/world.ts'
import type { Signal } from '../flow/sink.ts'
import { detecting } from '../otlier.ts'
import { configFlags, readArguments, UsageError } from './arguments.ts'
import { COMMANDS } from './help.ts'
import type { BadLine } from './lines.ts'
import { loadConfig, realSurroundings } from './load-config.ts'
import { openLog } from './logger.ts'
import { type ReplaySummary, replayFiles } from './replay-files.ts'
import { reportProblems } from './validate.ts'
import { VERSION } from './version.ts'

/** More bad lines than this are counted, and not shown. */
const SHOWN_BAD_LINES = 10
const PROGRESS_MS = 500

export async function replay(args: readonly string[]): Promise<number> {
  const parsed = readArguments(args, COMMANDS.replay.options, 'INPUT')
  const inputs = parsed.positionals
  const events = parsed.one('events')
  if (inputs.length === 0) throw new UsageError('replay needs at least one INPUT, such as traces.jsonl.gz')
  if (events === null) throw new UsageError('replay needs --events FILE: where the events go')
  const settled = await loadConfig(configFlags(parsed), realSurroundings())
  if (!reportProblems(settled)) return 2
  const { log, flush } = openLog(settled.config.service.logs.level, process.stderr.isTTY === true)
  const startedMs = realWorld.monotonic()
  let bad = 0
  const onBad = ({ file, number, why }: BadLine) => {
    if (++bad <= SHOWN_BAD_LINES) console.error(`otlier: ${file}:${number}: ${why} The line was left out.`)
  }
  try {
    const summary = await replayFiles({
      inputs,
      events,
      out: parsed.one('out'),
      detecting: detecting(settled.config),
      version: VERSION,
      log,
      onBad,
      ...(process.stderr.isTTY ? { onLine: progressLine(startedMs) } : {}),
    })
    console.log(words(summary, (realWorld.monotonic() - startedMs) / 1000))
    return bad > 0 ? 1 : 0
  } catch (error) {
    const { code, path, message } = error as NodeJS.ErrnoException
    if (code === undefined) throw error
    console.error(`otlier: ${path ?? 'replay'}: ${message}`)
    return 1
  } finally {
    flush()
  }
}

/** One line on the terminal, written over twice a second. */
function progressLine(startedMs: number): (progress: ReplaySummary) => void {
  let nextMs = startedMs
  return ({ lines, items, outliers, lastNs }) => {
    const nowMs = realWorld.monotonic()
    if (nowMs < nextMs) return
    nextMs = nowMs + PROGRESS_MS
    const at = new Date(Number(lastNs / 1_000_000n)).toISOString().slice(0, 19)
    const text = `${count(lines)} requests, ${count(items.traces)} spans, ${count(outliers)} outliers, at ${at}Z`
    process.stderr.write(`\r\u001b[K${text}`)
  }
}

function words(summary: ReplaySummary, seconds: number): string {
  const { items, lines, bad } = summary
  const time = (ns: bigint) => (ns === 0n ? 'never' : new Date(Number(ns / 1_000_000n)).toISOString())
  const other = (['metrics', 'logs'] as const satisfies Signal[]).flatMap(signal =>
    items[signal] > 0
      ? [`, ${count(items[signal])} ${signal === 'logs' ? 'log records' : 'metric points'}`]
      : [],
  )
  const total = items.traces + items.metrics + items.logs
  return [
    ...(process.stderr.isTTY ? ['\r\u001b[K'] : []),
    `${count(items.traces)} spans${other.join('')} in ${count(lines)} requests, ${time(summary.firstNs)} to ${time(summary.lastNs)}`,
    `${count(summary.series)} series, ${count(summary.outliers)} outliers, ${count(summary.events)} events`,
    ...(bad > 0 ? [`${count(bad)} lines left out: they are no OTLP/JSON`] : []),
    `${seconds.toFixed(1)} s, ${count(Math.round(total / seconds))} items/s`,
  ].join('\n')
}

const count = (value: number) => value.toLocaleString('en-US')
