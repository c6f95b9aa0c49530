//! The log on standard error: JSON lines by pino for machines, a short line each for a person at a terminal.
import { writeSync } from 'node:fs'
import {
  type DestinationStream,
  destination,
  type LevelWithSilent,
  type Logger,
  pino,
  stdSerializers,
} from 'pino'
import { harmless } from '../base/words.ts'

/** Lines that wait while standard error is stuck; beyond it they are dropped, and the service goes on. */
const MAX_WAITING_BYTES = 2 ** 20

export interface OpenLog {
  readonly log: Logger
  /** Everything that was logged has been written. For the last moments of the process. */
  flush(): void
  /** Resolves when everything has been written, or nobody is there to read it. Where the reader is stuck, it takes as long. */
  written(): Promise<void>
}

export function openLog(level: LevelWithSilent, terminal: boolean): OpenLog {
  const sink = destination({ dest: 2, sync: false, maxLength: MAX_WAITING_BYTES })
  // Who listened is gone; nothing can be told any more, and that must not stop the service.
  // Its synchronous flush tries again for ever, whatever the error (measured with EIO), and pino calls it when the process
  // exits: a closed terminal would keep a stopped service from ending.
  const giveUp = () => {
    sink.flushSync = () => {}
  }
  sink.on('error', giveUp)
  const flush = () => {
    try {
      // Nothing, which a terminal that has been closed does not take either.
      writeSync(2, '')
      sink.flushSync()
    } catch {
      giveUp()
    }
  }
  const written = () =>
    new Promise<void>(resolve => {
      sink.once('error', () => resolve())
      sink.flush(() => resolve())
    })
  const shape = terminal ? humanLine : machineLine
  const stream: DestinationStream = { write: line => void sink.write(shape(line)) }
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: stdSerializers.err, error: stdSerializers.err },
  }
  return { log: pino(options, stream), flush, written }
}

const COLORS: Readonly<Record<string, string>> = { warn: '\x1b[33m', error: '\x1b[31m', fatal: '\x1b[31m' }

/** The line of JSON as it is, but safe to look at: JSON itself escapes ESC, and not the control characters beyond ASCII. */
export const machineLine = (json: string): string => `${harmless(json.trimEnd())}\n`

/** `12:03:44 warn  the queue is full  exporter=otlp/jaeger`. What telemetry brought in cannot steer the terminal. */
export function humanLine(json: string): string {
  const { level, time, msg, err, error, ...rest } = JSON.parse(json) as Record<string, unknown>
  const failure = (err ?? error) as { message?: string } | undefined
  const fields = Object.entries({
    ...rest,
    ...(failure === undefined ? {} : { error: failure.message ?? failure }),
  })
  const shown = fields.map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  const text = [msg ?? '', ...shown].map(part => harmless(String(part))).join('  ')
  const color = COLORS[String(level)] ?? ''
  return `${String(time).slice(11, 19)} ${color}${String(level).padEnd(5)}${color === '' ? '' : '\x1b[0m'} ${text}\n`
}
