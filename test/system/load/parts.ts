//! The sender and the backend of a proof as whoever conducts it sees them.
import { join } from 'node:path'
import { type Program, program } from './process.ts'
import type { Behaviour, Recorded, RecorderOptions } from './recorder.ts'
import type { SenderOptions, SentCounts } from './sender.ts'

export interface Recorder {
  readonly program: Program
  readonly grpcPort: number
  readonly httpPort: number
  readonly log: string
  behave(behaviour: Behaviour): Promise<unknown>
  recorded(): Promise<Recorded>
}

/** Its log is `NAME.log` in the folder; one that is started again goes on with it. */
export async function startRecorder(
  folder: string,
  name: string,
  options: Omit<RecorderOptions, 'log'> = {},
): Promise<Recorder> {
  const log = join(folder, `${name}.log`)
  const started = program('./recorder.ts', { args: [JSON.stringify({ ...options, log })] })
  const [, grpc, http] = await started.said(/grpc (\d+) http (\d+)/)
  return {
    program: started,
    grpcPort: Number(grpc),
    httpPort: Number(http),
    log,
    behave: behaviour => started.ask({ behave: behaviour }),
    recorded: () => started.ask<Recorded>('recorded'),
  }
}

export interface Sender {
  readonly program: Program
  readonly log: string
  go(): Promise<unknown>
  /** No new requests; those that are open go on. */
  halt(): Promise<unknown>
  /** Resolves when every request has its final answer. */
  settled(timeoutMs?: number): Promise<SentCounts>
  counts(): Promise<SentCounts>
  /** Closes its lasting connections. */
  close(): Promise<unknown>
}

export async function startSender(
  folder: string,
  name: string,
  options: Omit<SenderOptions, 'log'>,
): Promise<Sender> {
  const log = join(folder, `${name}.log`)
  const started = program('./sender.ts', { args: [JSON.stringify({ ...options, log })] })
  await started.said(/ready/)
  return {
    program: started,
    log,
    go: () => started.ask('go'),
    halt: () => started.ask('halt'),
    settled: timeoutMs => started.ask<SentCounts>('settled', timeoutMs),
    counts: () => started.ask<SentCounts>('counts'),
    close: () => started.ask('close'),
  }
}

/** A gRPC destination in plain text, for `--set`. */
export const destination = (
  recorder: Pick<Recorder, 'grpcPort'>,
  name = 'otlp',
  more: readonly string[] = [],
) => [
  `exporters.${name}.endpoint=http://127.0.0.1:${recorder.grpcPort}`,
  `exporters.${name}.compression=none`,
  ...more.map(setting => `exporters.${name}.${setting}`),
]
