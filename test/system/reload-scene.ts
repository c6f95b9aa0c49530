//! A service in this process that can be given another configuration, before backends that remember what came.
import { afterEach } from 'vitest'
import { scrapeAccounts } from '../kit/accounts.ts'
import { type BackendOptions, startBackend } from '../kit/backend.ts'
import { GrpcClient } from '../kit/client.ts'
import { recordingLog } from '../kit/log.ts'
import { startService } from '../kit/otlier.ts'

/** What a test has started, to be ended after it. */
export const stops: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

export async function backend(options: BackendOptions = {}) {
  const started = await startBackend(options)
  stops.push(() => started.stop())
  return started
}

export async function service(settings: readonly string[]) {
  const { log, lines } = recordingLog()
  const started = await startService(settings, { log })
  const client = new GrpcClient(started.grpcPort)
  let lost: Promise<number> | null = null
  const stop = () => {
    lost ??= started.stop()
    client.session.close()
    return lost
  }
  stops.push(stop)
  const says = (text: string) => lines.filter(({ message }) => message.includes(text))
  const scrape = () => scrapeAccounts(started.metricsPort)
  return { ...started, client, lines, says, scrape, stop }
}

export async function until(what: string, done: () => boolean | Promise<boolean>) {
  for (let tries = 0; tries < 2000; tries++) {
    if (await done()) return
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  throw new Error(`waited in vain until ${what}`)
}

export const reloads = async (otlier: Awaited<ReturnType<typeof service>>) => {
  const metrics = await otlier.metrics()
  return ['applied', 'refused'].map(result => metrics.get(`otlier_config_reloads_total{result="${result}"}`))
}

export const GRPC = 'receivers.otlp.protocols.grpc.endpoint'
export const sorted = (names: readonly string[]) => names.toSorted()
