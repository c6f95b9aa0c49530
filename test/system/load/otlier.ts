//! Otlier in a process of its own, as `npm start` runs it, with what a proof asks of it.
import { type Scrape, scrapeAccounts } from '../../kit/accounts.ts'
import { startEnvironment, startFlags } from '../../kit/start-command.ts'
import type { Gauges } from './gauges.ts'
import { type Program, type ProgramOptions, program } from './process.ts'

export interface Ports {
  readonly grpc: number
  readonly http: number
  readonly metrics: number
  readonly health: number
}

export interface OtlierProcess extends Ports {
  readonly process: Program
  /** Its accounts. Rejects where it does not tell them. */
  scrape(): Promise<Scrape>
  gauges(): Promise<Gauges>
}

const FREE: Ports = { grpc: 0, http: 0, metrics: 0, health: 0 }

export interface OtlierOptions extends ProgramOptions {
  /** Those of an earlier run that it takes the place of; free ones unless given. */
  readonly ports?: Ports
}

/** The process alone, at its very beginning. */
export function beginOtlier(
  settings: readonly string[],
  { ports = FREE, ...options }: OtlierOptions = {},
): { readonly process: Program } {
  const all = [
    `receivers.otlp.protocols.grpc.endpoint=127.0.0.1:${ports.grpc}`,
    `receivers.otlp.protocols.http.endpoint=127.0.0.1:${ports.http}`,
    `service.metrics.endpoint=127.0.0.1:${ports.metrics}`,
    `service.health.endpoint=127.0.0.1:${ports.health}`,
    'service.view.endpoint=127.0.0.1:0',
    ...settings,
  ]
  const process = program('../../../src/main.ts', {
    ...options,
    args: all.flatMap(setting => ['--set', setting]),
    flags: startFlags(),
    env: { ...startEnvironment(), ...options.env },
    before: ['./gauges.ts', ...(options.before ?? [])],
  })
  return { process }
}

/** Resolves once it is ready. */
export async function startOtlierProcess(
  settings: readonly string[],
  options: OtlierOptions = {},
): Promise<OtlierProcess> {
  const { process } = beginOtlier(settings, options)
  await process.said(/Ready\./)
  const portOf = async (pattern: RegExp) => Number((await process.said(pattern))[1])
  const found: Ports = {
    grpc: await portOf(/gRPC +\S+:(\d+)/),
    http: await portOf(/HTTP +\S+:(\d+)/),
    metrics: await portOf(/:(\d+)\/metrics/),
    health: await portOf(/:(\d+)\/ready/),
  }
  return {
    ...found,
    process,
    gauges: () => process.ask<Gauges>('gauges'),
    scrape: () => scrapeAccounts(found.metrics),
  }
}
